/* SPDX-License-Identifier: MIT */
/* Two ends of a connection in one process; and one end against a socket that does what it likes. */
#include "tests/support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/call/thread.h"
#include "runtime/carrier/peer.h"

#define MS          INT64_C(1000000)
#define MAX_MESSAGE ((size_t)1 << 20)

enum item { ECHO, FAIL, HOLD, BOUNCE, CHATTER, LARGE };

/* One end, with what its ops have seen. */
struct end {
    struct berth_loop *loop;
    struct berth_peer *peer;
    struct end *other;
    pthread_t thread;
    bool running; /* a thread runs the loop */
    bool leaving;
    unsigned accepts;
    pthread_mutex_t lock;
    pthread_cond_t released;
    bool release; /* what is held may go on */
    size_t jobs, ended, notes, served;
    size_t holding, held_out; /* HOLDs that wait to be released, and that were */
    char wrong[128];
    bool keep_jobs;     /* submit keeps the work */
    bool run_jobs;      /* submit runs it at once */
    bool finds;         /* a note says for which request there is a thread to be found */
    size_t found, left; /* so many; those that wait no more, until they are released */
    size_t kept;
    struct berth_peer_work *kept_work;
};

static const char large[65536];

/* A thread's block, in which its only ctx tells which thread it is. */
union block {
    char whole[4096];
    pthread_t self;
    struct berth_thread thread; /* of a set in which nobody is told anything */
} __attribute__((aligned(4096)));

static struct berth_threads nobody_told = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                            .list = { &nobody_told.list, &nobody_told.list },
                                            .waits_lock = PTHREAD_MUTEX_INITIALIZER,
                                            .waits = { &nobody_told.waits, &nobody_told.waits } };

static void block_init(union block *block)
{
    *block = (union block){ .whole = "" };
    block->self = pthread_self();
    block->thread.set = &nobody_told;
}

/* ---- the ops of both ends ---- */

static int ask(struct end *end, enum berth_wire_type type, enum item item, const void *data,
               size_t size, int64_t deadline, void *ctx, struct berth_received **ret_reply,
               struct berth_error *error)
{
    struct berth_wire wire = { .type = (uint16_t)type, .index = item };
    struct berth_buffer buffer;

    berth_peer_begin(end->peer, &buffer);
    berth_buffer_append(&buffer, data, size);
    return berth_peer_call(end->peer, &wire, &buffer, ctx, deadline, ret_reply, error);
}

static void note(struct end *end, const char *text)
{
    struct berth_wire wire = { .type = BERTH_WIRE_LOG };
    struct berth_buffer buffer;

    berth_peer_begin(end->peer, &buffer);
    berth_buffer_text(&buffer, text);
    CHECK(berth_peer_note(end->peer, &wire, &buffer));
}

static const char *on_check(void *user, const struct berth_received *frame)
{
    (void)user;
    return frame->wire.index == 999 ? "an index out of range" : NULL;
}

/*
 * Calls the other end back until the number in the data is 0; each level must stay on its thread.
 */
static int bounce(struct end *end, berth_ctx *under, struct berth_received *request,
                  struct berth_buffer *result, struct berth_error *error)
{
    unsigned char depth = request->data[0];
    union block block;
    pthread_t self = pthread_self();
    enum berth_wire_type type =
        request->wire.type == BERTH_WIRE_INVOKE ? BERTH_WIRE_CALL : BERTH_WIRE_INVOKE;
    struct berth_received *reply;

    block_init(&block);
    if (under)
        CHECK(pthread_equal(*(pthread_t *)(void *)under, self));
    if (depth == 0) {
        berth_buffer_append(result, &depth, 1);
        return BERTH_OK;
    }
    depth--;
    int code = ask(end, type, BOUNCE, &depth, 1, BERTH_FOREVER, &block.self, &reply, error);
    if (code == BERTH_OK) {
        unsigned char up = (unsigned char)(reply->data[0] + 1);
        berth_buffer_append(result, &up, 1);
        free(reply);
    }
    return code;
}

/* Serves until the test releases it. */
static void hold(struct end *end)
{
    pthread_mutex_lock(&end->lock);
    end->holding++;
    while (!end->release)
        pthread_cond_wait(&end->released, &end->lock);
    end->holding--;
    end->held_out++;
    pthread_mutex_unlock(&end->lock);
}

static void release(struct end *end)
{
    pthread_mutex_lock(&end->lock);
    end->release = true;
    pthread_cond_broadcast(&end->released);
    pthread_mutex_unlock(&end->lock);
}

static int on_serve(void *user, berth_ctx *under, struct berth_received *request,
                    struct berth_buffer *result, struct berth_error *error)
{
    struct end *end = user;

    pthread_mutex_lock(&end->lock);
    end->served++;
    pthread_mutex_unlock(&end->lock);
    switch ((enum item)request->wire.index) {
    case ECHO:
        berth_buffer_append(result, request->data, request->wire.size);
        return BERTH_OK;
    case FAIL:
        return berth_error_set(error, request->data[0], "no: %s", (const char *)request->data + 1);
    case HOLD:
        hold(end);
        return BERTH_OK;
    case BOUNCE:
        return bounce(end, under, request, result, error);
    case CHATTER:
        for (int i = 0; i < 10; i++)
            note(end, "chatter");
        return BERTH_OK;
    case LARGE:
        berth_buffer_append(result, large, sizeof(large));
        return BERTH_OK;
    }
    return berth_error_set(error, BERTH_NOT_FOUND, "no such item");
}

static void on_note(void *user, struct berth_received *frame)
{
    struct end *end = user;
    berth_ctx *ctx = NULL;
    uint16_t kind;
    uint64_t id;
    bool found = false;

    if (end->finds) {
        memcpy(&id, frame->data, sizeof(id));
        found = berth_peer_hold(end->peer, id, &ctx, &kind) && ctx;
        berth_peer_release(end->peer);
    }
    pthread_mutex_lock(&end->lock);
    end->notes++;
    end->found += found;
    pthread_mutex_unlock(&end->lock);
}

