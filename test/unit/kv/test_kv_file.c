/* SPDX-License-Identifier: MIT */
/* Opening: folders, files that are not ours, and other processes. White box for one look at the
 * reader table. */
#include "unit/kv/kv_help.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kv/kv_impl.h"

/* Opening must fail; returns the text. */
static const char *refusal(const char *path, int wanted) {
    static struct rusm__kv_error error;
    struct rusm__kv *kv = (struct rusm__kv *)&error;
    assert_int_equal(rusm__kv_open(path, NULL, &kv, &error), wanted);
    assert_null(kv);
    return error.text;
}

static void kv_makes_missing_folders(void **state) {
    (void)state;
    rusm__kv_close(open_store("data/deep/er/app.db", NULL));
    rusm__kv_close(open_store("data//other/app.db", NULL));
    struct stat info;
    assert_int_equal(stat(path_of("data/deep/er/app.db"), &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(info.st_mode & 0077, 0); /* what guests store is nobody else's business */
    assert_int_equal(stat(path_of("data/deep/er/app.db-lock"), &info), 0);
}

static void kv_opens_relative_paths(void **state) {
    (void)state;
    char before[PATH_MAX];
    struct rusm__kv *kv;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(rusm__kv_open("plain.db", NULL, &kv, NULL), 0);
    rusm__kv_close(kv);
    assert_int_equal(access("plain.db", F_OK), 0);
    assert_int_equal(chdir(before), 0);
}

static void kv_refuses_a_second_opening_in_this_process(void **state) {
    (void)state;
    struct rusm__kv *kv = open_store("twice.db", NULL);
    assert_non_null(strstr(refusal(path_of("twice.db"), RUSM_EBUSY), "this process holds it"));
    assert_int_equal(set_text(kv, "b", "k", "still works"), 0);
    rusm__kv_close(kv);
    rusm__kv_close(open_store("twice.db", NULL));
}

/* A child that opens the store and holds it until it is killed. */
static pid_t start_holder(const char *path) {
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rusm__kv *kv;
        byte = rusm__kv_open(path, NULL, &kv, NULL) == 0 ? 'y' : 'n';
        if (write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ends[0]);
    return child;
}

static void end_child(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void kv_refuses_a_second_process_and_says_who(void **state) {
    (void)state;
    char path[256], who[64];
    strcpy(path, path_of("held.db"));
    pid_t holder = start_holder(path);
    snprintf(who, sizeof who, "process %d holds it (is a node still running?)", (int)holder);
    const char *said = refusal(path, RUSM_EBUSY);
    /* The kernel may hide the holder's number, never the fact. */
    assert_true(strstr(said, who) || strstr(said, "another process holds it"));
    assert_non_null(strstr(said, path));
    end_child(holder);
    rusm__kv_close(open_store("held.db", NULL)); /* its death has freed the store */
}

static void write_file(const char *path, const char *content) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void kv_refuses_files_that_are_no_store(void **state) {
    (void)state;
    char path[256], back[32] = "";
    static char page[8192];
    strcpy(path, path_of("notes.txt"));
    write_file(path, "shopping list\n");
    assert_non_null(strstr(refusal(path, RUSM_EIO), "it is not a store of rusm"));
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(back, sizeof back, file));
    fclose(file);
    assert_string_equal(back, "shopping list\n"); /* left alone */
    memset(page, 'p', sizeof page - 1);
    write_file(path, page);
    assert_non_null(strstr(refusal(path, RUSM_EIO), "it is not a store of rusm"));
    assert_non_null(strstr(refusal(folder, RUSM_EIO), "directory"));
    strcpy(path, path_of("fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_non_null(strstr(refusal(path, RUSM_EIO), "it is not a file"));
    strcpy(path, path_of("notes.txt/app.db"));
    assert_non_null(strstr(refusal(path, RUSM_EIO), "notes.txt"));
}

/* Put one entry into an LMDB file without rusm. */
static void write_foreign(const char *path, const char *name, const char *content) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = rusm__kv_val(name, strlen(name));
    MDB_val value = rusm__kv_val(content, strlen(content));
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void kv_refuses_stores_of_others(void **state) {
    (void)state;
    char path[256];
    strcpy(path, path_of("foreign.db"));
    write_foreign(path, "their", "data");
    assert_non_null(strstr(refusal(path, RUSM_EIO), "an LMDB file of another program"));
    strcpy(path, path_of("future.db"));
    write_foreign(path, "rusm-format", "2");
    assert_non_null(strstr(refusal(path, RUSM_EIO), "another version of rusm"));
}

/* ---- files that are shorter than they say ---- */

static off_t file_bytes(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

/* A copy that ran out of disk: whatever is missing, looking for it would end the process. */
static void kv_refuses_files_that_were_cut_short(void **state) {
    (void)state;
    static char value[100000];
    struct rusm__kv *kv = open_store("cut.db", NULL);
    char path[256], key[16];
    strcpy(path, path_of("cut.db"));
    for (int i = 0; i < 8; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(set(kv, text("b"), text(key), bytes_of(value, sizeof value)).code, 0);
    }
    rusm__kv_close(kv);
    off_t bytes[] = {file_bytes(path) - 1, file_bytes(path) / 2, 3 * 4096, 2 * 4096};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        assert_int_equal(truncate(path, bytes[i]), 0);
        assert_non_null(strstr(refusal(path, RUSM_EIO), "it is cut short, with "));
        assert_int_equal(file_bytes(path), bytes[i]); /* left alone */
    }
}

/* Pages at the end of the file that were given back before anybody wrote them. */
static void kv_opens_files_that_end_with_unwritten_pages(void **state) {
    (void)state;
    static char value[1000000];
    struct rusm__kv *kv = open_store("short.db", NULL);
    MDB_txn *txn;
    MDB_envinfo info;
    MDB_val key = rusm__kv_val("\0\1bk", 4), large = rusm__kv_val(value, sizeof value);
    for (int i = 0; i < 5; i++) /* leaves free pages, without which none are given back */
        assert_int_equal(set_text(kv, "b", "stays", "here"), 0);
    assert_int_equal(mdb_txn_begin(kv->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, kv->dbi, &key, &large, 0), 0);
    assert_int_equal(mdb_del(txn, kv->dbi, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(mdb_env_info(kv->env, &info), 0);
    rusm__kv_close(kv);
    assert_true((size_t)file_bytes(path_of("short.db")) < info.me_last_pgno * 4096);
    for (int i = 0; i < 2; i++) {
        kv = open_store("short.db", NULL);
        struct rusm__kv_reader *reader = open_reader(kv);
        struct rusm__kv_value found;
        assert_int_equal(rusm__kv_get(reader, text("b"), text("stays"), &found, NULL), 0);
        rusm__mem_free(found.data);
        rusm__kv_reader_free(reader);
        assert_int_equal(set_text(kv, "b", "more", "there"), 0);
        rusm__kv_close(kv);
    }
}

static void kv_refuses_paths_that_are_too_long(void **state) {
    (void)state;
    char path[PATH_MAX + 10];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_non_null(strstr(refusal(path, RUSM_EINVAL), "too long"));
    path[1000] = '\0';
    assert_non_null(strstr(refusal(path, RUSM_EIO), "File name too long"));
}

static void kv_refuses_values_of_a_later_form(void **state) {
    (void)state;
    struct rusm__kv *kv = open_store("form.db", NULL);
    struct rusm__kv_reader *reader = open_reader(kv);
    struct rusm__kv_value value;
    struct rusm__kv_error error;
    MDB_txn *txn;
    MDB_val key = rusm__kv_val("\0\1bk", 4), stored = rusm__kv_val("\x63later", 6);
    assert_int_equal(mdb_txn_begin(kv->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, kv->dbi, &key, &stored, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(rusm__kv_get(reader, text("b"), text("k"), &value, &error), RUSM_EIO);
    assert_non_null(strstr(error.text, "does not know"));
    rusm__kv_reader_free(reader);
    rusm__kv_close(kv);
}

/* ---- readers of the dead ---- */

/* A child that uses the file without rusm, inside a read transaction, until it is killed. */
static pid_t start_foreign_reader(const char *path) {
    int ends[2];
    char byte = 'y';
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        MDB_env *env;
        MDB_txn *txn;
        if (mdb_env_create(&env) || mdb_env_open(env, path, MDB_NOSUBDIR, 0600) ||
            mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static int collect_line(const char *line, void *arg) {
    strncat(arg, line, 2000);
    return 0;
}

static bool is_listed(struct rusm__kv *kv, pid_t pid) {
    char lines[4096] = "", number[16];
    snprintf(number, sizeof number, "%d ", (int)pid);
    assert_true(mdb_reader_list(kv->env, collect_line, lines) >= 0);
    return strstr(lines, number) != NULL;
}

static void kv_clears_readers_of_dead_processes(void **state) {
    (void)state;
    char path[256];
    strcpy(path, path_of("stale.db"));
    rusm__kv_close(open_store("stale.db", NULL));
    pid_t alive = start_foreign_reader(path); /* keeps LMDB's lock file from being made anew */
    pid_t dead = start_foreign_reader(path);
    end_child(dead);
    struct rusm__kv *kv = open_store("stale.db", NULL);
    assert_true(is_listed(kv, alive));
    assert_false(is_listed(kv, dead));
    rusm__kv_close(kv);
    end_child(alive);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_makes_missing_folders),
        cmocka_unit_test(kv_opens_relative_paths),
        cmocka_unit_test(kv_refuses_a_second_opening_in_this_process),
        cmocka_unit_test(kv_refuses_a_second_process_and_says_who),
        cmocka_unit_test(kv_refuses_files_that_are_no_store),
        cmocka_unit_test(kv_refuses_stores_of_others),
        cmocka_unit_test(kv_refuses_files_that_were_cut_short),
        cmocka_unit_test(kv_opens_files_that_end_with_unwritten_pages),
        cmocka_unit_test(kv_refuses_paths_that_are_too_long),
        cmocka_unit_test(kv_refuses_values_of_a_later_form),
        cmocka_unit_test(kv_clears_readers_of_dead_processes),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
