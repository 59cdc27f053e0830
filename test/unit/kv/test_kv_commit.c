/* SPDX-License-Identifier: MIT */
/* Writing: many at once, in order, answered once, never beyond the bounds. */
#include "unit/kv/kv_help.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WRITERS = 8, WRITES = 300 };

static struct rusm__kv *kv;

/* ---- many writers ---- */

struct writer {
    int id;
    int next_answer; /* the commit thread only */
    sem_t done;
};

struct numbered {
    struct writer *writer;
    int number;
};

static void answer_in_order(void *arg, const struct rusm__kv_result *result) {
    struct numbered *numbered = arg;
    struct writer *writer = numbered->writer;
    if (result->code != 0 || numbered->number != writer->next_answer)
        abort(); /* an assertion of the framework would jump out of a foreign thread */
    writer->next_answer++;
    if (writer->next_answer == WRITES)
        sem_post(&writer->done);
    free(numbered);
}

/* Without waiting for answers: the same key again and again, and one key per write. */
static void *write_many(void *arg) {
    struct writer *writer = arg;
    for (int i = 0; i < WRITES; i++) {
        char key[32], value[32];
        struct numbered *numbered = malloc(sizeof *numbered);
        *numbered = (struct numbered){writer, i};
        snprintf(key, sizeof key, i % 2 ? "w%d" : "w%d-%d", writer->id, i);
        snprintf(value, sizeof value, "%d", i);
        if (rusm__kv_set(kv, text("many"), text(key), text(value), answer_in_order, numbered,
                         NULL) != 0)
            abort();
    }
    while (sem_wait(&writer->done) < 0)
        continue;
    return NULL;
}

static void kv_commits_many_writers_together_and_in_order(void **state) {
    (void)state;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct rusm__kv_stats before, after;
    rusm__kv_get_stats(kv, &before);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.id = i};
        sem_init(&writers[i].done, 0, 0);
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    rusm__kv_get_stats(kv, &after);
    assert_int_equal(after.written - before.written, WRITERS * WRITES);
    assert_int_equal(after.failed, 0);
    assert_true(after.commits - before.commits < WRITERS * WRITES);
    struct rusm__kv_reader *reader = open_reader(kv);
    for (int i = 0; i < WRITERS; i++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "w%d", i);
        snprintf(value, sizeof value, "%d", WRITES - 1); /* the last of its thread */
        check_value(reader, "many", key, value);
        snprintf(key, sizeof key, "w%d-%d", i, WRITES - 2);
        snprintf(value, sizeof value, "%d", WRITES - 2);
        check_value(reader, "many", key, value);
        sem_destroy(&writers[i].done);
    }
    rusm__kv_reader_free(reader);
}

/* ---- reading one's own writes ---- */

struct own_read {
    struct rusm__kv_reader *reader;
    sem_t answered;
    int result;
};

static void read_own_write(void *arg, const struct rusm__kv_result *result) {
    struct own_read *own = arg;
    struct rusm__kv_value value;
    own->result = result->code ? result->code
                               : rusm__kv_get(own->reader, text("own"), text("k"), &value, NULL);
    if (own->result == 0)
        rusm__mem_free(value.data);
    sem_post(&own->answered);
}

static void kv_shows_a_write_from_its_callback_on(void **state) {
    (void)state;
    struct own_read own = {.reader = open_reader(kv), .result = 1};
    sem_init(&own.answered, 0, 0);
    assert_int_equal(
        rusm__kv_set(kv, text("own"), text("k"), text("v"), read_own_write, &own, NULL), 0);
    while (sem_wait(&own.answered) < 0)
        continue;
    assert_int_equal(own.result, 0);
    check_value(own.reader, "own", "k", "v");
    rusm__kv_reader_free(own.reader);
    sem_destroy(&own.answered);
}

/* ---- writes from callbacks, writes without ---- */

static void chain(void *arg, const struct rusm__kv_result *result) {
    int *left = arg;
    if (result->code != 0)
        abort();
    if (--*left > 0 &&
        rusm__kv_set(kv, text("chain"), text("k"), text("v"), chain, left, NULL) != 0)
        abort();
}

