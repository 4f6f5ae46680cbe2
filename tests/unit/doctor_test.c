/* SPDX-License-Identifier: MIT */
/*
 * The doctor on what is hostile, and without memory. What it finds is for tests/shell/doctor.sh;
 * that no bytes make it crash, for the fuzzer, too.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/image/doctor.h"
#include "runtime/image/loader_cache.h"
#include "tests/support/craft.h"
#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void damage_does_not_end_it(void)
{
    struct berth_diagnosis diagnosis;
    struct berth_error error;

    for (int i = 0; i < 300; i++) {
        struct craft *craft = craft_new(NULL, 0, i % 2 ? CRAFT_SECTIONS : 0);
        for (uint64_t left = 1 + berth_test_random_below(4); left > 0; left--)
            craft->bytes[berth_test_random_below(craft->size)] ^=
                (unsigned char)(1 + berth_test_random_below(255));
        berth_diagnosis_init(&diagnosis);
        CHECK_CODE(berth_diagnose(&diagnosis, craft_write(craft, "bad.so"), NULL, &error), BERTH_OK,
                   &error);
        berth_diagnosis_deinit(&diagnosis);
    }
}

static void a_crafted_module_is_well(void)
{
    struct berth_diagnosis diagnosis;
    struct berth_error error;

    berth_diagnosis_init(&diagnosis);
    CHECK_CODE(berth_diagnose(&diagnosis, craft_write(craft_new(NULL, 0, 0), "a.so"), NULL, &error),
               BERTH_OK, &error);
    CHECK_STR(diagnosis.module, "crafted");
    CHECK_INT(diagnosis.findings.counts[BERTH_FINDING_ERROR], 0);
    berth_diagnosis_deinit(&diagnosis);
}

static void running_out_of_memory_is_an_error(void)
{
    const char *file = craft_write(craft_new(NULL, 0, 0), "a.so");
    bool failed = true;
    unsigned long k;

    if (berth_test_instrumented() || !berth_fault_works())
        berth_skip("allocations cannot be made to fail here");
    long live = berth_fault_live();
    for (k = 1; failed; k++) {
        struct berth_diagnosis diagnosis;
        berth_diagnosis_init(&diagnosis);
        berth_fault_arm(k, false);
        int code = berth_diagnose(&diagnosis, file, NULL, NULL);
        failed = berth_fault_disarm();
        CHECK(failed || code == BERTH_OK);
        berth_diagnosis_deinit(&diagnosis);
        CHECK_INT(berth_fault_live(), live);
    }
    CHECK(k > 10);
}

/* ---- The loader's cache ---- */

#if defined __x86_64__
#define FLAGS 0x0303
#else
#define FLAGS 0x0a03
#endif

struct cache {
    char magic[20];
    uint32_t count, text_size, unused[5];
    struct {
        int32_t flags;
        uint32_t name, path, system;
        uint64_t capabilities;
    } entries[4];
    char text[64];
};

static struct cache *cache(void)
{
    struct cache *made = berth_test_alloc(sizeof(*made));
    const uint32_t at = offsetof(struct cache, text);
    static const char text[] = "liba.so\0/a32\0/a-fast\0/a\0libb.so\0/b";

    memcpy(made->magic, "glibc-ld.so.cache1.1", sizeof(made->magic));
    made->count = 4;
    memcpy(made->text, text, sizeof(text));
    made->entries[0].flags = 3; /* of another machine */
    made->entries[0].name = at;
    made->entries[0].path = at + 8;
    made->entries[1].flags = FLAGS;
    made->entries[1].name = at;
    made->entries[1].path = at + 13;
    made->entries[1].capabilities = 1;
    made->entries[2].flags = FLAGS;
    made->entries[2].name = at;
    made->entries[2].path = at + 21;
    made->entries[3].flags = FLAGS;
    made->entries[3].name = at + 24;
    made->entries[3].path = at + 32;
    return made;
}

static void libraries_are_found_in_the_cache(void)
{
    const struct cache *made = cache();

    CHECK_STR(berth_loader_cache_find(made, sizeof(*made), "liba.so"), "/a");
    CHECK_STR(berth_loader_cache_find(made, sizeof(*made), "libb.so"), "/b");
    CHECK(!berth_loader_cache_find(made, sizeof(*made), "lib"));
}

static void a_cache_may_be_anything(void)
{
    struct cache *made = cache();

    for (size_t size = 0; size < sizeof(*made); size++) {
        void *cut = malloc(size + 1); /* for a sanitizer, with an end of its own */
        REQUIRE(cut != NULL);
        memcpy(cut, made, size);
        berth_loader_cache_find(cut, size, "libb.so");
        free(cut);
    }
    made->entries[3].path = UINT32_MAX;
    CHECK(!berth_loader_cache_find(made, sizeof(*made), "libb.so"));
    made->entries[3].name = sizeof(*made) - 1;
    made->text[sizeof(made->text) - 1] = 'l';
    CHECK(!berth_loader_cache_find(made, sizeof(*made), "libb.so"));
    made->count = UINT32_MAX;
    CHECK(!berth_loader_cache_find(made, sizeof(*made), "liba.so"));
}

static const struct berth_test tests[] = {
    { "a_crafted_module_is_well", a_crafted_module_is_well },
    { "damage_does_not_end_it", damage_does_not_end_it },
    { "running_out_of_memory_is_an_error", running_out_of_memory_is_an_error },
    { "libraries_are_found_in_the_cache", libraries_are_found_in_the_cache },
    { "a_cache_may_be_anything", a_cache_may_be_anything },
};

int main(int argc, char **argv)
{
    return berth_suite_main("doctor", tests, COUNT(tests), argc, argv);
}
