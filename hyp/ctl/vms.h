/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of VMs and of vCPUs: commands of the group "VMs". */
#ifndef CTL_VMS_H
#define CTL_VMS_H

#include "ctl/command.h"

/* vms [NAME] [-s] */
enum err must_check vms_run(struct cmd *c);

/* vcpus [VM] */
enum err must_check vcpus_run(struct cmd *c);

#endif
