/* SPDX-License-Identifier: MIT */
/* Streams under load and sudden death. Fibers open streams to random places, where state machines
 * read; they write chunks of random sizes and close, abort, end or crash; readers stop early; the
 * main thread kills whoever it meets. Each chunk says which it is of its stream and carries a sum,
 * and a stream that was closed ends with a chunk that says so. The oracle: no chunk is lost,
 * doubled or changed; a reader that is told "closed" had seen the last chunk; nobody waits for
 * ever; at the end all memory is back (a leak checker looks, in sanitizer builds). It misses bytes
 * of streams whose reader died. */
#include "stress.h"

#include "rusm/fiber.h"
#include "rusm/stream.h"

enum { PLACES = 24, MOST_CHUNKS = 200, MOST_BYTES = 700 };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic rusm_pid places[PLACES];
static _Atomic uint64_t wrong, closed, crashed, chunks, kills;

struct mark {
    uint64_t number;
    uint64_t sum;
    bool last;
};

struct peer {
    struct rusm__random random;
    /* As a state machine: what it reads. */
    rusm_stream out;
    uint64_t seen;
    bool had_last;
};

static uint64_t sum_of(const unsigned char *bytes, size_t len, uint64_t number) {
    uint64_t sum = number;
    for (size_t i = 0; i < len; i++) {
        sum = sum * 31 + bytes[i];
    }
    return sum;
}

/* ---- writers: fibers ---- */

static int write_one(rusm_proc *self, struct peer *peer, rusm_stream in, uint64_t number,
                     bool last) {
    size_t len = sizeof(struct mark) + rusm__random_below(&peer->random, MOST_BYTES);
    rusm_chunk *chunk;
    int status = rusm_stream_chunk(self, in, len, &chunk);
    if (status) {
        return status;
    }
    unsigned char *bytes = rusm_chunk_data(chunk) + sizeof(struct mark);
    for (size_t i = 0; i < len - sizeof(struct mark); i++) {
        bytes[i] = (unsigned char)(number * 7 + i);
    }
    struct mark mark = {number, sum_of(bytes, len - sizeof(mark), number), last};
    memcpy(rusm_chunk_data(chunk), &mark, sizeof(mark));
    do {
        bool hurries = rusm__random_below(&peer->random, 4) == 0;
        status = rusm_stream_write(self, in, chunk, hurries ? rusm_now_ns() + 50000 : RUSM_FOREVER);
    } while (status == RUSM_ETIMEDOUT);
    if (status) {
        rusm_chunk_free(chunk);
    }
    return status;
}

static int write_stream(rusm_proc *self, struct peer *peer) {
    rusm_stream_options options = {.size = sizeof(options)};
    options.max_chunks = 1 + rusm__random_below(&peer->random, 20);
    options.max_bytes = 1024 + rusm__random_below(&peer->random, 8192);
    rusm_stream in;
    rusm_pid to = atomic_load(&places[rusm__random_below(&peer->random, PLACES)]);
    int status = rusm_stream_open(self, to, &options, &in);
    if (status) {
        return status == RUSM_ENOPROC ? RUSM_OK : status;
    }
    uint32_t count = 1 + rusm__random_below(&peer->random, MOST_CHUNKS);
    bool breaks_off = rusm__random_below(&peer->random, 4) == 0;
    for (uint32_t i = 0; i < count && status == RUSM_OK; i++) {
        status = write_one(self, peer, in, i, i + 1 == count && !breaks_off);
    }
    if (status == RUSM_OK && breaks_off) {
        if (rusm__random_below(&peer->random, 2)) {
            return rusm_stream_abort(self, in);
        }
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "broke off");
        return RUSM_EEXITING; /* with the end open */
    }
    if (status == RUSM_OK && rusm__random_below(&peer->random, 8) == 0) {
        return RUSM_EEXITING; /* ends well, with the end open */
    }
    int result = rusm_stream_close(self, in);
    atomic_fetch_add(&wrong, result != RUSM_OK);
    return status == RUSM_ECLOSED || status == RUSM_ECRASHED ? RUSM_OK : status;
}

static void write_streams(rusm_proc *self, void *arg) {
    int status = RUSM_OK;
    while (status == RUSM_OK && rusm_now_ns() < end_ns) {
        status = write_stream(self, arg);
    }
    atomic_fetch_add(&wrong, status != RUSM_OK && status != RUSM_EEXITING);
}

/* ---- readers: state machines that read one stream after the other ---- */

