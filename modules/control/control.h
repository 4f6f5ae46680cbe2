/* SPDX-License-Identifier: MIT */
/*
 * What the files of this module share.
 *
 * Threads of the pool wait in one epoll instance. Whoever gets a connection's event reads a line
 * of it and executes the request itself; the connection's lock is held while it reads and while it
 * sends, and never over a call into the host. Everything is edge-triggered: an event is followed
 * by reading until there is nothing left, or by a note that there may be more.
 *
 * Locks, in the order in which they may be taken: those of inherit.c; a connection's; then the
 * pool's, the ready list's, the subscription table's, that of calls which can be cancelled, none of
 * them over another.
 */
#ifndef MODULES_CONTROL_CONTROL_H
#define MODULES_CONTROL_CONTROL_H

#include <berth/module.h>

#include <pthread.h>

#define LOOK_MS 10 /* how often, where nobody tells */

/* ---- options -------------------------------------------------------------------------------- */

struct limits {
    size_t connections, requests, threads, batch, patterns;
    size_t line, unsent;        /* bytes */
    int64_t line_ns, unread_ns; /* how long half a line, or a client that does not read */
};
#define CONNECTIONS_MAX 65536
#define THREADS_MAX     1024
extern struct limits limits; /* set by START, then constant */
extern char own_name[128];   /* of this module, in its host */

/* ---- text.c: texts that grow ---------------------------------------------------------------- */

struct text {
    char *data;
    size_t size, capacity;
    bool failed; /* there was no memory: what is in it is not all */
};

/* Room for so many more bytes; false without memory. */
bool text_reserve(struct text *text, size_t more);
void text_put(struct text *text, const char *data, size_t size);
void text_puts(struct text *text, const char *string);
void text_put_number(struct text *text, uint64_t number);
/* With quotes and escapes. */
void text_put_string(struct text *text, const char *string);
/* A JSON text of somebody else's, on one line. */
void text_put_json(struct text *text, const char *json);
/* Empty again; what was large is given back. */
void text_clear(struct text *text);
void text_free(struct text *text);

struct connection;
struct subscription;
struct record;

/* ---- pool.c: threads ------------------------------------------------------------------------ */

struct worker {
    berth_ctx *ctx;
    struct text line;           /* the request that it executes */
    const char *id;             /* its id, as it was written; NULL: none, or a batch\'s */
    struct text reply;          /* all of the answer; empty: none */
    struct subscription *fresh; /* subscribed by this request, not told to the client yet */
    struct connection *connection;
    bool in_batch;
    bool lost;                   /* it is only told that it will have no answer */
    uint64_t request;            /* the number of what it executes, of that connection */
    struct worker *next_of_same; /* of those that execute requests of one connection */
};

/*
 * Waits for clients of the listener, or if that is -1 for what comes from the parent. false: the
 * call has failed.
 */
bool pool_start(berth_ctx *ctx, int listener, int parent);
/* From now on this one; -1: none. */
void pool_listen(int listener);
/* After the last thread has ended. */
void pool_stop(void);
/* Makes sure that another thread waits for events, unless there are too many. */
void pool_ensure(berth_ctx *ctx);
/* Has a thread go on with a connection. Its lock is held. */
void pool_ring(struct connection *connection);
/* Has connections_check called at a time of now_ns(), or earlier. */
void pool_wake_at(int64_t when);
/* Edge-triggered events of a connection, with or without EPOLLOUT. false: errno. */
bool pool_add(int fd, uint64_t tag);
void pool_change(int fd, uint64_t tag, bool output);
void pool_remove(int fd);
int64_t now_ns(void);

/* ---- listen.c: the socket's name ------------------------------------------------------------ */

/* Take the options: where, and for whom. false: the call has failed. */
bool listen_prepare(berth_ctx *ctx, const char *path, const char *function);
bool listen_permit(berth_ctx *ctx, const char *mode, const char *group);
/* The listening descriptor; -1: the call has failed. */
int listen_open(berth_ctx *ctx);
/* Whether these options lead to where it listens. */
bool listen_is_at(const char *path, const char *function);
const char *listen_path(void);
const char *listen_function(void);
/* Nobody connects any more; removes the name if it is still ours. */
void listen_retire(void);
/* After the last thread has ended. Retires, unless another generation has the name now. */
void listen_close(bool inherited);
/*
 * What an heir gets: the socket and the lock; they stay ours as well. There is no lock, -1, of a
 * socket that was handed over: its name is not ours.
 */
struct listen_identity {
    uint64_t device, inode; /* of the name, when it was made; 0: it is not ours */
};
void listen_give(int fds[2], struct listen_identity *identity);
/* Permissions of the name become ours; what cannot be changed is logged. */
void listen_take(berth_ctx *ctx, const int fds[2], const struct listen_identity *identity);
bool listen_is_open(void);
/* Whether the other end has this process's user. */
bool listen_peer_is_own(int fd);
/* Whether the other end may command this host. */
bool listen_peer_allowed(int fd);

