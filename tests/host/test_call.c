/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls: from a request to its answer, with guests that answer, fail, die, hang or are killed, clients that go away at any
 * moment, and memory that runs out; then random histories of all that.  After each, no VM and no frame is left.
 */
#include "ctl_fake.h"
#include "caller.h"
#include "ctl/call.h"

#define MS 10000UL /* ticks */

static struct request r[1200];
static u8 payload[1 << 20];
static u64 free_before;

/* The guest's side: what the last give_work() said to each VM. */
static u32 work_len;
static struct vm *worker;
static u32 n_works;

static void give_work(struct vm *vm, u32 len)
{
	worker = vm;
	work_len = len;
	n_works++;
}

static const struct device_ops call_ops = { .console_input = fake_input, .give_work = give_work };

static struct vm *template(const char *name)
{
	struct request one;
	char line[64];
	struct vm *vm;

	snprintf(line, sizeof(line), "boot %s kernel=linux/kernel memory=4M", name);
	request(&one, line, NULL, 0);
	assert_int_equal(one.e, ERR_OK);
	vm = fc.vms[fc.n_vms - 1];
	assert_int_equal(vm_freeze(vm), ERR_OK);
	return vm;
}

static void accepts(const char *line)
{
	struct request one;

	request(&one, line, NULL, 0);
	if (!one.is_answered || one.e != ERR_OK)
		fail_msg("%s: %s", line, one.error);
	request_free(&one);
}

static void refuses(const char *line, enum err e, const char *why)
{
	struct request one;

	request(&one, line, NULL, 0);
	assert_true(one.is_answered);
	assert_int_equal(one.e, e);
	assert_has(one.error, why);
	request_free(&one);
}

/* `vm` answers with the first `len` bytes of `bytes`, or what lies in its window. */
static void done(struct vm *vm, u32 status, const void *bytes, u32 len)
{
	if (bytes != NULL)
		assert_int_equal(copy_to_guest(&vm->space, vm->window.base, bytes, len), ERR_OK);
	fake_time += 10;
	vm->result_len = len;
	vm->result_status = status;
	vm->stats.done = fake_time;
	vm_post_event(vm, VM_EV_DONE);
	fake_poll();
}

/* `vm` has its first turn. */
static void enters(struct vm *vm)
{
	vm->stats.first_entry = ++fake_time;
}

static void goes_off(struct vm *vm, const char *reason, u32 more)
{
	atomic_store(&vm->state, VM_OFF);
	vm->off_reason = reason;
	vm_post_event(vm, VM_EV_OFF | more);
	fake_poll();
}

static void check_answer(const struct request *q, const void *bytes, u64 len)
{
	assert_true(q->is_answered);
	assert_int_equal(q->e, ERR_OK);
	assert_int_equal(q->len, len);
	if (len > 0)
		assert_memory_equal(q->payload, bytes, len);
}

static void check_failure(const struct request *q, enum err e, const char *why)
{
	assert_true(q->is_answered);
	assert_int_equal(q->e, e);
	assert_has(q->error, why);
}

static u32 n_clones(void)
{
	u32 n = 0;

	for (u32 i = 0; i < fc.n_vms; i++)
		n += fc.vms[i]->template != NULL;
	return n;
}

static void forget(u32 n)
{
	for (u32 i = 0; i < n; i++)
		request_free(&r[i]);
}

static int begin(void **state)
{
	(void)state;
	template("f");
	accepts("function set f template=f");
	worker = NULL;
	n_works = 0;
	return 0;
}

static int end(void **state)
{
	struct request one;

	request(&one, "function rm f", NULL, 0);
	assert_int_equal(fake_down(state), 0);
	while (space_idle_work())
		continue;
	space_relieve();
	assert_int_equal(frame_n_free(), free_before);
	return 0;
}