static void kv_takes_writes_from_callbacks_and_without(void **state) {
    (void)state;
    int left = 5;
    struct rusm__kv_stats stats;
    assert_int_equal(rusm__kv_set(kv, text("chain"), text("k"), text("v"), chain, &left, NULL), 0);
    assert_int_equal(rusm__kv_set(kv, text("quiet"), text("k"), text("v"), NULL, NULL, NULL), 0);
    do {
        usleep(1000);
        rusm__kv_get_stats(kv, &stats);
    } while (stats.written < 6);
    assert_int_equal(set_text(kv, "last", "k", "v"), 0); /* everything before it is answered */
    assert_int_equal(left, 0);
    struct rusm__kv_reader *reader = open_reader(kv);
    check_value(reader, "quiet", "k", "v");
    rusm__kv_reader_free(reader);
}

/* ---- the bounds of the queue ---- */

struct gate {
    sem_t reached;
    sem_t open;
};

/* Holds the commit thread, so that what is submitted stays in the queue. */
static void hold(void *arg, const struct rusm__kv_result *result) {
    struct gate *gate = arg;
    (void)result;
    sem_post(&gate->reached);
    while (sem_wait(&gate->open) < 0)
        continue;
}

static void hold_commits(struct rusm__kv *store, struct gate *gate) {
    sem_init(&gate->reached, 0, 0);
    sem_init(&gate->open, 0, 0);
    assert_int_equal(rusm__kv_set(store, text("g"), text("g"), text(""), hold, gate, NULL), 0);
    while (sem_wait(&gate->reached) < 0)
        continue;
}

static void count(void *arg, const struct rusm__kv_result *result) {
    if (result->code == 0)
        atomic_fetch_add((_Atomic(int) *)arg, 1);
}

static void kv_bounds_the_number_of_waiting_writes(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.max_queued_ops = 10};
    struct rusm__kv *small = open_store("ops.db", &options);
    struct gate gate;
    struct rusm__kv_error error;
    struct rusm__kv_stats stats;
    _Atomic(int) answers = 0;
    hold_commits(small, &gate);
    for (int i = 0; i < 10; i++)
        assert_int_equal(
            rusm__kv_set(small, text("b"), text("k"), text("v"), count, &answers, NULL), 0);
    assert_int_equal(rusm__kv_set(small, text("b"), text("k"), text("v"), count, &answers, &error),
                     RUSM_ELIMIT);
    assert_non_null(strstr(error.text, "10 writes wait already"));
    assert_int_equal(rusm__kv_delete(small, text("b"), text("k"), count, &answers, NULL),
                     RUSM_ELIMIT);
    rusm__kv_get_stats(small, &stats);
    assert_int_equal(stats.queued, 10);
    sem_post(&gate.open);
    while (atomic_load(&answers) < 10)
        usleep(1000);
    assert_int_equal(set_text(small, "b", "k", "again"), 0);
    rusm__kv_close(small);
    assert_int_equal(atomic_load(&answers), 10);
}

static void kv_bounds_the_bytes_of_waiting_writes(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.max_queued_bytes = 1000};
    struct rusm__kv *small = open_store("bytes.db", &options);
    struct gate gate;
    struct rusm__kv_error error;
    char value[600];
    memset(value, 'v', sizeof value);
    hold_commits(small, &gate);
    assert_int_equal(
        rusm__kv_set(small, text("b"), text("1"), bytes_of(value, 600), NULL, NULL, NULL), 0);
    assert_int_equal(
        rusm__kv_set(small, text("b"), text("2"), bytes_of(value, 600), NULL, NULL, &error),
        RUSM_ELIMIT);
    assert_non_null(strstr(error.text, "bytes wait already"));
    assert_int_equal(
        rusm__kv_set(small, text("b"), text("3"), bytes_of(value, 100), NULL, NULL, NULL), 0);
    sem_post(&gate.open);
    rusm__kv_close(small);
    /* One that is larger than the bound goes alone. */
    small = open_store("bytes.db", &options);
    char large[2000] = "";
    assert_int_equal(set(small, text("b"), text("4"), bytes_of(large, sizeof large)).code, 0);
    rusm__kv_close(small);
}

