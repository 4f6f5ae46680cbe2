/* SPDX-License-Identifier: MIT */
/*
 * The lock of a serial module: one word, whose fast path is inlined into the callers
 * (<berth/call.h>). An owner is a call chain, not a thread. Here is the rest: waiting, with a
 * deadline, and waking.
 */
#ifndef RUNTIME_CALL_GATE_H
#define RUNTIME_CALL_GATE_H

#include <berth/call.h>
#include <stdint.h>

/*
 * BERTH_OK; BERTH_ABORTED when the chain owns it already, or its owner waits for a gate of the
 * chain's, perhaps over others; BERTH_DEADLINE_EXCEEDED (deadline as berth_now, INT64_MAX: none).
 */
int berth_gate_lock(struct berth_gate *gate, uint32_t chain, int64_t deadline);
/* Why lock has failed, in words for a call. Static. */
const char *berth_gate_refusal(const struct berth_gate *gate, uint32_t chain, int code);
void berth_gate_unlock(struct berth_gate *gate);
void berth_gate_wake(struct berth_gate *gate);
/* Between two looks at something that another thread is about to change. */
static inline void berth_gate_relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}
static inline bool berth_gate_owned(const struct berth_gate *gate, uint32_t chain)
{
    return (__atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & ~1u) == chain;
}

#endif
