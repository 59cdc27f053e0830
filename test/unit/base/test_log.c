/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/log.h"

/* ---- help ---- */

struct ends {
    int read;
    int write;
};

static struct ends pipe_new(void) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    return (struct ends){fds[0], fds[1]};
}

/* Everything up to the end of the pipe, whose write end is closed first. */
static char *read_all(struct ends ends) {
    size_t len = 0, size = 1 << 20;
    char *text = malloc(size);
    ssize_t got;
    close(ends.write);
    while ((got = read(ends.read, text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends.read);
    return text;
}

static bool is_time(const char *text) {
    static const char shape[] = "dd:dd:dd ";
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    return true;
}

/* Log one line into a pipe and return it without its time. */
static char *one_line(enum rusm__log_level level, const char *who, const char *verb,
                      const char *text, size_t len) {
    struct ends ends = pipe_new();
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_DEBUG), 0);
    rusm__log_bytes(level, who, verb, text, len);
    rusm__log_stop();
    char *line = read_all(ends);
    assert_true(is_time(line));
    memmove(line, line + 9, strlen(line + 9) + 1);
    return line;
}

static void expect(const char *who, const char *verb, const char *text, size_t len,
                   const char *wanted) {
    char *line = one_line(RUSM__LOG_INFO, who, verb, text, len);
    assert_string_equal(line, wanted);
    free(line);
}

/* ---- what a line looks like ---- */

static void log_lays_out_columns(void **state) {
    (void)state;
    expect("rusm", "spawn", "hello#1  net", 12, "rusm           spawn  hello#1  net\n");
    expect("actions-ag#9", "warn", "x", 1, "actions-ag#9   warn   x\n");
    expect("a-name-too-long#12345", "longverb", "t", 1, "a-name-too-long#12345 longverb t\n");
    expect("", "", "", 0, "                      \n");
    expect("gr\xc3\xbc\xc3\x9f#1", "info", "\xe2\x86\x92", 3,
           "gr\xc3\xbc\xc3\x9f#1         info   \xe2\x86\x92\n"); /* columns are characters */
}

