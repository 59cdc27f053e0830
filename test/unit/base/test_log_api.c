/* SPDX-License-Identifier: MIT */
/* The public side of the log: who may start it, what a sink gets, what is dropped, how it stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/log.h"
#include "rusm/runtime.h"

#include "base/log.h"

/* ---- a sink that keeps what it gets; read after a flush ---- */

struct kept {
    char lines[64][256];
    unsigned count;
    int64_t first_ns;
    size_t size;
    int codes[4];  /* what a sink is answered */
    sem_t *gate;   /* waited for at each line, unless NULL */
    sem_t *inside; /* raised before that */
    _Atomic unsigned calls;
};

static void keep(const rusm_log_record *record, void *arg) {
    struct kept *kept = arg;
    atomic_fetch_add(&kept->calls, 1);
    if (kept->gate) {
        sem_post(kept->inside);
        sem_wait(kept->gate);
    }
    if (kept->count == 64)
        return;
    if (kept->count == 0)
        kept->first_ns = record->unix_ns;
    kept->size = record->size;
    snprintf(kept->lines[kept->count++], sizeof(kept->lines[0]), "%d|%s|%s|%.200s", record->level,
             record->who, record->verb, record->text);
}

static void start_with(struct kept *kept, rusm_log_level level) {
    rusm_log_options options = {.size = sizeof(options), .level = level, .sink = keep, .arg = kept};
    assert_int_equal(rusm_log_start(&options), RUSM_OK);
}

static void say(rusm_log_level level, const char *text) {
    assert_int_equal(rusm_log_write(level, "app", "note", text, strlen(text)), RUSM_OK);
}

/* ---- tests ---- */

static void sink_gets_clean_records_in_order(void **state) {
    (void)state;
    static struct kept kept;
    start_with(&kept, RUSM_LOG_INFO);
    say(RUSM_LOG_ERROR, "one");
    say(RUSM_LOG_INFO, "two\nand \x1b[2J");
    assert_int_equal(rusm_log_write(RUSM_LOG_WARN, "", "", NULL, 0), RUSM_OK);
    assert_int_equal(rusm_log_write(RUSM_LOG_WARN, "a\nb", "c", "with\0zero", 9), RUSM_OK);
    assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
    assert_int_equal(kept.count, 4);
    assert_string_equal(kept.lines[0], "1|app|note|one");
    assert_string_equal(kept.lines[1], "3|app|note|two\\nand \\x1b[2J");
    assert_string_equal(kept.lines[2], "2|||");
    assert_string_equal(kept.lines[3], "2|a\\nb|c|with\\x00zero");
    assert_int_equal(kept.size, sizeof(rusm_log_record));
    assert_true(kept.first_ns > INT64_C(1600000000000000000));
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_int_equal(rusm_log_dropped(), 0);
}

static void sink_gets_wanted_levels_only(void **state) {
    (void)state;
    static const rusm_log_level levels[] = {RUSM_LOG_OFF,  RUSM_LOG_DEFAULT, RUSM_LOG_ERROR,
                                            RUSM_LOG_WARN, RUSM_LOG_INFO,    RUSM_LOG_DEBUG};
    static const unsigned wanted[] = {0, 2, 1, 2, 3, 4};
    static struct kept kept;
    start_with(&kept, RUSM_LOG_OFF);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(rusm_log_set_level(levels[i]), RUSM_OK);
        kept.count = 0;
        for (int level = RUSM_LOG_ERROR; level <= RUSM_LOG_DEBUG; level++) {
            say((rusm_log_level)level, "line");
            assert_int_equal(rusm_log_wants((rusm_log_level)level), (unsigned)level <= wanted[i]);
        }
        assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
        assert_int_equal(kept.count, wanted[i]);
    }
    assert_int_equal(rusm_log_stop(), RUSM_OK);
}