/* Takes its time. */
static void on_left(void *user, uint64_t id)
{
    struct end *end = user;

    (void)id;
    pthread_mutex_lock(&end->lock);
    end->left++;
    while (!end->release)
        pthread_cond_wait(&end->released, &end->lock);
    pthread_mutex_unlock(&end->lock);
}

struct job {
    struct end *end;
    struct berth_peer_work *work;
};

static void *job_main(void *argument)
{
    struct job job = *(struct job *)argument;

    free(argument);
    berth_peer_work_run(job.work);
    pthread_mutex_lock(&job.end->lock);
    job.end->jobs--;
    pthread_mutex_unlock(&job.end->lock);
    return NULL;
}

static int on_submit(void *user, struct berth_peer_work *work)
{
    struct end *end = user;
    struct job *job;
    pthread_t thread;

    if (end->run_jobs) {
        berth_peer_work_run(work);
        return BERTH_OK;
    }
    if (end->keep_jobs) {
        pthread_mutex_lock(&end->lock);
        end->kept++;
        end->kept_work = work;
        pthread_mutex_unlock(&end->lock);
        return BERTH_OK;
    }
    job = malloc(sizeof(*job));
    *job = (struct job){ end, work };
    pthread_mutex_lock(&end->lock);
    end->jobs++;
    pthread_mutex_unlock(&end->lock);
    REQUIRE(pthread_create(&thread, NULL, job_main, job) == 0);
    pthread_detach(thread);
    return BERTH_OK;
}

static void on_ended(void *user, const char *wrong)
{
    struct end *end = user;

    pthread_mutex_lock(&end->lock);
    end->ended++;
    strncpy(end->wrong, wrong ? wrong : "", sizeof(end->wrong) - 1);
    pthread_mutex_unlock(&end->lock);
}

/* What the other end is said to have done; "" if nothing. */
static const char *wrong_of(struct end *end)
{
    pthread_mutex_lock(&end->lock);
    const char *wrong = berth_test_format("%s", end->wrong);
    pthread_mutex_unlock(&end->lock);
    return wrong;
}

static const struct berth_peer_ops ops = {
    .check = on_check,
    .serve = on_serve,
    .note = on_note,
    .submit = on_submit,
    .left = on_left,
    .ended = on_ended,
};

/* ---- ends ---- */

static void *loop_main(void *argument)
{
    struct end *end = argument;

    while (!__atomic_load_n(&end->leaving, __ATOMIC_ACQUIRE))
        berth_loop_run(end->loop, BERTH_FOREVER);
    return NULL;
}

#define FROM_HOST   (BERTH_WIRE_BIT(BERTH_WIRE_INVOKE) | BERTH_WIRE_BIT(BERTH_WIRE_STOP))
#define FROM_WORKER (BERTH_WIRE_BIT(BERTH_WIRE_CALL) | BERTH_WIRE_BIT(BERTH_WIRE_LOG))

static struct end *end_new(int socket, unsigned accepts, bool running)
{
    struct end *end = berth_test_alloc(sizeof(*end));
    struct berth_peer_setup setup = {
        .life = -1, .max_message = MAX_MESSAGE, .accepts = accepts, .ops = &ops, .user = end
    };

    pthread_mutex_init(&end->lock, NULL);
    pthread_cond_init(&end->released, NULL);
    end->running = running;
    REQUIRE(berth_loop_new(&end->loop, NULL) == BERTH_OK);
    setup.loop = end->loop;
    REQUIRE(berth_peer_new(&setup, socket, &end->peer, NULL) == BERTH_OK);
    REQUIRE(berth_peer_open(end->peer, NULL) == BERTH_OK);
    if (running)
        REQUIRE(pthread_create(&end->thread, NULL, loop_main, end) == 0);
    return end;
}

static size_t count_of(struct end *end, const size_t *what)
{
    pthread_mutex_lock(&end->lock);
    size_t count = *what;
    pthread_mutex_unlock(&end->lock);
    return count;
}

static void wait_for(struct end *end, const size_t *what, size_t count)
{
    int64_t until = berth_now() + berth_test_patience();

    while (count_of(end, what) != count && berth_now() < until) {
        if (!end->running)
            berth_loop_run(end->loop, MS);
        else
            berth_test_pause(1);
    }
    CHECK_INT(count_of(end, what), count);
}

static void end_free(struct end *end)
{
    berth_peer_close(end->peer);
    wait_for(end, &end->jobs, 0);
    if (end->running) {
        __atomic_store_n(&end->leaving, true, __ATOMIC_RELEASE);
        berth_loop_wake(end->loop);
        pthread_join(end->thread, NULL);
    }
    berth_peer_unref(end->peer);
    berth_loop_free(end->loop);
    pthread_cond_destroy(&end->released);
    pthread_mutex_destroy(&end->lock);
}