static void log_formats_like_printf(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    char many[2000];
    memset(many, 'm', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    rusm__log(RUSM__LOG_INFO, "rusm", "http", "GET %s \xe2\x86\x92 %d", "/home?x=1", 200);
    rusm__log(RUSM__LOG_INFO, "rusm", "long", "%s|%d", many, 7); /* longer than the stack's part */
    rusm__log_stop();
    char *text = read_all(ends);
    assert_non_null(strstr(text, " rusm           http   GET /home?x=1 \xe2\x86\x92 200\n"));
    assert_non_null(strstr(text, "mmm|7\n"));
    free(text);
}

static void log_escapes_what_could_forge_a_line(void **state) {
    (void)state;
    expect("w", "v", "a\nb\rc\td", 7, "w              v      a\\nb\\rc\\td\n");
    expect("w", "v", "\x1b[31m\0\x7f", 7, "w              v      \\x1b[31m\\x00\\x7f\n");
    expect("w", "v",
           "\xc2\x9b"
           "2J",
           4, "w              v      \\xc2\\x9b2J\n");
    expect("w", "v", "\xe2\x80\xa8\xe2\x80\xa9", 6,
           "w              v      \\xe2\\x80\\xa8\\xe2\\x80\\xa9\n");
    expect("w", "v", "\xff\xc3", 2, "w              v      \\xff\\xc3\n");
    expect("w\n", "v\n", "t", 1, "w\\n            v\\n    t\n");
}

static void log_cuts_long_texts_between_characters(void **state) {
    (void)state;
    for (size_t len = 8190; len < 8196; len++) {
        char *text = malloc(len);
        memset(text, 'a', len);
        for (size_t i = 8190; i + 1 < len && i < 8194; i += 2)
            memcpy(text + i, "\xc3\xa4", 2);
        char *line = one_line(RUSM__LOG_INFO, "w", "v", text, len);
        size_t shown = strlen(line) - 22 - 1;
        bool cut = len > 8192;
        assert_int_equal(shown >= 3 && memcmp(line + strlen(line) - 4, "\xe2\x80\xa6\n", 4) == 0,
                         cut);
        assert_int_equal(shown, cut ? 8192 + 3 : len);
        assert_null(strstr(line, "\\x"));
        free(line);
        free(text);
    }
    /* The same for formatted texts, at the border. */
    for (int len = 8191; len < 8194; len++) {
        struct ends ends = pipe_new();
        assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
        rusm__log(RUSM__LOG_INFO, "w", "v", "%0*d", len, 1);
        rusm__log_stop();
        char *line = read_all(ends);
        assert_null(strstr(line, "\\x"));
        assert_int_equal(strlen(line) - 31 - 1, len <= 8192 ? len : 8192 + 3);
        free(line);
    }
}

/* ---- levels ---- */

static void log_shows_wanted_levels_only(void **state) {
    (void)state;
    static const char *const wanted[] = {"", "e", "ew", "ewi", "ewid"};
    for (int level = RUSM__LOG_OFF; level <= RUSM__LOG_DEBUG; level++) {
        struct ends ends = pipe_new();
        char seen[5] = "";
        assert_int_equal(rusm__log_start(ends.write, (enum rusm__log_level)level), 0);
        assert_false(rusm__log_wants(RUSM__LOG_OFF));
        rusm__log(RUSM__LOG_ERROR, "w", "v", "e");
        rusm__log(RUSM__LOG_WARN, "w", "v", "w");
        rusm__log(RUSM__LOG_INFO, "w", "v", "i");
        rusm__log(RUSM__LOG_DEBUG, "w", "v", "d");
        rusm__log(RUSM__LOG_OFF, "w", "v", "never");
        rusm__log_stop();
        char *text = read_all(ends);
        for (char *p = text; (p = strchr(p, '\n')); p++)
            strncat(seen, p - 1, 1);
        assert_string_equal(seen, wanted[level]);
        free(text);
    }
}

static void log_drops_lines_outside_of_start_and_stop(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    assert_false(rusm__log_wants(RUSM__LOG_ERROR));
    rusm__log_set_level(RUSM__LOG_DEBUG);
    assert_false(rusm__log_wants(RUSM__LOG_ERROR));
    rusm__log(RUSM__LOG_ERROR, "w", "v", "before");
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_ERROR), 0);
    assert_int_equal(rusm__log_start(0, RUSM__LOG_INFO), 0); /* nested: the first descriptor */
    rusm__log(RUSM__LOG_INFO, "w", "v", "one");
    rusm__log_stop();
    rusm__log(RUSM__LOG_INFO, "w", "v", "two");
    rusm__log_set_level(RUSM__LOG_WARN);
    rusm__log(RUSM__LOG_INFO, "w", "v", "three");
    rusm__log_stop();
    rusm__log(RUSM__LOG_ERROR, "w", "v", "after");
    rusm__log_stop(); /* one too many does nothing */
    char *text = read_all(ends);
    assert_non_null(strstr(text, "one\n"));
    assert_non_null(strstr(text, "two\n"));
    assert_null(strstr(text, "three"));
    assert_null(strstr(text, "before"));
    assert_null(strstr(text, "after"));
    free(text);
}

static bool parses(const char *text, enum rusm__log_level *out) {
    return rusm__log_parse_level(text, strlen(text), out);
}

static void log_parses_levels(void **state) {
    (void)state;
    enum rusm__log_level level = RUSM__LOG_WARN;
    assert_true(parses("off", &level) && level == RUSM__LOG_OFF);
    assert_true(parses(" ERROR\n", &level) && level == RUSM__LOG_ERROR);
    assert_true(parses("Warning", &level) && level == RUSM__LOG_WARN);
    assert_true(parses("warn", &level) && level == RUSM__LOG_WARN);
    assert_true(parses("info", &level) && level == RUSM__LOG_INFO);
    assert_true(parses("trace", &level) && level == RUSM__LOG_DEBUG);
    assert_true(parses("\tdebug ", &level) && level == RUSM__LOG_DEBUG);
    assert_false(parses("", &level));
    assert_false(parses("   ", &level));
    assert_false(parses("inf", &level));
    assert_false(parses("info!", &level));
    assert_false(parses("in fo", &level));
    assert_int_equal(level, RUSM__LOG_DEBUG);
}

/* ---- terminals ---- */

