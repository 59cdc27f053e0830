/* SPDX-License-Identifier: MIT */
/* fanin: messages per second that one process receives from many senders. Its mailbox is bounded; a
 * sender that is refused sleeps for a moment and tries again, so memory stays bounded too. What is
 * counted is what was received. */
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "bench.h"

enum { MESSAGE_BYTES = 16, MAILBOX = 65536, TURN = 256 };
static const uint64_t PAUSE_NS = 1000000;

struct receiver {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid pid;
    uint64_t senders; /* that still run */
    uint64_t received;
};

struct sender {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid receiver;
    rusm_msg *refused; /* the message that is to be sent next, or NULL */
};

struct fanin {
    struct receiver receiver;
    struct sender *senders;
};

/* ---- the receiver: an empty message is a sender's last one ---- */

static bool take_one(struct receiver *receiver, rusm_msg *msg) {
    if (rusm_msg_len(msg) == 0) {
        receiver->senders--;
    } else {
        receiver->received++;
    }
    rusm_msg_free(msg);
    return receiver->senders > 0;
}

static rusm_step receiver_step(rusm_proc *self, void *body) {
    for (unsigned i = 0; i < TURN; i++) {
        rusm_msg *msg = rusm_proc_receive(self);
        if (!msg) {
            return RUSM_STEP_WAIT;
        }
        if (!take_one(body, msg)) {
            return RUSM_STEP_EXIT;
        }
    }
    return RUSM_STEP_AGAIN;
}

static void receiver_main(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    do {
        bench_check(rusm_yield(self), "yield");
        bench_check(rusm_receive(self, RUSM_FOREVER, &msg), "receive");
    } while (take_one(arg, msg));
}

static const struct bench_body receiver = {
    .ops = {.name = "receiver", .step = receiver_step}, .main = receiver_main, .mailbox = MAILBOX};

/* ---- senders ---- */

/* False: refused, try again later. */
static bool send_one(struct sender *sender, size_t len) {
    rusm_msg *msg = sender->refused;
    if (!msg) {
        bench_check(rusm_msg_new(len, &msg), "message");
        memset(rusm_msg_data(msg), 1, len);
    }
    int status = rusm_msg_send(sender->bench->rt, sender->receiver, msg);
    sender->refused = status == RUSM_EFULL ? msg : NULL;
    if (status != RUSM_EFULL) {
        bench_check(status, "send");
    }
    return status == RUSM_OK;
}

static rusm_step pause_step(rusm_proc *self) {
    bench_check(rusm_proc_wake_at(self, rusm_now_ns() + PAUSE_NS), "timer");
    return RUSM_STEP_WAIT;
}

static rusm_step sender_step(rusm_proc *self, void *body) {
    struct sender *sender = body;
    if (bench_is_over(sender->bench) && !sender->refused) {
        return send_one(sender, 0) ? RUSM_STEP_EXIT : pause_step(self);
    }
    for (unsigned i = 0; i < TURN; i++) {
        bool last = sender->refused && rusm_msg_len(sender->refused) == 0;
        if (!send_one(sender, MESSAGE_BYTES)) {
            return pause_step(self);
        }
        if (last) {
            return RUSM_STEP_EXIT;
        }
    }
    return RUSM_STEP_AGAIN;
}

static void send_or_sleep(rusm_proc *self, struct sender *sender, size_t len) {
    while (!send_one(sender, len)) {
        bench_check(rusm_sleep_until(self, rusm_now_ns() + PAUSE_NS), "sleep");
    }
}

static void sender_main(rusm_proc *self, void *arg) {
    struct sender *sender = arg;
    while (!bench_is_over(sender->bench)) {
        bench_check(rusm_yield(self), "yield");
        send_or_sleep(self, sender, MESSAGE_BYTES);
    }
    send_or_sleep(self, sender, 0);
}

static const struct bench_body sender = {.ops = {.name = "sender", .step = sender_step},
                                         .main = sender_main};

/* ---- the scenario ---- */

static void start(struct bench *bench, void *arg) {
    struct fanin *fanin = arg;
    fanin->receiver = (struct receiver){.bench = bench, .senders = bench->size};
    fanin->receiver.pid = bench_spawn(bench, &receiver, &fanin->receiver, 0);
    for (uint64_t i = 0; i < bench->size; i++) {
        fanin->senders[i] = (struct sender){.bench = bench, .receiver = fanin->receiver.pid};
        bench_spawn(bench, &sender, &fanin->senders[i], 0);
    }
}

static void run(struct bench *bench) {
    struct fanin fanin = {.senders = bench_alloc(bench->size, sizeof(struct sender))};
    struct bench_span span = bench_measure(bench, start, &fanin);
    bench_report_rate(bench, (double)fanin.receiver.received, span, "messages/s", NULL,
                      bench_rss_peak());
    free(fanin.senders);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){.name = "fanin", .size_name = "senders", .size = 64, .run = run});
}