static void pair(struct end **ret_host, struct end **ret_worker, bool host_runs)
{
    int ends[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    *ret_host = end_new(ends[0], FROM_WORKER, host_runs);
    *ret_worker = end_new(ends[1], FROM_HOST, true);
    (*ret_host)->other = *ret_worker;
    (*ret_worker)->other = *ret_host;
}

static void unpair(struct end *host, struct end *worker)
{
    end_free(host);
    end_free(worker);
}

static void echo(struct end *end, enum berth_wire_type type, const void *data, size_t size)
{
    struct berth_received *reply = NULL;
    struct berth_error error = { 0 };
    int code = ask(end, type, ECHO, data, size, BERTH_FOREVER, NULL, &reply, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    if (code == BERTH_OK) {
        CHECK_INT(reply->wire.size, size);
        CHECK(size == 0 || memcmp(reply->data, data, size) == 0);
        free(reply);
    }
}

/* ---- two good ends ---- */

static void answers_of_every_size(void)
{
    static const size_t sizes[] = { 0,     1,     47,    48,     49,     16335,      16336,
                                    16337, 16384, 32768, 100000, 262144, MAX_MESSAGE };
    unsigned char *data = berth_test_alloc(MAX_MESSAGE);
    struct end *host, *worker;

    for (size_t i = 0; i < MAX_MESSAGE; i++)
        data[i] = (unsigned char)berth_test_random();
    pair(&host, &worker, true);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        echo(host, BERTH_WIRE_INVOKE, data, sizes[i]);
        echo(worker, BERTH_WIRE_CALL, data, sizes[i]);
    }
    unpair(host, worker);
    CHECK_INT(host->ended, 0); /* it was closed on this side */
    CHECK(worker->ended <= 1);
}

static void errors_come_with_their_words(void)
{
    struct end *host, *worker;
    struct berth_received *reply = NULL;
    struct berth_error error;

    pair(&host, &worker, true);
    for (int code = 1; code <= 16; code++) {
        char data[8] = { (char)code, 'b', 'a', 'd' };
        CHECK_INT(ask(host, BERTH_WIRE_INVOKE, FAIL, data, 5, BERTH_FOREVER, NULL, &reply, &error),
                  code);
        CHECK_INT(error.code, code);
        CHECK_STR(error.text, "no: bad");
    }
    char odd[8] = { 77, 'x' }; /* no code of ours may go over the wire */
    CHECK_CODE(ask(host, BERTH_WIRE_INVOKE, FAIL, odd, 3, BERTH_FOREVER, NULL, &reply, &error),
               BERTH_INTERNAL, &error);
    CHECK(reply == NULL);
    unpair(host, worker);
}

static void nested(bool host_runs)
{
    struct end *host, *worker;
    struct berth_received *reply = NULL;
    struct berth_error error = { 0 };
    union block block;

    block_init(&block);
    pair(&host, &worker, host_runs);
    for (unsigned char depth = 0; depth < 30; depth++) {
        int code = ask(host, BERTH_WIRE_INVOKE, BOUNCE, &depth, 1, BERTH_FOREVER, &block.self,
                       &reply, &error);
        CHECK_CODE(code, BERTH_OK, &error);
        if (code != BERTH_OK)
            break;
        CHECK_INT(reply->data[0], depth);
        free(reply);
    }
    unpair(host, worker);
}

static void nested_calls_stay_on_their_threads(void)
{
    nested(true);
}

static void works_when_nobody_runs_the_loop(void)
{
    nested(false);

    struct end *host, *worker;
    pair(&host, &worker, false);
    for (size_t size = 0; size < 20; size++)
        echo(host, BERTH_WIRE_INVOKE, "0123456789012345678901234567890", size);
    unpair(host, worker);
}

struct crowd {
    struct end *end;
    enum berth_wire_type type;
    unsigned seed;
};

static void *crowd_main(void *argument)
{
    struct crowd *crowd = argument;
    size_t room = 300000;
    unsigned char *data = malloc(room);
    struct berth_error error;
    struct berth_received *reply;
    union block block;
    int rounds = berth_test_instrumented() ? 60 : 300;

    block_init(&block);
    memset(data, (int)crowd->seed, room);
    for (int i = 0; i < rounds; i++) {
        unsigned what = (unsigned)rand_r(&crowd->seed) % 20;
        unsigned char depth = (unsigned char)(what % 7);
        if (what == 0)
            echo(crowd->end, crowd->type, data, (size_t)rand_r(&crowd->seed) % room);
        else if (what < 12)
            echo(crowd->end, crowd->type, data, (size_t)rand_r(&crowd->seed) % 200);
        else if (ask(crowd->end, crowd->type, BOUNCE, &depth, 1, BERTH_FOREVER, &block.self, &reply,
                     &error) == BERTH_OK) {
            CHECK_INT(reply->data[0], depth);
            free(reply);
        } else {
            CHECK_STR(error.text, "");
        }
    }
    free(data);
    return NULL;
}

static void crowds(bool host_runs)
{
    enum { THREADS = 5 };
    struct end *host, *worker;
    pthread_t threads[2 * THREADS];
    struct crowd crowd[2 * THREADS];

    pair(&host, &worker, host_runs);
    for (int i = 0; i < 2 * THREADS; i++) {
        crowd[i] =
            (struct crowd){ i % 2 ? host : worker, i % 2 ? BERTH_WIRE_INVOKE : BERTH_WIRE_CALL,
                            (unsigned)berth_test_random() };
        if (i % 2 || host_runs)
            REQUIRE(pthread_create(&threads[i], NULL, crowd_main, &crowd[i]) == 0);
    }
    for (int i = 0; i < 2 * THREADS; i++)
        if (i % 2 || host_runs)
            pthread_join(threads[i], NULL);
    unpair(host, worker);
    CHECK_STR(host->wrong, ""); /* the locks have gone, and all threads */
    CHECK_STR(worker->wrong, "");
}

static void many_threads_in_both_directions(void)
{
    crowds(true);
}

static void many_threads_without_a_loop(void)
{
    crowds(false);
}

struct sender {
    struct end *end;
    bool done; /* atomic */
};

static void *large_main(void *argument)
{
    struct sender *sender = argument;
    void *data = calloc(1, MAX_MESSAGE);

    for (int i = 0; i < 3; i++)
        echo(sender->end, sender->end->accepts, data, MAX_MESSAGE);
    free(data);
    __atomic_store_n(&sender->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Both write more than the sockets hold before either reads. */
static void both_send_at_once(void)
{
    struct end *host, *worker;
    pthread_t thread;

    pair(&host, &worker, false);
    host->accepts = BERTH_WIRE_INVOKE;
    worker->accepts = BERTH_WIRE_CALL;
    struct sender from_host = { .end = host }, from_worker = { .end = worker };
    REQUIRE(pthread_create(&thread, NULL, large_main, &from_worker) == 0);
    large_main(&from_host);
    while (!__atomic_load_n(&from_worker.done, __ATOMIC_ACQUIRE))
        berth_loop_run(host->loop, MS);
    pthread_join(thread, NULL);
    CHECK_INT(host->served, 3);
    unpair(host, worker);
}

/*
 * Asks for what is held, and gives it up while it is. Where the machine is slow the time may be
 * over before it is sent, or served: then there is more of it, until it is served.
 */
static void give_up_what_is_held(struct end *host, struct end *worker)
{
    struct berth_received *reply = NULL;
    struct berth_error error;

    for (int64_t time = 50 * MS; count_of(worker, &worker->holding) == 0; time *= 2) {
        int64_t deadline = berth_now() + time;
        CHECK_INT(ask(host, BERTH_WIRE_INVOKE, HOLD, "", 0, deadline, NULL, &reply, &error),
                  BERTH_PEER_EXPIRED);
        CHECK(berth_now() >= deadline);
        CHECK(reply == NULL);
        echo(host, BERTH_WIRE_INVOKE, "after", 5); /* what was sent is a job by now */
        EVENTUALLY(count_of(worker, &worker->jobs) == count_of(worker, &worker->holding));
        echo(host, BERTH_WIRE_INVOKE, "after", 5); /* and a refusal has come back */
    }
}

static void a_deadline_is_kept_and_the_late_reply_dropped(void)
{
    struct end *host, *worker;
    struct berth_received *reply = NULL;
    struct berth_error error;

    pair(&host, &worker, true);
    give_up_what_is_held(host, worker);
    uint64_t late = berth_peer_late(host->peer);
    release(worker);
    EVENTUALLY(berth_peer_late(host->peer) == late + 1);
    echo(host, BERTH_WIRE_INVOKE, "after", 5);
    /* What is too late before it begins is not sent at all. */
    size_t served = count_of(worker, &worker->served);
    CHECK_INT(ask(host, BERTH_WIRE_INVOKE, ECHO, "", 0, berth_now(), NULL, &reply, &error),
              BERTH_PEER_EXPIRED);
    echo(host, BERTH_WIRE_INVOKE, "after", 5);
    CHECK_INT(count_of(worker, &worker->served), served + 1);
    CHECK(reply == NULL);
    CHECK_INT(berth_peer_late(host->peer), late + 1);
    unpair(host, worker);
}

/* A request for what is held, that is seen through. */
struct patient {
    struct end *end;
    int64_t deadline;
    int code;
    bool done; /* atomic */
};

static void *patient_main(void *argument)
{
    struct patient *patient = argument;
    struct berth_peer *peer = patient->end->peer;
    const struct berth_wire wire = { .type = BERTH_WIRE_INVOKE, .index = HOLD };
    struct berth_received *reply = NULL;
    struct berth_buffer buffer;
    struct berth_error error;

    berth_peer_begin(peer, &buffer);
    patient->code =
        berth_peer_see_through(peer, &wire, &buffer, NULL, patient->deadline, &reply, &error);
    free(reply);
    __atomic_store_n(&patient->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static bool is_done(const struct patient *patient)
{
    return __atomic_load_n(&patient->done, __ATOMIC_ACQUIRE);
}

/* Its deadline is the other end's to see to: whatever that replies comes to who has asked. */
static void a_request_may_be_seen_through(void)
{
    struct end *host, *worker;
    bool held = false;

    pair(&host, &worker, true);
    for (int64_t time = 50 * MS; !held; time *= 2) { /* it may be too late before it is served */
        struct patient patient = { .end = host, .deadline = berth_now() + time };
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, patient_main, &patient) == 0);
        EVENTUALLY(is_done(&patient) || count_of(worker, &worker->holding) == 1);
        held = !is_done(&patient);
        EVENTUALLY(berth_now() >= patient.deadline);
        echo(host, BERTH_WIRE_INVOKE, "after", 5);
        CHECK(!held || !is_done(&patient));
        release(worker);
        pthread_join(thread, NULL);
        CHECK_INT(patient.code, held ? BERTH_OK : patient.code);
    }
    unpair(host, worker);
}

static void notes_come_before_the_reply(void)
{
    struct end *host, *worker;
    struct berth_received *reply;
    struct berth_error error;

    pair(&host, &worker, true);
    for (size_t i = 1; i <= 20; i++) {
        CHECK_INT(ask(host, BERTH_WIRE_INVOKE, CHATTER, "", 0, BERTH_FOREVER, NULL, &reply, &error),
                  BERTH_OK);
        CHECK_INT(count_of(host, &host->notes), i * 10);
        free(reply);
    }
    unpair(host, worker);
}

static void *held_main(void *argument)
{
    struct end *end = argument;
    struct berth_received *reply;
    struct berth_error error;

    CHECK_INT(ask(end, BERTH_WIRE_INVOKE, HOLD, "", 0, BERTH_FOREVER, NULL, &reply, &error),
              BERTH_PEER_ENDED);
    return NULL;
}

static void the_end_is_told_to_all_who_wait(void)
{
    enum { THREADS = 4 };
    struct end *host, *worker;
    pthread_t threads[THREADS];

    pair(&host, &worker, true);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, held_main, host) == 0);
    wait_for(worker, &worker->holding, THREADS);
    berth_peer_break(host->peer, "sent a malformed frame: a result");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(count_of(host, &host->ended), 1);
    CHECK_STR(wrong_of(host), "sent a malformed frame: a result");
    wait_for(worker, &worker->ended, 1);
    CHECK_STR(wrong_of(worker), "");
    release(worker);
    unpair(host, worker);
    CHECK_INT(host->ended, 1);
}

static void *closer_main(void *argument)
{
    struct end *end = argument;

    berth_peer_close(end->peer);
    CHECK_INT(count_of(end, &end->held_out), 1);
    return NULL;
}

static void closing_waits_for_what_is_served(void)
{
    struct end *host, *worker;
    pthread_t caller, closer;

    pair(&host, &worker, true);
    REQUIRE(pthread_create(&caller, NULL, held_main, host) == 0);
    wait_for(worker, &worker->holding, 1);
    REQUIRE(pthread_create(&closer, NULL, closer_main, worker) == 0);
    pthread_join(caller, NULL); /* closing has begun: the caller was told */
    berth_test_pause(50);       /* one that does not wait would return now */
    release(worker);
    pthread_join(closer, NULL);
    unpair(host, worker);
}

static void *echo_main(void *argument)
{
    struct end *end = argument;
    struct berth_received *reply;
    struct berth_error error;

    CHECK_INT(ask(end, BERTH_WIRE_INVOKE, ECHO, "", 0, BERTH_FOREVER, NULL, &reply, &error),
              BERTH_PEER_ENDED);
    return NULL;
}

static void held_work_does_nothing_after_the_end(void)
{
    struct end *host, *worker;
    pthread_t caller;

    pair(&host, &worker, true);
    worker->keep_jobs = true;
    REQUIRE(pthread_create(&caller, NULL, echo_main, host) == 0);
    wait_for(worker, &worker->kept, 1);
    REQUIRE(count_of(worker, &worker->kept) == 1);
    berth_peer_close(worker->peer);
    pthread_join(caller, NULL);
    unpair(host, worker);
    berth_peer_work_run(worker->kept_work); /* frees what is left of the peer */
    CHECK_INT(worker->served, 0);
}

static void finish_lets_the_queue_go_first(void)
{
    struct end *host, *worker;

    pair(&host, &worker, true);
    for (int i = 0; i < 100; i++)
        note(worker, "one of many");
    berth_peer_finish(worker->peer);
    wait_for(host, &host->notes, 100);
    wait_for(host, &host->ended, 1);
    CHECK_STR(wrong_of(host), "");
    unpair(host, worker);
}

/* ---- one end against the world ---- */

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes frame(struct berth_wire wire, const void *data, size_t size)
{
    struct bytes bytes = { berth_test_alloc(BERTH_WIRE_HEAD + size), BERTH_WIRE_HEAD + size };

    wire.size = (uint32_t)size;
    berth_wire_write(&wire, bytes.data);
    if (size)
        memcpy(bytes.data + BERTH_WIRE_HEAD, data, size);
    return bytes;
}

static void hostile(struct end **ret_host, int *ret_socket, bool running)
{
    int ends[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    *ret_host = end_new(ends[0], FROM_WORKER, running);
    *ret_socket = ends[1];
}

static bool write_all(int socket, const void *data, size_t size)
{
    const char *next = data;
    int64_t until = berth_now() + berth_test_patience();

    while (size && berth_now() < until) {
        ssize_t written = send(socket, next, size, MSG_NOSIGNAL);
        if (written > 0) {
            next += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            berth_test_pause(1);
        } else {
            return false;
        }
    }
    return size == 0;
}

static bool read_all(int socket, void *data, size_t size)
{
    char *next = data;
    int64_t until = berth_now() + berth_test_patience();

    while (size && berth_now() < until) {
        ssize_t got = recv(socket, next, size, 0);
        if (got > 0) {
            next += got;
            size -= (size_t)got;
        } else if (got < 0 && errno == EAGAIN) {
            berth_test_pause(1);
        } else {
            return false;
        }
    }
    return size == 0;
}

/* The id of the request that the host has sent. */
static uint64_t read_request(int socket)
{
    unsigned char head[BERTH_WIRE_HEAD];
    unsigned char data[256];
    struct berth_wire wire = { 0 };

    REQUIRE(read_all(socket, head, sizeof(head)));
    REQUIRE(berth_wire_read(head, FROM_HOST, sizeof(data), &wire) == NULL);
    REQUIRE(read_all(socket, data, wire.size));
    return wire.id;
}

struct caller {
    struct end *end;
    pthread_t thread;
    int64_t deadline;
    void *ctx;
    int code;
    bool done; /* atomic */
    char text[64];
    struct berth_error error;
};

static void *caller_main(void *argument)
{
    struct caller *caller = argument;
    struct berth_received *reply;

    caller->code = ask(caller->end, BERTH_WIRE_INVOKE, ECHO, "?", 1, caller->deadline, caller->ctx,
                       &reply, &caller->error);
    if (caller->code == BERTH_OK) {
        strncpy(caller->text, (const char *)reply->data, sizeof(caller->text) - 1);
        free(reply);
    }
    __atomic_store_n(&caller->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void caller_start(struct caller *caller, struct end *end, int64_t deadline)
{
    *caller = (struct caller){ .end = end, .deadline = deadline };
    REQUIRE(pthread_create(&caller->thread, NULL, caller_main, caller) == 0);
}

static bool has_come(int socket)
{
    char first;
    return recv(socket, &first, 1, MSG_PEEK) == 1;
}

/*
 * The id of a request whose time is over soon. Where the machine is so slow that it is over before
 * the request is sent, there is more of it.
 */
static uint64_t caller_start_briefly(struct caller *caller, struct end *host, int socket)
{
    for (int64_t time = 50 * MS;; time *= 2) {
        caller_start(caller, host, berth_now() + time);
        while (!has_come(socket) && !__atomic_load_n(&caller->done, __ATOMIC_ACQUIRE))
            berth_test_pause(1);
        if (has_come(socket))
            return read_request(socket);
        pthread_join(caller->thread, NULL);
        REQUIRE(caller->code == BERTH_PEER_EXPIRED);
    }
}

/* Head fields that differ from a good reply's, and what is said of them. */
static void each_lie_ends_the_connection(void)
{
    static const struct {
        struct berth_wire wire;
        const char *data;
        size_t size;
        const char *wrong;
    } lies[] = {
        { { .type = BERTH_WIRE_REPLY, .id = 12345 }, "", 0, "reply to nothing" },
        { { .type = BERTH_WIRE_REPLY, .id = 0 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_REPLY, .id = 1, .code = 17 }, "", 0, "unknown code" },
        { { .type = BERTH_WIRE_REPLY, .id = 1, .code = 3 }, "\xff", 1, "without words" },
        { { .type = BERTH_WIRE_REPLY, .id = 1, .code = 3 }, "a\0b", 3, "without words" },
        { { .type = BERTH_WIRE_REPLY, .id = 1, .under = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_REPLY, .id = 1, .left = 1 }, "", 0, "head of something else" },
        { { .type = 0, .id = 1 }, "", 0, "unknown type" },
        { { .type = 99, .id = 1 }, "", 0, "unknown type" },
        { { .type = 0xffff, .id = 1 }, "", 0, "unknown type" },
        { { .type = BERTH_WIRE_INVOKE, .id = 1 }, "", 0, "unknown type" },
        { { .type = BERTH_WIRE_STOP }, "", 0, "unknown type" },
        { { .type = BERTH_WIRE_CALL, .id = 0 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = -1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .under = 777 }, "", 0, "under" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .index = 999 }, "", 0, "index" },
        { { .type = BERTH_WIRE_LOG, .id = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_LOG, .code = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .echo = 1 }, "", 0, "echo" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .single = 1 },
          "",
          0,
          "one result" },
        { { .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .single = 2 }, "", 0, "protocol" },
        { { .type = BERTH_WIRE_MORE, .id = 12345 }, "", 0, "more of nothing" },
        { { .type = BERTH_WIRE_MORE, .id = 1, .single = 1 }, "", 0, "one result" },
        { { .type = BERTH_WIRE_MORE, .id = 1, .index = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_MORE, .id = 1, .code = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_CANCEL, .id = 1, .code = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_TAKEN, .id = 0, .index = 1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_TAKEN, .id = 1, .left = -1 }, "", 0, "head of something else" },
        { { .type = BERTH_WIRE_TAKEN, .id = 1 }, "x", 1, "with data" },
    };

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct end *host;
        struct caller caller;
        int socket;
        hostile(&host, &socket, i % 2 == 0);
        caller_start(&caller, host, BERTH_FOREVER);
        read_request(socket);
        struct bytes lie = frame(lies[i].wire, lies[i].data, lies[i].size);
        CHECK(write_all(socket, lie.data, lie.size));
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, BERTH_PEER_ENDED);
        wait_for(host, &host->ended, 1); /* the caller may be told first */
        CHECK_CONTAINS(wrong_of(host), "sent a malformed frame: ");
        CHECK_CONTAINS(wrong_of(host), lies[i].wrong);
        close(socket);
        end_free(host);
    }
}

