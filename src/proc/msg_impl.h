/* SPDX-License-Identifier: MIT */
/* Messages and signals from the inside: one header, so both ride the same queue. */
#ifndef RUSM__PROC_MSG_IMPL_H
#define RUSM__PROC_MSG_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/msg.h"

/* The first four are rusm_msg_kind; the rest never reaches a body. */
enum rusm__tag {
    RUSM__TAG_DATA = RUSM_MSG_DATA,
    RUSM__TAG_DOWN = RUSM_MSG_DOWN,
    RUSM__TAG_EXIT = RUSM_MSG_EXIT,
    RUSM__TAG_STREAM = RUSM_MSG_STREAM,
    RUSM__TAG_MONITOR,
    RUSM__TAG_DEMONITOR,
    RUSM__TAG_LINK,
    RUSM__TAG_UNLINK,
    RUSM__TAG_KNOCK, /* belongs to a valve (valve.h) and is never freed */
};

enum {
    RUSM__MSG_LINKED = 1 << 0,    /* an EXIT that came over a link: counts only while linked */
    RUSM__MSG_UNCHECKED = 1 << 1, /* a DOWN of a monitor made at spawn: no record at the watcher */
    RUSM__MSG_TAKEN = 1 << 2,     /* was received before (stash): does not count as waiting */
    RUSM__MSG_CALL = 1 << 3,      /* ref names the call that a reply must name; not answered yet */
    RUSM__MSG_REPLY = 1 << 4,     /* dropped on arrival unless the call of ref still waits */
    RUSM__MSG_CONTEXT = 1 << 5,   /* a DATA message with a context behind its bytes */
};

struct rusm_msg {
    struct rusm_msg *next;
    uint8_t tag;
    uint8_t exit_kind;
    uint16_t flags;
    uint32_t len; /* bytes of a DATA message behind the header; what a STREAM weighs */
    rusm_pid from;
    uint64_t ref; /* monitor reference, or the link id of the sender */
};

/* About to be sent anew: what it was marked with before does not count, but for its context. */
static inline void rusm__msg_mark(struct rusm_msg *msg, uint16_t flags) {
    msg->flags = (uint16_t)((msg->flags & RUSM__MSG_CONTEXT) | flags);
}

/* Was it sent, and not received yet? Signals are neither. */
static inline bool rusm__msg_is_unread(const struct rusm_msg *msg) {
    return (msg->tag == RUSM__TAG_DATA || msg->tag == RUSM__TAG_STREAM) &&
           !(msg->flags & RUSM__MSG_TAKEN);
}

/* Does it count against the bound of the mailbox that it is in? A reply does not: there is one to
 * each call, and who waits for it has room for it. */
static inline bool rusm__msg_counts(const struct rusm_msg *msg) {
    return rusm__msg_is_unread(msg) && !(msg->flags & RUSM__MSG_REPLY);
}

/* The DOWN of the monitor that rusm_proc_monitor called ref; not one whose reference was chosen by
 * who asked for it at spawn. */
static inline bool rusm__msg_is_down(const struct rusm_msg *msg, uint64_t ref) {
    return msg->tag == RUSM__TAG_DOWN && msg->ref == ref && !(msg->flags & RUSM__MSG_UNCHECKED);
}

/* Why a process ended; shared by all who are told. Immutable. */
struct rusm__reason {
    _Atomic uint32_t refs;
    uint32_t len;
    char text[]; /* terminated */
};

struct rusm__reason *rusm__reason_new(const char *text, size_t len); /* NULL when memory is short */
struct rusm__reason *rusm__reason_ref(struct rusm__reason *reason);  /* NULL is allowed */
void rusm__reason_unref(struct rusm__reason *reason);

struct rusm__extra;

/* Everything but DATA. One allocation serves a monitor or link for its whole life: sent as the
 * request, kept as the record at the other side, sent back as the notice. So a notice never needs
 * memory and is never lost. For the same reason a request to a process that has no place for
 * records yet brings one along: when memory is short, it is the call that fails. */
struct rusm__signal {
    struct rusm_msg head;
    union {
        struct rusm__signal *chain; /* a record: the set that it is in */
        struct rusm__extra *spare;  /* a request: what the target needs to keep it, or NULL */
    };
    rusm_pid peer;     /* of a record: the other side */
    uint64_t peer_ref; /* of a link record: the id of the other side's link call, or 0 */
    struct rusm__reason *reason;
};

struct rusm__signal *rusm__signal_new(enum rusm__tag tag, rusm_pid from); /* NULL: no memory */

/* A thing of another folder that is offered to a process: mail that is refused when it is freed. */
struct rusm__offer {
    struct rusm_msg head;
    void *what;
    void (*refuse)(void *what);
};

/* Bytes that a message counts against a mailbox's bound. */
static inline uint64_t rusm__msg_weight(const struct rusm_msg *msg) {
    return sizeof(struct rusm_msg) + msg->len;
}

#endif
