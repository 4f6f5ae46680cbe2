/* SPDX-License-Identifier: MIT */
/*
 * The zygote's own program, `berth-worker --zygote`, and what it and the host say to each other:
 * one packet each, over a socket that keeps packets apart. It is single-threaded, so that its forks
 * are safe, and it holds nothing of the application's but standard error.
 */
#ifndef RUNTIME_CARRIER_NURSERY_H
#define RUNTIME_CARRIER_NURSERY_H

#include <stdint.h>
#include <sys/types.h>

/* Its descriptors, when it begins: the socket, and a pidfd of the application. */
#define BERTH_NURSERY_SOCKET      3
#define BERTH_NURSERY_APPLICATION 4
/* Of the packets: the library and the worker program must be of one release. */
#define BERTH_NURSERY_VERSION 1

enum berth_nursery_type {
    /* to the zygote */
    BERTH_NURSERY_SPAWN, /* serial, name; with the descriptors of the socket and the image */
    /* from it */
    BERTH_NURSERY_SPAWNED, /* serial, pid, with a pidfd; or status, an errno value */
    BERTH_NURSERY_ENDED    /* serial, status as waitpid gives it */
};

struct berth_nursery_packet {
    uint32_t version, type;
    uint64_t serial; /* the host's name for a worker, never used twice */
    int32_t pid, status;
    char name[64]; /* of the module, perhaps cut, NUL-ended */
};

/* What a new worker has. */
struct berth_newborn {
    int socket, image;
};

/*
 * Serves the host. Returns 0 in the zygote, when the host or the application has gone; 1 in a new
 * worker, which has nothing but *ret_newborn, standard error and /dev/null.
 */
int berth_nursery_run(struct berth_newborn *ret_newborn);

#endif
