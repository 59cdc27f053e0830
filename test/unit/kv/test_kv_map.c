/* SPDX-License-Identifier: MIT */
/* When room runs out: the map grows, other programs grow it, limits, full disks. */
#include "unit/kv/kv_help.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kv/kv_impl.h"

enum { CHUNK = 40000, NOT_ALLOWED = 77 };

static unsigned char chunk[CHUNK];

/* Write chunks numbered from `from` until one fails or `count` are written; the last answer. */
static struct waiting fill(struct rusm__kv *kv, int from, int count, int *out_written) {
    struct waiting answer = {.code = 0};
    *out_written = 0;
    for (int i = from; i < from + count && answer.code == 0; i++) {
        char key[16];
        snprintf(key, sizeof key, "%06d", i);
        memset(chunk, i, sizeof chunk);
        answer = set(kv, text("fill"), text(key), bytes_of(chunk, sizeof chunk));
        *out_written += answer.code == 0;
    }
    return answer;
}

static void check_filled(struct rusm__kv *kv, int count) {
    struct rusm__kv_reader *reader = open_reader(kv);
    for (int i = 0; i < count; i++) {
        char key[16];
        struct rusm__kv_value value;
        snprintf(key, sizeof key, "%06d", i);
        memset(chunk, i, sizeof chunk);
        assert_int_equal(rusm__kv_get(reader, text("fill"), text(key), &value, NULL), 0);
        assert_int_equal(value.len, sizeof chunk);
        assert_memory_equal(value.data, chunk, sizeof chunk);
        rusm__mem_free(value.data);
    }
    rusm__kv_reader_free(reader);
}

/* ---- growing ---- */

static _Atomic(bool) stop_reading;

static void *read_all_the_time(void *arg) {
    struct rusm__kv_reader *reader = arg;
    while (!atomic_load(&stop_reading)) {
        struct rusm__kv_keys keys;
        if (rusm__kv_list(reader, text("fill"), &keys, NULL) != 0)
            abort();
        rusm__mem_free(keys.keys);
    }
    return NULL;
}

static void kv_map_grows_under_readers(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.map_bytes = 1 << 16};
    struct rusm__kv *kv = open_store("grow.db", &options);
    struct rusm__kv_reader *readers[3];
    struct rusm__kv_stats stats;
    pthread_t threads[3];
    int written;
    for (int i = 0; i < 3; i++) {
        readers[i] = open_reader(kv);
        assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, readers[i]), 0);
    }
    assert_int_equal(fill(kv, 0, 80, &written).code, 0);
    atomic_store(&stop_reading, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        rusm__kv_reader_free(readers[i]);
    }
    rusm__kv_get_stats(kv, &stats);
    assert_true(stats.grown >= 4);
    assert_true(stats.map_bytes >= 80 * CHUNK);
    check_filled(kv, 80);
    rusm__kv_close(kv);
    kv = open_store("grow.db", &options); /* larger than the map that was asked for */
    check_filled(kv, 80);
    assert_int_equal(fill(kv, 80, 20, &written).code, 0);
    check_filled(kv, 100);
    rusm__kv_close(kv);
}

/* One value that needs several doublings at once, between two small ones in one batch. */
static void kv_map_grows_as_often_as_one_value_needs(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.map_bytes = 1 << 16};
    struct rusm__kv *kv = open_store("jump.db", &options);
    size_t len = 3 << 20;
    unsigned char *large = calloc(1, len);
    assert_int_equal(rusm__kv_set(kv, text("b"), text("1"), text("s"), NULL, NULL, NULL), 0);
    assert_int_equal(rusm__kv_set(kv, text("b"), text("2"), bytes_of(large, len), NULL, NULL, NULL),
                     0);
    assert_int_equal(set_text(kv, "b", "3", "s"), 0);
    struct rusm__kv_reader *reader = open_reader(kv);
    check_list(reader, "b", "1,2,3,");
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    free(large);
}

/* ---- the store's own limit ---- */

