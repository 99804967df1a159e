# SPDX-License-Identifier: BSD-2-Clause
#
# Part of the Makefile: the host tests, the real code above arch/, on the fake arch, natively.

HOST_FLOORS := lib mm drv vm sbi dev run ctl
HOST_SRC := $(shell find $(filter $(wildcard hyp/*),$(HOST_FLOORS:%=hyp/%)) /dev/null -name '*.c' 2>/dev/null | LC_ALL=C sort)
HOST_SRC += $(filter-out tests/host/test_%,$(wildcard tests/host/*.c tests/host/fake_arch/*.c))
HOST_OBJ := $(patsubst %.c,$(BUILD)/host/%.o,$(HOST_SRC))
HOST_TESTS := $(patsubst tests/host/%.c,$(BUILD)/host/%,$(wildcard tests/host/test_*.c))
HOST_CPPFLAGS := -MMD -MP -DPANDO_HOST -Itests/host/fake_arch -Itests/host -Ihyp
HOST_CFLAGS := $(STD) $(WARN) -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

host-files: $(HOST_TESTS)

$(HOST_TESTS): $(BUILD)/host/%: $(BUILD)/host/tests/host/%.o $(BUILD)/host/libpando.a
	@echo "  LD   $@"
	@$(HOSTCC) $(HOST_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka -lfdt

$(BUILD)/host/libpando.a: $(HOST_OBJ)
	@rm -f $@
	@ar rcs $@ $^

# The memory core again, with a call before each access: the harts of test_interleave take turns there (crew.h).
CREW_OBJ := $(patsubst %.c,$(BUILD)/host/crew/%.o,$(wildcard hyp/mm/*.c))

$(BUILD)/host/test_interleave: $(CREW_OBJ)

$(BUILD)/host/crew/%.o: %.c Makefile tests/host/host.mk
	@echo "  HOSTCC $< (crew)"
	@mkdir -p $(@D)
	@$(HOSTCC) $(HOST_CPPFLAGS) $(STD) $(WARN) -Wno-tsan -O1 -fsanitize=thread -c -o $@ $<

# The decoder's cases come from the assembler's own output.
$(BUILD)/host/insn_cases.h: scripts/gen-insn-cases
	@mkdir -p $(@D)
	@$< $(CROSS) $@

$(BUILD)/host/tests/host/test_insn.o: $(BUILD)/host/insn_cases.h
$(BUILD)/host/tests/host/test_insn.o: HOST_CPPFLAGS += -I$(BUILD)/host

$(BUILD)/host/%.o: %.c Makefile tests/host/host.mk
	@echo "  HOSTCC $<"
	@mkdir -p $(@D)
	@$(HOSTCC) $(HOST_CPPFLAGS) $(HOST_CFLAGS) -c -o $@ $<
