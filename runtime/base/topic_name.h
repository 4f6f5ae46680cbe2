/* SPDX-License-Identifier: MIT */
/*
 * The names of topics: tokens of [a-z0-9_-], joined by dots, at most 255 bytes in all. In a pattern
 * `*` stands for any one token, and `>` at its end for one or more.
 */
#ifndef RUNTIME_BASE_TOPIC_NAME_H
#define RUNTIME_BASE_TOPIC_NAME_H

#include <stdbool.h>

#define BERTH_TOPIC_MAX 255

bool berth_topic_valid(const char *topic);
/* A topic without wildcards is a pattern too. */
bool berth_pattern_valid(const char *pattern);
/* One of the host's own, as host.module.loaded: no module may publish to it. */
bool berth_topic_is_hosts(const char *topic);
/*
 * Both valid. Whether the pattern stands for the topic. Who asks for everything does not mean the
 * host's own topics: a pattern that begins with a wildcard stands for none of them.
 */
bool berth_pattern_matches(const char *pattern, const char *topic);
/* Both valid. Whether the wider one stands for every topic that the pattern stands for. */
bool berth_pattern_covers(const char *wider, const char *pattern);

#endif
