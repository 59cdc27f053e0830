/* SPDX-License-Identifier: MIT */
/* actor: messages. One copy out of the sender's memory at send, one into the receiver's at receive;
 * between the two the message is handed over by pointer.
 *
 * Waiting: receive_poll looks into the mailbox and answers PENDING; mail wakes the process, which
 * resumes the instance, which polls again. A deadline is an absolute time, so polls in between do
 * not move it.
 *
 * A message can carry a context, of which guests know nothing: what the host wants to know of who
 * caused it (spec: claims). The one that was received last goes with everything that the guest
 * sends, sets a timer for or stashes, until the next message. */
#include "hostcall/hostcall_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/number.h"
#include "proc/proc.h"

/* Streams that are offered wait in the mailbox for stream-accept. Exit signals never come as mail:
 * guests do not trap them. */
#define RECEIVED (RUSM__KIND(RUSM_MSG_DATA) | RUSM__KIND(RUSM_MSG_DOWN))

/* ---- send ---- */

uint32_t rusm__mail_copy(struct rusm__guest *guest, struct rusm__slice bytes, rusm_msg **out_msg) {
    uint64_t limit = guest->profile->max_message_bytes;
    *out_msg = NULL;
    if (bytes.len > limit)
        return rusm__hostcall_trap(guest,
                                   "a message of %zu bytes is over the limit of %llu "
                                   "(`max-message-bytes` under [%s.%s])",
                                   bytes.len, (unsigned long long)limit,
                                   RUSM__LIMITS_TABLE(guest->profile));
    int code = rusm_msg_copy(bytes.ptr, bytes.len, out_msg);
    rusm_context *context = rusm__calls_of(guest)->context;
    if (context && rusm__component_is_module(guest->component))
        context = NULL; /* the raw ABI carries none */
    if (code == RUSM_OK && context && (code = rusm_msg_set_context(out_msg, context)) < 0)
        rusm_msg_free(*out_msg);
    if (code < 0)
        return rusm__hostcall_trap(guest, "a message of %zu bytes: %s", bytes.len,
                                   rusm_error_text(code));
    return RUSM__CALL_OK;
}

uint32_t rusm__actor_send(struct rusm__guest *guest, uint64_t to, struct rusm__slice message) {
    rusm_msg *msg;
    if (rusm__mail_copy(guest, message, &msg) != RUSM__CALL_OK)
        return RUSM__CALL_TRAP;
    rusm__outbox_send(guest, to, msg);
    return RUSM__CALL_OK;
}

/* ---- receive ---- */

void rusm__actor_receive_begin(struct rusm__guest *guest, uint32_t has_timeout,
                               uint64_t timeout_ms) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    calls->has_timeout = has_timeout;
    if (has_timeout)
        calls->deadline_ns = timeout_ms ? rusm__deadline_ms(rusm__clock_ns(), timeout_ms) : 0;
}

/* What unstash put in front comes first, so these counts follow exactly what is left of it. */
static void leave_front(struct rusm__calls *calls, size_t len) {
    if (!calls->front_count)
        return;
    calls->front_count--;
    calls->front_bytes -= len + RUSM__MESSAGE_WEIGHT;
}

/* From now on the guest works for whom this message came from, or for nobody. */
static void take_context(struct rusm__calls *calls, const rusm_msg *msg) {
    rusm_context *context = rusm_msg_context(msg);
    if (context != calls->context) {
        rusm_context_unref(calls->context);
        calls->context = rusm_context_ref(context);
    }
}

static void hand_out(struct rusm__calls *calls, rusm_msg *msg, struct rusm__bytes *out) {
    take_context(calls, msg);
    *out = (struct rusm__bytes){rusm_msg_data(msg), rusm_msg_len(msg), rusm__owner_of_msg(msg)};
    leave_front(calls, out->len);
}

#define DOWN_BEGIN  "{\"__down\":\""
#define DOWN_MIDDLE "\",\"reason\":\""
#define DOWN_END    "\"}"
enum {
    LONGEST_REASON = 8,
    DOWN_BYTES = sizeof(DOWN_BEGIN DOWN_MIDDLE DOWN_END) + RUSM__U64_DIGITS + LONGEST_REASON,
};