static void kv_limit_of_size_is_an_error_to_the_writer_that_passes_it(void **state) {
    (void)state;
    const struct rusm__kv_options options = {.map_bytes = 1 << 16, .max_map_bytes = 1 << 20};
    struct rusm__kv *kv = open_store("limit.db", &options);
    struct waiting small_one = {.code = 1}, large_one = {.code = 1}, small_two = {.code = 1};
    size_t len = 2 << 20;
    unsigned char *large = calloc(1, len);
    sem_init(&small_one.answered, 0, 0);
    sem_init(&large_one.answered, 0, 0);
    sem_init(&small_two.answered, 0, 0);
    assert_int_equal(
        rusm__kv_set(kv, text("b"), text("1"), text("s"), take_answer, &small_one, NULL), 0);
    assert_int_equal(
        rusm__kv_set(kv, text("b"), text("2"), bytes_of(large, len), take_answer, &large_one, NULL),
        0);
    assert_int_equal(
        rusm__kv_set(kv, text("b"), text("3"), text("s"), take_answer, &small_two, NULL), 0);
    assert_int_equal(wait_for(&small_one, 0).code, 0);
    struct waiting refused = wait_for(&large_one, 0);
    assert_int_equal(refused.code, RUSM_ELIMIT);
    assert_non_null(strstr(refused.text, "limit of 1048576 bytes"));
    assert_int_equal(wait_for(&small_two, 0).code, 0);
    struct rusm__kv_reader *reader = open_reader(kv);
    check_list(reader, "b", "1,3,");
    rusm__kv_reader_free(reader);
    /* Full to the brim it still reads, and a larger limit makes it writable again. */
    int written, more;
    assert_int_equal(fill(kv, 0, 1000, &written).code, RUSM_ELIMIT);
    assert_true(written > 0);
    check_filled(kv, written);
    rusm__kv_close(kv);
    kv = open_store("limit.db", NULL);
    check_filled(kv, written);
    assert_int_equal(fill(kv, written, 10, &more).code, 0);
    rusm__kv_close(kv);
    free(large);
}

/* ---- a program that does not know our lock ---- */

/* Write a few megabytes through LMDB itself, as one of its tools might. */
static int grow_from_outside(const char *path) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    static unsigned char large[4 << 20];
    MDB_val key = rusm__kv_val("\0\1bbig", 6), value = rusm__kv_val(large, sizeof large);
    return mdb_env_create(&env) || mdb_env_set_maxdbs(env, 4) ||
           mdb_env_set_mapsize(env, 64 << 20) || mdb_env_open(env, path, MDB_NOSUBDIR, 0600) ||
           mdb_txn_begin(env, NULL, 0, &txn) || mdb_dbi_open(txn, "kv", 0, &dbi) ||
           mdb_put(txn, dbi, &key, &value, 0) || mdb_txn_commit(txn);
}

static void run_outside(const char *path) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(grow_from_outside(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void kv_adopts_a_file_that_grew_from_outside(void **state) {
    (void)state;
    char path[256];
    const struct rusm__kv_options options = {.map_bytes = 1 << 16};
    struct rusm__kv *kv;
    struct rusm__kv_reader *reader;
    strcpy(path, path_of("outside-read.db"));
    kv = open_store("outside-read.db", &options);
    reader = open_reader(kv);
    assert_int_equal(set_text(kv, "b", "k", "v"), 0);
    check_value(reader, "b", "k", "v");
    run_outside(path);
    check_value(reader, "b", "k", "v"); /* a read meets it first */
    check_list(reader, "b", "big,k,");
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
    strcpy(path, path_of("outside-write.db"));
    kv = open_store("outside-write.db", &options);
    reader = open_reader(kv);
    run_outside(path);
    assert_int_equal(set_text(kv, "b", "k", "v"), 0); /* a write meets it first */
    check_list(reader, "b", "big,k,");
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
}

/* ---- limits of the process: each in a child, since they cannot be taken back ---- */

static int run_in_child(void (*body)(void)) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void fill_up_to_a_file_size(void) {
    const struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    struct rusm__kv *kv = open_store("fsize.db", NULL);
    int written, more;
    signal(SIGXFSZ, SIG_DFL); /* deadly, but blocked in the commit thread, which gets EFBIG */
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct waiting last = fill(kv, 0, 1000, &written);
    MUST(last.code == RUSM_EIO && strstr(last.text, "size limit of this process"));
    MUST(written > 10 && written < 1000);
    check_filled(kv, written);
    /* Deleting works, and makes room for others. */
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "%06d", i);
        MUST(del(kv, text("fill"), text(key)).code == 0);
    }
    MUST(set_text(kv, "small", "k", "v") == 0);
    rusm__kv_close(kv);
    kv = open_store("fsize.db", NULL);
    MUST(fill(kv, 0, 3, &more).code == 0);
    check_filled(kv, 3);
    rusm__kv_close(kv);
}