/* One more of several results than may be under way; and some that are taken, and were not sent. */
static void windows_are_kept_to(void)
{
    const struct berth_window several = { 2, 100 };

    for (int i = 0; i < 2; i++) {
        struct end *host;
        struct caller caller;
        int socket;
        hostile(&host, &socket, false);
        berth_peer_set_several(host->peer, &several);
        caller_start(&caller, host, BERTH_FOREVER);
        uint64_t id = read_request(socket);
        struct bytes first = frame(i ? (struct berth_wire){ .type = BERTH_WIRE_CALL,
                                                            .id = 7,
                                                            .left = INT64_MAX,
                                                            .index = HOLD }
                                     : (struct berth_wire){ .type = BERTH_WIRE_MORE, .id = id },
                                   "", 0);
        struct bytes lie =
            frame(i ? (struct berth_wire){ .type = BERTH_WIRE_TAKEN, .id = 7, .index = 1 }
                    : (struct berth_wire){ .type = BERTH_WIRE_MORE, .id = id },
                  "", 0);
        CHECK(write_all(socket, first.data, first.size));
        if (i == 0)
            CHECK(write_all(socket, first.data, first.size));
        CHECK(write_all(socket, lie.data, lie.size));
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, BERTH_PEER_ENDED);
        wait_for(host, &host->ended, 1);
        CHECK_CONTAINS(wrong_of(host), i ? "it has taken results that were not sent"
                                         : "more results than there is room for");
        release(host);
        close(socket);
        end_free(host);
    }
}

