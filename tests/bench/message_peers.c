/* SPDX-License-Identifier: MIT */
/* Opened when they are there, so that nothing depends on them. */
#include "tests/bench/message_limits.h"

#include "tests/bench/bench.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

static char payload[MESSAGE_SIZE];

struct function {
    const char *name;
    void *place; /* where its address goes */
};

/* false: one is missing. */
static bool find_functions(void *library, const struct function *functions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(library, functions[i].name);
        memcpy(functions[i].place, &address, sizeof(address));
        if (!address)
            return false;
    }
    return true;
}

/* ---- ZeroMQ: two sockets PAIR, inproc -------------------------------------------------------- */

#define ZMQ_PAIR   0
#define ZMQ_SNDHWM 23
#define ZMQ_RCVHWM 24

struct zmq_message {
    _Alignas(void *) unsigned char opaque[64];
};

static struct {
    int (*init_size)(struct zmq_message *, size_t);
    int (*init)(struct zmq_message *);
    void *(*data)(struct zmq_message *);
    int (*send)(struct zmq_message *, void *, int);
    int (*receive)(struct zmq_message *, void *, int);
    int (*close)(struct zmq_message *);
    void *ends[2];
} zmq;

const char *peer_zeromq_find(void)
{
    void *library = dlopen("libzmq.so.5", RTLD_NOW | RTLD_LOCAL), *context;
    void *(*make)(void), *(*socket)(void *, int);
    int (*set)(void *, int, const void *, size_t), (*bind)(void *, const char *);
    int (*connect)(void *, const char *), most = 500;
    const struct function functions[] = {
        { "zmq_ctx_new", &make },        { "zmq_socket", &socket },
        { "zmq_setsockopt", &set },      { "zmq_bind", &bind },
        { "zmq_connect", &connect },     { "zmq_msg_init_size", &zmq.init_size },
        { "zmq_msg_init", &zmq.init },   { "zmq_msg_data", &zmq.data },
        { "zmq_msg_send", &zmq.send },   { "zmq_msg_recv", &zmq.receive },
        { "zmq_msg_close", &zmq.close },
    };

    if (!library)
        return "no libzmq.so.5";
    if (!find_functions(library, functions, sizeof(functions) / sizeof(functions[0])))
        return "another libzmq";
    bench_place(0, BENCH_ANYWHERE); /* its own threads, too */
    context = make();
    for (int i = 0; i < 2; i++) {
        zmq.ends[i] = socket(context, ZMQ_PAIR);
        set(zmq.ends[i], i ? ZMQ_RCVHWM : ZMQ_SNDHWM, &most, sizeof(most));
    }
    return bind(zmq.ends[1], "inproc://bench") || connect(zmq.ends[0], "inproc://bench")
               ? "it does not connect"
               : NULL;
}

static void zmq_put(void *end)
{
    struct zmq_message message;

    if (zmq.init_size(&message, MESSAGE_SIZE) != 0)
        bench_die("zmq: no memory");
    memcpy(zmq.data(&message), payload, MESSAGE_SIZE);
    if (zmq.send(&message, end, 0) < 0)
        bench_die("zmq: cannot send");
}

static void zmq_get(void *end)
{
    struct zmq_message message;

    zmq.init(&message);
    if (zmq.receive(&message, end, 0) < 0)
        bench_die("zmq: cannot receive");
    message_touch(zmq.data(&message), MESSAGE_SIZE);
    zmq.close(&message);
}

static void zmq_ask(long n)
{
    while (n--) {
        zmq_put(zmq.ends[0]);
        zmq_get(zmq.ends[0]);
    }
}

static void zmq_answer(long n)
{
    while (n--) {
        zmq_get(zmq.ends[1]);
        zmq_put(zmq.ends[1]);
    }
}

static void zmq_fill(long n)
{
    while (n--)
        zmq_put(zmq.ends[0]);
}

static void zmq_drain(long n)
{
    while (n--)
        zmq_get(zmq.ends[1]);
}

double peer_zeromq_trip(void *place, long n)
{
    return message_pair(place, zmq_ask, zmq_answer, n);
}

double peer_zeromq_flow(void *place, long n)
{
    return message_pair(place, zmq_fill, zmq_drain, n);
}

/* ---- nng: two sockets pair0, inproc ---------------------------------------------------------- */

struct nng_end {
    uint32_t id;
};
struct nng_message;

static struct {
    int (*alloc)(struct nng_message **, size_t);
    void (*free)(struct nng_message *);
    void *(*body)(struct nng_message *);
    int (*send)(struct nng_end, struct nng_message *, int);
    int (*receive)(struct nng_end, struct nng_message **, int);
    struct nng_end ends[2];
} nng;

const char *peer_nng_find(void)
{
    void *library = dlopen("libnng.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*open)(struct nng_end *), (*set)(struct nng_end, const char *, int);
    int (*listen)(struct nng_end, const char *, void *, int);
    int (*dial)(struct nng_end, const char *, void *, int);
    const struct function functions[] = {
        { "nng_pair0_open", &open },     { "nng_socket_set_int", &set },
        { "nng_listen", &listen },       { "nng_dial", &dial },
        { "nng_msg_alloc", &nng.alloc }, { "nng_msg_free", &nng.free },
        { "nng_msg_body", &nng.body },   { "nng_sendmsg", &nng.send },
        { "nng_recvmsg", &nng.receive },
    };

    if (!library)
        return "no libnng.so.1";
    if (!find_functions(library, functions, sizeof(functions) / sizeof(functions[0])))
        return "another libnng";
    bench_place(0, BENCH_ANYWHERE); /* its own threads, too */
    if (open(&nng.ends[0]) != 0 || open(&nng.ends[1]) != 0)
        return "it does not open";
    set(nng.ends[0], "send-buffer", 256);
    set(nng.ends[1], "recv-buffer", 256);
    return listen(nng.ends[1], "inproc://bench", NULL, 0) ||
                   dial(nng.ends[0], "inproc://bench", NULL, 0)
               ? "it does not connect"
               : NULL;
}

static void nng_put(struct nng_end end)
{
    struct nng_message *message;

    if (nng.alloc(&message, MESSAGE_SIZE) != 0)
        bench_die("nng: no memory");
    memcpy(nng.body(message), payload, MESSAGE_SIZE);
    if (nng.send(end, message, 0) != 0)
        bench_die("nng: cannot send");
}

static void nng_get(struct nng_end end)
{
    struct nng_message *message;

    if (nng.receive(end, &message, 0) != 0)
        bench_die("nng: cannot receive");
    message_touch(nng.body(message), MESSAGE_SIZE);
    nng.free(message);
}

static void nng_ask(long n)
{
    while (n--) {
        nng_put(nng.ends[0]);
        nng_get(nng.ends[0]);
    }
}

static void nng_answer(long n)
{
    while (n--) {
        nng_get(nng.ends[1]);
        nng_put(nng.ends[1]);
    }
}

static void nng_fill(long n)
{
    while (n--)
        nng_put(nng.ends[0]);
}

static void nng_drain(long n)
{
    while (n--)
        nng_get(nng.ends[1]);
}

double peer_nng_trip(void *place, long n)
{
    return message_pair(place, nng_ask, nng_answer, n);
}

double peer_nng_flow(void *place, long n)
{
    return message_pair(place, nng_fill, nng_drain, n);
}
