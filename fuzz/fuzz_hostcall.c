/* SPDX-License-Identifier: MIT */
/* Host functions, called by a guest whose script is the input (test/hostile/script.h). Seven bytes
 * are a call: its number, which value each of four arguments takes, and two bytes that some values
 * are made of. The guest may end as it likes; afterwards the node must answer another guest, and
 * nobody may be left.
 *
 * The node lives as long as the fuzzer, so what one input leaves behind is there for the next. */
#include "unit/hostcall/world.h"

#include "base/assert.h"
#include "hostile/script.h"

enum { CALL_BYTES = 7, CALLS_MAX = 48, ROUND_MS = 10 };

static struct world *world;
static struct rusm__component *script;
static struct rusm__component *echo;
static size_t processes;

static struct rusm__component *load_script(void) {
    static struct rusm__profile profile;
    struct rusm__buf body;
    profile = world_profile("fuzz");
    profile.process_control = false;
    profile.max_memory_bytes = 16u << 20;
    profile.max_message_bytes = 1u << 20;
    profile.mailbox_bytes = 4u << 20;
    rusm__buf_init(&body);
    world_add_parts(&body, script_guest);
    struct rusm__component *component =
        world_guest_with(world, "script", rusm__buf_cstr(&body), &profile);
    rusm__buf_fini(&body);
    return component;
}

static void open_world(void) {
    world = world_open(&(struct world_options){.level = RUSM__LOG_ERROR});
    script = load_script();
    echo = world_guest(world, "echo", RUN("(call $hello) (call $say_u64 (call $own-pid))"));
    processes = rusm_runtime_process_count(world->runtime);
}

/* ---- from bytes to calls ---- */

static uint64_t value(uint8_t kind, uint64_t number) {
    static const uint64_t values[] = {0,           1,
                                      2,           4,
                                      SCRIPT_TEXT, SCRIPT_BAD_TEXT,
                                      SCRIPT_RET,  65535,
                                      0x7fffffff,  0x80000000,
                                      0xffffffff,  (uint64_t)1 << 63,
                                      UINT64_MAX,  UINT64_MAX - 1};
    size_t count = sizeof(values) / sizeof(*values);
    if (kind % 32 < count)
        return values[kind % 32];
    if (kind % 32 == count)
        return world->probe;
    return number << (kind % 32 - count - 1);
}

static size_t read_calls(const uint8_t *data, size_t size, struct call *calls) {
    size_t count = 0;
    for (; size >= CALL_BYTES && count < CALLS_MAX; data += CALL_BYTES, size -= CALL_BYTES) {
        uint64_t number = (uint64_t)data[5] << 8 | data[6];
        calls[count++] = (struct call){.number = data[0] % CALL_LAST,
                                       .a = value(data[1], number),
                                       .b = value(data[2], number),
                                       .c = value(data[3], number),
                                       /* most scripts mean well with what is written to them */
                                       .d = data[4] < 32 ? value(data[4], number) : SCRIPT_RET};
    }
    return count;
}

/* ---- one input ---- */

/* The guest's own mail, and what else comes, is of no interest. */
static bool has_ended(rusm_pid pid, unsigned patience_ms) {
    uint64_t until = rusm__clock_ns() + patience_ms * RUSM__MS;
    while (rusm_pid_is_alive(world->runtime, pid) && rusm__clock_ns() < until)
        usleep(50);
    return !rusm_pid_is_alive(world->runtime, pid);
}

static void empty_inbox(void) {
    pthread_mutex_lock(&world->lock);
    while (world->count) {
        rusm_msg_free(world->inbox[world->first]);
        world->first = (world->first + 1) % WORLD_INBOX;
        world->count--;
    }
    pthread_mutex_unlock(&world->lock);
}

static void run(const struct call *calls, size_t count) {
    rusm_pid pid = world_start(world, script);
    world_send(world, pid, calls, count * sizeof(*calls));
    if (!has_ended(pid, ROUND_MS)) {
        (void)rusm_pid_kill(world->runtime, pid); /* it may have ended meanwhile */
        RUSM_CHECK(has_ended(pid, PATIENCE_S * 1000));
    }
}

static void expect_well(void) {
    uint64_t until = rusm__clock_ns() + PATIENCE_S * RUSM__SECOND;
    while (rusm_runtime_process_count(world->runtime) > processes && rusm__clock_ns() < until)
        usleep(50);
    RUSM_CHECK(rusm_runtime_process_count(world->runtime) == processes);
    RUSM_CHECK(rusm_pid_is_alive(world->runtime, world->probe));
    empty_inbox();
    rusm_pid pid = world_start(world, echo);
    RUSM_CHECK(has_ended(pid, PATIENCE_S * 1000));
    empty_inbox();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct call calls[CALLS_MAX];
    size_t count = read_calls(data, size, calls);
    if (!world)
        open_world();
    /* Mail to the probe is bounded by what it keeps; a script that repeats a call fills it. */
    for (size_t i = 0; i < count; i++) {
        if (calls[i].number == CALL_REPEAT)
            calls[i].a %= WORLD_INBOX / (2 * CALLS_MAX);
    }
    run(calls, count);
    expect_well();
    return 0;
}
