/* SPDX-License-Identifier: MIT */
/*
 * A module for embed.c to load:
 *     cc -o greet.so greet.c $(pkg-config --cflags --libs berth-module)
 */
#include <berth/module.h>
#include <string.h>

BERTH_MODULE("greet", "1.0.0", "Says hello.");
BERTH_IMPORT(void, diary, note, (string, what));
BERTH_TOPIC("greet.summary", summary, (i64, guests));

static int64_t greeted;

BERTH_EXPORT(string, hello, "Greets by name.", (string, name, "whom"))
{
    if (name[0] == '\0') {
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "name is empty: say whom to greet");
        return "";
    }
    diary_note(ctx, berth_printf(ctx, "greeted %s", name));
    berth_clear(ctx); /* nobody keeps a diary? that is no reason not to greet */
    greeted++;
    return berth_printf(ctx, "Hello, %s", name);
}

BERTH_SUBSCRIBE("diary.closing", on_closing, (string, reason))
{
    berth_log(ctx, BERTH_LOG_INFO, "closing: %s", reason);
    publish_summary(ctx, greeted);
}

/* A reload keeps the count. */
BERTH_SAVE(1)
{
    berth_bytes state = { &greeted, sizeof(greeted) };
    return state;
}

BERTH_RESTORE
{
    if (version == 1 && state.size == sizeof(greeted))
        memcpy(&greeted, state.data, sizeof(greeted));
    else
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "cannot read a state of version %u", version);
}
