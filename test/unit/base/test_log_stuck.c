/* SPDX-License-Identifier: MIT */
/* What can go wrong around a write: before it, after it, and between poll and write. White box: the
 * files of the log are part of this one, with a poll that claims room where there is none, as it
 * may when another program fills the pipe in between, and with an open that may be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include <cmocka.h>

static bool lie;    /* poll says "writable" */
static bool refuse; /* open fails */

static int poll_or_lie(struct pollfd *fds, nfds_t count, int timeout) {
    if (!lie || !(fds[0].events & POLLOUT))
        return poll(fds, count, timeout);
    int ready = poll(fds, count, 0);
    fds[0].revents = POLLOUT;
    return ready > 0 ? ready : 1;
}

static int open_or_refuse(const char *path, int flags) {
    return refuse ? -1 : open(path, flags);
}

#define poll poll_or_lie
#define open open_or_refuse
#include "base/log_out.c"
#undef poll
#undef open

static void (*before_write)(unsigned number); /* called by the writer */
static void (*after_write)(unsigned number);
static unsigned write_count;

static ssize_t write_between(struct rusm__log_out *out, struct rusm__log_wake *wake,
                             const void *data, size_t len) {
    unsigned number = ++write_count;
    if (before_write)
        before_write(number);
    ssize_t got = rusm__log_out_write(out, wake, data, len);
    if (after_write)
        after_write(number);
    return got;
}

#define rusm__log_out_write write_between
#include "base/log.c"
#undef rusm__log_out_write

/* Fill a pipe through the log, stop while it is full; returns what the pipe held. */
static ssize_t fill_and_stop(int fds[2]) {
    char text[4096];
    ssize_t got, total = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(rusm__log_start(fds[1], RUSM__LOG_INFO), 0);
    for (int i = 0; i < 4000; i++) /* about four times what the pipe holds */
        rusm__log(RUSM__LOG_INFO, "rusm", "v", "%050d", i);
    rusm__log_stop();
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    while ((got = read(fds[0], text, sizeof text)) > 0)
        total += got;
    return total;
}

static void log_stop_ends_when_poll_is_wrong(void **state) {
    (void)state;
    int fds[2];
    lie = true;
    assert_true(fill_and_stop(fds) > 0);
    assert_false(stuck);
    lie = false;
    close(fds[0]);
    close(fds[1]);
}

static void log_works_without_a_descriptor_of_its_own(void **state) {
    (void)state;
    int fds[2];
    refuse = true;
    assert_true(fill_and_stop(fds) > 0);
    assert_false(stuck);
    refuse = false;
    close(fds[0]);
    close(fds[1]);
}

static void log_stop_leaves_a_writer_behind_that_does_not_return(void **state) {
    (void)state;
    int fds[2];
    lie = refuse = true; /* now write blocks inside of the kernel */
    assert_true(fill_and_stop(fds) > 0);
    assert_true(stuck);
    assert_int_equal(rusm__log_start(fds[1], RUSM__LOG_INFO), RUSM_EIO);
    rusm__log(RUSM__LOG_ERROR, "rusm", "v", "nobody takes this");
    /* The pipe is empty now, so the thread comes back, drops what it has and ends. */
    assert_true(wait_until(is_finished, 0, in_ms(60000)));
    close(fds[0]);
    close(fds[1]);
}

/* A line that arrives while the writer tells of dropped ones, right before it would sleep: its
 * wake-up is taken by the write, so the writer must look into the ring again. */
static void drop_one(unsigned number) {
    if (number <= 2)
        count_dropped(1);
}

static void log_one(unsigned number) {
    if (number == 3) {
        is_writer = false; /* as if another thread did it */
        rusm__log(RUSM__LOG_INFO, "rusm", "v", "late");
        is_writer = true;
    }
}

static void log_sees_a_line_that_comes_while_it_reports(void **state) {
    (void)state;
    int fds[2];
    char text[1024] = "";
    assert_int_equal(pipe(fds), 0);
    before_write = log_one;
    after_write = drop_one;
    write_count = 0;
    assert_int_equal(rusm__log_start(fds[1], RUSM__LOG_INFO), 0);
    rusm__log(RUSM__LOG_INFO, "rusm", "v", "first");
    for (size_t len = 0; !strstr(text, "late");) { /* ends with it or with the test's time limit */
        ssize_t got = read(fds[0], text + len, sizeof text - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
    }
    assert_true(rusm__log_flush(60000));
    rusm__log_stop();
    before_write = after_write = NULL;
    close(fds[0]);
    close(fds[1]);
}

static void be_slow(unsigned number) {
    if (number == 1)
        usleep((STOP_MS + 2 * GIVE_UP_MS) * 1000);
}

/* A writer that does not get the processor is not one that is stuck. */
static void log_stop_waits_for_a_slow_writer(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    before_write = be_slow;
    write_count = 0;
    assert_int_equal(rusm__log_start(fds[1], RUSM__LOG_INFO), 0);
    rusm__log(RUSM__LOG_INFO, "rusm", "v", "first");
    rusm__log_stop();
    assert_false(stuck);
    before_write = NULL;
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_sees_a_line_that_comes_while_it_reports),
        cmocka_unit_test(log_stop_waits_for_a_slow_writer),
        cmocka_unit_test(log_stop_ends_when_poll_is_wrong),
        cmocka_unit_test(log_works_without_a_descriptor_of_its_own),
        cmocka_unit_test(log_stop_leaves_a_writer_behind_that_does_not_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
