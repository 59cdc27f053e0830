/* SPDX-License-Identifier: MIT */
/* One process per job: takes one request, answers it, ends. Its memory ceiling is its only limit: a
 * job that needs more ends this process and nothing else. */
#include <stdlib.h>

#include "guest.h"

/* How many primes are below or equal to n, by the sieve of Eratosthenes. */
static uint64_t count_primes(size_t n) {
    bool *composite = calloc(n + 1, 1);
    if (composite == NULL) {
        abort();
    }
    for (size_t candidate = 2; candidate <= n / candidate; candidate++) {
        for (size_t multiple = candidate * candidate; !composite[candidate] && multiple <= n;
             multiple += candidate) {
            composite[multiple] = true;
        }
    }
    uint64_t count = 0;
    for (size_t number = 2; number <= n; number++) {
        count += !composite[number];
    }
    return count;
}

void exports_process_run(void) {
    struct call call;
    struct text value;
    uint64_t n;
    call_receive(&call);
    if (!text_equals(call.op, TEXT("primes")) || !json_element(call.args, 0, &value) ||
        !json_u64(value, &n) || n >= SIZE_MAX) {
        call_refuse(&call, TEXT("primes takes a number from 0 to 4294967294"));
        return;
    }
    struct buf out = {0};
    buf_add_u64(&out, count_primes((size_t)n));
    call_reply(&call, buf_text(&out));
}
