/* SPDX-License-Identifier: MIT */
/* A runtime for each test: `rt`, with one scheduler or two. To be included last: `rt` is what many
 * functions of other headers call a parameter. */
#ifndef RUSM_TEST_FIXTURE_H
#define RUSM_TEST_FIXTURE_H

#include "unit/proc/puppet.h"

static rusm_runtime *rt;

static inline int start_one(void **state) {
    (void)state;
    rt = start_runtime(1);
    return 0;
}

static inline int start_two(void **state) {
    (void)state;
    rt = start_runtime(2);
    return 0;
}

static inline int stop(void **state) {
    (void)state;
    rusm_runtime_stop(rt);
    return 0;
}

#endif
