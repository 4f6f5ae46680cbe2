/* SPDX-License-Identifier: MIT */
/* A module's name that is none. */
/* show: module "Wrong Name": "Wrong Name" is not a name: lower-case letters, digits and _ */
#include <berth/module.h>

BERTH_MODULE("Wrong Name", "1.0.0", "Wrong.");
