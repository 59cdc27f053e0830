/* SPDX-License-Identifier: MIT */
/* What can go wrong between poll and write. White box: the files of the log are part of this one,
 * with a poll that claims room where there is none, as it may when another program fills the pipe
 * in between, and with an open that may be refused. */
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
#include "base/log.c"

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
    assert_true(wait_until(is_finished, 0, 60000));
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_stop_ends_when_poll_is_wrong),
        cmocka_unit_test(log_works_without_a_descriptor_of_its_own),
        cmocka_unit_test(log_stop_leaves_a_writer_behind_that_does_not_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