/* ---- connection.c --------------------------------------------------------------------------- */

/* A place for one, in a table that stays: an event may come late, and finds another tag. */
struct connection {
    pthread_mutex_t lock;
    int fd;              /* -1: there is none */
    uint64_t tag;        /* its number in the upper half, the place's in the lower one */
    unsigned requests;   /* that are being executed: the place is not free while there are any */
    bool readable;       /* there may be something to read */
    bool hung_up;        /* the other end sends no more: read until the end */
    bool ended;          /* nothing more is read */
    bool broken;         /* nothing more can be sent */
    bool queued;         /* in the ready list */
    bool wants_output;   /* EPOLLOUT is asked for */
    struct text in, out; /* lines, and halves of one; what could not be sent yet */
    size_t in_start, in_scanned, out_start;
    bool watched;                       /* its events come */
    struct worker *workers;             /* that execute its requests */
    uint64_t begun;                     /* how many there have been */
    uint64_t foreign;                   /* its tag in the generation before; 0: it began here */
    struct foreign *foreign_requests;   /* that are executed there */
    struct text foreign_reply;          /* a part of an answer from there, or of a reply */
    struct subscription *foreign_fresh; /* begins with that answer */
    bool foreign_held;                  /* that one was told to send no more replies for now */
    uint64_t handed;                    /* its tag, when the next generation has it */
    bool held;                          /* which wants no more replies for now */
    int64_t line_since;                 /* half a line is there; 0: none */
    int64_t unread_since;               /* so much is unsent that nothing is read; 0: it is not */
    struct subscription *subscriptions;
    struct subscription *given; /* those that the next generation has, while requests go on here */
    struct connection *next_ready;
};

/* false: the call has failed. */
bool connections_init(berth_ctx *ctx);
void connections_accept(int listener);
void connections_event(struct worker *worker, uint64_t tag, uint32_t events);
/* After pool_ring. */
void connections_resume(struct worker *worker, struct connection *connection);
/* Ends those whose time is over. */
void connections_check(struct worker *worker);
/* How many requests are being executed. */
size_t connections_requests(void);
/* Under the heir's lock: everything to the next generation. */
void connections_hand_over(void);
/*
 * A record from the generation before; the descriptor is taken. Returns subscriptions that are
 * nobody's, to be ended without a lock.
 */
struct subscription *connections_inherit(const struct record *record, const char *data, size_t size,
                                         int fd);
/* No more of them will come: what was executed there is lost. Returns the same. */
struct subscription *connections_orphaned(berth_ctx *ctx);
/* A record from the next generation. */
void connections_hear(berth_ctx *ctx, const struct record *record);
/* A last word to those of which no request is executed, or to all of them. */
void connections_end(berth_ctx *ctx, bool busy_ones);
/* The end of all. */
void connections_stop(berth_ctx *ctx);

/* Takes the subscription and begins it, here or in the next generation. false: nobody is there. */
bool connection_subscribe(struct connection *connection, struct subscription *subscription);
/* How many patterns it has subscribed to. */
size_t connection_patterns(struct connection *connection);
/* Ends it, here or in the next generation. false: the connection has no such subscription. */
bool connection_unsubscribe(berth_ctx *ctx, struct connection *connection, uint64_t number);
/* What of a message is known when it comes. */
struct message {
    uint64_t host_id; /* the host's number of the subscription */
    const char *topic, *sender, *fields;
    uint64_t dropped;
};
/*
 * Sends a line between answers, here or by way of the next generation, unless the connection is
 * gone. Waits while too much is owed to the client (limits.unsent), which is lost if it takes none
 * of it for limits.unread_ns. false: it has gone.
 */
bool connection_send(berth_ctx *ctx, struct connection *connection, const struct text *line);
/* Whether the next generation wants no more for it now. */
bool connection_is_held(struct connection *connection);
/* Has the generation before cancel a call of this client's, or (NULL) all. false: there is none. */
bool connection_cancel_foreign(struct connection *connection, const char *id);
/* Queues it, or counts it as dropped. false: the connection has no such subscription. */
bool connection_notify(struct connection *connection, uint64_t number,
                       const struct message *message);

/* ---- subscription.c ------------------------------------------------------------------------- */

#define PATTERNS_MAX 64 /* of one subscription */

/* A client's: some patterns, each with a subscription of the host's. */
struct subscription {
    struct subscription *next; /* of the connection */
    uint64_t number, dropped;
    bool begun;     /* in the table */
    bool inherited; /* from the generation before */
    size_t count;
    struct pattern {
        uint64_t host_id; /* 0: not there yet */
        char *text;
        struct pattern *next_in_bucket;
        struct subscription *of;
        struct connection *connection;
    } patterns[];
};

