/* SPDX-License-Identifier: MIT */
#include "hostcall/digest_memo.h"

#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Length, beginning, middle and end: where two sources of one program differ, if anywhere. Who
 * makes texts collide gains that they are digested. */
static size_t place_of(const unsigned char *text, size_t len) {
    uint64_t word[3] = {0};
    size_t part = len < sizeof(word[0]) ? len : sizeof(word[0]);
    if (part) {
        memcpy(&word[0], text, part);
        memcpy(&word[1], text + (len - part) / 2, part);
        memcpy(&word[2], text + len - part, part);
    }
    return rusm__hash_u64(word[0] ^ rusm__hash_u64(word[1] ^ rusm__hash_u64(word[2] ^ len))) %
           RUSM__MEMO_PLACES;
}

const struct rusm__digest *rusm__memo_find(const struct rusm__digest_memo *memo, const void *text,
                                           size_t len) {
    size_t at = place_of(text, len);
    bool is_kept = memo->places[at].text && memo->places[at].len == len &&
                   memcmp(memo->places[at].text, text, len) == 0;
    return is_kept ? &memo->places[at].digest : NULL;
}

void rusm__memo_keep(struct rusm__digest_memo *memo, const void *text, size_t len,
                     const struct rusm__digest *digest) {
    unsigned char *copy = len && len <= RUSM__MEMO_BYTES ? rusm__mem_try_alloc(len) : NULL;
    if (!copy)
        return;
    memcpy(copy, text, len);
    size_t at = place_of(text, len);
    rusm__mem_free(memo->places[at].text);
    memo->places[at].text = copy;
    memo->places[at].len = len;
    memo->places[at].digest = *digest;
}

void rusm__memo_fini(struct rusm__digest_memo *memo) {
    for (size_t i = 0; i < RUSM__MEMO_PLACES; i++)
        rusm__mem_free(memo->places[i].text);
    *memo = (struct rusm__digest_memo){0};
}
