/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lack of something is an enum err; our own bug is an assert(); a guest's
 * fault is injected into that guest.  Nothing else reports failure.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

enum err {
	ERR_OK = 0,
	ERR_NOMEM,    /* no frame left that this caller may have */
	ERR_RESERVE,  /* the worst case cannot be promised */
	ERR_RANGE,    /* an address or a size outside what is allowed */
	ERR_INVAL,    /* an argument that makes no sense */
	ERR_STATE,    /* not now: the VM, vCPU or device is in another state */
	ERR_ABSENT,   /* no such VM, property or device */
	ERR_EXISTS,   /* the name is taken */
	ERR_LIMIT,    /* a fixed limit of Pando is reached */
	ERR_IO,       /* the machine below us failed */
	ERR_SYNTAX,   /* a line that is none */
	ERR_UNKNOWN,  /* no such command */
	ERR_BUSY,     /* too much is under way: later, perhaps */
	ERR_TIMEOUT,  /* it took longer than it may */
	ERR_CRASH,    /* the guest that was to answer has ended, or says that it is broken */
	ERR_FUNCTION, /* the guest answered that it failed */
	ERR_TOOLONG,  /* the guest's answer did not fit */
	ERR_BROKEN,   /* a file or an image that is not what it should be */
};

/* Plain words for `e`, for messages to people: "out of memory", ... */
const char *err_name(enum err e);

/* One word for `e`, for programs: "nomem", ... (docs/control.md) */
const char *err_code(enum err e);

#endif