/* The newest number; in the new generation, after raising it to one of the old. */
uint64_t subscription_numbers(uint64_t at_least);
/* Messages whose subscription is not here yet wait a moment, between these. */
void subscriptions_unsettle(void);
void subscriptions_settle(void);
/* From the generation before: patterns as inherit_subscription packs them. NULL: no memory. */
struct subscription *subscription_inherit(uint64_t number, uint64_t dropped, const char *data,
                                          size_t size);
/* From here on nothing finds it: the next generation has the host's subscription. */
void subscription_forget(struct subscription *subscription);
/* Frees a list of such. */
void subscriptions_free(struct subscription *list);

/* NULL: the call has failed. Messages wait until subscription_begin. */
struct subscription *subscription_new(berth_ctx *ctx, const char *const *patterns, size_t count,
                                      const char *group);
void subscription_begin(struct subscription *subscription, struct connection *connection);
/* Ends a list of them; those that have begun and others. */
void subscriptions_end(berth_ctx *ctx, struct subscription *list);
/* A message from the host, or from the generation before. */
void subscriptions_deliver(const struct message *message);
void subscriptions_deliver_inherited(const struct message *message);
/* Whether an earlier pattern of the subscription has the same message. */
bool subscription_repeats(const struct subscription *subscription, uint64_t host_id,
                          const char *topic);

/* ---- handed.c: a socket from elsewhere ------------------------------------------------------ */

/* Has the function hand its listening socket over; -1: the call has failed, as the function has. */
int handed_socket(berth_ctx *ctx, const char *function);

/* ---- inherit.c ------------------------------------------------------------------------------ */

enum record_type {
    RECORD_BEGIN,
    RECORD_CONNECTION,
    RECORD_REQUEST, /* that is being executed: its id, if it can be cancelled, and its line */
    RECORD_INPUT,
    RECORD_OUTPUT,
    RECORD_SUBSCRIPTION,
    RECORD_READY,
    RECORD_LISTENER,
    RECORD_MORE, /* one of several replies */
    RECORD_REPLY,
    RECORD_UNSUBSCRIBE,
    RECORD_MESSAGE,
    RECORD_END,
    /* to the generation before */
    RECORD_CLAIM, /* the first one */
    RECORD_HOLD,  /* no more replies for this client, until */
    RECORD_GO_ON,
    RECORD_GONE, /* it does not want its answers any more */
    RECORD_CANCEL
};
struct record {
    uint32_t type, last;      /* the last piece of an answer */
    uint64_t id;              /* of a connection; of a message's subscription, in the host */
    uint64_t request;         /* of the connection */
    uint64_t number, dropped; /* of a subscription, the newest */
    bool ended, hung_up;      /* a connection */
    bool listens;             /* who claims wants the socket: it listens at the same place */
};

/* For the next generation: an address, and whether the socket there is the one that it wants. */
BERTH_STRUCT(inheritance, (string, address), (bool, listens));
/* For one with these options; without an address the call has failed. */
berth_inheritance inherit_wait(berth_ctx *ctx, const char *socket, const char *listener);
/* The module is to stop: gives away all that it can. false: there is nobody who takes it. */
bool inherit_leave(berth_ctx *ctx);
/*
 * After that: executes what the next generation asks for; waits for it at most so long. false:
 * nothing more will come.
 */
bool inherit_attend(berth_ctx *ctx, int timeout_ms);
/* The same until all that is executed has been answered; one thread is enough for that. */
void inherit_stay(berth_ctx *ctx);
/* The last thing; true: the name of the socket is another generation's now. */
bool inherit_end(void);
/* While everything is given away. false: nobody is there any more. */
bool inherit_send(const struct record *record, const void *data, size_t size, int fd);
/* request: the one whose answer it begins with; 0: it begins at once. */
bool inherit_subscription(uint64_t id, uint64_t request, const struct subscription *subscription);
/* The same, when not everything is given away at once. */
bool inherit_subscribe(uint64_t id, const struct subscription *subscription);
/* Has the next generation end one of these. */
void inherit_unsubscribe(uint64_t id, uint64_t number);
/*
 * The answer to a request whose connection has been given away. true: so is the subscription, which
 * goes first, as nobody knows the connection any more once it is answered and the client has gone.
 */
bool inherit_reply(uint64_t id, const struct worker *worker);
/* One of several replies before it. false: there is nobody any more. */
bool inherit_more(uint64_t id, const struct text *line);
/* A message for a client that has been given away. */
void inherit_message(const struct message *message);
/*
 * To the generation before, of a connection from there. Its lock is held. false: it cannot be told
 * now. One that has gone need not be: what it has not answered is told of soon.
 */
