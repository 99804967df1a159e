/* SPDX-License-Identifier: BSD-2-Clause */
/* cmocka, with the headers that it wants before its own, and what every test uses. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#endif
