/* SPDX-License-Identifier: MIT */
/* What images leave behind, and what happens when there is no memory for them. */
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/image/image.h"
#include "tests/support/craft.h"
#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *crafted(void)
{
    return craft_write(craft_new(NULL, 0, 0), "a.so");
}

static void stage_map_and_free(const char *file)
{
    struct berth_image *image = NULL;
    struct berth_error error;

    CHECK_CODE(berth_image_stage(file, 1, NULL, &image, &error), BERTH_OK, &error);
    REQUIRE(image != NULL);
    CHECK_CODE(berth_image_map(image, &error), BERTH_OK, &error);
    berth_image_free(image);
}

static void need_all_of_it(void)
{
    if (berth_test_instrumented())
        berth_skip("images stay mapped, or the loader's memory is not seen");
    if (!berth_fault_works())
        berth_skip("allocations cannot be made to fail here");
}

static void many_generations_leave_nothing(void)
{
    const char *file = crafted();

    need_all_of_it();
    for (int i = 0; i < 50; i++) /* until the loader's own tables have grown */
        stage_map_and_free(file);
    size_t descriptors = berth_test_descriptors();
    long live = berth_fault_live();
    for (int i = 0; i < 300; i++)
        stage_map_and_free(file);
    CHECK_INT(berth_test_descriptors(), descriptors);
    CHECK_INT(berth_fault_live(), live);
}

static void running_out_of_memory_is_an_error(void)
{
    const char *file = crafted();
    bool failed = true;
    unsigned long k;

    need_all_of_it();
    size_t descriptors = berth_test_descriptors();
    long live = berth_fault_live();
    for (k = 1; failed; k++) {
        struct berth_image *image = NULL;
        struct berth_error error = { .text = "" };
        berth_fault_arm(k, false);
        int code = berth_image_stage(file, 1, NULL, &image, &error);
        if (!code)
            code = berth_image_map(image, &error);
        failed = berth_fault_disarm();
        CHECK(failed || !code);
        CHECK(!code || error.text[0]);
        berth_image_free(image);
        CHECK_INT(berth_test_descriptors(), descriptors);
    }
    berth_note("%lu allocations", k - 2);
    CHECK(k > 20);
    CHECK_INT(berth_fault_live(), live);
}

static const struct berth_test tests[] = {
    { "many_generations_leave_nothing", many_generations_leave_nothing },
    { "running_out_of_memory_is_an_error", running_out_of_memory_is_an_error },
};

int main(int argc, char **argv)
{
    return berth_suite_main("image_memory", tests, COUNT(tests), argc, argv);
}
