/* SPDX-License-Identifier: MIT */
/* kv.list of a large bucket leaves the scheduler to others, and its guest may end meanwhile. A gate
 * keeps such a list under way for as long as a test likes: the lister's first list has to be
 * entered among the readers of the store, and the test holds the lock of these. */
#include "stored.h"

#include <semaphore.h>

#include "hostcall/hostcall_impl.h"
#include "kv/kv_impl.h"

enum { KEYS = 5000 }; /* more than a scheduler looks at */

#define BATCH 1000

#define LIST     "(call $kv-list (i32.const 4096) (i32.const 2) (i32.const 1024))"
#define SAY_OK   "(call $say_u32 (i32.load8_u (i32.const 1024)))" /* 0: ok */
#define SAY_SIZE "(call $say_u32 (i32.load (i32.const 1032)))"
static void batch_done(void *arg, const struct rusm__kv_result *result) {
    assert_int_equal(result->code, RUSM_OK);
    sem_post(arg);
}

/* KEYS keys k0000 and so on in the bucket bk. */
static void fill(void) {
    static struct rusm__kv_change changes[BATCH];
    static char names[BATCH][8];
    sem_t done;
    assert_int_equal(sem_init(&done, 0, 0), 0);
    for (int first = 0; first < KEYS; first += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            snprintf(names[i], sizeof(names[i]), "k%04d", (first + i) % 10000);
            changes[i] = (struct rusm__kv_change){.bucket = {(const unsigned char *)"bk", 2},
                                                  .key = {(unsigned char *)names[i], 5}};
        }
        assert_int_equal(rusm__kv_batch(stored, changes, BATCH, batch_done, &done, NULL), RUSM_OK);
        while (sem_wait(&done) != 0)
            ;
    }
    sem_destroy(&done);
}

static int setup(void **state) {
    int code = stored_setup_with(state, (struct world_options){.schedulers = 1});
    fill();
    return code;
}

#define long_test(name) cmocka_unit_test_setup_teardown(name, setup, stored_teardown)

/* The scheduler's own reader is made, which needs the lock of the gate as well. */
static void warm(struct world *w) {
    rusm_pid pid =
        world_run(w, "warm",
                  RUN("(call $hello) (call $kv-exists (i32.const 4096) (i32.const 2)"
                      " (i32.const 4096) (i32.const 2) (i32.const 1024))" SAY_OK) DATA(4096, "bk"));
    world_expect_u64(w, 0);
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

static void close_gate(struct world *w) {
    warm(w);
    pthread_mutex_lock(&stored->readers_lock);
}

static void open_gate(void) {
    pthread_mutex_unlock(&stored->readers_lock);
}

/* Says 1, lists, and says what came of it. */
static struct rusm__component *lister_of(struct world *w, const struct rusm__profile *profile) {
    return world_guest_with(
        w, "lister",
        RUN("(call $hello) (call $say_u32 (i32.const 1))" LIST SAY_OK SAY_SIZE
            "(call $say (i32.load (i32.load (i32.const 1028))) (i32.const 5))"
            "(call $say (i32.load offset=39992 (i32.load (i32.const 1028))) (i32.const 5))")
            DATA(4096, "bk"),
        profile);
}

static rusm_pid begin_list(struct world *w, struct rusm__component *lister) {
    rusm_pid pid = world_start(w, lister);
    world_expect_u64(w, 1);
    return pid;
}

static void expect_list(struct world *w, rusm_pid pid) {
    world_expect_u64(w, 0);
    world_expect_u64(w, KEYS);
    world_expect(w, "k0000");
    world_expect(w, "k4999");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
}

/* ---- tests ---- */

static void a_long_list_has_every_key_in_order(void **state) {
    struct world *w = *state;
    struct rusm__component *lister = lister_of(w, &w->profile);
    for (int i = 0; i < 3; i++)
        expect_list(w, begin_list(w, lister));
}

/* On the one scheduler, a hundred turns of another guest between begin and end of the list. */
static void others_run_while_a_long_list_is_made(void **state) {
    struct world *w = *state;
    rusm_pid other =
        world_run(w, "other",
                  RUN("(call $hello) (loop $again (call $recv)"
                      " (call $say (global.get $ptr) (global.get $len)) (br $again))"));
    close_gate(w);
    rusm_pid pid = begin_list(w, lister_of(w, &w->profile));
    for (int turn = 0; turn < 100; turn++) {
        world_send_text(w, other, "turn");
        world_expect(w, "turn");
    }
    open_gate();
    expect_list(w, pid);
}

/* It does not wait for its list, and the next one is made all the same. */
static void a_guest_may_end_while_its_list_is_made(void **state) {
    struct world *w = *state;
    struct rusm__component *lister = lister_of(w, &w->profile);
    close_gate(w);
    rusm_pid victim = begin_list(w, lister);
    assert_true(rusm_pid_kill(w->runtime, victim));
    world_expect_end(w, victim, RUSM_EXIT_KILLED);
    rusm_pid pid = begin_list(w, lister);
    open_gate();
    expect_list(w, pid);
}

static void a_deadline_does_not_wait_for_the_list(void **state) {
    struct world *w = *state;
    struct rusm__profile hurried = world_profile("hurried");
    hurried.deadline_ms = 50;
    struct rusm__component *lister = lister_of(w, &hurried);
    close_gate(w);
    world_expect_crash(w, begin_list(w, lister), "deadline");
    open_gate();
}

/* ---- lists that nobody takes ---- */

static sem_t is_held, may_go;

static rusm_step hold_step(rusm_proc *self, void *body) {
    (void)self, (void)body;
    sem_post(&is_held);
    while (sem_wait(&may_go) != 0)
        ;
    return RUSM_STEP_EXIT;
}

static void hold_drop(void *body) {
    (void)body;
}

/* A process that keeps the one scheduler until may_go. */
static void hold_scheduler(struct world *w) {
    static const rusm_body_ops ops = {.name = "hold", .step = hold_step, .drop = hold_drop};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = w};
    rusm_pid pid;
    assert_int_equal(sem_init(&is_held, 0, 0), 0);
    assert_int_equal(sem_init(&may_go, 0, 0), 0);
    assert_int_equal(rusm_proc_spawn(w->runtime, &options, &pid), RUSM_OK);
    while (sem_wait(&is_held) != 0)
        ;
}

