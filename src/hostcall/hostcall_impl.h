/* SPDX-License-Identifier: MIT */
/* Inside of the hostcall folder: the state of one guest's calls and what the interfaces share. */
#ifndef RUSM__HOSTCALL_HOSTCALL_IMPL_H
#define RUSM__HOSTCALL_HOSTCALL_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rusm/stream.h"

#include "hostcall/bridge.h"
#include "hostcall/bundles.h"
#include "hostcall/gate.h"
#include "hostcall/hostcall.h"
#include "hostcall/ledger.h"
#include "hostcall/orphans.h"
#include "hostcall/outbox.h"
#include "hostcall/registry.h"
#include "hostcall/store.h"

struct rusm__kv_call;

struct rusm__hostcall {
    rusm_runtime *runtime;
    struct rusm__store store;
    struct rusm__registered registered;
    struct rusm__orphans orphans;
    struct rusm__bridges bridges;
    _Atomic uint64_t notified; /* any scheduler adds */
    struct rusm__bundles bundles;
};

/* A timer that the guest set. Handles grow, so an array in order of setting is sorted by handle. */
struct rusm__guest_timer {
    uint64_t handle;
    uint64_t deadline_ns; /* from here on it has fired, or will without being stopped */
    rusm_timer timer;
    rusm_pid to;
    uint32_t weight; /* of its message */
    bool dead;       /* cancelled */
};

struct rusm__guest_timers {
    uint32_t count;
    uint32_t cap;
    uint64_t bytes; /* weight of what is in the table */
    uint64_t next_handle;
    struct rusm__guest_timer items[];
};

/* An end of a stream. Ids grow, so an array in order of opening is sorted by id. */
struct rusm__guest_end {
    uint64_t id;
    rusm_stream end; /* 0: closed */
};

struct rusm__guest_streams {
    uint32_t count;
    uint32_t cap;
    uint64_t next_id;
    /* the write or the read that is under way */
    uint64_t id;
    rusm_chunk *chunk; /* to be written, owned; NULL when there is no such end */
    uint32_t answer;   /* what a write's beginning has decided; RUSM__CALL_PENDING: nothing yet */
    bool is_limited;   /* the core knows max-streams */
    bool wrote_large;  /* more than a stream holds otherwise, at least once */
    struct rusm__guest_end items[];
};

/* guest->calls: zeroed when the guest is made, used on the scheduler that runs it. Every guest has
 * one for all its life, so what is large and seldom needed is not in here. */
struct rusm__calls {
    /* the receive that is under way */
    uint64_t deadline_ns;
    bool has_timeout;
    bool wake_is_set;
    /* the ledger: what the guest makes the host hold */
    uint32_t supervisors; /* that it started; they end with it */
    uint64_t supervised;  /* children that these know, up or down */
    uint32_t monitors;    /* DOWNs that are still to come */
    uint32_t front_count; /* messages that unstash put in front of the mailbox */
    uint64_t front_bytes; /* and their weight */
    uint64_t stash_bytes;
    uint32_t stash_count;
    uint32_t words; /* names and tags, as of the last time that one was added */
    struct rusm__outbox outbox;
    struct rusm__bridge_wait bridge;
    /* owned; NULL until needed */
    struct rusm__guest_timers *timers;
    struct rusm__guest_streams *streams;
    rusm_context *context; /* of the message that was received last */
    struct rusm__kv_call *kv;
    struct rusm__bundle_call *spawn_from;
    char *trap_text;
    char *who; /* the first column of its log lines */
};

static inline struct rusm__calls *rusm__calls_of(struct rusm__guest *guest) {
    return guest->calls;
}

static inline struct rusm__hostcall *rusm__hostcall_of(const struct rusm__guest *guest) {
    return guest->host_data;
}

static inline rusm_runtime *rusm__runtime_of(const struct rusm__guest *guest) {
    return rusm__hostcall_of(guest)->runtime;
}

/* How much a mailbox holds, which also bounds what else waits because of the guest. The runtime's
 * own default where the profile does not say. */
static inline uint64_t rusm__mailbox_bytes_of(const struct rusm__guest *guest) {
    uint64_t bytes = guest->profile->mailbox_bytes;
    return bytes ? bytes : (uint64_t)256 << 20;
}

/* The place of a number in an array of items that begin with theirs and are sorted by it; NULL: it
 * is not there. */