static void look_at(struct peer *peer, rusm_chunk *chunk) {
    struct mark mark;
    bool good = rusm_chunk_len(chunk) >= sizeof(mark) && !peer->had_last;
    if (good) {
        memcpy(&mark, rusm_chunk_data(chunk), sizeof(mark));
        good = mark.number == peer->seen &&
               mark.sum == sum_of(rusm_chunk_data(chunk) + sizeof(mark),
                                  rusm_chunk_len(chunk) - sizeof(mark), mark.number);
        peer->had_last = mark.last;
    }
    peer->seen++;
    atomic_fetch_add(&wrong, !good);
    atomic_fetch_add(&chunks, 1);
}

static void finish_stream(rusm_proc *self, struct peer *peer, int status) {
    if (status == RUSM_ECLOSED) {
        atomic_fetch_add(&closed, 1);
        atomic_fetch_add(&wrong, !peer->had_last);
    } else if (status == RUSM_ECRASHED) {
        atomic_fetch_add(&crashed, 1);
    }
    atomic_fetch_add(&wrong, rusm_stream_close(self, peer->out) != RUSM_OK);
    peer->out = 0;
    peer->seen = 0;
    peer->had_last = false;
}

/* False: this reader ends. */
static bool read_one(rusm_proc *self, struct peer *peer, rusm_chunk *chunk) {
    look_at(peer, chunk);
    uint32_t mood = rusm__random_below(&peer->random, 2000);
    if (mood % 2) {
        rusm_stream_recycle(self, peer->out, chunk);
    } else {
        rusm_chunk_free(chunk);
    }
    if (mood < 8) { /* enough of this stream */
        finish_stream(self, peer, RUSM_OK);
    }
    if (mood == 9) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "a reader");
    }
    return mood != 8 && mood != 9;
}

static rusm_step read_streams(rusm_proc *self, void *body) {
    struct peer *peer = body;
    for (unsigned turn = 0; turn < 64; turn++) {
        rusm_chunk *chunk = NULL;
        int status = peer->out ? rusm_stream_try_read(self, peer->out, &chunk)
                               : rusm_stream_try_accept(self, &peer->out, NULL);
        if (status == RUSM_EAGAIN) {
            return RUSM_STEP_WAIT;
        }
        if (status != RUSM_OK) {
            finish_stream(self, peer, status);
        } else if (chunk && !read_one(self, peer, chunk)) {
            return RUSM_STEP_EXIT;
        }
    }
    return RUSM_STEP_AGAIN;
}

/* ---- who lives ---- */

static struct peer *new_peer(uint64_t seed) {
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    rusm__random_seed(&peer->random, seed);
    return peer;
}

static rusm_pid start_reader(uint64_t seed) {
    static const rusm_body_ops ops = {.name = "reader", .step = read_streams, .drop = free};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = new_peer(seed)};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static rusm_pid start_writer(uint64_t seed) {
    rusm_fiber_options options = {
        .size = sizeof(options), .main = write_streams, .arg = new_peer(seed), .drop = free};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static void keep_alive(_Atomic rusm_pid *place, rusm_pid (*start)(uint64_t), uint64_t seed) {
    if (!rusm_pid_is_alive(rt, atomic_load(place))) {
        atomic_store(place, start(seed));
    }
}

static bool all_gone(_Atomic rusm_pid *pids) {
    for (unsigned i = 0; i < PLACES; i++) {
        if (rusm_pid_is_alive(rt, atomic_load(&pids[i]))) {
            return false;
        }
    }
    return true;
}

static void streams_lose_nothing(void **state) {
    static _Atomic rusm_pid writers[PLACES];
    struct rusm__random random;
    (void)state;
    rusm__random_seed(&random, stress_seed());
    rt = stress_start(0);
    end_ns = stress_end_ns();
    while (rusm_now_ns() < end_ns) {
        for (unsigned i = 0; i < PLACES; i++) {
            keep_alive(&places[i], start_reader, rusm__random_u64(&random));
            keep_alive(&writers[i], start_writer, rusm__random_u64(&random));
        }
        nap_ms(1);
        _Atomic rusm_pid *pids = rusm__random_below(&random, 2) ? places : writers;
        atomic_fetch_add(
            &kills, rusm_pid_kill(rt, atomic_load(&pids[rusm__random_below(&random, PLACES)])));
    }
    WAIT_FOR(all_gone(writers)); /* none of them waits for ever: readers read, or are gone */
    WAIT_FOR(stress_kill_all(rt));
    printf("chunks %llu, closed %llu, crashed %llu, kills %llu\n",
           (unsigned long long)atomic_load(&chunks), (unsigned long long)atomic_load(&closed),
           (unsigned long long)atomic_load(&crashed), (unsigned long long)atomic_load(&kills));
    assert_true(atomic_load(&wrong) == 0);
    assert_true(atomic_load(&chunks) > 0 && atomic_load(&closed) > 0);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
