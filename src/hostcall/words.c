/* SPDX-License-Identifier: MIT */
#include "hostcall/words.h"

#include <stdio.h>

#include "proc/proc.h"

bool rusm__words_are_full(const struct rusm__guest *guest) {
    return rusm__proc_word_count(guest->proc) >= guest->profile->max_names;
}

size_t rusm__words_limit_text(const struct rusm__guest *guest, char out_text[RUSM__WORDS_TEXT]) {
    int len = snprintf(out_text, RUSM__WORDS_TEXT,
                       "holds %u names and tags, the limit of `max-names` under [capabilities.%s]",
                       guest->profile->max_names, guest->profile->name);
    return len < (int)RUSM__WORDS_TEXT ? (size_t)len : RUSM__WORDS_TEXT - 1;
}
