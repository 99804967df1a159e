/* SPDX-License-Identifier: BSD-2-Clause */
/* image and boot: what is kept and what comes back, and one clear line for each way to be wrong. */
#include "ctl_fake.h"
#include "caller.h"

#define MS 10000UL /* ticks */

static struct request r, late;
static u8 image[300000];

static void refuses(const char *line, const void *payload, u64 len, enum err e, const char *why)
{
	request(&r, line, payload, len);
	assert_true(r.is_answered);
	assert_int_equal(r.e, e);
	assert_has(r.error, why);
	assert_null(strchr(r.error, '\n'));
}

static void accepts(const char *line, const void *payload, u64 len)
{
	request(&r, line, payload, len);
	if (!r.is_answered || r.e != ERR_OK)
		fail_msg("%s: %s", line, r.error);
}

static void test_put_list_rm(void **state)
{
	u64 free_before;

	(void)state;
	accepts("image put warm-up", image, 10);
	accepts("image rm warm-up", NULL, 0);
	free_before = frame_n_free();
	accepts("image put a", image, sizeof(image));
	accepts("image put b.2_-", image, 1);
	accepts("image list", NULL, 0);
	assert_string_equal(r.data,
	                    "{\"images\":[{\"name\":\"linux/kernel\",\"len\":7},"
	                    "{\"name\":\"a\",\"len\":300000},{\"name\":\"b.2_-\",\"len\":1}]}");
	assert_has(fake_type("image list\r"), "b.2_-");
	/* Another one of its name takes its place, when it is whole. */
	request_line(&r, "image put a", true, 5000);
	request_bytes(&r, image, 4999);
	request_line(&late, "image list", false, 0);
	assert_has(late.data, "300000");
	request_bytes(&r, image, 1);
	request_end(&r);
	accepts("image list", NULL, 0);
	assert_has(r.data, "5000");
	assert_has_not(r.data, "300000");
	accepts("image rm a", NULL, 0);
	accepts("image rm b.2_-", NULL, 0);
	refuses("image rm a", NULL, 0, ERR_ABSENT, "no image a");
	refuses("image rm linux/kernel", NULL, 0, ERR_ABSENT, "no image linux/kernel");
	space_relieve();
	assert_true(frame_n_free() >= free_before);
}

static void test_put_refusals(void **state)
{
	static const char *const bad[] = { "image put \"\"", "image put a/b", "image put \"a b\"",
		                           "image put 12345678901234567890123456789012" };
	u64 free_before = frame_n_free();

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(bad); i++)
		refuses(bad[i], image, 10, ERR_INVAL, "an image's name");
	refuses("image put a", NULL, 0, ERR_INVAL, "wants a payload");
	refuses("image put a", image, 0, ERR_INVAL, "wants a payload");
	refuses("image list", image, 5, ERR_INVAL, "takes no payload");
	refuses("image rm a", image, 5, ERR_INVAL, "takes no payload");
	refuses("image", NULL, 0, ERR_INVAL, "usage: image");
	refuses("image what", NULL, 0, ERR_INVAL, "usage: image");
	/* Sizes that cannot be meant: nothing has been taken yet. */
	for (u64 len = (512UL << 20) + 1; len != 0; len = len << 1 | (len & 1)) {
		request_line(&r, "image put a", true, len);
		assert_true(r.is_answered && r.e == ERR_LIMIT);
		assert_has(r.error, "more than 512 MiB");
		if (len >> 63)
			break;
	}
	request_line(&r, "image put a", true, 512UL << 20);
	assert_true(r.is_answered && r.e == ERR_NOMEM);
	assert_has(r.error, "512 MiB do not fit");
	/* Half of it, then nobody. */
	request_line(&r, "image put a", true, sizeof(image));
	request_bytes(&r, image, 150000);
	request_drop(&r);
	assert_int_equal(frame_n_free(), free_before);
	refuses("image rm a", NULL, 0, ERR_ABSENT, "no image");
}

static void test_nth_failure(void **state)
{
	u64 free_before = frame_n_free();

	(void)state;
	for (u64 n = 1;; n++) {
		frame_fail_from(n);
		request(&r, "image put a", image, 50000);
		frame_fail_from(0);
		assert_true(r.is_answered);
		if (r.e == ERR_OK)
			break;
		assert_int_equal(r.e, ERR_NOMEM);
		assert_int_equal(frame_n_free(), free_before);
	}
	accepts("image rm a", NULL, 0);
	assert_int_equal(frame_n_free(), free_before);
}

static void test_too_many(void **state)
{
	char line[64];

	(void)state;
	for (u32 i = 0; i < 64; i++) {
		snprintf(line, sizeof(line), "image put i%u", i);
		accepts(line, image, 1);
	}
	refuses("image put more", image, 1, ERR_LIMIT, "64 images");
	accepts("image put i7", image, 2);
	for (u32 i = 0; i < 64; i++) {
		snprintf(line, sizeof(line), "image rm i%u", i);
		accepts(line, NULL, 0);
	}
}

