/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entry of a program without a C library: include it once. It calls start() of that program with the stack as Linux has
 * laid it out (argc, argv, ...) and the global pointer set, for what the linker has made relative to it.
 */
#ifndef GUESTS_LINUX_START_H
#define GUESTS_LINUX_START_H

__attribute__((naked, noreturn)) void _start(void);
__attribute__((naked, noreturn)) void _start(void)
{
	__asm__(".option push\n"
	        ".option norelax\n"
	        "la gp, __global_pointer$\n"
	        ".option pop\n"
	        "mv a0, sp\n"
	        "tail start");
}

#endif