static void test_lengths(void **state)
{
	static const u32 lens[] = { 0, 1, 511, 512, 513, 4096, 5000, 300000, 1 << 20 };
	u8 *seen = malloc(1 << 20);

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(lens); i++) {
		request(&r[0], "invoke f", payload, lens[i]);
		assert_true(r[0].is_deferred);
		assert_int_equal(work_len, lens[i]);
		assert_int_equal(
			copy_from_guest(&worker->space, seen, worker->window.base, lens[i]),
			ERR_OK);
		assert_memory_equal(seen, payload, lens[i]);
		/* The answer is another length. */
		done(worker, RESULT_ANSWER, payload + 7, lens[ARRAY_LEN(lens) - 1 - i] / 2);
		check_answer(&r[0], payload + 7, lens[ARRAY_LEN(lens) - 1 - i] / 2);
		assert_int_equal(n_clones(), 0);
		forget(1);
	}
	free(seen);
	request_line(&r[0], "invoke f", true, (1 << 20) + 1);
	check_failure(&r[0], ERR_LIMIT, "at most 1048576 bytes");
	request_line(&r[0], "invoke f", true, UINT64_MAX);
	check_failure(&r[0], ERR_LIMIT, "at most");
}

/* What a program reads of it. */
static void test_time_line(void **state)
{
	(void)state;
	fake_time += 1000;
	request(&r[0], "invoke f", payload, 5);
	fake_time += 7;
	enters(worker);
	worker->stats.mark[0] = (struct time_cost){ fake_time + 2, 0 };
	worker->stats.mark[1] = (struct time_cost){ fake_time + 3, 0 };
	done(worker, RESULT_ANSWER, payload, 5);
	assert_has(r[0].data,
	           "{\"vm\":\"f.1\",\"mode\":\"fresh\",\"warm\":false,\"t\":{\"request\":0,"
	           "\"clone\":[0,0],\"given\":0,\"entry\":800,\"start\":1000,\"end\":1100,"
	           "\"answer\":1800,\"gone\":1800}");
	assert_has(r[0].data, "\"breaks\":{");
	assert_has(r[0].data, "\"private_pages\":1,\"table_frames\":");
	forget(1);
	/* One that was there before has no clone and no entry, and old marks are not its. */
	accepts("function set f template=f mode=keep");
	for (u32 i = 0; i < 2; i++) {
		fake_time += 50;
		request(&r[i], "invoke f", payload, 5);
		if (i == 0)
			worker->stats.mark[0] = worker->stats.mark[1] =
				(struct time_cost){ fake_time + 1, 0 };
		done(worker, RESULT_ANSWER, NULL, 5);
	}
	assert_has(r[1].data,
	           "\"warm\":true,\"t\":{\"request\":0,\"clone\":null,\"given\":0,\"entry\":"
	           "null,\"start\":null,\"end\":null,\"answer\":1000,\"gone\":1000}");
	assert_has(r[1].data, "\"private_pages\":0");
	forget(2);
}

static void test_what_a_guest_says(void **state)
{
	(void)state;
	request(&r[0], "invoke f", payload, 5);
	done(worker, RESULT_FAILED, "reason", 6);
	check_failure(&r[0], ERR_FUNCTION, "the function failed");
	assert_int_equal(r[0].len, 6);
	assert_memory_equal(r[0].payload, "reason", 6);
	request(&r[1], "invoke f", payload, 5);
	done(worker, RESULT_CRASHED, "signal 11", 9);
	check_failure(&r[1], ERR_CRASH, "the function died");
	assert_memory_equal(r[1].payload, "signal 11", 9);
	request(&r[2], "invoke f", payload, 5);
	done(worker, RESULT_TOO_LONG, NULL, 0);
	check_failure(&r[2], ERR_TOOLONG, "longer than the window");
	/* The whole window is no answer too long. */
	request(&r[3], "invoke f", payload, 5);
	done(worker, RESULT_ANSWER, NULL, BLOCK_SIZE);
	assert_int_equal(r[3].e, ERR_OK);
	assert_int_equal(r[3].len, BLOCK_SIZE);
	request(&r[4], "invoke f", payload, 5);
	goes_off(worker, "shut down", 0);
	check_failure(&r[4], ERR_CRASH, "shut down");
	request(&r[5], "invoke f", payload, 5);
	goes_off(worker, "killed: out of memory", VM_EV_KILL);
	check_failure(&r[5], ERR_NOMEM, "out of memory");
	assert_int_equal(n_clones(), 0);
	assert_has_not(fake_screen(), "f.");
	forget(6);
}

