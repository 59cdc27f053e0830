/* SPDX-License-Identifier: MIT */
/* Mailboxes of every policy with 64 senders: fibers that wait for room, other bodies that are
 * woken when there is some, and plain sends; senders are killed while they wait, receivers die
 * with senders waiting. Every message is accounted for, no sender is left waiting, and what one
 * sender sent to one receiver arrives in order.
 *
 * The oracle misses which message was displaced; the unit tests look at that. */
#include "stress.h"

#include "rusm/fiber.h"

enum { PLACES = 12, SENDERS = 64, TEXT = 40 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic rusm_pid places[PLACES];
static _Atomic uint64_t sent, received, strays, failures, waits;
static _Atomic uint32_t senders_alive;

struct letter {
    rusm_pid to;
    uint32_t sender; /* a number of its own for every life of a sender */
    uint32_t number;
};

/* ---- receivers ---- */

enum { LIVES = 1 << 16 };

struct receiver {
    struct rusm__random random;
    uint32_t place;
    uint32_t last[LIVES]; /* by sender: the number of its last letter and one */
};

static bool start_receiver(uint32_t place, uint64_t seed);

static void take(rusm_proc *self, struct receiver *receiver, rusm_msg *msg) {
    struct letter letter;
    memcpy(&letter, rusm_msg_data(msg), sizeof(letter));
    uint32_t *last = &receiver->last[letter.sender % LIVES];
    atomic_fetch_add(&strays, letter.to != rusm_proc_pid(self) || letter.number < *last);
    *last = letter.number + 1;
    atomic_fetch_add(&received, 1);
    rusm_msg_free(msg);
}

static rusm_step receive(rusm_proc *self, void *body) {
    struct receiver *receiver = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        take(self, receiver, msg);
        uint32_t mood = rusm__random_below(&receiver->random, 3000);
        if (mood == 0 && rusm_now_ns() < end_ns) { /* dies with mail, and senders, waiting */
            return RUSM_STEP_EXIT;
        }
        if (mood < 300) {
            return RUSM_STEP_AGAIN; /* lets mail pile up */
        }
    }
    return RUSM_STEP_WAIT;
}

static void replace_receiver(void *body) {
    struct receiver *receiver = body;
    if (rusm_now_ns() < end_ns &&
        !start_receiver(receiver->place, rusm__random_u64(&receiver->random))) {
        atomic_fetch_add(&failures, 1);
    }
    free(receiver);
}

static bool start_receiver(uint32_t place, uint64_t seed) {
    static const rusm_body_ops ops = {
        .name = "receiver", .step = receive, .drop = replace_receiver};
    struct receiver *body = calloc(1, sizeof(*body));
    body->place = place;
    rusm__random_seed(&body->random, seed);
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &ops,
                                  .body = body,
                                  .mailbox_messages = 1 + place,
                                  .mailbox_bytes = 1000,
                                  .mailbox_policy = (rusm_mailbox_policy)(1 + place % 4)};
    rusm_pid pid;
    int status = rusm_proc_spawn(rt, &options, &pid);
    if (status != RUSM_OK) {
        free(body);
        return false;
    }
    atomic_store(&places[place], pid);
    return true;
}

/* ---- senders ---- */

struct sender {
    struct rusm__random random;
    uint32_t place;
    uint32_t life;
    uint32_t number;
};

static void start_sender(uint32_t place, uint64_t seed);
static _Atomic uint32_t lives;

static rusm_msg *write_letter(struct sender *sender, rusm_pid *out_to) {
    struct letter letter = {.to = atomic_load(&places[rusm__random_below(&sender->random, PLACES)]),
                            .sender = sender->life,
                            .number = sender->number++};
    rusm_msg *msg;
    size_t len = sizeof(letter) + rusm__random_below(&sender->random, TEXT);
    if (rusm_msg_new(len, &msg) != RUSM_OK) {
        atomic_fetch_add(&failures, 1);
        return NULL;
    }
    memcpy(rusm_msg_data(msg), &letter, sizeof(letter));
    *out_to = letter.to;
    return msg;
}

static void note(int status, rusm_msg *msg) {
    switch (status) {
    case RUSM_OK:
        atomic_fetch_add(&sent, 1);
        return;
    case RUSM_EAGAIN:
        atomic_fetch_add(&waits, 1);
        return;
    case RUSM_EFULL:
    case RUSM_ENOPROC:
    case RUSM_ETIMEDOUT:
    case RUSM_EEXITING:
        break;
    default:
        atomic_fetch_add(&failures, 1);
    }
    rusm_msg_free(msg);
}

static int send_in_some_way(rusm_proc *self, struct sender *sender, rusm_pid to, rusm_msg *msg) {
    uint32_t way = rusm__random_below(&sender->random, 8);
    uint64_t now = rusm_now_ns();
    return way == 0   ? rusm_msg_send(rt, to, msg)
           : way == 1 ? rusm_send(self, to, msg, now + 20000)
           : way == 2 ? rusm_send(self, to, msg, 1)
                      : rusm_send(self, to, msg, RUSM_FOREVER);
}

