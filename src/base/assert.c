/* SPDX-License-Identifier: MIT */
/* What happens when an invariant of our own is broken: one report on standard error, then abort.
 * Nothing here allocates, locks or uses stdio streams, since any of them may be what is broken. */
#include "base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic(void (*)(int)) reporter;

void rusm__assert_set_reporter(void (*report)(int fd)) {
    /* release: what report reads was set up before; pairs with the exchange in call_reporter. */
    atomic_store_explicit(&reporter, report, memory_order_release);
}

/* Taking it out makes a reporter that fails an assertion itself end in a plain abort. */
static void call_reporter(void) {
    void (*report)(int) = atomic_exchange_explicit(&reporter, NULL, memory_order_acq_rel);
    if (report)
        report(STDERR_FILENO);
}

void rusm__assert_fail(const char *condition, const char *file, int line, const char *function) {
    char text[512];
    int len = snprintf(text, sizeof text, "rusm: broken invariant: %s (%s:%d, %s)\n", condition,
                       file, line, function);
    if (len > 0) {
        size_t bytes = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
        /* Nobody is left to tell if even this fails. */
        if (write(STDERR_FILENO, text, bytes) < 0)
            abort();
    }
    call_reporter();
    abort();
}
