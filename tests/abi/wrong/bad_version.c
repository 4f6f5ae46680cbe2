/* SPDX-License-Identifier: MIT */
/* A version that is none. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0", "Wrong.");
