/* SPDX-License-Identifier: MIT */
/* Gates: what a guest's profile grants. A refusal is told to people once per component, kind of
 * call and target, with the line of the manifest that would allow it; the guest gets its answer
 * every time. Of one component and kind, 17 targets are told at most, the last of them as such.
 * Targets that read alike in the log, where they are cut, are one. */
#ifndef RUSM__HOSTCALL_GATE_H
#define RUSM__HOSTCALL_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "sandbox/sandbox.h"

/* What can be refused: a cause of rusm__component_tell or rusm__component_first_time each. */
enum rusm__refusal {
    RUSM__REFUSED_SPAWN,
    RUSM__REFUSED_MONITOR,
    RUSM__REFUSED_LIST,
    RUSM__REFUSED_INFO,
    RUSM__REFUSED_IS_ALIVE,
    RUSM__REFUSED_KILL,
    RUSM__REFUSED_KILL_TAG,
    RUSM__REFUSED_SUPERVISE,
    RUSM__REFUSED_BRIDGE,
    RUSM__REFUSED_SPAWN_FROM,
    RUSM__REFUSED_FROM_KV,
    RUSM__REFUSED_FROM_URL,
    RUSM__REFUSED_HTTP,
    RUSM__REFUSED_NETWORK,
    RUSM__REFUSED_ASKED,
    RUSM__REFUSED_FOLDERS,
    RUSM__REFUSED_OUTSIDE,
    RUSM__REFUSED_READ_ONLY,
    /* no grant would help */
    RUSM__REFUSED_KILL_OWN, /* a process of the node itself */
    RUSM__REFUSED_LISTEN,   /* guests connect */
    RUSM__REFUSED_SEND,     /* the receiver's mailbox is full */
    RUSM__REFUSED_NAME,     /* max-names */
    RUSM__REFUSED_CHILD,    /* max-children, or no room for a guest */
    RUSM__REFUSED_FILES,    /* guests hold as many as they may */
    /* one for each operation of the store, in the order of enum rusm__kv_op */
    RUSM__REFUSED_KV,
    RUSM__REFUSED_KV_LAST = RUSM__REFUSED_KV + RUSM__KV_KEYS,
};

/* A capability is missing. target names what it was wanted for. */
void rusm__gate_deny(struct rusm__guest *guest, enum rusm__refusal what, const void *target,
                     size_t len);
void rusm__gate_deny_pid(struct rusm__guest *guest, enum rusm__refusal what, rusm_pid target);

/* The same for an operation that has several names, and a remedy that hangs on the profile. */
void rusm__gate_deny_call(struct rusm__guest *guest, enum rusm__refusal what, const char *call,
                          const void *target, size_t len, const char *remedy);

/* It may end others, but not a process of the node: for it, that one is not there. */
void rusm__gate_deny_own(struct rusm__guest *guest, rusm_pid target);

/* No grant would help, for the reason that the text gives. */
void rusm__gate_never(struct rusm__guest *guest, enum rusm__refusal what, const char *call,
                      const void *target, size_t len, const char *why);

/* A limit was met; the text says which. Once per component. */
void rusm__gate_limit(struct rusm__guest *guest, enum rusm__refusal what, const void *text,
                      size_t len);

/* The mailbox of `to` has no room for what the guest sends there. */
void rusm__gate_full(struct rusm__guest *guest, const char *what, rusm_pid to);

#endif
