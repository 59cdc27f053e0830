/* SPDX-License-Identifier: MIT */
/* pubsub-fanout: deliveries per second from one publisher to all members of a tag. A round looks
 * the members up and sends each a message of its own; the last one answers, which starts the next
 * round, so mailboxes stay short. Subscribers count what they received. p50 and p99 are of rounds.
 *
 * An answer from each subscriber would double the messages, and a common counter would couple the
 * cores; both would measure something else. */
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "bench.h"

enum { MESSAGE_BYTES = 16 };
enum { PLAIN = 1, ANSWER = 2 }; /* first byte: the answer is wanted */
static const char topic[] = "topic";

struct subscriber {
    BENCH_OWN_LINE struct bench *bench;
    _Atomic uint64_t received; /* written by the subscriber, read at the end of a phase */
    _Atomic bool joined;
};

struct publisher {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid *members;
    uint64_t began_ns; /* the round; 0 = none yet */
    struct bench_latency latency;
};

/* ---- subscribers ---- */

static void join(rusm_proc *self, struct subscriber *subscriber) {
    bench_check(rusm_proc_join(self, topic, sizeof(topic) - 1), "join");
    atomic_store_explicit(&subscriber->joined, true, memory_order_relaxed);
}

static void take_one(struct subscriber *subscriber, rusm_msg *msg) {
    /* relaxed: one writer, and the reader needs no order */
    uint64_t received = atomic_load_explicit(&subscriber->received, memory_order_relaxed);
    atomic_store_explicit(&subscriber->received, received + 1, memory_order_relaxed);
    if (rusm_msg_data(msg)[0] != ANSWER) {
        rusm_msg_free(msg);
    } else if (rusm_msg_send(subscriber->bench->rt, rusm_msg_from(msg), msg) != RUSM_OK) {
        rusm_msg_free(msg); /* the phase is over and the publisher has ended */
    }
}

static rusm_step subscriber_step(rusm_proc *self, void *body) {
    struct subscriber *subscriber = body;
    rusm_msg *msg;
    if (!atomic_load_explicit(&subscriber->joined, memory_order_relaxed)) {
        join(self, subscriber);
    }
    while ((msg = rusm_proc_receive(self)) != NULL) {
        take_one(subscriber, msg);
    }
    return RUSM_STEP_WAIT;
}

static void subscriber_main(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    join(self, arg);
    while (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_OK) {
        take_one(arg, msg);
    }
}

static const struct bench_body subscriber_body = {
    .ops = {.name = "subscriber", .step = subscriber_step}, .main = subscriber_main};

/* ---- the publisher ---- */

static void publish(struct publisher *publisher) {
    struct bench *bench = publisher->bench;
    publisher->began_ns = rusm_now_ns();
    size_t count = rusm_tag_whereis(bench->rt, topic, sizeof(topic) - 1, publisher->members,
                                    (size_t)bench->size);
    for (size_t i = 0; i < count; i++) {
        rusm_msg *msg;
        bench_check(rusm_msg_new(MESSAGE_BYTES, &msg), "message");
        memset(rusm_msg_data(msg), i + 1 == count ? ANSWER : PLAIN, MESSAGE_BYTES);
        bench_check(rusm_msg_send(bench->rt, publisher->members[i], msg), "send");
    }
}

static void take_answer(struct publisher *publisher, rusm_msg *msg) {
    bench_latency_add(&publisher->latency, rusm_now_ns() - publisher->began_ns);
    rusm_msg_free(msg);
}

static rusm_step publisher_step(rusm_proc *self, void *body) {
    struct publisher *publisher = body;
    rusm_msg *msg = publisher->began_ns ? rusm_proc_receive(self) : NULL;
    if (publisher->began_ns && !msg) {
        return RUSM_STEP_WAIT;
    }
    if (msg) {
        take_answer(publisher, msg);
    }
    if (bench_is_over(publisher->bench)) {
        return RUSM_STEP_EXIT;
    }
    publish(publisher);
    return RUSM_STEP_WAIT;
}

static void publisher_main(rusm_proc *self, void *arg) {
    struct publisher *publisher = arg;
    while (!bench_is_over(publisher->bench)) {
        rusm_msg *msg;
        publish(publisher);
        bench_check(rusm_receive(self, RUSM_FOREVER, &msg), "receive");
        take_answer(publisher, msg);
    }
}

static const struct bench_body publisher_body = {
    .ops = {.name = "publisher", .step = publisher_step}, .main = publisher_main};

/* ---- the scenario ---- */

static struct subscriber *subscribe_all(struct bench *bench) {
    struct subscriber *subscribers = bench_alloc(bench->size, sizeof(*subscribers));
    for (uint64_t i = 0; i < bench->size; i++) {
        subscribers[i].bench = bench;
        bench_spawn(bench, &subscriber_body, &subscribers[i], 0);
    }
    while (rusm_tag_whereis(bench->rt, topic, sizeof(topic) - 1, NULL, 0) < bench->size) {
        bench_sleep(1e-3);
    }
    return subscribers;
}

static uint64_t total(const struct bench *bench, const struct subscriber *subscribers) {
    uint64_t received = 0;
    for (uint64_t i = 0; i < bench->size; i++) {
        received += atomic_load_explicit(&subscribers[i].received, memory_order_relaxed);
    }
    return received;
}

static void start(struct bench *bench, void *arg) {
    struct publisher *publisher = arg;
    publisher->began_ns = 0;
    publisher->latency = (struct bench_latency){0};
    bench_spawn(bench, &publisher_body, publisher, 0);
}

static void run(struct bench *bench) {
    struct subscriber *subscribers = subscribe_all(bench);
    struct publisher *publisher = bench_alloc(1, sizeof(*publisher));
    publisher->bench = bench;
    publisher->members = bench_alloc(bench->size, sizeof(*publisher->members));
    bench_phase(bench, bench->seconds / 4, start, publisher);
    uint64_t before = total(bench, subscribers);
    struct bench_span span = bench_phase(bench, bench->seconds, start, publisher);
    bench_report_rate(bench, (double)(total(bench, subscribers) - before), span, "deliveries/s",
                      &publisher->latency, 0);
    rusm_tag_kill(bench->rt, topic, sizeof(topic) - 1); /* before their counters go */
    bench_wait_processes(bench, 0);
    free(publisher->members);
    free(publisher);
    free(subscribers);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "pubsub-fanout", .size_name = "subscribers", .size = 10000, .run = run});
}