/* What comes in the same read as a lie, and is as it should be, does not hide it. */
static void a_good_frame_behind_it_excuses_no_lie(void)
{
    const struct bytes lies[] = {
        frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = 12345 }, "", 0),
        frame((struct berth_wire){ .type = BERTH_WIRE_CALL, .id = 1, .index = 999 }, "", 0),
    };
    const struct bytes good = frame((struct berth_wire){ .type = BERTH_WIRE_LOG }, "fine", 4);

    for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
        size_t lie_size = lies[i / 2].size, more = i % 2 ? good.size : good.size - 1;
        unsigned char both[2 * BERTH_WIRE_HEAD + 8];
        struct end *host;
        struct caller caller;
        int socket;
        memcpy(both, lies[i / 2].data, lie_size);
        memcpy(both + lie_size, good.data, more);
        hostile(&host, &socket, false);
        caller_start(&caller, host, berth_now() + 5000 * MS);
        read_request(socket);
        CHECK(write_all(socket, both, lie_size + more));
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, BERTH_PEER_ENDED);
        CHECK_CONTAINS(wrong_of(host), i / 2 ? "index" : "reply to nothing");
        CHECK_INT(host->notes, 0);
        close(socket);
        end_free(host);
    }
}

static void other_bytes_end_the_connection(void)
{
    static const unsigned char giant[BERTH_WIRE_HEAD] = { 0x62, 0x74, 0x68,
                                                          0x31, 0xff, 0xff,
                                                          0xff, 0xff, BERTH_WIRE_REPLY };
    unsigned char mark[BERTH_WIRE_HEAD] = { 0 };
    struct bytes good = frame((struct berth_wire){ .type = BERTH_WIRE_LOG }, "x", 1);
    unsigned char reserved[BERTH_WIRE_HEAD + 1];
    memcpy(reserved, good.data, sizeof(reserved));
    reserved[45] = 1;
    const struct {
        const void *data;
        size_t size;
        const char *wrong;
    } cases[] = {
        { giant, sizeof(giant), "larger than allowed" },
        { mark, sizeof(mark), "not of this protocol" },
        { "GET / HTTP/1.1\r\nHost: example\r\nAccept: */*\r\n\r\n\r\n\r\n", 48,
          "not of this protocol" },
        { reserved, sizeof(reserved), "not of this protocol" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct end *host;
        struct caller caller;
        int socket;
        hostile(&host, &socket, i % 2);
        caller_start(&caller, host, BERTH_FOREVER);
        read_request(socket);
        CHECK(write_all(socket, cases[i].data, cases[i].size));
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, BERTH_PEER_ENDED);
        wait_for(host, &host->ended, 1);
        CHECK_CONTAINS(wrong_of(host), cases[i].wrong);
        close(socket);
        end_free(host);
    }
}