static void bad_use_is_answered(void **state) {
    (void)state;
    static struct kept kept;
    rusm_log_options options = {.size = sizeof(options) - 1};
    assert_int_equal(rusm_log_start(&options), RUSM_EINVAL);
    options = (rusm_log_options){.size = sizeof(options), .level = (rusm_log_level)5};
    assert_int_equal(rusm_log_start(&options), RUSM_EINVAL);
    options = (rusm_log_options){.size = sizeof(options), .level = (rusm_log_level)-2};
    assert_int_equal(rusm_log_start(&options), RUSM_EINVAL);
    options = (rusm_log_options){.size = sizeof(options), .fd = -1};
    assert_int_equal(rusm_log_start(&options), RUSM_EINVAL);
    assert_int_equal(rusm_log_stop(), RUSM_ESTATE);
    assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_ESTATE);
    assert_int_equal(rusm_log_set_level(RUSM_LOG_WARN), RUSM_ESTATE);
    start_with(&kept, RUSM_LOG_WARN);
    assert_int_equal(rusm_log_start(NULL), RUSM_EBUSY);
    assert_int_equal(rusm_log_set_level((rusm_log_level)5), RUSM_EINVAL);
    assert_int_equal(rusm_log_write(RUSM_LOG_DEFAULT, "a", "b", "c", 1), RUSM_EINVAL);
    assert_int_equal(rusm_log_write(RUSM_LOG_OFF, "a", "b", "c", 1), RUSM_EINVAL);
    assert_int_equal(rusm_log_write((rusm_log_level)9, "a", "b", "c", 1), RUSM_EINVAL);
    assert_int_equal(rusm_log_write(RUSM_LOG_WARN, NULL, "b", "c", 1), RUSM_EINVAL);
    assert_int_equal(rusm_log_write(RUSM_LOG_WARN, "a", NULL, "c", 1), RUSM_EINVAL);
    assert_int_equal(rusm_log_write(RUSM_LOG_WARN, "a", "b", NULL, 1), RUSM_EINVAL);
    assert_false(rusm_log_wants(RUSM_LOG_OFF) || rusm_log_wants(RUSM_LOG_DEFAULT));
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_int_equal(rusm_log_stop(), RUSM_ESTATE);
    assert_int_equal(kept.count, 0);
}

/* A node inside of the program logs to the program's sink, and cannot be robbed of it. */
static void others_join_the_log_of_the_program(void **state) {
    (void)state;
    static struct kept kept;
    start_with(&kept, RUSM_LOG_WARN);
    assert_int_equal(rusm__log_start(STDERR_FILENO, RUSM__LOG_INFO), RUSM_OK);
    rusm__log(RUSM__LOG_INFO, "rusm", "spawn", "of the node");
    assert_int_equal(rusm_log_stop(), RUSM_EBUSY);
    rusm__log_stop();
    rusm__log_stop(); /* one too many does not end the program's */
    say(RUSM_LOG_INFO, "of the program");
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_int_equal(kept.count, 2);
    assert_string_equal(kept.lines[0], "3|rusm|spawn|of the node");
    assert_string_equal(kept.lines[1], "3|app|note|of the program");
    assert_int_equal(rusm__log_start(STDERR_FILENO, RUSM__LOG_ERROR), RUSM_OK);
    assert_int_equal(rusm_log_start(NULL), RUSM_EBUSY); /* the node was first */
    assert_int_equal(rusm_log_stop(), RUSM_ESTATE);
    rusm__log_stop();
}

static void ask_from_inside(const rusm_log_record *record, void *arg) {
    struct kept *kept = arg;
    (void)record;
    kept->codes[0] = rusm_log_start(NULL);
    kept->codes[1] = rusm_log_stop();
    kept->codes[2] = rusm_log_set_level(RUSM_LOG_DEBUG);
    kept->codes[3] = rusm_log_flush(UINT64_MAX);
    say(RUSM_LOG_ERROR, "again"); /* or this would never end */
    kept->count++;
}

