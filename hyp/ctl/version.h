/* SPDX-License-Identifier: BSD-2-Clause */
/* What `version` says; the build may set it. */
#ifndef CTL_VERSION_H
#define CTL_VERSION_H

#ifndef PANDO_VERSION
#define PANDO_VERSION "0.1"
#endif

#endif
