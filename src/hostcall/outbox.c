/* SPDX-License-Identifier: MIT */
#include "hostcall/outbox.h"

#include "rusm/error.h"

#include "base/mem.h"
#include "hostcall/hostcall_impl.h"
#include "hostcall/ledger.h"

struct rusm__outgoing {
    struct rusm__outgoing *next;
    rusm_pid to;
    rusm_msg *msg;
};

static uint64_t weight_of(const rusm_msg *msg) {
    return sizeof(struct rusm__outgoing) + RUSM__MESSAGE_WEIGHT + rusm_msg_len(msg);
}

static void drop(struct rusm__guest *guest, rusm_pid to, rusm_msg *msg) {
    rusm_msg_free(msg);
    rusm__gate_full(guest, "a message", to);
}

/* Nobody there: nothing happens. Full: dropped, counted by the core, told once. True: it waits. */
static bool send_now(struct rusm__guest *guest, rusm_pid to, rusm_msg *msg) {
    int code = rusm_proc_send(guest->proc, to, msg);
    if (code == RUSM_EFULL || code == RUSM_ETOOBIG)
        drop(guest, to, msg);
    else if (code < 0 && code != RUSM_EAGAIN)
        rusm_msg_free(msg);
    return code == RUSM_EAGAIN;
}

static struct rusm__outgoing *take_first(struct rusm__outbox *outbox) {
    struct rusm__outgoing *item = outbox->first;
    if (item) {
        outbox->first = item->next;
        outbox->bytes -= weight_of(item->msg);
    }
    return item;
}

static bool still_waits(struct rusm__guest *guest) {
    rusm_msg *back;
    int code = rusm_proc_send_result(guest->proc, &back);
    rusm_msg_free(back); /* NULL but for a receiver that has ended */
    return code == RUSM_EAGAIN;
}

/* What guest->blocked is while something waits. */
static bool is_blocked(struct rusm__guest *guest) {
    struct rusm__outbox *outbox = &rusm__calls_of(guest)->outbox;
    struct rusm__outgoing *item;
    if (still_waits(guest))
        return true;
    while ((item = take_first(outbox))) {
        bool waits = send_now(guest, item->to, item->msg);
        rusm__mem_free(item);
        if (waits)
            return true;
    }
    guest->blocked = NULL;
    return false;
}

static void keep(struct rusm__guest *guest, rusm_pid to, rusm_msg *msg) {
    struct rusm__outbox *outbox = &rusm__calls_of(guest)->outbox;
    uint64_t weight = weight_of(msg);
    bool fits =
        outbox->bytes + weight <= rusm__mailbox_bytes_of(guest) && rusm__ledger_fits(guest, weight);
    struct rusm__outgoing *item = fits ? rusm__mem_try_alloc(sizeof(*item)) : NULL;
    if (!item) {
        drop(guest, to, msg);
        return;
    }
    *item = (struct rusm__outgoing){.to = to, .msg = msg};
    if (outbox->first)
        outbox->last->next = item;
    else
        outbox->first = item;
    outbox->last = item;
    outbox->bytes += weight;
}

void rusm__outbox_send(struct rusm__guest *guest, rusm_pid to, rusm_msg *msg) {
    if (guest->blocked)
        keep(guest, to, msg);
    else if (send_now(guest, to, msg))
        guest->blocked = is_blocked;
}

void rusm__outbox_fini(struct rusm__outbox *outbox) {
    struct rusm__outgoing *item;
    while ((item = take_first(outbox))) {
        rusm_msg_free(item->msg);
        rusm__mem_free(item);
    }
}