/* An answer, then the end, before control looks; an end, and an event of the past. */
static void test_events_that_come_together(void **state)
{
	struct vm *vm;

	(void)state;
	accepts("function set f template=f mode=keep");
	request(&r[0], "invoke f", payload, 5);
	vm = worker;
	atomic_store(&vm->state, VM_OFF);
	vm->off_reason = "shut down";
	vm_post_event(vm, VM_EV_OFF);
	done(vm, RESULT_ANSWER, payload, 3);
	check_answer(&r[0], payload, 3);
	assert_int_equal(n_clones(), 0);
	/* The second DONE of a call is not the answer to the next. */
	request(&r[1], "invoke f", payload, 5);
	vm = worker;
	done(vm, RESULT_ANSWER, payload, 3);
	fake_time++;
	request(&r[2], "invoke f", payload, 5);
	assert_ptr_equal(worker, vm);
	vm_post_event(vm, VM_EV_DONE);
	fake_poll();
	assert_false(r[2].is_answered);
	done(vm, RESULT_ANSWER, payload, 4);
	check_answer(&r[2], payload, 4);
	/* Nobody has asked. */
	done(vm, RESULT_ANSWER, payload, 4);
	goes_off(vm, "shut down", 0);
	assert_int_equal(n_clones(), 0);
	forget(3);
}

static void test_timeouts(void **state)
{
	struct vm *first;

	(void)state;
	accepts("function set f template=f timeout=100");
	request(&r[0], "invoke f", payload, 5);
	first = worker;
	request(&r[1], "invoke f timeout=30", payload, 5);
	enters(worker);
	/* The first has not had a hart yet: its time has not begun. */
	fake_time += 100 * MS;
	fake_poll();
	check_failure(&r[1], ERR_TIMEOUT, "no answer after 30 ms");
	assert_false(r[0].is_answered);
	enters(first);
	fake_time += 99 * MS;
	fake_poll();
	assert_false(r[0].is_answered);
	fake_time += 2 * MS;
	fake_poll();
	check_failure(&r[0], ERR_TIMEOUT, "no answer after 100 ms");
	/* One that waits for memory. */
	request(&r[2], "invoke f", payload, 5);
	enters(worker);
	atomic_fetch_or(&worker->vcpu[0]->holds, HOLD_NOMEM);
	fake_time += 101 * MS;
	fake_poll();
	check_failure(&r[2], ERR_NOMEM, "waits for memory");
	/* A payload that does not come: the VM is not kept for it, and the end is told when it has. */
	request_line(&r[3], "invoke f", true, 1000);
	request_bytes(&r[3], payload, 10);
	assert_int_equal(n_clones(), 1);
	fake_time += 101 * MS;
	fake_poll();
	assert_int_equal(n_clones(), 0);
	assert_false(r[3].is_answered);
	request_bytes(&r[3], payload, 10);
	check_failure(&r[3], ERR_TIMEOUT, "no answer after");
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	forget(4);
}

static void test_queue(void **state)
{
	(void)state;
	accepts("function set f template=f max=2");
	for (u32 i = 0; i < 2 + 1024; i++) {
		request(&r[i], "invoke f", payload + i, 9 + i % 700);
		assert_true(r[i].is_deferred);
	}
	assert_int_equal(n_works, 2);
	request(&r[1100], "invoke f", payload, 5);
	check_failure(&r[1100], ERR_BUSY, "1024 calls wait already");
	for (u32 i = 0; i < 2 + 1024; i++) {
		struct vm *vm = NULL;

		/* The older of the two. */
		for (u32 k = 0; k < fc.n_vms && vm == NULL; k++)
			vm = fc.vms[k]->template != NULL ? fc.vms[k] : NULL;
		assert_int_equal(n_clones(), i == 1025 ? 1 : 2);
		done(vm, RESULT_ANSWER, NULL, 9 + i % 700);
		check_answer(&r[i], payload + i, 9 + i % 700);
	}
	forget(1026);
}

