/* SPDX-License-Identifier: BSD-2-Clause */
/* Families of VMs: deep, wide, killed in any order, and what of the dead is still needed. */
#include "vm_life.h"

#define DEPTH 1000U

static struct vm
	*line[DEPTH]; /* [0] a template; each other one a clone or a fork of the one before */

/* The page that member i of the line has written last. */
static u64 page_of(u32 i)
{
	return RAM + 0x1000 + i % 64 * PAGE_SIZE;
}

static void make_line(bool (*is_fork)(u32 i))
{
	line[0] = template_of("t", 1);
	for (u32 i = 1; i < DEPTH; i++) {
		struct vm *parent = line[i - 1];

		if (is_fork(i)) {
			/* Its parent is to run, so it becomes a template only now. */
			assert_int_equal(vm_fork(parent, &line[i]), ERR_OK);
			assert_int_equal(vm_freeze(parent), ERR_OK);
		} else {
			line[i] = clone(parent);
		}
		store(line[i], page_of(i), i);
		assert_int_equal(vm_run(line[i]), ERR_OK);
		if (i + 1 < DEPTH && !is_fork(i + 1))
			assert_int_equal(vm_freeze(line[i]), ERR_OK);
	}
}

static bool never(u32 i)
{
	(void)i;
	return false;
}

static bool every_third(u32 i)
{
	return i % 3 == 2;
}

/* What member i sees of those that wrote before it, dead or alive. */
static void check_member(u32 i)
{
	for (u32 k = i < 64 ? 1 : i - 63; k <= i; k += 7)
		assert_int_equal(load(line[i], page_of(k)), k);
}

static u32 top_first(u32 n)
{
	return n;
}

static u32 bottom_first(u32 n)
{
	return DEPTH - 1 - n;
}

/* Outwards from the middle. */
static u32 middle_first(u32 n)
{
	return n % 2 ? DEPTH / 2 - 1 - n / 2 : DEPTH / 2 + n / 2;
}

static u32 shuffled[DEPTH];

static u32 in_random_order(u32 n)
{
	return shuffled[n];
}

static void shuffle(void)
{
	for (u32 i = 0; i < DEPTH; i++) {
		u32 k = (u32)(fake_random() % (i + 1));

		shuffled[i] = shuffled[k];
		shuffled[k] = i;
	}
}

static void kill_line(u32 (*nth)(u32 n))
{
	static bool is_dead[DEPTH];

	memset(is_dead, 0, sizeof(is_dead));
	for (u32 n = 0; n < DEPTH; n++) {
		is_dead[nth(n)] = true;
		vm_kill(line[nth(n)]);
		if (n % 100 != 50)
			continue;
		check_audit();
		for (u32 i = 1; i < DEPTH; i += 37)
			if (!is_dead[i])
				check_member(i);
	}
}

static void test_thousand_deep(void **state)
{
	static u32 (*const orders[])(u32) = { top_first, bottom_first, middle_first,
		                              in_random_order };
	u64 before;

	(void)state;
	fake_boot(1);
	fake_seed(7);
	before = free_frames();
	for (u32 k = 0; k < 2 * ARRAY_LEN(orders); k++) {
		shuffle();
		make_line(k % 2 ? every_third : never);
		assert_int_equal(vm_count(), DEPTH);
		kill_line(orders[k / 2]);
		assert_int_equal(vm_count(), 0);
		assert_int_equal(free_frames(), before);
		check_audit();
	}
}

/* ---- what is killed and still needed ---- */

static struct vm *retained[4];
static u32 n_retained;

static bool note_retained(struct vm *vm, void *arg)
{
	(void)arg;
	assert_in_range(n_retained, 0, ARRAY_LEN(retained) - 1);
	retained[n_retained++] = vm;
	return true;
}

static u32 count_retained(void)
{
	n_retained = 0;
	vm_for_each_retained(note_retained, NULL);
	return n_retained;
}

static bool is_not(struct vm *vm, void *arg)
{
	assert_ptr_not_equal(vm, arg);
	return true;
}

static void test_killed_templates_are_retained(void **state)
{
	struct vm *t, *a, *b, *forked;
	u64 before;

	(void)state;
	fake_boot(1);
	before = free_frames();
	t = template_of("t", 1);
	store(a = clone(t), RAM + 0x1000, 1);
	assert_int_equal(vm_freeze(a), ERR_OK);
	b = clone(a);
	assert_int_equal(vm_run(b), ERR_OK);
	assert_int_equal(vm_fork(b, &forked), ERR_OK);
	assert_int_equal(count_retained(), 0);
	vm_kill(a);
	vm_kill(t);
	vm_for_each(is_not, t);
	vm_for_each(is_not, a);
	assert_null(vm_find("t"));
	assert_null(vm_find("t.1"));
	assert_int_equal(count_retained(), 2);
	assert_ptr_equal(retained[0], a);
	assert_ptr_equal(retained[1], t);
	/* A fork's child has no template: it keeps none. */
	store(b, RAM + 0x1000, 2);
	assert_int_equal(vm_reset(b), ERR_OK);
	assert_int_equal(load(b, RAM + 0x1000), 1);
	vm_kill(b);
	assert_int_equal(count_retained(), 0);
	assert_int_equal(load(forked, RAM + 0x1000), 1);
	check_audit();
	vm_kill(forked);
	assert_int_equal(free_frames(), before);
}

/* Somebody looks at them while they go. */
static bool kill_the_rest(struct vm *vm, void *arg)
{
	(void)vm;
	vm_kill(arg);
	n_retained++;
	return true;
}

static void test_retained_go_while_visited(void **state)
{
	struct vm *t, *u, *of_u, *c;
	u64 before;

	(void)state;
	fake_boot(1);
	before = free_frames();
	t = template_of("t", 1);
	(void)clone(t);
	u = template_of("u", 1);
	of_u = clone(u);
	vm_kill(t);
	vm_kill(u);
	n_retained = 0;
	vm_for_each_retained(kill_the_rest, of_u);
	assert_int_equal(n_retained, 1);
	assert_int_equal(count_retained(), 1);
	c = vm_find("t.1");
	vm_kill(c);
	assert_int_equal(count_retained(),
	                 1); /* the look-up holds the clone, and that its template */
	vm_put(c);
	assert_int_equal(count_retained(), 0);
	assert_int_equal(free_frames(), before);
}

/* A name is free at once; the numbers of clones that live on are not. */
static void test_name_is_used_again(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = template_of("t", 1);
	c = clone(t);
	assert_string_equal(c->name, "t.1");
	c = clone(t);
	assert_int_equal(vm_freeze(c), ERR_OK);
	c = clone(c);
	assert_string_equal(c->name, "t.2.1");
	vm_kill(c->template);
	vm_kill(t);
	t = template_of("t", 1);
	assert_string_equal(clone(t)->name, "t.3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousand_deep),
		cmocka_unit_test(test_killed_templates_are_retained),
		cmocka_unit_test(test_retained_go_while_visited),
		cmocka_unit_test(test_name_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