static char *put_text(char *at, const char *text) {
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

/* Exactly these bytes, which guests compare. A death says nothing about the message that the guest
 * works on, so its context stays. */
static bool render_down(const rusm_msg *msg, struct rusm__bytes *out) {
    const char *reason = rusm_exit_kind_name(rusm_msg_exit_kind(msg));
    RUSM_CHECK(strlen(reason) <= LONGEST_REASON);
    char *text = rusm__mem_try_alloc(DOWN_BYTES);
    if (!text)
        return false;
    char *end = put_text(text, DOWN_BEGIN);
    end = rusm__put_u64(end, rusm_msg_from(msg));
    end = put_text(end, DOWN_MIDDLE);
    end = put_text(end, reason);
    end = put_text(end, DOWN_END);
    *out = (struct rusm__bytes){(const unsigned char *)text, (size_t)(end - text), text};
    return true;
}

static uint32_t hand_out_down(struct rusm__guest *guest, rusm_msg *msg, struct rusm__bytes *out) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    bool rendered = render_down(msg, out);
    rusm_msg_free(msg);
    if (!rendered)
        return rusm__hostcall_trap(guest, "no memory for the message of a death");
    if (calls->monitors)
        calls->monitors--;
    return RUSM__CALL_OK;
}

/* PENDING: nothing is there. */
static uint32_t take_mail(struct rusm__guest *guest, struct rusm__bytes *out) {
    rusm_msg *msg = rusm__proc_receive_kinds(guest->proc, RECEIVED);
    if (!msg)
        return RUSM__CALL_PENDING;
    if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA)
        return hand_out_down(guest, msg, out);
    hand_out(rusm__calls_of(guest), msg, out);
    return RUSM__CALL_OK;
}

/* Taking a request back needs no memory, so it does not fail; if it did, the guest would be polled
 * once for nothing. */
static void forget_wake(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (calls->wake_is_set && RUSM_NEVER(rusm__guest_poll_at(guest, UINT64_MAX) < 0))
        return;
    calls->wake_is_set = false;
}

static uint32_t wait_for_mail(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (!calls->has_timeout)
        return RUSM__CALL_PENDING;
    if (!calls->deadline_ns || rusm__clock_ns() >= calls->deadline_ns)
        return RUSM__CALL_NONE;
    if (!calls->wake_is_set && rusm__guest_poll_at(guest, calls->deadline_ns) < 0)
        return rusm__hostcall_trap(guest, "no memory for the deadline of receive-timeout");
    calls->wake_is_set = true;
    return RUSM__CALL_PENDING;
}

/* PENDING: it waits; whom it woke before may have run meanwhile. */
static uint32_t rest(struct rusm__guest *guest, struct rusm__bytes *out) {
    rusm__guest_rests(guest);
    return rusm__guest_lend_turn(guest) ? take_mail(guest, out) : RUSM__CALL_PENDING;
}

uint32_t rusm__actor_receive_poll(struct rusm__guest *guest, struct rusm__bytes *out_message) {
    uint32_t answer = take_mail(guest, out_message);
    if (answer == RUSM__CALL_PENDING)
        answer = wait_for_mail(guest);
    if (answer == RUSM__CALL_PENDING)
        answer = rest(guest, out_message);
    if (answer != RUSM__CALL_PENDING) {
        rusm__guest_received(guest, answer == RUSM__CALL_OK);
        forget_wake(guest);
    }
    return answer;
}

/* ---- stash ---- */

/* A guest may stash bytes that it never received, so what it has set aside and what it put back and
 * did not receive again is bounded together, by the size of a mailbox. */
uint32_t rusm__actor_stash(struct rusm__guest *guest, struct rusm__slice message) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    uint64_t held = calls->stash_bytes + calls->front_bytes;
    if (held + message.len + RUSM__MESSAGE_WEIGHT > rusm__mailbox_bytes_of(guest))
        return rusm__hostcall_trap(guest,
                                   "the stash holds %llu bytes and may hold %llu "
                                   "(`mailbox-bytes` under [%s.%s])",
                                   (unsigned long long)held,
                                   (unsigned long long)rusm__mailbox_bytes_of(guest),
                                   RUSM__LIMITS_TABLE(guest->profile));
    if (!rusm__ledger_fits(guest, message.len + RUSM__MESSAGE_WEIGHT))
        return rusm__ledger_trap(guest, message.len + RUSM__MESSAGE_WEIGHT);
    rusm_msg *msg;
    if (rusm__mail_copy(guest, message, &msg) != RUSM__CALL_OK)
        return RUSM__CALL_TRAP;
    rusm_proc_stash(guest->proc, msg);
    calls->stash_count++;
    calls->stash_bytes += message.len + RUSM__MESSAGE_WEIGHT;
    return RUSM__CALL_OK;
}

void rusm__actor_unstash(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (!calls->stash_count)
        return;
    rusm_proc_unstash(guest->proc);
    calls->front_count += calls->stash_count;
    calls->front_bytes += calls->stash_bytes;
    calls->stash_count = 0;
    calls->stash_bytes = 0;
}
