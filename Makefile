# SPDX-License-Identifier: BSD-2-Clause
#
# `make help` says what there is. Public targets set the machine up first (scripts/setup does nothing once all is
# there) and then call make again for the files, whose rules need the tools in place.

BUILD := build
BUNDLE := run
comma := ,
CROSS := riscv64-unknown-elf-
HOSTCC := gcc
PYTHON := /usr/bin/python3
MAKEFLAGS += --no-print-directory --no-builtin-rules

SETUP := scripts/setup
ALL_PARTS := packages libfdt guest python musl qemu
AGAIN = +@$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j2)

.PHONY: all setup demo run host test test-host test-qemu check bench soak clean distclean format help files host-files print-cflags
# Targets named together come one after the other: each sets up and builds in the same folder, with -j inside.
ifeq ($(MAKELEVEL),0)
.NOTPARALLEL:
endif
.SECONDARY:
.DELETE_ON_ERROR:
.SUFFIXES:

all: ## build Pando, the guests and the host tests
	@$(SETUP) --optional-guest
	$(AGAIN) files host-files

setup: ## install and fetch what building and running need
	@$(SETUP)

demo: ## boot Linux, freeze it, clone it a hundred times, check every result
	@$(SETUP)
	$(AGAIN) $(BUILD)/pando.elf $(BUILD)/demo.dtb
	@scripts/qemu --harts 2 --mem 4G --bundle $(BUILD)/demo.dtb

run: ## the same, and then Pando's shell; BUNDLE=agent: the shell with dts/agent.dts
	@$(SETUP)
	$(AGAIN) $(BUILD)/pando.elf $(BUILD)/$(BUNDLE).dtb
	@scripts/qemu --harts 2 --mem 4G --bundle $(BUILD)/$(BUNDLE).dtb

host: ## what scripts/pando up starts
	@$(SETUP)
	$(AGAIN) $(BUILD)/pando.elf $(BUILD)/functions.dtb

test: ## every test; the last line counts them
	@$(SETUP) --optional-guest $(ALL_PARTS)
	$(AGAIN) files host-files
	@scripts/test

test-host: ## the tests that run natively, under ASan and UBSan
	@$(SETUP) packages libfdt
	$(AGAIN) host-files
	@scripts/test --only host

test-qemu: ## the tests that drive QEMU
	@$(SETUP) --optional-guest $(ALL_PARTS)
	$(AGAIN) files
	@scripts/test --only qemu

check: ## layers, sizes, headers, format, cppcheck, shellcheck
	@$(SETUP) packages libfdt
	@scripts/check

bench: ## measure; figures and curves go to build/bench*
	@$(SETUP) --optional-guest $(ALL_PARTS)
	$(AGAIN) files
	@$(PYTHON) tests/bench/run.py

soak: ## the random tests, for as long as it takes to trust them
	@$(SETUP) --optional-guest $(ALL_PARTS)
	$(AGAIN) files host-files
	@scripts/test --soak
	@tests/mutate
	@tests/spin/run
	@tests/soak/linux.py

format: ## lay the C sources out as .clang-format says
	@$(SETUP) packages
	@scripts/check --format

