/* SPDX-License-Identifier: MIT */
/* Streams as fibers use them: back-pressure over a long transfer, deadlines,
 * and ends of either side while the other one waits. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"
#include "rusm/stream.h"

#include "unit/proc/fixture.h"

static rusm_pid spawn(rusm_fiber_main main, void *arg) {
    rusm_fiber_options options = {.size = sizeof(options), .main = main, .arg = arg};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static uint64_t soon(void) {
    return rusm_now_ns() + 3000000;
}

/* What a fiber found out; set once, at its end. */
struct story {
    rusm_pid to;
    rusm_stream_options options;
    _Atomic int status; /* of its last call; 1 while it runs */
    _Atomic int waits;
    _Atomic uint64_t count, sum;
};

#define STORY {.options.size = sizeof(rusm_stream_options), .status = 1}

/* ---- a long transfer ---- */

enum { CHUNKS = 20000, MOST_BYTES = 300 };

static void write_many(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream in;
    uint64_t sum = 0;
    int status = rusm_stream_open(self, story->to, &story->options, &in);
    for (unsigned i = 0; i < CHUNKS && status == RUSM_OK; i++) {
        unsigned char bytes[MOST_BYTES];
        size_t len = i * 7u % MOST_BYTES;
        for (size_t at = 0; at < len; at++) {
            bytes[at] = (unsigned char)(i + at);
            sum = sum * 31 + bytes[at];
        }
        status = rusm_stream_write_bytes(self, in, bytes, len, RUSM_FOREVER);
    }
    atomic_store(&story->sum, sum);
    atomic_store(&story->status, status ? status : rusm_stream_close(self, in));
}

static void read_many(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream out;
    rusm_chunk *chunk;
    uint64_t count = 0, sum = 0;
    int status = rusm_stream_accept(self, RUSM_FOREVER, &out, NULL);
    while (status == RUSM_OK &&
           (status = rusm_stream_read(self, out, RUSM_FOREVER, &chunk)) == RUSM_OK) {
        for (size_t at = 0; at < rusm_chunk_len(chunk); at++) {
            sum = sum * 31 + rusm_chunk_data(chunk)[at];
        }
        count++;
        rusm_stream_recycle(self, out, chunk);
    }
    atomic_store(&story->count, count);
    atomic_store(&story->sum, sum);
    atomic_store(&story->status, status);
}

static void all_bytes_arrive_whatever_the_bounds(void **state) {
    static const struct {
        uint32_t chunks, bytes;
    } bounds[] = {{0, 0}, {1, 0}, {3, 0}, {0, MOST_BYTES}, {64, 1000}};
    (void)state;
    for (unsigned i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        struct story reader = STORY, writer = STORY;
        writer.options.max_chunks = bounds[i].chunks;
        writer.options.max_bytes = bounds[i].bytes;
        writer.to = spawn(read_many, &reader);
        spawn(write_many, &writer);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
        assert_int_equal(atomic_load(&writer.status), RUSM_OK);
        assert_int_equal(atomic_load(&reader.status), RUSM_ECLOSED);
        assert_int_equal(atomic_load(&reader.count), CHUNKS);
        assert_true(atomic_load(&reader.sum) == atomic_load(&writer.sum));
    }
}

/* ---- deadlines ---- */

/* Both ends in one fiber: nobody else moves, so each wait ends by its deadline
 * alone. */
