/* SPDX-License-Identifier: MIT */
/* pg: tags, which any number of processes may share. */
#include "hostcall/hostcall_impl.h"

#include "rusm/error.h"

#include "base/mem.h"
#include "hostcall/words.h"
#include "proc/proc.h"
#include "sandbox/lines.h"

static bool is_word(struct rusm__slice tag) {
    return tag.len > 0 && tag.len <= RUSM__WORD_BYTES_MAX;
}

static const char *text_of(struct rusm__slice tag) {
    return (const char *)tag.ptr;
}

/* The ABI has no answer for "no", and a member that is none would wait for ever: so it traps. */
uint32_t rusm__pg_register_tag(struct rusm__guest *guest, struct rusm__slice tag) {
    if (!is_word(tag))
        return rusm__hostcall_trap(guest, "a tag has 1 to %u bytes, not %zu", RUSM__WORD_BYTES_MAX,
                                   tag.len);
    if (rusm__words_are_full(guest)) {
        char text[RUSM__WORDS_TEXT];
        rusm__words_limit_text(guest, text);
        return rusm__hostcall_trap(guest, "%s", text);
    }
    if (!rusm__words_fit(guest))
        return rusm__ledger_trap(guest, RUSM__WEIGHT_WORD);
    int code = rusm_proc_join(guest->proc, text_of(tag), tag.len);
    return code < 0 ? rusm__hostcall_trap(guest, "no tag: %s", rusm_error_text(code))
                    : (uint32_t)RUSM__CALL_OK;
}

void rusm__pg_unregister_tag(struct rusm__guest *guest, struct rusm__slice tag) {
    if (is_word(tag))
        rusm_proc_leave(guest->proc, text_of(tag), tag.len);
}

/* As many as there are now; a group that grows meanwhile is asked again. */
uint32_t rusm__pg_whereis_tag(struct rusm__guest *guest, struct rusm__slice tag,
                              const uint64_t **out_pids, size_t *out_count, void **out_owner) {
    *out_pids = &guest->pid; /* never read: the count is 0 */
    *out_count = 0;
    *out_owner = NULL;
    if (!is_word(tag))
        return RUSM__CALL_OK;
    for (size_t cap = 16;; cap = *out_count + *out_count / 4) {
        rusm_pid *pids = rusm__mem_try_alloc(cap * sizeof(*pids));
        if (!pids)
            return rusm__hostcall_trap(guest, "no memory for a list of %zu processes", cap);
        *out_count = rusm_tag_whereis(rusm__runtime_of(guest), text_of(tag), tag.len, pids, cap);
        *out_pids = *out_owner = pids;
        if (*out_count <= cap)
            return RUSM__CALL_OK;
        rusm__mem_free(pids);
        *out_owner = NULL;
    }
}

uint32_t rusm__pg_kill_tag(struct rusm__guest *guest, struct rusm__slice tag) {
    if (!guest->profile->process_control) {
        rusm__gate_deny(guest, RUSM__REFUSED_KILL_TAG, tag.ptr, tag.len);
        return 0;
    }
    size_t count =
        is_word(tag) ? rusm__guests_kill_tag(rusm__runtime_of(guest), text_of(tag), tag.len) : 0;
    rusm__line_kill_tag(tag.ptr, tag.len < RUSM__WORD_BYTES_MAX ? tag.len : RUSM__WORD_BYTES_MAX,
                        count);
    return (uint32_t)count;
}
