/* SPDX-License-Identifier: MIT */
#include "hostcall/words.h"

#include <stdio.h>

#include "hostcall/hostcall_impl.h"
#include "proc/proc.h"

bool rusm__words_are_full(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    calls->words = rusm__proc_word_count(guest->proc);
    return calls->words >= guest->profile->max_names;
}

/* If that word is refused after all, it is on the ledger until words are counted again. */
bool rusm__words_fit(struct rusm__guest *guest) {
    bool fits = rusm__ledger_fits(guest, RUSM__WEIGHT_WORD);
    rusm__calls_of(guest)->words += fits;
    return fits;
}

size_t rusm__words_limit_text(const struct rusm__guest *guest, char out_text[RUSM__WORDS_TEXT]) {
    int len = snprintf(out_text, RUSM__WORDS_TEXT,
                       "holds %u names and tags, the limit of `max-names` under [%s.%s]",
                       guest->profile->max_names, RUSM__LIMITS_TABLE(guest->profile));
    return len < (int)RUSM__WORDS_TEXT ? (size_t)len : RUSM__WORDS_TEXT - 1;
}