static void test_boot(void **state)
{
	(void)state;
	accepts("image put rd", image, 9000);
	accepts("boot f kernel=linux/kernel initrd=rd memory=64M vcpus=2 \"bootargs=a b\" memory=reserve time=jump",
	        NULL, 0);
	assert_string_equal(r.data, "{\"vm\":\"f\"}");
	assert_int_equal(fc.booted.ram_len, 64UL << 20);
	assert_int_equal(fc.booted.n_vcpus, 2);
	assert_int_equal(fc.booted.initrd_len, 9000);
	assert_non_null(fc.booted.initrd_blob);
	assert_int_equal(fc.booted.kernel_len, 7);
	assert_int_equal(fc.booted.policy.memory, MEMORY_RESERVE);
	assert_int_equal(fc.booted.policy.time, TIME_JUMP);
	assert_true(fc.booted.hold_at_ready);
	refuses("boot g kernel=linux/kernel", NULL, 0, ERR_INVAL, "memory=SIZE");
	refuses("boot g memory=64M", NULL, 0, ERR_INVAL, "kernel=IMAGE");
	refuses("boot g memory=64X kernel=rd", NULL, 0, ERR_INVAL, "memory= wants");
	refuses("boot g memory=99999999999999999999 kernel=rd", NULL, 0, ERR_INVAL,
	        "memory= wants");
	refuses("boot g memory=4G kernel=none", NULL, 0, ERR_ABSENT, "no image \"none\"");
	refuses("boot g memory=4G kernel=linux/initrd", NULL, 0, ERR_ABSENT, "no image");
	refuses("boot g memory=4G kernel=rd vcpus=9", NULL, 0, ERR_INVAL, "vcpus=");
	refuses("boot g memory=4G kernel=rd vcpus=0", NULL, 0, ERR_INVAL, "vcpus=");
	refuses("boot g memory=4G kernel=rd what=1", NULL, 0, ERR_INVAL, "no policy \"what\"");
	refuses("boot g memory=4G kernel=rd wait=0", NULL, 0, ERR_INVAL, "wait=");
	refuses("boot g memory=4G kernel=rd more", NULL, 0, ERR_INVAL, "no KEY=VALUE");
	refuses("boot g memory=4G kernel=rd -n 2", NULL, 0, ERR_INVAL, "-n is for");
	refuses("boot linux -n 2 wait=100", NULL, 0, ERR_INVAL, "not both");
	refuses("boot 12345678901234567890123456789012 memory=4G kernel=rd", NULL, 0, ERR_INVAL,
	        "31 characters");
	refuses("boot g", NULL, 0, ERR_ABSENT, "no \"g\" in the bundle");
	/* A name that is taken is said first; but not of words that nobody understands. */
	accepts("boot h kernel=rd memory=4M", NULL, 0);
	refuses("boot h kernel=none memory=4M", NULL, 0, ERR_EXISTS, "a VM \"h\" already");
	refuses("boot h kernel=rd", NULL, 0, ERR_EXISTS, "already");
	refuses("boot h kernel=rd memory=4X", NULL, 0, ERR_INVAL, "memory= wants");
	refuses("boot h wait=100", NULL, 0, ERR_ABSENT, "no \"h\" in the bundle");
	fc.fail_next = ERR_NOMEM;
	refuses("boot h memory=4G kernel=rd", NULL, 0, ERR_EXISTS, "already");
	refuses("boot g memory=4G kernel=rd", NULL, 0, ERR_NOMEM, "g: cannot boot");
	accepts("image rm rd", NULL, 0);
}

/* The answer comes when the VM is ready, off, killed, or late. */
static void test_wait(void **state)
{
	struct vm *vm;

	(void)state;
	request(&r, "boot linux wait=500", NULL, 0);
	assert_true(r.is_deferred);
	vm = fc.vms[0];
	vm->stats.created = fake_time;
	fake_time += 3 * MS;
	vm->stats.ready = fake_time;
	vm_post_event(vm, VM_EV_READY);
	fake_poll();
	assert_true(r.is_answered && r.e == ERR_OK);
	assert_string_equal(r.data, "{\"vm\":\"linux\",\"ready_ns\":3000000}");
	assert_int_equal(atomic_load(&vm->state), VM_PAUSED);

	request(&r, "boot linux wait=500", NULL, 0);
	vm = fc.vms[1];
	atomic_store(&vm->state, VM_OFF);
	vm->off_reason = "a reason";
	vm_post_event(vm, VM_EV_OFF);
	fake_poll();
	assert_int_equal(r.e, ERR_CRASH);
	assert_string_equal(r.error, "linux-2: a reason");

	request(&r, "boot linux wait=500", NULL, 0);
	request(&late, "boot linux wait=900", NULL, 0);
	fake_poll();
	assert_int_equal(ctl_deadline(), fake_time + 500 * MS);
	fake_time += 500 * MS;
	fake_poll();
	assert_true(r.is_answered && r.e == ERR_TIMEOUT && !late.is_answered);
	fake_type("kill linux-4\r");
	assert_true(late.is_answered && late.e == ERR_CRASH);

	request(&r, "boot linux wait=500", NULL, 0);
	request_drop(&r);
	fake_time += 500 * MS;
	fake_poll();
	assert_false(r.is_answered);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_put_list_rm), TEST(test_put_refusals), TEST(test_nth_failure),
		TEST(test_too_many),    TEST(test_boot),         TEST(test_wait),
	};

	fake_seed(5);
	return cmocka_run_group_tests(tests, fake_up, NULL);
}