static void a_second_reply_ends_the_connection(void)
{
    struct end *host;
    struct caller caller;
    int socket;

    hostile(&host, &socket, true);
    caller_start(&caller, host, BERTH_FOREVER);
    uint64_t id = read_request(socket);
    struct bytes reply = frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id }, "one", 3);
    CHECK(write_all(socket, reply.data, reply.size));
    pthread_join(caller.thread, NULL);
    CHECK_INT(caller.code, BERTH_OK);
    CHECK_STR(caller.text, "one");
    CHECK_INT(count_of(host, &host->ended), 0);
    CHECK(write_all(socket, reply.data, reply.size));
    wait_for(host, &host->ended, 1);
    CHECK_CONTAINS(wrong_of(host), "reply to nothing");
    close(socket);
    end_free(host);
}

static void a_frame_may_come_in_single_bytes(void)
{
    struct end *host;
    struct caller caller;
    int socket;

    hostile(&host, &socket, false);
    caller_start(&caller, host, BERTH_FOREVER);
    uint64_t id = read_request(socket);
    struct bytes reply =
        frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id }, "slow", 4);
    for (size_t i = 0; i < reply.size; i++) {
        CHECK(write_all(socket, reply.data + i, 1));
        usleep(200);
    }
    pthread_join(caller.thread, NULL);
    CHECK_INT(caller.code, BERTH_OK);
    CHECK_STR(caller.text, "slow");
    close(socket);
    end_free(host);
}