static uint64_t owed(struct rusm__store *store) {
    pthread_mutex_lock(&store->lock);
    uint64_t owed = store->owed;
    pthread_mutex_unlock(&store->lock);
    return owed;
}

/* So many, and so many ends of guests, in any order. */
static void expect_messages(struct world *w, int messages, int ends) {
    while (messages || ends) {
        rusm_msg *msg = world_next(w);
        bool is_end = rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
        if (is_end)
            assert_int_equal(rusm_msg_exit_kind(msg), RUSM_EXIT_NORMAL);
        ends -= is_end;
        messages -= !is_end;
        rusm_msg_free(msg);
    }
}

/* Two lists are under way and none can be taken: the second one is not made before the first one
 * is. */
static void lists_wait_until_those_before_are_taken(void **state) {
    struct world *w = *state;
    struct rusm__store *store = &w->hostcall->store;
    struct rusm__component *lister = lister_of(w, &w->profile);
    store->max_untaken_bytes = 1;
    close_gate(w);
    for (int i = 0; i < 2; i++)
        (void)begin_list(w, lister);
    WAIT_FOR(owed(store) == 2); /* the second one is on its way */
    hold_scheduler(w);
    open_gate();
    WAIT_FOR(owed(store) != 2);
    usleep(20000); /* a list takes one or two milliseconds */
    uint64_t still_owed = owed(store);
    sem_post(&may_go);
    assert_int_equal(still_owed, 1);
    expect_messages(w, 8, 2);
    assert_int_equal(store->untaken_bytes, 0);
}

/* ---- the node closes ---- */

static struct {
    pthread_t thread;
    sem_t gate_is_closed, may_open;
} late;

static void *open_late(void *arg) {
    close_gate(arg);
    sem_post(&late.gate_is_closed);
    while (sem_wait(&late.may_open) != 0)
        ;
    usleep(20000); /* meanwhile the node waits for the list */
    open_gate();
    return NULL;
}

/* What the guest has left under way ends before the store does: the teardown closes both. */
static void a_node_may_close_while_a_list_is_made(void **state) {
    struct world *w = *state;
    struct rusm__component *lister = lister_of(w, &w->profile);
    assert_int_equal(sem_init(&late.gate_is_closed, 0, 0), 0);
    assert_int_equal(sem_init(&late.may_open, 0, 0), 0);
    assert_int_equal(pthread_create(&late.thread, NULL, open_late, w), 0);
    while (sem_wait(&late.gate_is_closed) != 0)
        ;
    (void)begin_list(w, lister);
    sem_post(&late.may_open);
}

static int close_late(void **state) {
    world_close(*state);
    pthread_join(late.thread, NULL);
    rusm__kv_close(stored);
    stored = NULL;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        long_test(a_long_list_has_every_key_in_order),
        long_test(others_run_while_a_long_list_is_made),
        long_test(a_guest_may_end_while_its_list_is_made),
        long_test(a_deadline_does_not_wait_for_the_list),
        long_test(lists_wait_until_those_before_are_taken),
        cmocka_unit_test_setup_teardown(a_node_may_close_while_a_list_is_made, setup, close_late),
    };
    world_silence();
    return cmocka_run_group_tests(tests, stored_group_setup, stored_group_teardown);
}
