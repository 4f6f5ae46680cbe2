/* SPDX-License-Identifier: MIT */
/* A version that is none. */
/* show: module "wrong": version "1.0" is not a semantic version: write three numbers, like 1.0.0 */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0", "Wrong.");