bool inherit_tell(enum record_type type, uint64_t id, uint64_t request);
/*
 * START of the next generation: its descriptor to the old one; -1: there is none. *ret_listens:
 * whether the listening socket comes from there.
 */
int inherit_begin(berth_ctx *ctx, bool *ret_listens);
/* Takes what has come from there. */
void inherit_event(berth_ctx *ctx);
/* Now and then, by the timer: listens, when that was not possible before. */
void inherit_check(berth_ctx *ctx);

/* ---- heir.c: who inherits ------------------------------------------------------------------- */

/* Listens at an abstract address of its own, for records. -1: the call has failed. */
int heir_listen(berth_ctx *ctx, const char **ret_name);
/* Where the next generation is waited for, the same for all who ask. "": the call has failed. */
const char *heir_address(berth_ctx *ctx);
/* The process that has the generation which serves now; 0: there is none. Calls the host. */
pid_t heir_pid(berth_ctx *ctx);
/* The descriptor to that one, if it has connected, or -1. Nobody else is waited for any more. */
int heir_take(pid_t pid);
void heir_close(void);

/* ---- foreign.c: requests that the generation before executes -------------------------------- */

struct foreign {
    struct foreign *next; /* of the connection */
    uint64_t request;
    struct text about; /* its id and its line, as RECORD_REQUEST has them */
    bool whole;        /* that is all here */
};
/* NULL: there is none. */
struct foreign *foreign_find(struct foreign *list, uint64_t request);
struct foreign *foreign_find_id(struct foreign *list, const char *id);
/* A piece of what is told of one. false: no memory. */
bool foreign_add(struct foreign **list, const struct record *record, const char *data, size_t size);
/* false: it is not in there. */
bool foreign_remove(struct foreign **list, uint64_t request);
/* What its client is told when there will be no answer; empty: nothing. No lock is held. */
void foreign_lose(berth_ctx *ctx, const struct foreign *foreign, struct text *ret_reply);
void foreign_free(struct foreign *foreign);

/* ---- request.c, method.c, discover.c -------------------------------------------------------- */

BERTH_STRUCT(member, (string, name), (json, value));
BERTH_STRUCT(parsed, (string, kind), (string, text), (array(member), members));

/* Executes worker->line and leaves what is to be sent in worker->reply. */
void request_run(struct worker *worker);
/* Appends an error without an id, and a newline. */
void request_refuse(struct text *reply, int code, const char *words);

#define RPC_PARSE_ERROR      (-32700)
#define RPC_INVALID_REQUEST  (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS   (-32602)

/* How a method ends: with a result, or an error. All in memory of the call. */
struct answer {
    const char *result; /* JSON; NULL: the rest is an error */
    int rpc;            /* its code */
    int code;           /* enum berth_code */
    const char *words;
};

/* params is NULL, or the text of an array or object. */
void method_run(struct worker *worker, const char *method, const char *params,
                struct answer *answer);
void answer_fail(struct answer *answer, int rpc, int code, const char *words);
/* The call that has just failed, as an answer; it is cleared. */
void answer_fail_call(berth_ctx *ctx, struct answer *answer);
/* The text of a JSON string; NULL: it is none. */
const char *json_string(berth_ctx *ctx, const char *json);
berth_parsed json_parse(berth_ctx *ctx, const char *json);
/* The member's text; NULL: there is none. */
const char *json_member(const berth_parsed *object, const char *name);
/* The member taken apart; one that is not there is null. */
berth_parsed json_parse_member(berth_ctx *ctx, const berth_parsed *object, const char *name);
/* The text of a member that is a string; "": it is none, or not there. */
const char *json_string_member(berth_ctx *ctx, const berth_parsed *object, const char *name);
const char *code_name(int code);

/* ---- started.c: calls that can be cancelled ------------------------------------------------- */

/*
 * Calls by host.call, with replies as notifications "more" before the result. NULL: the call has
 * failed.
 */
const char *started_call(struct worker *worker, const char *function, const char *arguments,
                         berth_optional_i64 timeout, bool more);
/* Cancels that of a connection with this id, or (NULL) all of its. false: there is none. */
bool started_cancel(berth_ctx *ctx, const struct connection *connection, const char *id);
/* The same of the request with this number. */
void started_cancel_request(berth_ctx *ctx, const struct connection *connection, uint64_t request);
/* The id of what this one has started; "": nothing that can be cancelled by it. */
void started_put_id(struct text *text, const struct worker *worker);

/* The document of rpc.discover. */
void discover(berth_ctx *ctx, struct answer *answer);
struct method_doc {
    const char *name, *doc, *result; /* a schema */
    struct {
        const char *name, *schema;
        bool required;
    } params[4];
};
extern const struct method_doc method_docs[];
extern const size_t method_doc_count;

#endif
