/* SPDX-License-Identifier: MIT */
#include "tests/carrier/conformance.h"

berth_host *conformance_host(void)
{
    struct berth_host_options options = berth_test_host_options();

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.flags |= conformance.flags;
    return berth_test_host(&options);
}

bool conformance_process(void)
{
    return !strcmp(conformance.placement, "process");
}

int main(int argc, char **argv)
{
    const struct berth_test *const parts[] = { conformance_calls,      conformance_errors,
                                               conformance_services,   conformance_messages,
                                               conformance_lifecycle,  conformance_crashes,
                                               conformance_permissions };
    static struct berth_test tests[256];
    size_t count = 0;

    if (berth_test_valgrind())
        conformance.other = "inline"; /* it cannot follow a worker */
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        for (const struct berth_test *test = parts[i]; test->name && count < 256; test++)
            if (test->run)
                tests[count++] = *test;
    return berth_suite_main(conformance.name, tests, count, argc, argv);
}
