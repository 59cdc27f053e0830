/* SPDX-License-Identifier: MIT */
/* actor: names and the label. */
#include "hostcall/hostcall_impl.h"

#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/utf8.h"
#include "hostcall/words.h"

#define LABEL_MAX 255u
#define NO_ROOM   "no name is registered: no more fit into `max-host-mb`"

uint32_t rusm__actor_register(struct rusm__guest *guest, struct rusm__slice name) {
    if (name.len == 0 || name.len > RUSM__WORD_BYTES_MAX)
        return 0;
    if (rusm__words_are_full(guest)) {
        char text[RUSM__WORDS_TEXT];
        size_t len = rusm__words_limit_text(guest, text);
        rusm__gate_limit(guest, RUSM__REFUSED_NAME, text, len);
        return 0;
    }
    if (!rusm__words_fit(guest)) {
        rusm__gate_limit(guest, RUSM__REFUSED_NAME, NO_ROOM, strlen(NO_ROOM));
        return 0;
    }
    return rusm_proc_register(guest->proc, (const char *)name.ptr, name.len) == RUSM_OK;
}

uint32_t rusm__actor_unregister(struct rusm__guest *guest, struct rusm__slice name) {
    if (name.len == 0 || name.len > RUSM__WORD_BYTES_MAX)
        return 0;
    return rusm_proc_unregister(guest->proc, (const char *)name.ptr, name.len) == RUSM_OK;
}

uint32_t rusm__actor_whereis(struct rusm__guest *guest, struct rusm__slice name,
                             uint64_t *out_pid) {
    *out_pid = 0;
    if (name.len > 0 && name.len <= RUSM__WORD_BYTES_MAX)
        *out_pid = rusm_name_whereis(rusm__runtime_of(guest), (const char *)name.ptr, name.len);
    return *out_pid ? RUSM__CALL_OK : RUSM__CALL_NONE;
}

/* As much as fits, in whole characters. */
static size_t cut(struct rusm__slice text, size_t most) {
    return text.len <= most ? text.len : rusm__utf8_good(text.ptr, most);
}

void rusm__actor_set_label(struct rusm__guest *guest, struct rusm__slice label) {
    const char *text = (const char *)label.ptr;
    size_t len = cut(label, LABEL_MAX);
    /* A label is for people: without memory for the new one the old one stays. */
    if (rusm__guest_log_relabel(guest, text, len))
        (void)(rusm_proc_set_label(guest->proc, text, len) == RUSM_OK);
}
