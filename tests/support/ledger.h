/* SPDX-License-Identifier: MIT */
/*
 * Threads that hand the fixture `ledger` calls and messages as fast as they can, each numbered, and
 * what it must have booked of them, whatever has become of it meanwhile: nothing is lost, doubled,
 * mixed up or refused.
 */
#ifndef BERTH_TESTS_SUPPORT_LEDGER_H
#define BERTH_TESTS_SUPPORT_LEDGER_H

#include "tests/support/hosting.h"

#define BERTH_TEST_SENDERS 16 /* as many as it has accounts for */

struct berth_test_ledger {
    berth_host *host;
    size_t callers, publishers;
    /* private */
    bool over; /* atomic */
    struct berth_test_sender {
        struct berth_test_ledger *ledger;
        pthread_t thread;
        uint32_t index;
        bool entered;                /* atomic */
        uint64_t calls, notes, full; /* so far; messages that there was no room for come again */
    } senders[BERTH_TEST_SENDERS];
};

/* They are all at work when it returns. They may be stopped, looked at, and started again. */
void berth_test_ledger_start(struct berth_test_ledger *ledger);
/* Waits for their ends, and until all has come. */
void berth_test_ledger_stop(struct berth_test_ledger *ledger);

#endif
