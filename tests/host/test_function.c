/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions: VMs that are made ahead, write sets; then random histories of calls of all kinds. */
#include "call_fake.h"
#include "mm_unit.h"

static bool is_there(const char *name)
{
	struct vm *vm = vm_find(name);

	if (vm != NULL)
		vm_put(vm);
	return vm != NULL;
}

/* They are made a few at a time, and guests have as long in between. */
static void test_turns(void **state)
{
	(void)state;
	accepts("function set f template=f warm=20");
	for (u32 n = 2; n <= 20; n += 2) {
		u64 start = fake_time;

		fake_time_step = 100;
		ctl_poll();
		assert_int_equal(n_clones(), n);
		fake_time_step = 0;
		assert_false(ctl_wanted());
		fake_time += fake_time - start;
		assert_true(ctl_wanted());
	}
	fake_poll();
	assert_int_equal(n_clones(), 20);
}

/* VMs that end while they wait are not made for ever. */
static void test_spoilt(void **state)
{
	u32 n = 0;

	(void)state;
	accepts("function set f template=f warm=2");
	fake_poll();
	for (; n_clones() > 0 && n < 100; n++) {
		struct vm *vm = fc.vms[fc.n_vms - 1];

		assert_non_null(vm->template);
		goes_off(vm, "shut down", 0);
	}
	assert_in_range(n, 8, 12);
	request(&r[0], "invoke f", payload, 5);
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[0], payload, 5);
	fake_poll();
	assert_int_equal(n_clones(), 2);
	forget(1);
}

/* A VM that waits is stopped, or frozen, by somebody: it serves no call, and the second is theirs. */
static void test_taken_away(void **state)
{
	struct vm *first, *second;

	(void)state;
	accepts("function set f template=f warm=2");
	fake_poll();
	first = fc.vms[fc.n_vms - 2];
	second = fc.vms[fc.n_vms - 1];
	fake_type("pause f.1\r");
	fake_type("freeze f.2\r");
	accepts("function set f template=f");
	accepts("function set f template=f mode=keep");
	accepts("function set f template=f warm=2");
	assert_false(is_there("f.1"));
	assert_true(is_there("f.2"));
	assert_ptr_not_equal(first, second);
	accepts("function set f template=f warm=1");
	fake_poll();
	fake_type("pause f.3\r");
	request(&r[0], "invoke f", payload, 5);
	assert_int_equal(worker->clone_id, 4);
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[0], payload, 5);
	forget(1);
}

/* Whoever waits for memory has it before those that wait for work. */
static void test_memory_is_short(void **state)
{
	(void)state;
	accepts("function set f template=f warm=5");
	fake_poll();
	assert_int_equal(n_clones(), 5);
	request(&r[0], "invoke f", payload, 5);
	vm_post_event(worker, VM_EV_NOMEM);
	fake_poll();
	assert_int_equal(n_clones(), 1);
	mm_eat(FRAME_FOR_GUEST, frame_n_for_guests() - frame_n_total() / 20);
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[0], payload, 5);
	fake_poll();
	assert_int_equal(n_clones(), 0);
	mm_uneat();
	request(&r[1], "invoke f", payload, 5);
	done(worker, RESULT_ANSWER, payload, 5);
	fake_poll();
	assert_int_equal(n_clones(), 5);
	forget(2);
}

static void write_page(struct vm *vm, u32 page)
{
	gpa_t gpa = GPA(FAKE_GUEST_RAM + page * PAGE_SIZE);

	assert_int_equal(space_touch(&vm->space, gpa, ACCESS_WRITE), ERR_OK);
}

/* One call whose guest writes the pages of `pages` (a bit each); how many its VM had ahead. */
static u32 call_that_writes(u32 pages)
{
	u32 n_ahead;

	request(&r[0], "invoke f", payload, pages == 0 ? 5 : 9000);
	for (u32 i = 0; i < 32; i++)
		if (pages >> i & 1)
			write_page(worker, i);
	n_ahead = worker->n_ahead;
	done(worker, RESULT_ANSWER, NULL, 5);
	assert_int_equal(r[0].e, ERR_OK);
	request_free(&r[0]);
	return n_ahead;
}