static void run_into_deadlines(rusm_proc *self, void *arg) {
    _Atomic int *done = arg;
    rusm_stream_options options = {.size = sizeof(options), .max_chunks = 1};
    rusm_stream in, out;
    rusm_pid from;
    rusm_chunk *chunk;
    unsigned char bytes[4];
    size_t len;
    assert_int_equal(rusm_stream_accept(self, soon(), &out, &from), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_accept(self, 1, &out, &from), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), &options, &in), RUSM_OK);
    assert_int_equal(rusm_stream_accept(self, 1, &out, &from), RUSM_OK);
    assert_true(from == rusm_proc_pid(self));
    assert_int_equal(rusm_stream_read(self, out, soon(), &chunk), RUSM_ETIMEDOUT);
    assert_null(chunk);
    assert_int_equal(rusm_stream_read(self, out, 1, &chunk), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_read_bytes(self, out, bytes, 4, soon(), &len), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_write_bytes(self, in, "abcd", 4, 1), RUSM_OK);
    assert_int_equal(rusm_stream_write_bytes(self, in, "efgh", 4, soon()), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_chunk_copy("ijkl", 4, &chunk), RUSM_OK);
    assert_int_equal(rusm_stream_write(self, in, chunk, soon()), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_write(self, in, chunk, 1), RUSM_ETIMEDOUT);
    assert_int_equal(rusm_stream_read_bytes(self, out, bytes, 4, 1, &len), RUSM_OK);
    assert_memory_equal(bytes, "abcd", 4);
    assert_int_equal(rusm_stream_write(self, in, chunk, 1), RUSM_OK);
    assert_int_equal(rusm_stream_read_bytes(self, out, bytes, 3, soon(), &len), RUSM_ETOOBIG);
    assert_int_equal(len, 4);
    assert_int_equal(rusm_stream_read(self, out, RUSM_FOREVER, &chunk), RUSM_OK);
    rusm_chunk_free(chunk);
    /* Calls that need not wait do not, and what they say is not lost on the way.
     */
    assert_int_equal(rusm_stream_read(self, in, RUSM_FOREVER, &chunk), RUSM_EINVAL);
    assert_int_equal(rusm_stream_write_bytes(self, 0, "x", 1, RUSM_FOREVER), RUSM_EINVAL);
    assert_int_equal(rusm_stream_close(self, in), RUSM_OK);
    assert_int_equal(rusm_stream_read(self, out, RUSM_FOREVER, &chunk), RUSM_ECLOSED);
    atomic_store(done, 1);
}

static void deadlines_end_every_wait(void **state) {
    (void)state;
    _Atomic int done = 0;
    spawn(run_into_deadlines, &done);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    assert_int_equal(atomic_load(&done), 1);
}

/* ---- ends while somebody waits ---- */

static void read_to_the_end(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream out;
    rusm_chunk *chunk;
    int status = rusm_stream_accept(self, RUSM_FOREVER, &out, NULL);
    while (status == RUSM_OK) {
        atomic_fetch_add(&story->waits, 1);
        status = rusm_stream_read(self, out, RUSM_FOREVER, &chunk);
        rusm_chunk_free(chunk);
    }
    if (status == RUSM_EEXITING) { /* cleans up, and every later wait says the same */
        assert_int_equal(rusm_stream_read(self, out, RUSM_FOREVER, &chunk), RUSM_EEXITING);
        assert_int_equal(rusm_stream_close(self, out), RUSM_OK);
    }
    atomic_store(&story->status, status);
}

static void write_to_the_end(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream in;
    int status = rusm_stream_open(self, story->to, &story->options, &in);
    while (status == RUSM_OK) {
        atomic_fetch_add(&story->waits, 1);
        status = rusm_stream_write_bytes(self, in, "x", 1, RUSM_FOREVER);
    }
    if (status == RUSM_EEXITING) {
        assert_int_equal(rusm_stream_write_bytes(self, in, "x", 1, RUSM_FOREVER), RUSM_EEXITING);
        assert_int_equal(rusm_stream_close(self, in), RUSM_OK);
    }
    atomic_store(&story->status, status);
}

static void accept_and_sleep(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream out;
    int status = rusm_stream_accept(self, RUSM_FOREVER, &out, NULL);
    atomic_fetch_add(&story->waits, status == RUSM_OK);
    atomic_store(&story->status, rusm_sleep_until(self, RUSM_FOREVER));
}

static void open_and_sleep(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream in;
    int status = rusm_stream_open(self, story->to, NULL, &in);
    atomic_fetch_add(&story->waits, status == RUSM_OK);
    atomic_store(&story->status, rusm_sleep_until(self, RUSM_FOREVER));
}