clean: ## remove what was built; what was fetched stays, and so does a running Pando
	rm -rf $(filter-out %/libfdt-src %/linux %/qemu %/run,$(wildcard $(BUILD)/*))

distclean: ## end Pando and remove build/
	@[ ! -e $(BUILD)/run/pando.json ] || scripts/pando down --dir $(BUILD)/run || [ $$? -eq 3 ]
	rm -rf $(BUILD)

print-cflags: # for scripts/check-headers
	@echo $(filter-out -MMD -MP,$(HYP_CPPFLAGS)) $(HYP_CFLAGS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- the hypervisor

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wvla -Wswitch-enum -Wconversion -Werror
WARN += -Wno-format-truncation # where text is cut, that is what the size is for
STD := -std=gnu11 -g -fno-common

# With -misa-spec=2.2 the base carries the CSR instructions and fence.i, and gcc finds picolibc's soft-float library.
TARGET := -march=rv64imac -misa-spec=2.2 -mabi=lp64 -mcmodel=medany
PICOLIBC := --specs=picolibc.specs -DPICOLIBC_INTEGER_PRINTF_SCANF
HYP_CFLAGS := $(TARGET) $(PICOLIBC) $(STD) $(WARN) -O2 -flto=auto -fno-stack-protector -fno-pic
HYP_CPPFLAGS := -MMD -MP -Ihyp -isystem $(BUILD)/libfdt-src $(CPPFLAGS)
HYP_LDFLAGS := -O2 -flto=auto $(TARGET) $(PICOLIBC) -nostartfiles -static -T platform/virt/pando.lds -Wl,--build-id=none,-z,max-page-size=4096
HYP_LDFLAGS += $(shell $(CROSS)ld --help 2>/dev/null | grep -q no-warn-rwx && echo -Wl,--no-warn-rwx-segments)

HYP_SRC := $(shell find hyp platform -name '*.[cS]' 2>/dev/null | LC_ALL=C sort)
HYP_OBJ := $(patsubst %,$(BUILD)/%.o,$(HYP_SRC))

FDT_NAMES := fdt fdt_ro fdt_wip fdt_sw fdt_rw fdt_strerror fdt_empty_tree fdt_addresses fdt_check fdt_overlay
FDT_OBJ := $(FDT_NAMES:%=$(BUILD)/libfdt/%.o)

GUESTS := $(patsubst guests/tiny/%,$(BUILD)/guests/%.bin,$(basename $(wildcard guests/tiny/*.[cS])))

LINUX_FILES := $(BUILD)/demo.dtb $(BUILD)/run.dtb $(BUILD)/agent.dtb $(BUILD)/functions.dtb $(BUILD)/linux/initrd.cpio $(BUILD)/linux/memcheck.cpio
LINUX_FILES += $(if $(wildcard $(BUILD)/linux/python/.stamp),$(BUILD)/linux/python.cpio)

files: $(BUILD)/pando.elf $(GUESTS) $(if $(wildcard $(BUILD)/linux/.stamp),$(LINUX_FILES))

$(BUILD)/pando.elf: $(HYP_OBJ) $(BUILD)/libfdt.a platform/virt/pando.lds
	@echo "  LD   $@"
	@$(CROSS)gcc $(HYP_LDFLAGS) -Wl,-Map=$(BUILD)/pando.map -o $@ $(HYP_OBJ) $(BUILD)/libfdt.a

$(BUILD)/%.c.o: %.c Makefile | $(BUILD)/libfdt-src/.stamp
	@echo "  CC   $<"
	@mkdir -p $(@D)
	@$(CROSS)gcc $(HYP_CPPFLAGS) $(HYP_CFLAGS) -c -o $@ $<

$(BUILD)/%.S.o: %.S Makefile
	@echo "  AS   $<"
	@mkdir -p $(@D)
	@$(CROSS)gcc $(HYP_CPPFLAGS) $(TARGET) -g -c -o $@ $<

$(BUILD)/libfdt.a: $(FDT_OBJ)
	@rm -f $@
	@$(CROSS)ar rcs $@ $^

$(BUILD)/libfdt/%.o: $(BUILD)/libfdt-src/.stamp
	@echo "  CC   libfdt/$*.c"
	@mkdir -p $(@D)
	@$(CROSS)gcc $(TARGET) $(PICOLIBC) $(STD) -O2 -I$(BUILD)/libfdt-src -c -o $@ $(BUILD)/libfdt-src/$*.c

$(BUILD)/libfdt-src/.stamp:
	@$(SETUP) libfdt

# ---- guests

GUEST_LIB_SRC := $(wildcard guests/tiny/lib/*.[cS])
GUEST_LIB_OBJ := $(patsubst %,$(BUILD)/%.o,$(GUEST_LIB_SRC))
GUEST_LDFLAGS := $(TARGET) $(PICOLIBC) -nostartfiles -static -T guests/tiny/guest.lds -Wl,--build-id=none
GUEST_LDFLAGS += $(filter -Wl$(comma)--no-warn%,$(HYP_LDFLAGS))

$(BUILD)/guests/%.o: HYP_CPPFLAGS += -Iguests/tiny/lib

$(BUILD)/guests/%.bin: $(BUILD)/guests/%.elf
	@$(CROSS)objcopy -O binary $< $@

$(BUILD)/guests/%.elf: $(BUILD)/guests/tiny/%.c.o $(GUEST_LIB_OBJ) $(BUILD)/libfdt.a guests/tiny/guest.lds
	@echo "  LD   $@"
	@$(CROSS)gcc $(GUEST_LDFLAGS) -o $@ $(filter %.o %.a,$^)

$(BUILD)/guests/%.elf: $(BUILD)/guests/tiny/%.S.o $(GUEST_LIB_OBJ) $(BUILD)/libfdt.a guests/tiny/guest.lds
	@echo "  LD   $@"
	@$(CROSS)gcc $(GUEST_LDFLAGS) -o $@ $(filter %.o %.a,$^)

$(BUILD)/run.dtb: dts/demo.dts

$(BUILD)/%.dtb: dts/%.dts $(BUILD)/linux/Image $(BUILD)/linux/initrd.cpio $(BUILD)/demo-expect.bin
	@echo "  DTC  $@"
	@dtc -q -I dts -O dtb -i $(BUILD) -i dts -o $@ $<

$(BUILD)/demo-expect.bin: scripts/mkexpect
	@mkdir -p $(@D)
	@scripts/mkexpect -o $@

$(BUILD)/linux/Image $(BUILD)/linux/busybox: | $(BUILD)/linux/.stamp
$(BUILD)/linux/.stamp:
	@$(SETUP) guest

INITRD := dir:/dev node:/dev/console=c,5,1 dir:/proc dir:/sys dir:/bin link:/bin/sh=busybox
INITRD += file:/bin/busybox=$(BUILD)/linux/busybox file:/bin/mailbox=$(BUILD)/linux/mailbox
INITRD += file:/bin/agent=$(BUILD)/linux/agent file:/bin/random=$(BUILD)/linux/random
INITRD_FILES := scripts/mkcpio $(BUILD)/linux/busybox $(BUILD)/linux/mailbox $(BUILD)/linux/agent $(BUILD)/linux/random

$(BUILD)/linux/initrd.cpio: guests/linux/init $(INITRD_FILES)
	@scripts/mkcpio -o $@ $(INITRD) file:/init=guests/linux/init

$(BUILD)/linux/python.cpio: guests/linux/init guests/linux/agent.py $(BUILD)/linux/python/.stamp $(INITRD_FILES)
	@scripts/mkcpio -o $@ $(INITRD) file:/init=$< file:/bin/agent.py=guests/linux/agent.py tree:/=$(BUILD)/linux/python/tree link:/lib=usr/lib

$(BUILD)/linux/mark.cpio: $(BUILD)/linux/mark $(INITRD_FILES)
	@scripts/mkcpio -o $@ $(INITRD) file:/init=$<

$(BUILD)/linux/memcheck.cpio: $(BUILD)/linux/memcheck scripts/mkcpio
	@scripts/mkcpio -o $@ dir:/dev node:/dev/console=c,5,1 file:/init=$<

$(BUILD)/linux/mailbox $(BUILD)/linux/agent $(BUILD)/linux/random $(BUILD)/linux/memcheck: $(BUILD)/linux/%: guests/linux/%.c $(wildcard guests/linux/*.h) Makefile
	@$(CROSS)gcc $(TARGET) $(WARN) -std=gnu11 -O2 -ffreestanding -nostdlib -static -Wl,-Ttext=0x10000,--build-id=none -o $@ $<

$(BUILD)/linux/mark: guests/linux/mark.S
	@$(CROSS)gcc $(TARGET) -nostdlib -static -Wl,-Ttext=0x10000,--build-id=none -o $@ $<

$(BUILD)/linux/mark-entry: guests/linux/mark.S
	@$(CROSS)gcc $(TARGET) -DENTRY -nostdlib -static -Wl,-Ttext=0x80200000,--build-id=none -o $@.elf $<
	@$(CROSS)objcopy -O binary $@.elf $@

include tests/host/host.mk

-include $(shell find $(BUILD) -type f -name '*.d' -not -path '$(BUILD)/qemu/*' 2>/dev/null)