static u64 n_private(struct vm *vm)
{
	struct region run = { GPA(0), 0 };
	u64 n = 0;

	for (; space_next_private(&vm->space, GPA(run.base.v + run.len), &run);
	     n += run.len / PAGE_SIZE)
		continue;
	return n;
}

/* The window's page, which has the payload, is written by each call. */
static void test_writeset(void **state)
{
	(void)state;
	for (u32 i = 0; i < WRITESET_CALLS; i++)
		assert_int_equal(call_that_writes(0x8000000f | 0x10 << i), 0);
	/* The four and the last that all had, and the window. */
	assert_int_equal(call_that_writes(0), 6);
	request(&r[0], "invoke f", payload, 5);
	assert_int_equal(n_private(worker), 6);
	assert_int_equal(worker->space.merge.dedup, DEDUP_OFF);
	done(worker, RESULT_ANSWER, NULL, 5);
	assert_has(r[0].data, "\"ahead\":6");
	request_free(&r[0]);
	/* Those that are made ahead have them when they come, and those that are reset get them again. */
	accepts("function set f template=f warm=1");
	fake_poll();
	assert_int_equal(n_private(fc.vms[fc.n_vms - 1]), 6);
	accepts("function set f template=f mode=reset");
	assert_int_equal(call_that_writes(0x100), 6);
	assert_int_equal(call_that_writes(0x100), 6);
	/* Memory that is short is not for this. */
	accepts("function set f template=f");
	fake_poll();
	frame_fail_after(9);
	(void)call_that_writes(0);
	frame_fail_after(0);
	/* Off, and forgotten with the template. */
	accepts("function set f template=f writeset=off");
	assert_int_equal(call_that_writes(0), 0);
	refuses("function set f template=f writeset=what", ERR_INVAL, "on or off");
	template("g");
	accepts("function set f template=g");
	assert_int_equal(call_that_writes(1), 0);
}

/* What may become of a request that waits for its answer. */
static void one_step(u32 n_requests)
{
	static const char *const sets[] = {
		"function set f template=f max=3 warm=2",
		"function set f template=f mode=reset max=4",
		"function set f template=f mode=keep max=2 warm=1",
		"function set f template=g max=3",
		"function rm f",
		"kill g",
		"kill f.1",
	};
	struct request one, *q = &r[fake_random() % n_requests];
	struct vm *vm = fc.n_vms > 0 ? fc.vms[fake_random() % fc.n_vms] : NULL;

	switch (fake_random() % 16) {
	case 0: request(&one, sets[fake_random() % ARRAY_LEN(sets)], NULL, 0); break;
	case 1: request_drop(q); break;
	case 2: fake_time += fake_random() % (200 * MS); break;
	case 3:
		if (vm != NULL && vm->function != NULL)
			goes_off(vm, "shut down", fake_random() % 2 ? VM_EV_KILL : 0);
		break;
	case 4: request_bytes(q, payload, 1); break;
	case 5:
		if (!is_there("g") && fc.n_vms < 20)
			template("g");
		break;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		if (vm != NULL && vm->call != NULL)
			done(vm, (u32)(fake_random() % 4), NULL, (u32)(fake_random() % 2000));
		break;
	default:
		if (q->is_deferred || q->sink != NULL)
			break;
		request_free(q);
		if (fake_random() % 4)
			request(q, "invoke f timeout=100", payload, fake_random() % 1500);
		else
			request_line(q, "invoke f mode=keep", true, 1 + fake_random() % 3);
	}
	fake_poll();
}

static void test_random(void **state)
{
	const u32 n_requests = 12;

	(void)state;
	for (u32 round = 0; round < 40; round++) {
		memset(r, 0, n_requests * sizeof(r[0]));
		for (u32 i = 0; i < 300; i++)
			one_step(n_requests);
		for (u32 i = 0; i < n_requests; i++) {
			request_drop(&r[i]);
			request_free(&r[i]);
		}
		end(state);
		begin(state);
		request_free(&r[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_turns),           TEST(test_spoilt),   TEST(test_taken_away),
		TEST(test_memory_is_short), TEST(test_writeset), TEST(test_random),
	};

	return cmocka_run_group_tests(tests, up, NULL);
}