static void sink_cannot_wait_for_itself(void **state) {
    (void)state;
    static struct kept kept;
    rusm_log_options options = {.size = sizeof(options), .sink = ask_from_inside, .arg = &kept};
    assert_int_equal(rusm_log_start(&options), RUSM_OK);
    say(RUSM_LOG_ERROR, "once");
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_int_equal(kept.count, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(kept.codes[i], RUSM_ESTATE);
}

/* Whoever logs goes on while the sink does not; what is lost is counted and told. */
static void slow_sink_holds_up_nobody(void **state) {
    (void)state;
    static struct kept kept;
    sem_t gate, inside;
    sem_init(&gate, 0, 0);
    sem_init(&inside, 0, 0);
    kept.gate = &gate;
    kept.inside = &inside;
    start_with(&kept, RUSM_LOG_WARN);
    say(RUSM_LOG_WARN, "first");
    sem_wait(&inside);
    for (unsigned i = 0; i < 5000; i++) /* the queue takes 4,096 */
        say(RUSM_LOG_WARN, "more");
    assert_int_equal(rusm_log_dropped(), 5000 - 4096);
    assert_int_equal(rusm_log_flush(rusm_now_ns() + 1000000), RUSM_ETIMEDOUT);
    for (unsigned i = 0; i < 4098; i++)
        sem_post(&gate);
    assert_int_equal(rusm_log_flush(UINT64_MAX), RUSM_OK);
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_int_equal(atomic_load(&kept.calls), 4098); /* first, the queue, the report */
    assert_int_equal(rusm_log_dropped(), 5000 - 4096);
    sem_destroy(&gate);
    sem_destroy(&inside);
}

static void *open_later(void *arg) {
    usleep(1500000); /* longer than a stop waits for lines */
    for (unsigned i = 0; i < 100; i++)
        sem_post(arg);
    return NULL;
}

/* A stop waits for the call under way, and there is none after it. */
static void stop_waits_for_the_sink(void **state) {
    (void)state;
    static struct kept kept;
    sem_t gate, inside;
    pthread_t opener;
    sem_init(&gate, 0, 0);
    sem_init(&inside, 0, 0);
    kept.gate = &gate;
    kept.inside = &inside;
    start_with(&kept, RUSM_LOG_WARN);
    for (unsigned i = 0; i < 10; i++)
        say(RUSM_LOG_WARN, "line");
    sem_wait(&inside);
    pthread_create(&opener, NULL, open_later, &gate);
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    unsigned calls = atomic_load(&kept.calls);
    assert_int_equal(calls + rusm_log_dropped(), 10);
    pthread_join(opener, NULL);
    assert_int_equal(atomic_load(&kept.calls), calls);
    sem_destroy(&gate);
    sem_destroy(&inside);
}

static void descriptor_gets_lines(void **state) {
    (void)state;
    int ends[2];
    char text[256] = "";
    assert_int_equal(pipe(ends), 0);
    rusm_log_options options = {.size = sizeof(options), .fd = ends[1]};
    assert_int_equal(rusm_log_start(&options), RUSM_OK);
    say(RUSM_LOG_INFO, "not wanted by default");
    say(RUSM_LOG_WARN, "look at this");
    assert_int_equal(rusm_log_stop(), RUSM_OK);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 9);
    assert_string_equal(text + 9, "app            note   look at this\n");
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sink_gets_clean_records_in_order),
        cmocka_unit_test(sink_gets_wanted_levels_only),
        cmocka_unit_test(bad_use_is_answered),
        cmocka_unit_test(others_join_the_log_of_the_program),
        cmocka_unit_test(sink_cannot_wait_for_itself),
        cmocka_unit_test(slow_sink_holds_up_nobody),
        cmocka_unit_test(stop_waits_for_the_sink),
        cmocka_unit_test(descriptor_gets_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
