/* SPDX-License-Identifier: MIT */
/* A module's name that is none. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("Wrong Name", "1.0.0", "Wrong.");