static void send_as_fiber(rusm_proc *self, void *arg) {
    struct sender *sender = arg;
    int status = RUSM_OK;
    while (rusm_now_ns() < end_ns && status != RUSM_EEXITING) {
        rusm_pid to;
        rusm_msg *msg = write_letter(sender, &to);
        if (!msg) {
            return;
        }
        status = send_in_some_way(self, sender, to, msg);
        note(status, msg);
        if (status == RUSM_OK) {
            status = rusm_yield(self);
        }
    }
}

static rusm_step send_as_machine(rusm_proc *self, void *body) {
    struct sender *sender = body;
    rusm_msg *back;
    int status = rusm_proc_send_result(self, &back);
    rusm_msg_free(back);
    if (status == RUSM_EAGAIN) {
        return RUSM_STEP_WAIT;
    }
    for (unsigned i = 0; i < 20 && status != RUSM_EAGAIN; i++) {
        rusm_pid to;
        rusm_msg *msg = write_letter(sender, &to);
        if (!msg) {
            return RUSM_STEP_EXIT;
        }
        status = rusm_proc_send(self, to, msg);
        note(status, msg);
    }
    if (rusm_now_ns() >= end_ns) {
        return RUSM_STEP_EXIT; /* with what waits */
    }
    return status == RUSM_EAGAIN ? RUSM_STEP_WAIT : RUSM_STEP_AGAIN;
}

static void replace_sender(void *body) {
    struct sender *sender = body;
    if (rusm_now_ns() < end_ns) {
        start_sender(sender->place, rusm__random_u64(&sender->random));
    }
    free(sender);
    atomic_fetch_sub(&senders_alive, 1);
}

static _Atomic rusm_pid sender_pids[SENDERS];

static void start_sender(uint32_t place, uint64_t seed) {
    static const rusm_body_ops ops = {
        .name = "sender", .step = send_as_machine, .drop = replace_sender};
    struct sender *body = calloc(1, sizeof(*body));
    rusm_pid pid;
    rusm__random_seed(&body->random, seed);
    body->place = place;
    body->life = atomic_fetch_add(&lives, 1);
    rusm_fiber_options fiber = {
        .size = sizeof(fiber), .main = send_as_fiber, .arg = body, .drop = replace_sender};
    rusm_spawn_options machine = {.size = sizeof(machine), .ops = &ops, .body = body};
    atomic_fetch_add(&senders_alive, 1);
    int status =
        place % 3 ? rusm_fiber_spawn(rt, &fiber, &pid) : rusm_proc_spawn(rt, &machine, &pid);
    if (status != RUSM_OK) {
        atomic_fetch_add(&failures, 1);
        atomic_fetch_sub(&senders_alive, 1);
        free(body);
        return;
    }
    atomic_store(&sender_pids[place], pid);
}

static void policies_lose_nothing(void **state) {
    struct rusm__random random;
    uint64_t seed = stress_seed();
    (void)state;
    rt = stress_start(0);
    end_ns = stress_end_ns();
    rusm__random_seed(&random, seed);
    for (uint32_t i = 0; i < PLACES; i++) {
        assert_true(start_receiver(i, seed + i));
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        start_sender(i, seed + 1000 + i);
    }
    while (rusm_now_ns() < end_ns) { /* senders die wherever they are */
        nap_ms(3);
        rusm_pid_kill(rt, atomic_load(&sender_pids[rusm__random_below(&random, SENDERS)]));
    }
    /* The receivers live and take: nobody is left waiting, but those who wait for one that died at
     * the very end are told so. */
    WAIT_FOR(atomic_load(&senders_alive) == 0);
    WAIT_FOR(stress_kill_all(rt));
    WAIT_FOR(stats_of(rt).sent == atomic_load(&received) + stats_of(rt).dropped);
    rusm_runtime_stats stats = stats_of(rt);
    printf("sent %llu, received %llu, dropped %llu (displaced %llu), refused %llu, waited %llu, "
           "lives %u\n",
           (unsigned long long)stats.sent, (unsigned long long)atomic_load(&received),
           (unsigned long long)stats.dropped, (unsigned long long)stats.displaced,
           (unsigned long long)stats.refused, (unsigned long long)atomic_load(&waits),
           atomic_load(&lives));
    /* What waited was queued, withdrawn or given back. */
    assert_true(stats.sent >= atomic_load(&sent));
    assert_true(stats.sent <= atomic_load(&sent) + atomic_load(&waits));
    assert_true(atomic_load(&strays) == 0);
    assert_true(atomic_load(&failures) == 0);
    assert_true(atomic_load(&lives) < LIVES);
    assert_true(stats.displaced > 0 && stats.refused > 0 && atomic_load(&waits) > 0);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