static void log_colours_terminals_only(void **state) {
    (void)state;
    int master, slave;
    struct termios raw;
    char text[4096] = "";
    size_t len = 0;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    assert_int_equal(rusm__log_start(slave, RUSM__LOG_DEBUG), 0);
    rusm__log(RUSM__LOG_INFO, "rusm", "http", "GET /\x1b[2J \xe2\x86\x92 404");
    rusm__log(RUSM__LOG_ERROR, "rusm", "exit", "hello#7  crashed");
    rusm__log(RUSM__LOG_INFO, "rusm", "census", "a=1  bb=22");
    rusm__log(RUSM__LOG_INFO, "guest#1", "info", "plain \xe2\x86\x92 200");
    assert_true(rusm__log_flush(10000));
    while (!strstr(text, "plain")) { /* the pty hands it over in pieces */
        ssize_t got = read(master, text + len, sizeof text - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
        text[len] = '\0';
    }
    rusm__log_stop();
    close(slave);
    close(master);
    assert_memory_equal(text, "\x1b[90m", 5);
    assert_non_null(strstr(text, "\x1b[0m \x1b[2;35mrusm          \x1b[0m \x1b[36mhttp  \x1b[0m "
                                 "GET /\\x1b[2J\x1b[2m \xe2\x86\x92 \x1b[0m\x1b[33m404\x1b[0m\n"));
    assert_non_null(strstr(text, "\x1b[31mexit  \x1b[0m \x1b[1mhello#7\x1b[0m"
                                 "\x1b[31m  crashed\x1b[0m\n"));
    assert_non_null(strstr(text, "\x1b[1ma\x1b[0m\x1b[2m=\x1b[0m1  \x1b[1mbb\x1b[0m"));
    assert_non_null(strstr(text, "info  \x1b[0m plain \xe2\x86\x92 200\n"));
}

/* ---- readers that are slow, deaf or gone ---- */

enum { THREADS = 4, LINES = 6000 };

static void *log_many(void *arg) {
    for (int i = 0; i < LINES; i++)
        rusm__log(RUSM__LOG_INFO, "rusm", "test", "<%d %d>", (int)(intptr_t)arg, i);
    return NULL;
}

static void *read_slowly(void *arg) {
    struct ends *ends = arg;
    char *text = malloc(8 << 20);
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends->read, text + len, 20000)) > 0) {
        len += (size_t)got;
        usleep(200);
    }
    text[len] = '\0';
    return text;
}

/* Sent = received + dropped; each thread's lines in order; no line torn. */
static void log_loses_nothing_uncounted(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    pthread_t reader, threads[THREADS];
    void *text;
    int next[THREADS] = {0}, received = 0;
    unsigned long long reported = 0;
    pthread_create(&reader, NULL, read_slowly, &ends);
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_many, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(rusm__log_flush(60000));
    rusm__log_stop();
    close(ends.write);
    pthread_join(reader, &text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int thread, number;
        unsigned long long lines;
        assert_true(is_time(line));
        if (sscanf(line + 31, "<%d %d>", &thread, &number) == 2) {
            assert_in_range(thread, 0, THREADS - 1);
            assert_true(number >= next[thread]);
            next[thread] = number + 1;
            received++;
        } else {
            assert_int_equal(sscanf(line + 9, "rusm log %llu lines dropped", &lines), 1);
            reported += lines;
        }
    }
    assert_int_equal(received + reported, THREADS * LINES);
    assert_int_equal(reported, rusm__log_dropped());
    free(text);
    close(ends.read);
}

