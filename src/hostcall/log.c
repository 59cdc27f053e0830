/* SPDX-License-Identifier: MIT */
/* log: a guest's lines, under its label and pid. The log itself escapes control characters, cuts
 * long texts and never blocks, so a guest can neither forge a line nor stop a scheduler. */
#include "hostcall/hostcall_impl.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

#define WHO_CHARACTERS 10
#define WHO_BYTES      (WHO_CHARACTERS * 4 + sizeof("#18446744073709551615"))

static const char *const verbs[] = {"error", "warn", "info", "debug"};

/* The first characters of a label. It may hold bytes that are not UTF-8: then each of those counts
 * as one. */
static size_t head_of(const char *label, size_t len) {
    size_t at = 0;
    for (int i = 0; i < WHO_CHARACTERS && at < len; i++) {
        int step = rusm__utf8_step((const unsigned char *)label + at, len - at);
        at += (size_t)(step > 0 ? step : -step);
    }
    return at;
}

bool rusm__guest_log_relabel(struct rusm__guest *guest, const char *label, size_t len) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    struct rusm__buf who;
    rusm__buf_init(&who);
    if (!rusm__buf_reserve(&who, WHO_BYTES))
        return false;
    rusm__buf_add(&who, label, head_of(label, len));
    rusm__buf_add_char(&who, '#');
    rusm__buf_add_u64(&who, guest->pid);
    rusm__buf_add_char(&who, '\0');
    rusm__mem_free(calls->who);
    calls->who = (char *)who.data;
    return true;
}

static const char *who_of(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    const char *name = rusm__component_name(guest->component);
    if (calls->who || rusm__guest_log_relabel(guest, name, strlen(name)))
        return calls->who;
    return name;
}

void rusm__guest_log(struct rusm__guest *guest, uint32_t level, struct rusm__slice text) {
    if (level >= sizeof(verbs) / sizeof(verbs[0]))
        return;
    enum rusm__log_level wanted = (enum rusm__log_level)(RUSM__LOG_ERROR + level);
    if (rusm__log_wants(wanted))
        rusm__log_bytes(wanted, who_of(guest), verbs[level], text.ptr, text.len);
}
