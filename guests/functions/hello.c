/* SPDX-License-Identifier: BSD-2-Clause */
/* hello: takes a name (or nothing), gives a greeting. */
#include <string.h>

const char function_sample[] = "world";

long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room)
{
	if (len == 0) {
		in = (const unsigned char *)"world";
		len = 5;
	}
	if (len + 8 <= room) {
		memcpy(out, "Hello, ", 7);
		memcpy(out + 7, in, len);
		out[7 + len] = '!';
	}
	return (long)len + 8;
}