static void log_to_a_full_pipe_blocks_nobody(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    char line[1001];
    memset(line, 'f', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    for (int i = 0; i < 10000; i++) /* more than ring and pipe hold together */
        rusm__log(RUSM__LOG_INFO, "rusm", "full", "%s", line);
    assert_true(rusm__log_dropped() > 0);
    assert_false(rusm__log_flush(10));
    rusm__log_stop(); /* that this ends is the test: nobody reads */
    assert_int_equal(fcntl(ends.write, F_GETFL) & O_NONBLOCK, 0);
    char *text = read_all(ends);
    size_t whole = 0;
    for (char *p = text; (p = strchr(p, '\n')); p++)
        whole++;
    uint64_t dropped = rusm__log_dropped();
    assert_in_range(whole + dropped, 9999, 10000); /* the line at the cut may be out by a part */
    free(text);
    /* And the log works again afterwards. */
    expect("rusm", "again", "t", 1, "rusm           again  t\n");
}

static void log_reports_drops_once_there_is_room(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    char text[65536];
    char wanted[64];
    bool seen = false;
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    for (int i = 0; i < 20000; i++)
        rusm__log(RUSM__LOG_INFO, "rusm", "many", "line");
    uint64_t dropped = rusm__log_dropped();
    assert_true(dropped > 0);
    snprintf(wanted, sizeof wanted, " rusm           log    %llu lines dropped\n",
             (unsigned long long)dropped);
    while (!seen) { /* a blocking read: ends with the report or with the test's time limit */
        ssize_t got = read(ends.read, text, sizeof text - 1);
        assert_true(got > 0);
        text[got] = '\0';
        seen = strstr(text, wanted) != NULL;
    }
    rusm__log_stop();
    close(ends.read);
    close(ends.write);
}

static void log_survives_a_closed_reader(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    struct sigaction deadly = {.sa_handler = SIG_DFL}, old;
    sigaction(SIGPIPE, &deadly, &old); /* would end the test if it were raised */
    close(ends.read);
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    for (int i = 0; i < 10; i++)
        rusm__log(RUSM__LOG_INFO, "rusm", "v", "lost");
    assert_true(rusm__log_flush(10000));
    assert_int_equal(rusm__log_dropped(), 10);
    rusm__log_stop();
    close(ends.write);
    sigaction(SIGPIPE, &old, NULL);
    assert_int_equal(rusm__log_start(-1, RUSM__LOG_INFO), RUSM_EINVAL);
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0); /* closed as a whole */
    rusm__log(RUSM__LOG_INFO, "rusm", "v", "lost");
    assert_true(rusm__log_flush(10000));
    assert_int_equal(rusm__log_dropped(), 1);
    rusm__log_stop();
}

static void log_copes_with_a_nonblocking_descriptor(void **state) {
    (void)state;
    struct ends ends = pipe_new();
    pthread_t reader;
    void *text;
    fcntl(ends.write, F_SETFL, fcntl(ends.write, F_GETFL) | O_NONBLOCK);
    assert_int_equal(rusm__log_start(ends.write, RUSM__LOG_INFO), 0);
    for (int i = 0; i < 3000; i++) /* more than the pipe, less than the ring */
        rusm__log(RUSM__LOG_INFO, "rusm", "v", "%060d", i);
    pthread_create(&reader, NULL, read_slowly, &ends);
    assert_true(rusm__log_flush(60000));
    assert_int_equal(rusm__log_dropped(), 0);
    rusm__log_stop();
    assert_true(fcntl(ends.write, F_GETFL) & O_NONBLOCK);
    close(ends.write);
    pthread_join(reader, &text);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_int_equal(atoi(line + 31), lines++);
    assert_int_equal(lines, 3000);
    free(text);
    close(ends.read);
}

static void *log_and_count(void *arg) {
    (void)arg;
    for (int i = 0; i < 2000; i++)
        rusm__log(RUSM__LOG_INFO, "rusm", "late", "%d", i);
    return NULL;
}

/* Threads that log while others start and stop: nothing to lose but lines. */
static void log_start_and_stop_beside_busy_threads(void **state) {
    (void)state;
    pthread_t threads[2];
    int null = open("/dev/null", O_WRONLY);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, log_and_count, NULL);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(rusm__log_start(null, RUSM__LOG_INFO), 0);
        rusm__log_stop();
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    /* What a late push left behind goes out with the next start. */
    assert_int_equal(rusm__log_start(null, RUSM__LOG_INFO), 0);
    assert_true(rusm__log_flush(10000));
    rusm__log_stop();
    close(null);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_lays_out_columns),
        cmocka_unit_test(log_formats_like_printf),
        cmocka_unit_test(log_escapes_what_could_forge_a_line),
        cmocka_unit_test(log_cuts_long_texts_between_characters),
        cmocka_unit_test(log_shows_wanted_levels_only),
        cmocka_unit_test(log_drops_lines_outside_of_start_and_stop),
        cmocka_unit_test(log_parses_levels),
        cmocka_unit_test(log_colours_terminals_only),
        cmocka_unit_test(log_loses_nothing_uncounted),
        cmocka_unit_test(log_to_a_full_pipe_blocks_nobody),
        cmocka_unit_test(log_reports_drops_once_there_is_room),
        cmocka_unit_test(log_survives_a_closed_reader),
        cmocka_unit_test(log_copes_with_a_nonblocking_descriptor),
        cmocka_unit_test(log_start_and_stop_beside_busy_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
