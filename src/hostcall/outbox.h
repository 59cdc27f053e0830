/* SPDX-License-Identifier: MIT */
/* Messages of a guest that wait for room in mailboxes that let their senders wait (mailbox-policy =
 * "block-sender").
 *
 * The contract's `send` cannot wait: it is a plain call, and making it one that may would cost
 * every send. So the guest is held up at the next place where it can be: before its next step, at
 * its next tick, or at its end. What it sends until then stays in order behind the message that
 * waits, bounded by its own `mailbox-bytes`; beyond that it is dropped like any refused message. */
#ifndef RUSM__HOSTCALL_OUTBOX_H
#define RUSM__HOSTCALL_OUTBOX_H

#include <stdint.h>

#include "rusm/msg.h"
#include "rusm/process.h"

struct rusm__guest;
struct rusm__outgoing;

struct rusm__outbox {
    struct rusm__outgoing *first; /* oldest first; behind the one that the core holds */
    struct rusm__outgoing *last;
    uint64_t bytes; /* what they weigh */
};

/* Send, or keep for later. Takes msg. */
void rusm__outbox_send(struct rusm__guest *guest, rusm_pid to, rusm_msg *msg);
/* The guest has ended. */
void rusm__outbox_fini(struct rusm__outbox *outbox);

#endif