static void a_kill_ends_waits_and_the_other_side_learns(void **state) {
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct story reader = STORY, writer = STORY;
        rusm_pid to = writer.to = spawn(read_to_the_end, &reader);
        rusm_pid from = spawn(open_and_sleep, &writer);
        WAIT_FOR(atomic_load(&reader.waits) == 1 && atomic_load(&writer.waits) == 1);
        nap_ms(i % 3);
        rusm_pid_kill(rt, i % 2 ? from : to);
        WAIT_FOR(atomic_load(&reader.status) != 1);
        assert_int_equal(atomic_load(&reader.status), i % 2 ? RUSM_ECRASHED : RUSM_EEXITING);
        rusm_pid_kill(rt, from);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct story reader = STORY, writer = STORY;
        writer.options.max_chunks = 4;
        rusm_pid to = writer.to = spawn(accept_and_sleep, &reader);
        rusm_pid from = spawn(write_to_the_end, &writer);
        WAIT_FOR(atomic_load(&reader.waits) == 1 && atomic_load(&writer.waits) == 5);
        nap_ms(i % 3);
        rusm_pid_kill(rt, i % 2 ? from : to);
        WAIT_FOR(atomic_load(&writer.status) != 1);
        assert_int_equal(atomic_load(&writer.status), i % 2 ? RUSM_EEXITING : RUSM_ECRASHED);
        rusm_pid_kill(rt, to);
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    }
}

static void accept_only(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream out;
    rusm_pid from;
    atomic_store(&story->status, rusm_stream_accept(self, RUSM_FOREVER, &out, &from));
    rusm_msg *msg; /* the mail that came first is still there, in order */
    for (const char *text = "ab"; *text; text++) {
        assert_int_equal(rusm_receive(self, RUSM_FOREVER, &msg), RUSM_OK);
        assert_int_equal(rusm_msg_data(msg)[0], *text);
        rusm_msg_free(msg);
        atomic_fetch_add(&story->count, 1);
    }
}

static void accepting_leaves_mail_alone(void **state) {
    (void)state;
    struct story reader = STORY, writer = STORY;
    writer.to = spawn(accept_only, &reader);
    assert_int_equal(send_text(rt, writer.to, "a"), RUSM_OK);
    assert_int_equal(send_text(rt, writer.to, "b"), RUSM_OK);
    rusm_pid from = spawn(open_and_sleep, &writer);
    WAIT_FOR(atomic_load(&reader.count) == 2);
    assert_int_equal(atomic_load(&reader.status), RUSM_OK);
    rusm_pid_kill(rt, from);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
}

/* A fiber that waits for mail takes the offer as mail, and accepts it or not.
 */
static void receive_an_offer(rusm_proc *self, void *arg) {
    struct story *story = arg;
    rusm_stream out;
    rusm_msg *msg;
    rusm_chunk *chunk;
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &msg), RUSM_OK);
    assert_int_equal(rusm_msg_get_kind(msg), RUSM_MSG_STREAM);
    assert_int_equal(rusm_stream_take(self, msg, &out), RUSM_OK);
    atomic_store(&story->status, rusm_stream_read(self, out, RUSM_FOREVER, &chunk));
    rusm_chunk_free(chunk);
}

static void an_offer_is_mail(void **state) {
    (void)state;
    struct story reader = STORY, writer = STORY;
    writer.to = spawn(receive_an_offer, &reader);
    spawn(write_to_the_end, &writer);
    WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    assert_int_equal(atomic_load(&reader.status), RUSM_OK);
    assert_int_equal(atomic_load(&writer.status), RUSM_ECLOSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(all_bytes_arrive_whatever_the_bounds),
        TEST(deadlines_end_every_wait),
        TEST(a_kill_ends_waits_and_the_other_side_learns),
        TEST(accepting_leaves_mail_alone),
        TEST(an_offer_is_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
