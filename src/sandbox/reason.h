/* SPDX-License-Identifier: MIT */
/* How the reason of a guest that passed a limit begins. C sees it in the text of a DOWN and in the
 * log; guests see "crashed". A guest cannot make its own reason begin like this: what it says comes
 * behind a word of ours. */
#ifndef RUSM__SANDBOX_REASON_H
#define RUSM__SANDBOX_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define RUSM__REASON_MEMORY   "memory_limit"
#define RUSM__REASON_CPU      "cpu_limit"
#define RUSM__REASON_DEADLINE "deadline"

static inline bool rusm__reason_is(const void *text, size_t len, const char *reason) {
    size_t wanted = strlen(reason);
    return len > wanted && memcmp(text, reason, wanted) == 0 && ((const char *)text)[wanted] == ':';
}

/* It took longer than its profile allows, in CPU time or by the clock. */
static inline bool rusm__reason_is_overtime(const void *text, size_t len) {
    return rusm__reason_is(text, len, RUSM__REASON_CPU) ||
           rusm__reason_is(text, len, RUSM__REASON_DEADLINE);
}

#endif
