/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls: from a request to its answer, with guests that answer, fail, die, hang or are killed, clients that go away at any
 * moment, and memory that runs out.  After each, no VM and no frame is left.
 */
#include "call_fake.h"

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

/* Words as a payload: as many as a line holds, with one blank between them. */
static void test_words(void **state)
{
	static char line[CMD_LINE_LEN], seen[CMD_LINE_LEN];

	(void)state;
	memset(line, 'w', sizeof(line) - 1);
	memcpy(line, "invoke f ", 9);
	memset(line + 300, ' ', 20);
	for (u32 i = 0; i < 2; i++) {
		request_line(&r[i], i == 0 ? line : "invoke f \"\" mode=reset  x \"y  z\"", false,
		             0);
		assert_true(r[i].is_deferred);
		assert_int_equal(work_len, i == 0 ? sizeof(line) - 1 - 9 - 19 : 7);
		assert_int_equal(
			copy_from_guest(&worker->space, seen, worker->window.base, work_len),
			ERR_OK);
		if (i == 0) {
			assert_memory_equal(seen, line + 9, 292);
			assert_memory_equal(seen + 292, line + 320, work_len - 292);
		} else {
			assert_memory_equal(seen, " x y  z", 7);
		}
		done(worker, RESULT_ANSWER, payload, 5);
		check_answer(&r[i], payload, 5);
	}
	forget(2);
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

/* Somebody stops a call's VM before it has had a hart: the call does not keep its place for ever. */
static void test_stopped_before_its_first_turn(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2; i++) {
		request(&r[i], "invoke f timeout=100", payload, 5);
		if (i == 0)
			vm_pause(worker);
		else
			assert_int_equal(vm_freeze(worker), ERR_OK);
		fake_time += 99 * MS;
		fake_poll();
		assert_false(r[i].is_answered);
		fake_time += 2 * MS;
		fake_poll();
		check_failure(&r[i], ERR_TIMEOUT, "no answer after 100 ms");
	}
	forget(2);
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
}

/* A function outlives its name as long as a call of it; one that has no VM by then gets none, with room or without. */
static void test_removed(void **state)
{
	(void)state;
	for (u32 has_room = 0; has_room < 2; has_room++) {
		accepts(has_room ? "function set f template=f max=3"
		                 : "function set f template=f max=1");
		request(&r[0], "invoke f", payload, 5);
		request_line(&r[1], "invoke f", true, 1000);
		request_line(&r[2], "invoke f", true, 1000);
		request_bytes(&r[2], payload, 500);
		accepts("function rm f");
		refuses("invoke f", ERR_ABSENT, "no function f");
		request_bytes(&r[1], payload, 1000);
		request_end(&r[1]);
		check_failure(&r[1], ERR_ABSENT, "the function was removed");
		request_bytes(&r[2], payload + 500, 500);
		request_end(&r[2]);
		fake_poll();
		if (has_room) {
			done(worker, RESULT_ANSWER, payload, 7);
			check_answer(&r[2], payload, 7);
		} else {
			check_failure(&r[2], ERR_ABSENT, "the function was removed");
		}
		done(fc.vms[1], RESULT_ANSWER, payload, 5);
		check_answer(&r[0], payload, 5);
		forget(3);
	}
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

/* One poll on a machine that takes its time; then guests have theirs before the next. */
static void one_turn(void)
{
	fake_time_step = MS / 5;
	ctl_poll();
	fake_time_step = 0;
	assert_false(ctl_wanted());
}

/* Many at once: they are started, end late, and go with their client in turns. */
static void test_turns(void **state)
{
	const u32 n = 30;

	(void)state;
	for (u32 round = 0; round < 2; round++) {
		accepts("function set f template=f max=1");
		for (u32 i = 0; i < n; i++)
			request(&r[i], "invoke f timeout=1000", payload, 600);
		fake_poll();
		assert_int_equal(n_clones(), 1);
		accepts("function set f template=f max=40");
		one_turn();
		assert_in_range(n_clones(), 2, n / 2);
		fake_time += 10 * MS;
		fake_poll();
		assert_int_equal(n_clones(), n);
		for (u32 i = 0; i < fc.n_vms; i++)
			enters(fc.vms[i]);
		if (round == 0)
			fake_time += 2000 * MS;
		for (u32 i = 0; i < n && round == 1; i++)
			request_drop(&r[i]);
		assert_int_equal(n_clones(), n);
		one_turn();
		assert_in_range(n_clones(), n / 2, n - 1);
		fake_time += 10 * MS;
		fake_poll();
		assert_int_equal(n_clones(), 0);
		for (u32 i = 0; i < n && round == 0; i++)
			check_failure(&r[i], ERR_TIMEOUT, "");
	}
	forget(n);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lengths),
		TEST(test_words),
		TEST(test_time_line),
		TEST(test_what_a_guest_says),
		TEST(test_events_that_come_together),
		TEST(test_timeouts),
		TEST(test_stopped_before_its_first_turn),
		TEST(test_queue),
		TEST(test_killed),
		TEST(test_removed),
		TEST(test_dropped),
		TEST(test_turns),
		TEST(test_nth_failure),
	};

	return cmocka_run_group_tests(tests, up, NULL);
}