static inline void *rusm__find_sorted(void *items, uint32_t count, size_t size, uint64_t number) {
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t *item = (uint64_t *)(void *)((char *)items + middle * size);
        if (*item == number)
            return item;
        if (*item < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* End the guest with this text; answers RUSM__CALL_TRAP. */
RUSM_PRINTF(2, 3) uint32_t rusm__hostcall_trap(struct rusm__guest *guest, const char *format, ...);

/* ---- what an answer's owner may be ---- */

/* A block of rusm__mem_* as it is; other things are marked in the lowest bits. */
enum { OWNER_MSG = 1, OWNER_CHUNK = 2, OWNER_KINDS = 3 };

static inline void *rusm__owner_of_msg(rusm_msg *msg) {
    return (void *)((uintptr_t)msg | OWNER_MSG);
}

static inline void *rusm__owner_of_chunk(rusm_chunk *chunk) {
    return (void *)((uintptr_t)chunk | OWNER_CHUNK);
}

/* Hand out the buffer's bytes with it. The buffer is empty afterwards. */
struct rusm__bytes rusm__bytes_take(struct rusm__buf *buf);
struct rusm__bytes rusm__bytes_static(const char *text);

/* ---- the interfaces ---- */

/* actor.c */
uint64_t rusm__actor_own_pid(struct rusm__guest *guest);
uint32_t rusm__actor_spawn(struct rusm__guest *guest, struct rusm__slice component,
                           uint64_t *out_pid, struct rusm__bytes *out_error);
uint32_t rusm__actor_list_processes(struct rusm__guest *guest, const uint64_t **out_pids,
                                    size_t *out_count, void **out_owner);
uint32_t rusm__actor_info(struct rusm__guest *guest, uint64_t pid,
                          struct rusm__process_info *out_info);
uint32_t rusm__actor_is_alive(struct rusm__guest *guest, uint64_t pid);
uint32_t rusm__actor_kill(struct rusm__guest *guest, uint64_t pid);
void rusm__actor_monitor(struct rusm__guest *guest, uint64_t target);
/* The component of this name; NULL: *out_error says why it cannot be spawned. if_template is what
 * that text says behind the name of a template. */
struct rusm__component *rusm__actor_find(struct rusm__guest *guest, struct rusm__slice name,
                                         const char *if_template, struct rusm__bytes *out_error);
/* As spawn, of a component that has been found. */
uint32_t rusm__actor_spawn_found(struct rusm__guest *guest, struct rusm__component *component,
                                 uint64_t *out_pid, struct rusm__bytes *out_error);
/* dynamic.c */
void rusm__guest_spawn_from_begin(struct rusm__guest *guest, struct rusm__slice component,
                                  struct rusm__slice source);
uint32_t rusm__guest_spawn_from_poll(struct rusm__guest *guest, uint64_t *out_pid,
                                     struct rusm__bytes *out_error);
void rusm__guest_spawn_from_end(struct rusm__guest *guest); /* the guest has ended */
/* wasi.c */
void rusm__guest_wasi_denied(struct rusm__guest *guest, uint32_t why, struct rusm__slice operation,
                             struct rusm__slice target);
/* supervise.c */
uint32_t rusm__actor_supervise(struct rusm__guest *guest, uint32_t strategy,
                               const struct rusm__slice *children, size_t count,
                               uint32_t max_restarts, uint32_t within_ms, uint64_t *out_pid,
                               struct rusm__bytes *out_error);
/* names.c */
uint32_t rusm__actor_register(struct rusm__guest *guest, struct rusm__slice name);
uint32_t rusm__actor_unregister(struct rusm__guest *guest, struct rusm__slice name);
uint32_t rusm__actor_whereis(struct rusm__guest *guest, struct rusm__slice name, uint64_t *out_pid);
void rusm__actor_set_label(struct rusm__guest *guest, struct rusm__slice label);
/* mail.c */
uint32_t rusm__actor_send(struct rusm__guest *guest, uint64_t to, struct rusm__slice message);
void rusm__actor_receive_begin(struct rusm__guest *guest, uint32_t has_timeout,
                               uint64_t timeout_ms);
uint32_t rusm__actor_receive_poll(struct rusm__guest *guest, struct rusm__bytes *out_message);
uint32_t rusm__actor_stash(struct rusm__guest *guest, struct rusm__slice message);
void rusm__actor_unstash(struct rusm__guest *guest);
/* A message of the guest's bytes; RUSM__CALL_TRAP when it is too long or memory is short. */
uint32_t rusm__mail_copy(struct rusm__guest *guest, struct rusm__slice bytes, rusm_msg **out_msg);
/* timer.c */
uint32_t rusm__actor_send_after(struct rusm__guest *guest, uint64_t to, uint64_t delay_ms,
                                struct rusm__slice message, uint64_t *out_timer);
uint32_t rusm__actor_cancel_timer(struct rusm__guest *guest, uint64_t timer);
void rusm__timers_sweep(struct rusm__guest *guest); /* leave only what is armed in the table */
void rusm__timers_end(struct rusm__guest *guest);   /* the guest has ended */
/* log.c */
void rusm__guest_log(struct rusm__guest *guest, uint32_t level, struct rusm__slice text);
/* The first column of its lines is made anew from this label; false when memory is short. */
bool rusm__guest_log_relabel(struct rusm__guest *guest, const char *label, size_t len);
/* pg.c */
uint32_t rusm__pg_register_tag(struct rusm__guest *guest, struct rusm__slice tag);
void rusm__pg_unregister_tag(struct rusm__guest *guest, struct rusm__slice tag);
uint32_t rusm__pg_whereis_tag(struct rusm__guest *guest, struct rusm__slice tag,
                              const uint64_t **out_pids, size_t *out_count, void **out_owner);
uint32_t rusm__pg_kill_tag(struct rusm__guest *guest, struct rusm__slice tag);
/* kv.c */
void rusm__guest_kv_begin(struct rusm__guest *guest, const struct rusm__kv_request *request);
uint32_t rusm__guest_kv_poll(struct rusm__guest *guest, struct rusm__kv_answer *out_answer);
void rusm__guest_kv_end(struct rusm__guest *guest);
/* streams.c */
uint32_t rusm__guest_stream_open(struct rusm__guest *guest, uint64_t to, uint64_t *out_id);
void rusm__guest_stream_write_begin(struct rusm__guest *guest, uint64_t id,
                                    struct rusm__slice chunk);
uint32_t rusm__guest_stream_write_poll(struct rusm__guest *guest);
void rusm__guest_stream_close(struct rusm__guest *guest, uint64_t id);
uint32_t rusm__guest_stream_accept_poll(struct rusm__guest *guest, uint64_t *out_id);
void rusm__guest_stream_read_begin(struct rusm__guest *guest, uint64_t id);
uint32_t rusm__guest_stream_read_poll(struct rusm__guest *guest, struct rusm__bytes *out_chunk);
void rusm__guest_streams_end(struct rusm__guest *guest); /* the guest has ended */
/* serve.c */
const struct rusm__connection_info *rusm__guest_connection(struct rusm__guest *guest);

#endif
