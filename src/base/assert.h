/* SPDX-License-Identifier: MIT */
/* Assertions, for caller bugs and broken invariants of our own; never for guests, peers or the
 * system, which get error codes.
 *
 *   RUSM_ASSERT(c)  debug and checked builds (no optimisation, RUSM_CHECKED, or a sanitizer);
 *                   elsewhere c is compiled but not evaluated
 *   RUSM_CHECK(c)   always
 *   RUSM_NEVER(c)   the value of c, believed to be false: `if (RUSM_NEVER(!p)) return ...;`
 *                   Checked builds assert it, coverage builds do not count the branch */
#ifndef RUSM__BASE_ASSERT_H
#define RUSM__BASE_ASSERT_H

#include <stdbool.h>

/* Prints the condition and its place, lets the reporter add what it knows, and aborts. */
_Noreturn void rusm__assert_fail(const char *condition, const char *file, int line,
                                 const char *function);

/* Who adds worker, pid and recent events to the report. It runs on the failing thread, must use
 * nothing but write(2) on fd, and is called once even if it fails itself. NULL for nobody. */
void rusm__assert_set_reporter(void (*report)(int fd));

#define RUSM_CHECK(c)                                                                              \
    (__builtin_expect(!!(c), 1) ? (void)0 : rusm__assert_fail(#c, __FILE__, __LINE__, __func__))

#if defined(RUSM_CHECKED) || defined(RUSM_SANITIZED) || (!defined(NDEBUG) && !defined(__OPTIMIZE__))
#define RUSM_ASSERTS_ON 1
#define RUSM_ASSERT(c)  RUSM_CHECK(c)
#else
#define RUSM_ASSERTS_ON 0
#define RUSM_ASSERT(c)  ((void)sizeof((c) ? 1 : 0))
#endif

#if defined(RUSM_COVERAGE)
#define RUSM_NEVER(c) (false && (c))
#elif RUSM_ASSERTS_ON
#define RUSM_NEVER(c)                                                                              \
    ((c) ? (rusm__assert_fail("never: " #c, __FILE__, __LINE__, __func__), true) : false)
#else
#define RUSM_NEVER(c) (__builtin_expect(!!(c), 0))
#endif

#endif
