/* SPDX-License-Identifier: MIT */
#include "runtime/base/topic_name.h"

#include <stddef.h>
#include <string.h>

static size_t token_length(const char *token)
{
    return strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789_-");
}

static bool is_valid(const char *name, bool wildcards)
{
    if (strnlen(name, BERTH_TOPIC_MAX + 1) > BERTH_TOPIC_MAX)
        return false;
    for (;; name++) {
        size_t length = token_length(name);
        if (length == 0 && wildcards && *name == '>')
            return name[1] == '\0';
        if (length == 0 && wildcards && *name == '*')
            length = 1;
        name += length;
        if (length == 0 || (*name && *name != '.'))
            return false;
        if (!*name)
            return true;
    }
}

bool berth_topic_valid(const char *topic)
{
    return is_valid(topic, false);
}

bool berth_pattern_valid(const char *pattern)
{
    return is_valid(pattern, true);
}

bool berth_topic_is_hosts(const char *topic)
{
    return strncmp(topic, "host.", 5) == 0;
}

bool berth_pattern_matches(const char *pattern, const char *topic)
{
    if ((*pattern == '*' || *pattern == '>') && berth_topic_is_hosts(topic))
        return false;
    for (;; pattern++, topic++) {
        if (*pattern == '>')
            return true;
        size_t length = token_length(topic), wanted = *pattern == '*' ? 1 : token_length(pattern);
        if (*pattern != '*' && (wanted != length || memcmp(pattern, topic, length) != 0))
            return false;
        pattern += wanted;
        topic += length;
        if (!*pattern || !*topic)
            return *pattern == *topic;
    }
}

bool berth_pattern_covers(const char *wider, const char *pattern)
{
    if ((*wider == '*' || *wider == '>') && berth_topic_is_hosts(pattern))
        return false;
    for (;; wider++, pattern++) {
        if (*wider == '>')
            return true;
        if (*pattern == '>')
            return false;
        size_t length = *pattern == '*' ? 1 : token_length(pattern);
        size_t wanted = *wider == '*' ? 1 : token_length(wider);
        if (*wider != '*' && (wanted != length || memcmp(wider, pattern, length) != 0))
            return false;
        wider += wanted;
        pattern += length;
        if (!*wider || !*pattern)
            return *wider == *pattern;
    }
}