static void kv_reports_a_file_at_its_size_limit(void **state) {
    (void)state;
    assert_int_equal(run_in_child(fill_up_to_a_file_size), 0);
}

#ifndef RUSM_SANITIZED /* sanitizers need the address space themselves */
static void fill_up_to_an_address_space(void) {
    const struct rusm__kv_options options = {.map_bytes = 4 << 20};
    struct rlimit limit;
    struct rusm__kv *kv = open_store("as.db", &options);
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    int written;
    MUST(statm && fscanf(statm, "%lu", &pages) == 1);
    limit.rlim_cur = limit.rlim_max = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (6 << 20);
    MUST(setrlimit(RLIMIT_AS, &limit) == 0);
    struct waiting last = fill(kv, 0, 250, &written); /* 10 MB; the map cannot grow to 8 */
    MUST(last.code == RUSM_ENOMEM && strstr(last.text, "growing the store's map"));
    MUST(written > 20);
    check_filled(kv, written); /* the old map is in place */
    rusm__kv_close(kv);
}

static void kv_keeps_its_map_when_it_cannot_grow(void **state) {
    (void)state;
    assert_int_equal(run_in_child(fill_up_to_an_address_space), 0);
}
#endif

/* ---- a full disk ---- */

static bool put(const char *path, const char *line) {
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    if (fd >= 0)
        close(fd);
    return done;
}

/* May this process mount? Root may; others may in a name space in which they are root. */
static bool enter_name_space(void) {
    char users[64], groups[64];
    snprintf(users, sizeof users, "0 %u 1", (unsigned)getuid());
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getgid());
    return unshare(CLONE_NEWNS) == 0 ||
           (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put("/proc/self/setgroups", "deny") &&
            put("/proc/self/uid_map", users) && put("/proc/self/gid_map", groups));
}

/* A small disk in a name space of this process, which goes away with it. */
static void mount_disk(const char *disk) {
    if (!enter_name_space())
        _exit(NOT_ALLOWED);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("rusm-kv-test", disk, "tmpfs", MS_NOSUID | MS_NODEV, "size=3m") < 0)
        _exit(errno == EPERM || errno == EACCES || errno == ENODEV ? NOT_ALLOWED : 1);
}

static void fill_a_disk(void) {
    char disk[256], filler[300];
    struct rusm__kv_options options = {.map_bytes = 64 << 20};
    int written, more;
    snprintf(disk, sizeof disk, "%s", path_of("disk"));
    snprintf(filler, sizeof filler, "%s/filler", disk);
    mount_disk(disk);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    MUST(fd >= 0 && posix_fallocate(fd, 0, 1 << 20) == 0);
    close(fd);
    struct rusm__kv *kv = open_store("disk/app.db", &options);
    struct waiting last = fill(kv, 0, 1000, &written);
    MUST(last.code == RUSM_EIO && strstr(last.text, "the disk is full"));
    MUST(written > 10 && written < 1000);
    check_filled(kv, written);
    MUST(unlink(filler) == 0);
    MUST(fill(kv, written, 10, &more).code == 0); /* room again: no restart needed */
    check_filled(kv, written + 10);
    MUST(fill(kv, written + 10, 1000, &more).code == RUSM_EIO);
    rusm__kv_close(kv);
    kv = open_store("disk/app.db", &options);
    check_filled(kv, written + 10);
    rusm__kv_close(kv);
    /* A store that cannot even be made. */
    struct rusm__kv *none;
    struct rusm__kv_error error;
    MUST(rusm__kv_open(path_of("disk/second.db"), NULL, &none, &error) == RUSM_EIO);
    MUST(strstr(error.text, "the disk is full"));
}

/* Where nobody may mount, not even in a name space of one's own, the file size limit above has to
 * stand for the full disk. */
static void kv_reports_a_full_disk(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("disk"), 0700), 0);
    int status = run_in_child(fill_a_disk);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED) {
        print_message("a full disk is not tested: this system lets this user mount nothing\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_map_grows_under_readers),
        cmocka_unit_test(kv_map_grows_as_often_as_one_value_needs),
        cmocka_unit_test(kv_limit_of_size_is_an_error_to_the_writer_that_passes_it),
        cmocka_unit_test(kv_adopts_a_file_that_grew_from_outside),
        cmocka_unit_test(kv_reports_a_file_at_its_size_limit),
#ifndef RUSM_SANITIZED
        cmocka_unit_test(kv_keeps_its_map_when_it_cannot_grow),
#endif
        cmocka_unit_test(kv_reports_a_full_disk),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
