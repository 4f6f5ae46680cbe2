/* SPDX-License-Identifier: MIT */
/* What a module reaches through its ctx: the table of <berth/call.h>. */
#ifndef RUNTIME_CORE_SERVICES_H
#define RUNTIME_CORE_SERVICES_H

#include "runtime/core/core.h"

extern const struct berth_services berth_services;
/* What a unit's link leads to: berth_current (want_enter 0) and berth_enter of a module's file. */
berth_ctx *berth_unit_ctx(struct berth_link *unit, int want_enter);

#endif
