/* SPDX-License-Identifier: MIT */
/* Every message is accounted for: sent = received + dropped with the dead, and what was refused is
 * what the senders were told. Senders are processes and plain threads; receivers have small
 * mailboxes, are slow at times, set mail aside, and die with mail waiting.
 *
 * The oracle misses messages that are swapped between receivers; each names its receiver for that.
 */
#include "stress.h"

enum { PLACES = 60, SENDING_PROCESSES = 8, SENDING_THREADS = 3 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic rusm_pid places[PLACES];
static _Atomic uint64_t sent, full, gone, received, strays, failures;

struct letter {
    rusm_pid to;
    uint64_t number;
};

/* ---- receivers ---- */

struct receiver {
    struct rusm__random random;
    uint32_t place;
};

static bool start_receiver(uint32_t place, uint64_t seed);

static void take(rusm_proc *self, struct receiver *receiver, rusm_msg *msg) {
    struct letter letter;
    if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA || rusm_msg_len(msg) < sizeof(letter)) {
        atomic_fetch_add(&strays, 1);
        rusm_msg_free(msg);
        return;
    }
    memcpy(&letter, rusm_msg_data(msg), sizeof(letter));
    atomic_fetch_add(&strays, letter.to != rusm_proc_pid(self));
    atomic_fetch_add(&received, 1);
    if (rusm__random_below(&receiver->random, 16) == 0) { /* aside and back: still the same one */
        rusm_proc_stash(self, msg);
        rusm_proc_unstash(self);
        rusm_msg *same = rusm_proc_receive(self);
        atomic_fetch_add(&strays, same != msg);
    }
    rusm_msg_free(msg);
}

static rusm_step receive(rusm_proc *self, void *body) {
    struct receiver *receiver = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        take(self, receiver, msg);
        uint32_t mood = rusm__random_below(&receiver->random, 400);
        if (mood == 0 && rusm_now_ns() < end_ns) { /* dies with mail waiting */
            if (!start_receiver(receiver->place, rusm__random_u64(&receiver->random))) {
                atomic_fetch_add(&failures, 1);
            }
            return RUSM_STEP_EXIT;
        }
        if (mood < 20) {
            return RUSM_STEP_AGAIN; /* lets mail pile up */
        }
    }
    return RUSM_STEP_WAIT;
}

static void free_receiver(void *body) {
    free(body);
}

static bool start_receiver(uint32_t place, uint64_t seed) {
    static const rusm_body_ops ops = {.name = "receiver", .step = receive, .drop = free_receiver};
    struct receiver *body = malloc(sizeof(*body));
    body->place = place;
    rusm__random_seed(&body->random, seed);
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &ops,
                                  .body = body,
                                  .mailbox_messages = 20 + place,
                                  .mailbox_bytes = 6000};
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
    uint64_t number;
};

static void send_one(struct sender *sender) {
    struct letter letter = {.to = atomic_load(&places[rusm__random_below(&sender->random, PLACES)]),
                            .number = sender->number++};
    rusm_msg *msg;
    size_t len = sizeof(letter) + rusm__random_below(&sender->random, 300);
    if (rusm_msg_new(len, &msg) != RUSM_OK) {
        atomic_fetch_add(&failures, 1);
        return;
    }
    memcpy(rusm_msg_data(msg), &letter, sizeof(letter));
    int status = rusm_msg_send(rt, letter.to, msg);
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    atomic_fetch_add(status == RUSM_OK        ? &sent
                     : status == RUSM_EFULL   ? &full
                     : status == RUSM_ENOPROC ? &gone
                                              : &failures,
                     1);
}

static rusm_step send_some(rusm_proc *self, void *body) {
    (void)self;
    for (unsigned i = 0; i < 30; i++) {
        send_one(body);
    }
    return rusm_now_ns() < end_ns ? RUSM_STEP_AGAIN : RUSM_STEP_EXIT;
}

static void *send_until_the_end(void *body) {
    while (rusm_now_ns() < end_ns) {
        send_one(body);
        sched_yield();
    }
    return NULL;
}

static void messages_are_all_accounted_for(void **state) {
    static const rusm_body_ops ops = {.name = "sender", .step = send_some};
    static struct sender senders[SENDING_PROCESSES + SENDING_THREADS];
    pthread_t threads[SENDING_THREADS];
    uint64_t seed = stress_seed();
    (void)state;
    rt = stress_start(0);
    end_ns = stress_end_ns();
    for (uint32_t i = 0; i < PLACES; i++) {
        assert_true(start_receiver(i, seed + i));
    }
    for (unsigned i = 0; i < SENDING_PROCESSES + SENDING_THREADS; i++) {
        rusm__random_seed(&senders[i].random, seed + 1000 + i);
    }
    for (unsigned i = 0; i < SENDING_PROCESSES; i++) {
        rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &senders[i]};
        rusm_pid pid;
        assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    }
    for (unsigned i = 0; i < SENDING_THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, send_until_the_end, &senders[SENDING_PROCESSES + i]),
            0);
    }
    for (unsigned i = 0; i < SENDING_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == PLACES); /* the senders are done */
    WAIT_FOR(stress_kill_all(rt));
    /* The last one is counted before its mail is: wait for the sum, then look at it again. */
    WAIT_FOR(stats_of(rt).sent == atomic_load(&received) + stats_of(rt).dropped);
    rusm_runtime_stats stats = stats_of(rt);
    printf("sent %llu, received %llu, dropped %llu, refused %llu, to the dead %llu\n",
           (unsigned long long)stats.sent, (unsigned long long)atomic_load(&received),
           (unsigned long long)stats.dropped, (unsigned long long)stats.refused,
           (unsigned long long)atomic_load(&gone));
    assert_true(stats.sent == atomic_load(&sent));
    assert_true(stats.refused == atomic_load(&full));
    assert_true(atomic_load(&strays) == 0);
    assert_true(atomic_load(&failures) == 0);
    assert_true(stats.sent > 1000 && stats.refused > 0 && stats.dropped > 0);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_all_accounted_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
