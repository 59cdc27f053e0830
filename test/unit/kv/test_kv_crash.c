/* SPDX-License-Identifier: MIT */
/* The process is killed while eight threads write: whatever was acknowledged is there afterwards,
 * and the store opens each time. (A kill takes the process, not the machine; that pages reach the
 * disk before the acknowledgement is LMDB's promise with its default flags, which we leave on.) */
#include "unit/kv/kv_help.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/random.h"

enum { WRITERS = 8, ROUNDS = 20, VALUE = 200 };

/* What travels through the pipe, in one piece since it is smaller than PIPE_BUF. */
struct ack {
    int writer;
    unsigned number;
};

struct writer {
    struct rusm__kv *kv;
    int id;
    int pipe;
    unsigned number; /* written next */
};

static void name_of(char key[32], int writer, unsigned number) {
    snprintf(key, 32, "w%d-%08u", writer, number);
}

static void fill_value(unsigned char value[VALUE], int writer, unsigned number) {
    memset(value, (int)(number * 7 + (unsigned)writer), VALUE);
    memcpy(value, &number, sizeof number);
}

/* Acknowledge to the parent, then write the next one. Ends with the process. */
static void acknowledge(void *arg, const struct rusm__kv_result *result);

static void write_next(struct writer *writer) {
    char key[32];
    unsigned char value[VALUE];
    name_of(key, writer->id, writer->number);
    fill_value(value, writer->id, writer->number);
    if (rusm__kv_set(writer->kv, text("crash"), text(key), bytes_of(value, VALUE), acknowledge,
                     writer, NULL) != 0)
        _exit(2);
}

static void acknowledge(void *arg, const struct rusm__kv_result *result) {
    struct writer *writer = arg;
    struct ack ack = {writer->id, writer->number};
    if (result->code != 0 || write(writer->pipe, &ack, sizeof ack) != sizeof ack)
        _exit(3);
    writer->number++;
    write_next(writer);
}

static void write_until_killed(int pipe_end, const unsigned *next) {
    static struct writer writers[WRITERS];
    const struct rusm__kv_options options = {.map_bytes = 1 << 17}; /* some rounds grow it */
    struct rusm__kv *kv;
    if (rusm__kv_open(path_of("crash.db"), &options, &kv, NULL) != 0)
        _exit(4);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.kv = kv, .id = i, .pipe = pipe_end, .number = next[i]};
        write_next(&writers[i]);
    }
    for (;;)
        pause();
}

/* Everything below next[] was acknowledged in some round. */
static void check_store(const unsigned *next) {
    struct rusm__kv *kv = open_store("crash.db", NULL);
    struct rusm__kv_reader *reader = open_reader(kv);
    for (int i = 0; i < WRITERS; i++)
        for (unsigned number = 0; number < next[i]; number++) {
            char key[32];
            unsigned char wanted[VALUE];
            struct rusm__kv_value value;
            name_of(key, i, number);
            fill_value(wanted, i, number);
            if (rusm__kv_get(reader, text("crash"), text(key), &value, NULL) != 0)
                fail_msg("%s was acknowledged and is lost", key);
            assert_int_equal(value.len, VALUE);
            assert_memory_equal(value.data, wanted, VALUE);
            rusm__mem_free(value.data);
        }
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
}

static void read_acks(int pipe_end, unsigned *next, unsigned most) {
    struct ack ack;
    for (unsigned i = 0; i < most; i++) {
        ssize_t got = read(pipe_end, &ack, sizeof ack);
        if (got == 0)
            return;
        assert_int_equal(got, sizeof ack);
        assert_in_range(ack.writer, 0, WRITERS - 1);
        assert_int_equal(ack.number, next[ack.writer]); /* in order, none twice */
        next[ack.writer]++;
    }
}

static void kv_loses_nothing_acknowledged_when_killed(void **state) {
    (void)state;
    unsigned next[WRITERS] = {0};
    uint64_t seed = rusm__random_system_u64();
    struct rusm__random random;
    print_message("seed %llu\n", (unsigned long long)seed);
    rusm__random_seed(&random, seed);
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_until_killed(ends[1], next);
        close(ends[1]);
        read_acks(ends[0], next, 1 + rusm__random_below(&random, 200));
        usleep(rusm__random_below(&random, 5000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        read_acks(ends[0], next, UINT32_MAX); /* what was still in the pipe counts, too */
        close(ends[0]);
        check_store(next);
    }
    unsigned all = 0;
    for (int i = 0; i < WRITERS; i++)
        all += next[i];
    print_message("%u writes acknowledged in %d rounds\n", all, ROUNDS);
    assert_true(all >= ROUNDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_loses_nothing_acknowledged_when_killed),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
