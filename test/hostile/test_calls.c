/* SPDX-License-Identifier: MIT */
/* Hostile calls: every host function with every argument at its extremes, at the bottom of the
 * stack, and at random. Nothing but the guest that makes them may notice: a neighbour is answered
 * in time, the node's memory stays, and every process is gone afterwards.
 *
 * What guests do that needs no odd arguments (fork bombs, floods, squatting) is in
 * test/e2e/test_hostile.py. RUSM_HOSTILE_SECONDS makes the random part longer and the extremes
 * complete; RUSM_HOSTILE_SEED repeats a random part; the quick one has
 * a seed of its own. */
#include "unit/hostcall/world.h"

#include <ftw.h>
#include <stdatomic.h>

#include "base/random.h"
#include "kv/kv.h"
#include "hostile/script.h"

#define P99_NS        (500 * RUSM__MS) /* of a neighbour, on a machine that others use too */
#define GROWTH_BYTES  ((size_t)96 << 20)
#define ROUND_MS      20 /* that a guest may go on before it is ended: it may just wait */
#define QUICK_SECONDS 3

/* ---- the neighbour: asks a guest of its own every millisecond ---- */

#define DELAYS_MAX 200000 /* a few minutes of them */

struct neighbour {
    rusm_pid pid, echo;
    uint64_t question; /* its number, so that a flood is no answer */
    uint64_t asked_ns; /* 0: there is no question */
    uint64_t next_ns;  /* when the next one is due */
    _Atomic bool over;
    _Atomic size_t count;
    uint64_t delays_ns[DELAYS_MAX];
};

static void note_delay(struct neighbour *n) {
    size_t count = atomic_load_explicit(&n->count, memory_order_relaxed);
    if (count < DELAYS_MAX) {
        n->delays_ns[count] = rusm__clock_ns() - n->asked_ns;
        /* release: pairs with the acquire in p99_ns, after the neighbour has ended */
        atomic_store_explicit(&n->count, count + 1, memory_order_release);
    }
    n->asked_ns = 0;
    n->next_ns = rusm__clock_ns() + RUSM__MS;
}

static void ask(rusm_proc *self, struct neighbour *n) {
    rusm_msg *msg;
    n->asked_ns = rusm__clock_ns();
    n->question++;
    assert_int_equal(rusm_msg_copy(&n->question, sizeof(n->question), &msg), RUSM_OK);
    assert_int_equal(rusm_proc_send(self, n->echo, msg), RUSM_OK);
}

static bool is_answer(const struct neighbour *n, rusm_msg *msg) {
    return n->asked_ns && rusm_msg_get_kind(msg) == RUSM_MSG_DATA &&
           rusm_msg_from(msg) == n->echo && rusm_msg_len(msg) == sizeof(n->question) &&
           memcmp(rusm_msg_data(msg), &n->question, sizeof(n->question)) == 0;
}

static rusm_step neighbour_step(rusm_proc *self, void *body) {
    struct neighbour *n = body;
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self))) {
        if (n->asked_ns == 1)
            n->asked_ns = 0;
        if (is_answer(n, msg))
            note_delay(n);
        rusm_msg_free(msg);
    }
    if (atomic_load_explicit(&n->over, memory_order_relaxed))
        return RUSM_STEP_EXIT;
    if (!n->asked_ns && rusm__clock_ns() >= n->next_ns)
        ask(self, n);
    if (!n->asked_ns)
        assert_int_equal(rusm_proc_wake_at(self, n->next_ns), RUSM_OK);
    return RUSM_STEP_WAIT;
}

static void neighbour_drop(void *body) {
    (void)body;
}

static const rusm_body_ops neighbour_ops = {
    .name = "neighbour", .step = neighbour_step, .drop = neighbour_drop};

