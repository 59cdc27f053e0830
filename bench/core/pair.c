/* SPDX-License-Identifier: MIT */
/* The ping makes a new message for every round and frees the answer; the pong sends back what it
 * got. */
#include "pair.h"

#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

enum { MESSAGE_BYTES = 8 };

/* ---- pong ---- */

static void send_back(rusm_proc *self, rusm_msg *msg) {
    if (rusm_msg_send(rusm_proc_runtime(self), rusm_msg_from(msg), msg) != RUSM_OK) {
        rusm_msg_free(msg); /* the ping has ended */
    }
}

static rusm_step pong_step(rusm_proc *self, void *body) {
    rusm_msg *msg;
    (void)body;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        send_back(self, msg);
    }
    return RUSM_STEP_WAIT;
}

static void pong_main(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    (void)arg;
    while (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_OK) {
        send_back(self, msg);
    }
}

static const struct bench_body pong = {.ops = {.name = "pong", .step = pong_step},
                                       .main = pong_main};

/* ---- ping ---- */

static void send_one(struct pair *pair) {
    rusm_msg *msg;
    pair->sampled = pair->rounds % pair->one_in == 0 ? rusm_now_ns() : 0;
    bench_check(rusm_msg_new(MESSAGE_BYTES, &msg), "message");
    memcpy(rusm_msg_data(msg), &pair->rounds, MESSAGE_BYTES);
    bench_check(rusm_msg_send(pair->bench->rt, pair->pong, msg), "send");
}

static void take_one(struct pair *pair, rusm_msg *msg) {
    rusm_msg_free(msg);
    pair->rounds++;
    if (pair->sampled) {
        bench_latency_add(&pair->latency, rusm_now_ns() - pair->sampled);
    }
}

static bool end_if_over(struct pair *pair) {
    if (!bench_is_over(pair->bench)) {
        return false;
    }
    rusm_pid_kill(pair->bench->rt, pair->pong);
    return true;
}

static rusm_step ping_step(rusm_proc *self, void *body) {
    struct pair *pair = body;
    if (!pair->pong) {
        pair->pong = bench_spawn(pair->bench, &pong, NULL, 0);
        send_one(pair);
    }
    rusm_msg *msg = rusm_proc_receive(self);
    if (!msg) {
        return RUSM_STEP_WAIT;
    }
    take_one(pair, msg);
    if (end_if_over(pair)) {
        return RUSM_STEP_EXIT;
    }
    send_one(pair);
    return RUSM_STEP_WAIT;
}

static void ping_main(rusm_proc *self, void *arg) {
    struct pair *pair = arg;
    rusm_msg *msg;
    pair->pong = bench_spawn(pair->bench, &pong, NULL, 0);
    do {
        send_one(pair);
        bench_check(rusm_receive(self, RUSM_FOREVER, &msg), "receive");
        take_one(pair, msg);
    } while (!end_if_over(pair));
}

static const struct bench_body ping = {.ops = {.name = "ping", .step = ping_step},
                                       .main = ping_main};

/* ---- pairs ---- */

struct pairs pairs_new(struct bench *bench, uint64_t count, uint32_t one_in) {
    struct pairs pairs = {.pair = bench_alloc(count, sizeof(struct pair)), .count = count};
    for (uint64_t i = 0; i < count; i++) {
        pairs.pair[i].bench = bench;
        pairs.pair[i].one_in = one_in;
    }
    return pairs;
}

void pairs_free(struct pairs *pairs) {
    free(pairs->pair);
}

void pairs_start(struct bench *bench, void *arg) {
    struct pairs *pairs = arg;
    for (uint64_t i = 0; i < pairs->count; i++) {
        pairs->pair[i].pong = 0;
        bench_spawn(bench, &ping, &pairs->pair[i], 0);
    }
}

uint64_t pairs_collect(struct pairs *pairs, struct bench_latency *latency) {
    uint64_t rounds = 0;
    for (uint64_t i = 0; i < pairs->count; i++) {
        struct pair *pair = &pairs->pair[i];
        rounds += pair->rounds;
        bench_latency_merge(latency, &pair->latency);
        pair->rounds = 0;
        memset(&pair->latency, 0, sizeof(pair->latency));
    }
    return 2 * rounds;
}