/* ---- closing ---- */

struct late {
    struct rusm__kv *store;
    struct gate gate;
    int result;
};

static void submit_late(void *arg, const struct rusm__kv_result *result) {
    struct late *late = arg;
    (void)result;
    sem_post(&late->gate.reached);
    do { /* until close has been called */
        usleep(1000);
        late->result =
            rusm__kv_set(late->store, text("late"), text("k"), text("v"), NULL, NULL, NULL);
    } while (late->result == 0);
}

static void kv_close_waits_for_everything_accepted(void **state) {
    (void)state;
    struct rusm__kv *store = open_store("close.db", NULL);
    struct late late = {.store = store};
    _Atomic(int) answers = 0;
    sem_init(&late.gate.reached, 0, 0);
    assert_int_equal(
        rusm__kv_set(store, text("first"), text("k"), text("v"), submit_late, &late, NULL), 0);
    while (sem_wait(&late.gate.reached) < 0)
        continue;
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(
            rusm__kv_set(store, text("b"), text(key), text("v"), count, &answers, NULL), 0);
    }
    rusm__kv_close(store);
    assert_int_equal(late.result, RUSM_ESTATE);
    assert_int_equal(atomic_load(&answers), 1000);
    store = open_store("close.db", NULL);
    struct rusm__kv_reader *reader = open_reader(store);
    struct rusm__kv_keys keys;
    assert_int_equal(rusm__kv_list(reader, text("b"), &keys, NULL), 0);
    assert_int_equal(keys.count, 1000);
    rusm__mem_free(keys.keys);
    rusm__kv_reader_free(reader);
    rusm__kv_close(store);
}

/* ---- readers beside writers ---- */

static _Atomic(bool) stop_reading;

/* The writer sets "x" to a number and then "y" to the same; so whoever reads y and then x finds an
 * x that is not behind. */
static void *read_pairs(void *arg) {
    struct rusm__kv_reader *reader = arg;
    long reads = 0;
    while (!atomic_load(&stop_reading)) {
        struct rusm__kv_value y, x;
        if (rusm__kv_get(reader, text("pair"), text("y"), &y, NULL) != 0)
            continue;
        if (rusm__kv_get(reader, text("pair"), text("x"), &x, NULL) != 0)
            abort(); /* x is always written before y */
        if (atoi((char *)x.data) < atoi((char *)y.data))
            abort();
        rusm__mem_free(x.data);
        rusm__mem_free(y.data);
        reads++;
    }
    return (void *)reads;
}

static void kv_readers_see_writes_in_their_order(void **state) {
    (void)state;
    pthread_t threads[2];
    struct rusm__kv_reader *readers[2];
    for (int i = 0; i < 2; i++) {
        readers[i] = open_reader(kv);
        assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, readers[i]), 0);
    }
    for (int i = 0; i < 400; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        struct rusm__kv_bytes value = bytes_of(number, strlen(number) + 1);
        assert_int_equal(rusm__kv_set(kv, text("pair"), text("x"), value, NULL, NULL, NULL), 0);
        if (i % 20)
            assert_int_equal(rusm__kv_set(kv, text("pair"), text("y"), value, NULL, NULL, NULL), 0);
        else
            assert_int_equal(set(kv, text("pair"), text("y"), value).code, 0);
    }
    atomic_store(&stop_reading, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        rusm__kv_reader_free(readers[i]);
    }
}

static int open_group(void **state) {
    if (folder_set_up(state) < 0)
        return -1;
    kv = open_store("app.db", NULL);
    return 0;
}

static int close_group(void **state) {
    rusm__kv_close(kv);
    return folder_tear_down(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_takes_writes_from_callbacks_and_without),
        cmocka_unit_test(kv_commits_many_writers_together_and_in_order),
        cmocka_unit_test(kv_shows_a_write_from_its_callback_on),
        cmocka_unit_test(kv_bounds_the_number_of_waiting_writes),
        cmocka_unit_test(kv_bounds_the_bytes_of_waiting_writes),
        cmocka_unit_test(kv_close_waits_for_everything_accepted),
        cmocka_unit_test(kv_readers_see_writes_in_their_order),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
