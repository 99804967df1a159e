/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's own page tables on shared frames. Its leaves have A and D clear when it is frozen, so each clone's walks
 * want to write into tables that it shares with all others: by hardware or, where that is off, by page faults that set
 * A and D in software. Either way the access goes through, and no clone sees marks of another (with strict=0 that last
 * part is left out: on machines that write A and D into read-only frames nobody can promise it). Then each clone edits
 * its tables: it moves a page, with a local and with a remote fence.
 * Arguments: pages=96 strict=1
 */
#include "guest.h"

const char guest_name[] = "ad";

#define VA 0x3000000000UL
static u64 *entry[512], n_pages, area, n_faults;

/* As an operating system does where the machine does not update A and D. */
static bool set_marks(struct hart *h)
{
	u64 i = (h->tval - VA) / PAGE;
	if (h->cause < C_FETCH_PAGE || h->cause > C_STORE_PAGE || h->tval < VA || i >= n_pages)
		return false;
	*(volatile u64 *)entry[i] |= PTE_A | (h->cause == C_STORE_PAGE ? PTE_D : 0);
	__asm__ volatile("sfence.vma %0" ::"r"(h->tval) : "memory");
	n_faults++;
	return true;
}

static u64 marks(u64 i)
{
	return *(volatile u64 *)entry[i] & (PTE_A | PTE_D);
}

/* Which pages a clone reads, writes, leaves alone. */
static u64 use_of(u64 id, u64 i)
{
	return (id + i) % 3;
}

static void use_pages(u64 id)
{
	for (u64 i = 0; i < n_pages; i++) {
		if (use_of(id, i) == 1)
			check(get64(VA + i * PAGE) == pattern(i, 1),
			      "clone %lu reads 0x%lx in page %lu", id, get64(VA + i * PAGE), i);
		else if (use_of(id, i) == 2)
			put64(VA + i * PAGE, pattern(i, id + 2));
	}
}

static void check_marks(u64 id)
{
	for (u64 i = 0; i < n_pages; i++) {
		u64 want = use_of(id, i) == 0 ? 0 : use_of(id, i) == 1 ? PTE_A : PTE_A | PTE_D;
		check(marks(i) == want, "clone %lu: marks of page %lu are 0x%lx, not 0x%lx", id, i,
		      marks(i), want);
	}
}

static void check_contents(u64 id)
{
	for (u64 i = 0; i < n_pages; i++)
		check(get64(area + i * PAGE) == pattern(i, use_of(id, i) == 2 ? id + 2 : 1),
		      "clone %lu: page %lu holds 0x%lx", id, i, get64(area + i * PAGE));
}

/* Swaps the frames of two pages by editing the tables. */
static void move_pages(u64 id)
{
	for (u64 i = 0; i + 1 < n_pages; i += 2) {
		u64 a = get64(area + i * PAGE), b = get64(area + (i + 1) * PAGE), e = *entry[i];
		*(volatile u64 *)entry[i] = *entry[i + 1];
		*(volatile u64 *)entry[i + 1] = e;
		if (i % 4)
			fence_all();
		else
			sbi(EID_RFENCE, 1, 0, UINT64_MAX, VA + i * PAGE, 2 * PAGE, 0);
		check(get64(VA + i * PAGE) == b && get64(VA + (i + 1) * PAGE) == a,
		      "clone %lu: pages %lu and %lu after a swap", id, i, i + 1);
	}
}

void guest_main(void)
{
	u64 *root = page_root();
	n_pages = guest_arg("pages", 96);
	area = free_start();
	this_hart()->trap_fn = set_marks;
	for (u64 i = 0; i < n_pages; i++) {
		put64(area + i * PAGE, pattern(i, 1));
		entry[i] = page_map(root, VA + i * PAGE, area + i * PAGE, 0, PTE_R | PTE_W);
	}
	page_enable(root, 0);
	u32 id = machine.mailbox ? mailbox_ready()
	                         : 1; /* without a mailbox the tables are at least its own */
	use_pages(id);
	check_contents(id);
	if (guest_arg("strict", 1))
		check_marks(id);
	delay_ms(50);
	check_contents(id);
	if (guest_arg("strict", 1))
		check_marks(id);
	move_pages(id);
	print("clone %u: %lu page faults for A and D", id, n_faults);
	if (machine.mailbox)
		mailbox_put(MB_DONE, 64);
}