/* Cut after every byte of a call under our own, a note, and the reply. */
static void the_connection_may_end_after_any_byte(void)
{
    size_t whole = SIZE_MAX;

    for (size_t cut = 0; cut <= whole; cut++) {
        struct end *host;
        struct caller caller;
        int socket;
        hostile(&host, &socket, cut % 2);
        caller_start(&caller, host, BERTH_FOREVER);
        uint64_t id = read_request(socket);
        struct bytes call = frame(
            (struct berth_wire){ .type = BERTH_WIRE_CALL, .id = 7, .under = id, .left = INT64_MAX },
            "abc", 3);
        struct bytes log = frame((struct berth_wire){ .type = BERTH_WIRE_LOG }, "log", 3);
        struct bytes reply =
            frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id }, "done", 4);
        unsigned char all[512];
        memcpy(all, call.data, call.size);
        memcpy(all + call.size, log.data, log.size);
        memcpy(all + call.size + log.size, reply.data, reply.size);
        whole = call.size + log.size + reply.size;
        CHECK(write_all(socket, all, cut));
        close(socket);
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, cut == whole ? BERTH_OK : BERTH_PEER_ENDED);
        CHECK_STR(wrong_of(host), "");
        end_free(host);
    }
}

static void silence_is_answered_by_the_deadline(void)
{
    struct end *host;
    struct caller caller;
    int socket;

    for (int running = 0; running < 2; running++) {
        hostile(&host, &socket, running);
        int64_t began = berth_now();
        caller_start(&caller, host, began + 50 * MS);
        CHECK(write_all(socket, "bth1", 4)); /* even if it has begun to speak */
        pthread_join(caller.thread, NULL);
        CHECK_INT(caller.code, BERTH_PEER_EXPIRED);
        CHECK(berth_now() - began >= 50 * MS && berth_now() - began < berth_test_patience());
        close(socket);
        end_free(host);
    }
}

/*
 * A thread whose deadline has passed tells that it waits no more, and meanwhile another one reads
 * its reply: that is not lost, nor what it lies in.
 */
static void a_reply_may_come_while_its_thread_leaves(void)
{
    static union block block;
    struct end *host;
    struct caller reader, caller;
    int socket;

    block_init(&block);
    hostile(&host, &socket, true);
    host->finds = true;
    caller_start(&reader, host, BERTH_FOREVER);
    read_request(socket);
    for (int64_t time = 100 * MS; count_of(host, &host->found) == 0; time *= 2) {
        caller = (struct caller){ .end = host, .deadline = berth_now() + time, .ctx = &block.self };
        REQUIRE(pthread_create(&caller.thread, NULL, caller_main, &caller) == 0);
        uint64_t id = read_request(socket);
        struct bytes log = frame((struct berth_wire){ .type = BERTH_WIRE_LOG }, &id, sizeof(id));
        struct bytes reply =
            frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id }, "late", 4);
        size_t notes = count_of(host, &host->notes);
        CHECK(write_all(socket, log.data, log.size));
        wait_for(host, &host->notes, notes + 1);
        if (count_of(host, &host->found)) {
            wait_for(host, &host->left, 1);
            CHECK(write_all(socket, reply.data, reply.size));
            CHECK(write_all(socket, log.data, log.size)); /* it has come when this has */
            wait_for(host, &host->notes, notes + 2);
            release(host);
        }
        pthread_join(caller.thread, NULL);
    }
    CHECK_INT(caller.code, BERTH_OK);
    CHECK_STR(caller.text, "late");
    close(socket);
    pthread_join(reader.thread, NULL);
    CHECK_INT(reader.code, BERTH_PEER_ENDED);
    end_free(host);
}

static void *flood_main(void *argument)
{
    int socket = *(int *)argument;
    struct bytes log = frame((struct berth_wire){ .type = BERTH_WIRE_LOG }, "noise", 5);

    while (send(socket, log.data, log.size, MSG_NOSIGNAL) >= 0 || errno == EAGAIN)
        ;
    return NULL;
}

static void noise_does_not_hide_the_deadline(void)
{
    struct end *host;
    struct caller caller;
    pthread_t thread;
    int socket;

    hostile(&host, &socket, false);
    REQUIRE(pthread_create(&thread, NULL, flood_main, &socket) == 0);
    /* A slow machine may hear nothing in so short a time. */
    for (int64_t time = 50 * MS; host->notes == 0; time *= 2) {
        int64_t began = berth_now();
        caller_start(&caller, host, began + time);
        pthread_join(caller.thread, NULL);
        REQUIRE(caller.code == BERTH_PEER_EXPIRED);
        CHECK(berth_now() - began < time + berth_test_patience());
    }
    shutdown(socket, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(socket);
    end_free(host);
}

static void an_end_that_answers_nothing_is_bounded(void)
{
    struct end *host;
    struct berth_received *reply;
    struct berth_error error;
    int socket, code = 0, sent = 0;
    char *data = berth_test_alloc(MAX_MESSAGE);

    hostile(&host, &socket, false);
    /* The socket takes some; what was not sent at all is taken back at the deadline. */
    for (int calls = 0; calls < 1000 && code != BERTH_RESOURCE_EXHAUSTED; calls++)
        code = ask(host, BERTH_WIRE_INVOKE, ECHO, "", 0, berth_now() + 30000, NULL, &reply, &error);
    CHECK_INT(code, BERTH_PEER_EXPIRED);
    for (int i = 0; i < 20; i++) {
        code = ask(host, BERTH_WIRE_INVOKE, ECHO, data, MAX_MESSAGE, berth_now() + 30000, NULL,
                   &reply, &error);
        CHECK_INT(code, BERTH_PEER_EXPIRED);
    }
    close(socket);
    end_free(host);

    /* One that reads, but answers nothing. What is too late to be sent does not count. */
    hostile(&host, &socket, false);
    for (int64_t time = 30000; sent <= BERTH_PEER_REQUESTS;) {
        code = ask(host, BERTH_WIRE_INVOKE, ECHO, "", 0, berth_now() + time, NULL, &reply, &error);
        if (code != BERTH_PEER_EXPIRED)
            break;
        bool came = false;
        while (recv(socket, data, MAX_MESSAGE, 0) > 0)
            came = true;
        sent += came;
        time = came ? 30000 : 2 * time;
    }
    CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "4096 calls");
    CHECK_INT(sent, BERTH_PEER_REQUESTS);
    close(socket);
    end_free(host);
}