static void test_killed(void **state)
{
	(void)state;
	accepts("function set f template=f max=1 warm=1");
	fake_poll();
	assert_int_equal(n_clones(), 1);
	request(&r[0], "invoke f", payload, 5);
	request(&r[1], "invoke f", payload, 5);
	fake_type("kill f.1\r");
	check_failure(&r[0], ERR_CRASH, "killed");
	assert_false(r[1].is_answered);
	assert_true(worker->clone_id == 2);
	/* The one that was made ahead for the next call. */
	fake_type("kill f.3\r");
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[1], payload, 5);
	/* The template, under a call, one that waits, and one whose payload is on the way. */
	request(&r[2], "invoke f", payload, 5);
	request(&r[3], "invoke f", payload, 5);
	request_line(&r[4], "invoke f", true, 1000);
	request_bytes(&r[4], payload, 600);
	fake_type("kill f\r");
	check_failure(&r[3], ERR_STATE, "its template was killed");
	request_bytes(&r[4], payload, 400);
	request_end(&r[4]);
	assert_false(r[2].is_answered);
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[2], payload, 5);
	fake_poll();
	check_failure(&r[4], ERR_STATE, "its template was killed");
	refuses("invoke f", ERR_STATE, "its template was killed");
	forget(5);
	/* A function outlives its name as long as a call of it. */
	template("g");
	accepts("function set f template=g");
	request(&r[0], "invoke f", payload, 5);
	request_line(&r[1], "invoke f", true, 1000);
	accepts("function rm f");
	refuses("invoke f", ERR_ABSENT, "no function f");
	request_bytes(&r[1], payload, 1000);
	request_end(&r[1]);
	fake_poll();
	check_failure(&r[1], ERR_STATE, "killed");
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[0], payload, 5);
	forget(2);
}

/* Whoever asked is gone: while the payload comes, while the call waits, while it is at work, as it ends. */
static void test_dropped(void **state)
{
	struct vm *vm;

	(void)state;
	accepts("function set f template=f max=1");
	request_line(&r[0], "invoke f", true, 1000);
	request_drop(&r[0]);
	request_line(&r[0], "invoke f", true, 1000);
	request_bytes(&r[0], payload, 999);
	assert_int_equal(n_clones(), 1);
	request_drop(&r[0]);
	fake_poll();
	assert_int_equal(n_clones(), 0);
	for (u32 i = 0; i < 4; i++)
		request(&r[i], "invoke f", payload, 600);
	request_drop(&r[1]);
	vm = worker;
	request_drop(&r[0]);
	fake_poll();
	assert_ptr_not_equal(worker, vm);
	accepts("function rm f");
	/* The third is at work, the fourth has failed and has not been told. */
	request_drop(&r[3]);
	fake_poll();
	done(worker, RESULT_ANSWER, payload, 5);
	check_answer(&r[2], payload, 5);
	forget(3);
}

static void test_nth_failure(void **state)
{
	u64 limit = 0;

	(void)state;
	for (u64 n = 1; limit == 0; n++) {
		frame_fail_from(n);
		request(&r[0], "invoke f", payload, 9000);
		frame_fail_from(0);
		if (!r[0].is_answered) {
			limit = n;
			break;
		}
		assert_int_equal(r[0].e, ERR_NOMEM);
		assert_int_equal(n_clones(), 0);
	}
	/* And the answer. */
	for (u64 n = 1;; n++) {
		frame_fail_from(n);
		done(worker, RESULT_ANSWER, NULL, 9000);
		frame_fail_from(0);
		assert_true(r[0].is_answered);
		if (r[0].e == ERR_OK)
			break;
		check_failure(&r[0], ERR_NOMEM, "out of memory");
		request_free(&r[0]);
		request(&r[0], "invoke f", payload, 9000);
	}
	check_answer(&r[0], payload, 9000);
	forget(1);
	/* One that finds no memory waits for those that have. */
	request(&r[1], "invoke f", payload, 10);
	frame_fail_from(1);
	fc.fail_next = ERR_NOMEM;
	request(&r[2], "invoke f", payload, 10);
	frame_fail_from(0);
	if (!r[2].is_answered) {
		done(worker, RESULT_ANSWER, payload, 1);
		check_answer(&r[1], payload, 1);
		done(worker, RESULT_ANSWER, payload, 1);
		check_answer(&r[2], payload, 1);
	}
	forget(3);
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

static bool is_there(const char *name)
{
	struct vm *vm = vm_find(name);

	if (vm != NULL)
		vm_put(vm);
	return vm != NULL;
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

static int up(void **state)
{
	struct request one;

	fake_seed(9);
	for (u32 i = 0; i < sizeof(payload); i++)
		payload[i] = (u8)fake_random();
	assert_int_equal(fake_up(state), 0);
	device_set_ops(&call_ops);
	/* What is allocated once. */
	request(&one, "kill all", NULL, 0);
	space_relieve();
	free_before = frame_n_free();
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lengths),
		TEST(test_time_line),
		TEST(test_what_a_guest_says),
		TEST(test_events_that_come_together),
		TEST(test_timeouts),
		TEST(test_queue),
		TEST(test_killed),
		TEST(test_dropped),
		TEST(test_nth_failure),
		TEST(test_spoilt),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, up, NULL);
}
