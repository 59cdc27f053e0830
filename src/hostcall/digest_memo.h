/* SPDX-License-Identifier: MIT */
/* Digests of inline sources that came lately. Comparing a text with one that is known costs
 * less than digesting it, and guests start the same source again and again.
 *
 * A text has one place; the next one there replaces it. Nothing here locks: all of it is guarded by
 * the lock of struct rusm__bundles. */
#ifndef RUSM__HOSTCALL_DIGEST_MEMO_H
#define RUSM__HOSTCALL_DIGEST_MEMO_H

#include <stdbool.h>
#include <stddef.h>

struct rusm__digest {
    unsigned char bytes[32];
};

enum {
    RUSM__MEMO_PLACES = 64,
    RUSM__MEMO_BYTES = 16 << 10, /* longer texts are not kept; so at most 1 MiB is */
};

struct rusm__digest_memo {
    struct {
        unsigned char *text; /* owned; NULL: free */
        size_t len;
        struct rusm__digest digest;
    } places[RUSM__MEMO_PLACES];
};

/* NULL: not kept. Valid until the next rusm__memo_keep. */
const struct rusm__digest *rusm__memo_find(const struct rusm__digest_memo *memo, const void *text,
                                           size_t len);
/* Copies the text. A long text, or one for which there is no memory, is not kept. */
void rusm__memo_keep(struct rusm__digest_memo *memo, const void *text, size_t len,
                     const struct rusm__digest *digest);
void rusm__memo_fini(struct rusm__digest_memo *memo);

#endif