static int by_size(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t p99_ns(struct neighbour *n) {
    size_t count = atomic_load_explicit(&n->count, memory_order_acquire);
    assert_true(count >= 10); /* it was asked, and it answered */
    qsort(n->delays_ns, count, sizeof(*n->delays_ns), by_size);
    return n->delays_ns[count - 1 - count / 100];
}

/* ---- a case: a node with a store, a neighbour and a script's guest ---- */

struct arena {
    struct world *w;
    struct neighbour *neighbour;
    struct rusm__component *script;
    struct rusm__profile profile;
    struct rusm__kv *store;
    rusm_pid victim; /* gets mail and streams that nobody wants */
    size_t processes;
    char folder[40];
};

static struct rusm__component *load_script(struct arena *arena) {
    struct rusm__buf body;
    rusm__buf_init(&body);
    world_add_parts(&body, script_guest);
    struct rusm__component *component =
        world_guest_with(arena->w, "script", rusm__buf_cstr(&body), &arena->profile);
    rusm__buf_fini(&body);
    return component;
}

static void start_neighbour(struct arena *arena) {
    struct world *w = arena->w;
    struct neighbour *n = arena->neighbour = calloc(1, sizeof(*n));
    struct rusm__component *echo = world_guest(
        w, "echo",
        RUN("(call $hello) (loop (call $recv) (call $say (global.get $ptr) (global.get $len))"
            "(br 0))"));
    assert_non_null(n);
    rusm_spawn_options spawn = {.size = sizeof(spawn), .ops = &neighbour_ops, .body = n};
    struct rusm__component_spawn guest = {.parent = NULL};
    assert_int_equal(rusm__component_spawn(echo, &guest, &n->echo), RUSM_OK);
    n->asked_ns = 1; /* it does not ask before the echo knows it */
    assert_int_equal(rusm_proc_spawn(w->runtime, &spawn, &n->pid), RUSM_OK);
    world_send(w, n->echo, &n->pid, sizeof(n->pid));
    world_send(w, n->pid, "go", 2);
    struct rusm__component *victim =
        world_guest(w, "victim", RUN("(loop (drop (call $recv_within (i64.const 50))) (br 0))"));
    assert_int_equal(rusm__component_spawn(victim, &guest, &arena->victim), RUSM_OK);
}

static int setup(void **state) {
    struct arena *arena = calloc(1, sizeof(*arena));
    struct rusm__kv_error error = {{0}};
    char path[64];
    assert_non_null(arena);
    strcpy(arena->folder, "/tmp/rusm-test-hostile-XXXXXX");
    assert_non_null(mkdtemp(arena->folder));
    snprintf(path, sizeof(path), "%s/store", arena->folder);
    if (rusm__kv_open(path, NULL, &arena->store, &error) < 0)
        fail_msg("%s", error.text);
    arena->w = world_open(&(struct world_options){.store = arena->store, .level = RUSM__LOG_ERROR});
    arena->w->may_lose = true;
    arena->profile = world_profile("hostile");
    arena->profile.process_control = false; /* who may kill others may kill others */
    arena->profile.max_memory_bytes = 16u << 20;
    arena->profile.max_message_bytes = 1u << 20;
    arena->profile.mailbox_bytes = 4u << 20;
    arena->script = load_script(arena);
    start_neighbour(arena);
    arena->processes = rusm_runtime_process_count(arena->w->runtime);
    *state = arena;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static int teardown(void **state) {
    struct arena *arena = *state;
    world_close(arena->w);
    rusm__kv_close(arena->store);
    free(arena->neighbour);
    int code = nftw(arena->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(arena);
    return code;
}

/* cmocka sets handlers of its own between the setup and the test. */
static struct arena *begin(void **state) {
    world_restore_handlers();
    return *state;
}

/* ---- running a script ---- */

/* Until the probe hears of the guest's end; what else comes is thrown away. */
static bool has_ended(struct world *w, rusm_pid pid, uint64_t until_ns) {
    bool ended = false;
    struct timespec soon;
    pthread_mutex_lock(&w->lock);
    while (!ended && rusm__clock_ns() < until_ns) {
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        if (!w->count)
            (void)pthread_cond_timedwait(&w->changed, &w->lock, &soon);
        while (w->count) {
            rusm_msg *msg = w->inbox[w->first];
            w->first = (w->first + 1) % WORLD_INBOX;
            w->count--;
            ended |= rusm_msg_get_kind(msg) == RUSM_MSG_DOWN && rusm_msg_from(msg) == pid &&
                     rusm_msg_ref(msg) == 1;
            rusm_msg_free(msg);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return ended;
}

/* It may end as it likes; one that goes on waiting is ended. */
static void run(struct arena *arena, const struct call *calls, size_t count) {
    struct world *w = arena->w;
    rusm_pid pid = world_start(w, arena->script);
    world_send(w, pid, calls, count * sizeof(*calls));
    if (has_ended(w, pid, rusm__clock_ns() + ROUND_MS * RUSM__MS))
        return;
    (void)rusm_pid_kill(w->runtime, pid); /* it may have ended meanwhile */
    assert_true(has_ended(w, pid, rusm__clock_ns() + PATIENCE_S * RUSM__SECOND));
}

static size_t memory_bytes(void) {
    unsigned long total, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void expect_nothing_left(struct arena *arena, const char *what, size_t memory_before) {
    struct world *w = arena->w;
    WAIT_FOR(rusm_runtime_process_count(w->runtime) <= arena->processes);
    assert_int_equal(rusm_runtime_process_count(w->runtime), arena->processes);
    assert_true(rusm_pid_is_alive(w->runtime, w->probe));
    assert_true(rusm_pid_is_alive(w->runtime, arena->victim));
    assert_true(rusm_pid_is_alive(w->runtime, arena->neighbour->echo));
    atomic_store_explicit(&arena->neighbour->over, true, memory_order_relaxed);
    WAIT_FOR(!rusm_pid_is_alive(w->runtime, arena->neighbour->pid));
    size_t memory = memory_bytes();
    uint64_t p99 = p99_ns(arena->neighbour);
    print_message("# %s: a neighbour's p99 %.3f ms of %zu, memory %+ld KiB\n", what,
                  (double)p99 / 1e6, atomic_load(&arena->neighbour->count),
                  ((long)memory - (long)memory_before) / 1024);
    assert_true(p99 < P99_NS);
    assert_true(memory < memory_before + GROWTH_BYTES);
}

/* ---- extremes ---- */

static double seconds(void) {
    const char *text = getenv("RUSM_HOSTILE_SECONDS");
    return text ? strtod(text, NULL) : QUICK_SECONDS;
}

static const uint64_t extremes[] = {
    0,          1,          SCRIPT_BAD_TEXT,   65535,      0x7fffffff,
    0x80000000, 0xffffffff, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 1};
enum { EXTREMES = sizeof(extremes) / sizeof(*extremes), PIDS = 2, VALUES = EXTREMES + PIDS };

static uint64_t value(const struct arena *arena, size_t i) {
    return i < EXTREMES ? extremes[i] : i == EXTREMES ? arena->neighbour->pid : arena->victim;
}

/* A call that is as it should be, as far as one set of arguments can suit all. */
static struct call tame(uint64_t number) {
    return (struct call){number, SCRIPT_TEXT, 4, 4, SCRIPT_RET};
}

static void one_argument_at_its_extremes(struct arena *arena, uint64_t number) {
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t v = value(arena, i);
        struct call calls[4];
        for (int place = 0; place < 4; place++)
            calls[place] = tame(number);
        calls[0].a = calls[1].b = calls[2].c = calls[3].d = v;
        for (int place = 0; place < 4; place++)
            run(arena, &calls[place], 1);
    }
}

static void two_arguments_at_their_extremes(struct arena *arena, uint64_t number) {
    for (size_t i = 0; i < VALUES * VALUES; i++) {
        struct call call = tame(number);
        call.a = value(arena, i / VALUES);
        call.b = value(arena, i % VALUES);
        run(arena, &call, 1);
        call = tame(number);
        call.b = value(arena, i / VALUES);
        call.c = value(arena, i % VALUES);
        run(arena, &call, 1);
    }
}

static void every_argument_at_its_extremes(void **state) {
    struct arena *arena = begin(state);
    for (uint64_t number = 0; number < CALL_LAST; number++)
        run(arena, &(struct call){number, SCRIPT_TEXT, 4, 4, SCRIPT_RET}, 1);
    size_t memory = memory_bytes();
    for (uint64_t number = 0; number < CALL_LAST; number++) {
        one_argument_at_its_extremes(arena, number);
        if (seconds() > QUICK_SECONDS)
            two_arguments_at_their_extremes(arena, number);
    }
    expect_nothing_left(arena, "extremes", memory);
}

/* ---- the bottom of the stack ---- */

static bool survives(struct arena *arena, uint64_t depth) {
    struct world *w = arena->w;
    struct call calls[] = {{CALL_DEEP, depth, 0, 0, 0}, {CALL_OWN_PID, 0, 0, 0, 0}};
    rusm_pid pid = world_start(w, arena->script);
    world_send(w, pid, calls, sizeof(calls));
    rusm_msg *msg = world_next(w);
    bool good = rusm_msg_get_kind(msg) == RUSM_MSG_DATA;
    rusm_msg_free(msg);
    if (good)
        world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    return good;
}

/* The depth at which the guest's own stack ends, by halves. */
static uint64_t bottom(struct arena *arena) {
    uint64_t low = 1, high = 1 << 20;
    assert_true(survives(arena, low));
    assert_false(survives(arena, high));
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (survives(arena, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* C has its own part of the stack, whatever the guest has used up of its own (decision of the
 * budget: 64 KiB below the table of host calls). */
static void every_call_at_the_bottom_of_the_stack(void **state) {
    struct arena *arena = begin(state);
    uint64_t depth = bottom(arena);
    size_t memory = memory_bytes();
    assert_true(depth > 1000);
    for (uint64_t number = 0; number < CALL_LAST; number++) {
        for (uint64_t above = 0; above < 4; above++) {
            struct call calls[] = {{CALL_DEEP, depth - above, 0, 0, 0}, tame(number)};
            run(arena, calls, 2);
        }
    }
    expect_nothing_left(arena, "the bottom", memory);
}

/* ---- again and again ---- */

/* What one call makes the host hold must have an end also if it is made for ever. */
static void every_call_again_and_again(void **state) {
    struct arena *arena = begin(state);
    size_t memory = memory_bytes();
    for (uint64_t number = 0; number < CALL_LAST; number++) {
        struct call calls[] = {tame(number), {CALL_REPEAT, 20000, 0, 0, 0}};
        run(arena, calls, 2);
        calls[0].a = arena->victim;
        calls[0].b = number == CALL_SEND_AFTER ? 0 : 4;
        run(arena, calls, 2);
    }
    expect_nothing_left(arena, "again and again", memory);
}

/* ---- at random ---- */

static uint64_t draw(const struct arena *arena, struct rusm__random *random) {
    uint32_t dice = rusm__random_below(random, 8);
    if (dice < 3)
        return value(arena, rusm__random_below(random, VALUES));
    if (dice < 5)
        return rusm__random_below(random, 16);
    if (dice < 6)
        return SCRIPT_TEXT;
    return dice < 7 ? rusm__random_below(random, 1 << 20) : rusm__random_u64(random);
}

static size_t draw_script(const struct arena *arena, struct rusm__random *random,
                          struct call *calls, size_t most) {
    size_t count = 1 + rusm__random_below(random, most);
    for (size_t i = 0; i < count; i++) {
        calls[i] = tame(rusm__random_below(random, CALL_LAST));
        uint64_t *fields[] = {&calls[i].a, &calls[i].b, &calls[i].c, &calls[i].d};
        for (int place = 0; place < 3; place++) {
            if (rusm__random_below(random, 2))
                *fields[place] = draw(arena, random);
        }
        if (!rusm__random_below(random, 16))
            calls[i].d = draw(arena, random);
    }
    return count;
}

static void calls_at_random(void **state) {
    struct arena *arena = begin(state);
    enum { MOST = 24 };
    const char *text = getenv("RUSM_HOSTILE_SEED");
    uint64_t seed = seconds() > QUICK_SECONDS ? rusm__clock_ns() : 1;
    seed = text ? strtoull(text, NULL, 0) : seed;
    struct rusm__random random;
    struct call calls[MOST];
    rusm__random_seed(&random, seed);
    print_message("# RUSM_HOSTILE_SEED=%llu\n", (unsigned long long)seed);
    size_t memory = memory_bytes(), scripts = 0;
    uint64_t until = rusm__clock_ns() + (uint64_t)(seconds() * 1e9);
    while (rusm__clock_ns() < until) {
        run(arena, calls, draw_script(arena, &random, calls, MOST));
        scripts++;
    }
    print_message("# %zu scripts\n", scripts);
    expect_nothing_left(arena, "at random", memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_argument_at_its_extremes, setup, teardown),
        cmocka_unit_test_setup_teardown(every_call_at_the_bottom_of_the_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(every_call_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_at_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
