/* SPDX-License-Identifier: MIT */
/* Words that a guest holds: names and tags, bounded together. */
#ifndef RUSM__HOSTCALL_WORDS_H
#define RUSM__HOSTCALL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "sandbox/sandbox.h"

#define RUSM__WORD_BYTES_MAX 255u

/* Room for rusm__words_limit_text; a profile's name has at most 128 bytes. */
#define RUSM__WORDS_TEXT 256u

/* Counts them, for the ledger too. */
bool rusm__words_are_full(struct rusm__guest *guest);

/* After that: one more fits into what the host may hold for the guest. */
bool rusm__words_fit(struct rusm__guest *guest);

/* "holds 64 names and tags, the limit of `max-names` under [capabilities.x]". Returns its length.
 */
size_t rusm__words_limit_text(const struct rusm__guest *guest, char out_text[RUSM__WORDS_TEXT]);

#endif