static void one_that_asks_and_does_not_listen_is_bounded(void)
{
    struct bytes call = frame(
        (struct berth_wire){ .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .index = LARGE },
        "", 0);
    struct end *host;
    int socket, sent = 0;

    hostile(&host, &socket, true);
    host->run_jobs = true;
    while (sent < 3 * BERTH_PEER_REQUESTS && count_of(host, &host->ended) == 0 &&
           write_all(socket, call.data, call.size))
        sent++;
    wait_for(host, &host->ended, 1);
    CHECK_CONTAINS(wrong_of(host), "too many requests");
    CHECK(sent >= BERTH_PEER_REQUESTS);
    close(socket);
    end_free(host);
}

/*
 * Good frames with random bytes changed, cut and repeated: nothing but an orderly end may come of
 * it.
 */
static void noise_of_every_kind(void)
{
    int rounds = berth_test_instrumented() ? 100 : 400;

    for (int round = 0; round < rounds; round++) {
        struct end *host;
        struct caller caller;
        int socket;
        unsigned char all[4096];
        size_t size = 0;
        hostile(&host, &socket, round % 2);
        release(host); /* noise may ask for what is held */
        uint64_t id = caller_start_briefly(&caller, host, socket);
        while (size < 1000) {
            struct berth_wire wire = { .type = (uint16_t)(1 + berth_test_random_below(8)),
                                       .code = (uint32_t)berth_test_random_below(2),
                                       .id = berth_test_random_below(3) ? id : 5,
                                       .index = (uint32_t)berth_test_random_below(6) };
            if (wire.type == BERTH_WIRE_CALL && berth_test_random_below(2))
                wire.under = id;
            if (wire.type == BERTH_WIRE_CALL)
                wire.code = 0;
            if (wire.type == BERTH_WIRE_LOG)
                wire = (struct berth_wire){ .type = BERTH_WIRE_LOG };
            struct bytes one =
                frame(wire, "0\0some data of some length", berth_test_random_below(24));
            memcpy(all + size, one.data, one.size);
            size += one.size;
        }
        for (uint64_t i = berth_test_random_below(4); i > 0; i--)
            all[berth_test_random_below(size)] = (unsigned char)berth_test_random();
        write_all(socket, all, berth_test_random_below(size));
        if (berth_test_random_below(2))
            close(socket);
        pthread_join(caller.thread, NULL);
        CHECK(caller.code == BERTH_PEER_ENDED || caller.code == BERTH_PEER_EXPIRED ||
              (caller.code >= 0 && caller.code <= 16));
        end_free(host);
        close(socket);
    }
}

static const struct berth_test tests[] = {
    { "answers_of_every_size", answers_of_every_size },
    { "errors_come_with_their_words", errors_come_with_their_words },
    { "nested_calls_stay_on_their_threads", nested_calls_stay_on_their_threads },
    { "works_when_nobody_runs_the_loop", works_when_nobody_runs_the_loop },
    { "many_threads_in_both_directions", many_threads_in_both_directions },
    { "many_threads_without_a_loop", many_threads_without_a_loop },
    { "both_send_at_once", both_send_at_once },
    { "a_deadline_is_kept_and_the_late_reply_dropped",
      a_deadline_is_kept_and_the_late_reply_dropped },
    { "a_request_may_be_seen_through", a_request_may_be_seen_through },
    { "notes_come_before_the_reply", notes_come_before_the_reply },
    { "the_end_is_told_to_all_who_wait", the_end_is_told_to_all_who_wait },
    { "closing_waits_for_what_is_served", closing_waits_for_what_is_served },
    { "held_work_does_nothing_after_the_end", held_work_does_nothing_after_the_end },
    { "finish_lets_the_queue_go_first", finish_lets_the_queue_go_first },
    { "each_lie_ends_the_connection", each_lie_ends_the_connection },
    { "windows_are_kept_to", windows_are_kept_to },
    { "a_good_frame_behind_it_excuses_no_lie", a_good_frame_behind_it_excuses_no_lie },
    { "other_bytes_end_the_connection", other_bytes_end_the_connection },
    { "a_second_reply_ends_the_connection", a_second_reply_ends_the_connection },
    { "a_frame_may_come_in_single_bytes", a_frame_may_come_in_single_bytes },
    { "the_connection_may_end_after_any_byte", the_connection_may_end_after_any_byte },
    { "silence_is_answered_by_the_deadline", silence_is_answered_by_the_deadline },
    { "a_reply_may_come_while_its_thread_leaves", a_reply_may_come_while_its_thread_leaves },
    { "noise_does_not_hide_the_deadline", noise_does_not_hide_the_deadline },
    { "an_end_that_answers_nothing_is_bounded", an_end_that_answers_nothing_is_bounded },
    { "one_that_asks_and_does_not_listen_is_bounded",
      one_that_asks_and_does_not_listen_is_bounded },
    { "noise_of_every_kind", noise_of_every_kind },
};

int main(int argc, char **argv)
{
    return berth_suite_main("peer", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
