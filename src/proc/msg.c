/* SPDX-License-Identifier: MIT */
#include "rusm/msg.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/msg_impl.h"
#include "proc/proc.h"

_Static_assert(sizeof(struct rusm_msg) == 32, "two headers share a cache line");

int rusm_msg_new(size_t len, rusm_msg **out_msg) {
    *out_msg = NULL;
    if (len > RUSM_MSG_MAX_BYTES) {
        return RUSM_ETOOBIG;
    }
    rusm_msg *msg = rusm__mem_try_alloc(sizeof(*msg) + len);
    if (!msg) {
        return RUSM_ENOMEM;
    }
    *msg = (rusm_msg){.tag = RUSM__TAG_DATA, .len = (uint32_t)len};
    *out_msg = msg;
    return RUSM_OK;
}

int rusm_msg_copy(const void *data, size_t len, rusm_msg **out_msg) {
    *out_msg = NULL;
    if (!data && len) {
        return RUSM_EINVAL;
    }
    int status = rusm_msg_new(len, out_msg);
    if (status == RUSM_OK && len) {
        memcpy(*out_msg + 1, data, len);
    }
    return status;
}

static struct rusm__signal *as_signal(rusm_msg *msg) {
    return (struct rusm__signal *)msg;
}

static void refuse(rusm_msg *msg) {
    struct rusm__offer *offer = (struct rusm__offer *)msg;
    offer->refuse(offer->what);
}

/* All but plain messages. */
static void free_parts(rusm_msg *msg) {
    if (msg->tag == RUSM__TAG_DATA) {
        rusm_context_unref(rusm_msg_context(msg));
    } else if (msg->tag == RUSM__TAG_STREAM) {
        refuse(msg);
    } else {
        rusm__reason_unref(as_signal(msg)->reason);
    }
}

void rusm_msg_free(rusm_msg *msg) {
    if (msg && (msg->tag != RUSM__TAG_DATA || (msg->flags & RUSM__MSG_CONTEXT))) {
        free_parts(msg);
    }
    rusm__mem_free(msg);
}

unsigned char *rusm_msg_data(rusm_msg *msg) {
    static unsigned char nothing[1];
    if (msg->tag == RUSM__TAG_DATA) {
        return (unsigned char *)(msg + 1);
    }
    if (msg->tag == RUSM__TAG_STREAM) {
        return nothing;
    }
    struct rusm__reason *reason = as_signal(msg)->reason;
    return reason ? (unsigned char *)reason->text : nothing;
}

size_t rusm_msg_len(const rusm_msg *msg) {
    if (msg->tag == RUSM__TAG_DATA) {
        return msg->len;
    }
    if (msg->tag == RUSM__TAG_STREAM) {
        return 0;
    }
    const struct rusm__reason *reason = ((const struct rusm__signal *)msg)->reason;
    return reason ? reason->len : 0;
}

rusm_msg_kind rusm_msg_get_kind(const rusm_msg *msg) {
    return (rusm_msg_kind)msg->tag;
}

rusm_pid rusm_msg_from(const rusm_msg *msg) {
    return msg->from;
}

uint64_t rusm_msg_ref(const rusm_msg *msg) {
    return msg->tag == RUSM__TAG_DOWN ? msg->ref : 0;
}

rusm_exit_kind rusm_msg_exit_kind(const rusm_msg *msg) {
    return (rusm_exit_kind)msg->exit_kind;
}

/* ---- reasons and signals ---- */

struct rusm__reason *rusm__reason_new(const char *text, size_t len) {
    struct rusm__reason *reason = rusm__mem_try_alloc(sizeof(*reason) + len + 1);
    if (reason) {
        atomic_init(&reason->refs, 1);
        reason->len = (uint32_t)len;
        memcpy(reason->text, text, len);
        reason->text[len] = '\0';
    }
    return reason;
}

struct rusm__reason *rusm__reason_ref(struct rusm__reason *reason) {
    if (reason) {
        /* relaxed: who adds a reference holds one already */
        atomic_fetch_add_explicit(&reason->refs, 1, memory_order_relaxed);
    }
    return reason;
}

void rusm__reason_unref(struct rusm__reason *reason) {
    /* acq_rel: the last one sees that everybody else is done reading */
    if (reason && atomic_fetch_sub_explicit(&reason->refs, 1, memory_order_acq_rel) == 1) {
        rusm__mem_free(reason);
    }
}

struct rusm__signal *rusm__signal_new(enum rusm__tag tag, rusm_pid from) {
    struct rusm__signal *signal = rusm__mem_try_zalloc(sizeof(*signal));
    if (signal) {
        signal->head.tag = (uint8_t)tag;
        signal->head.from = from;
    }
    return signal;
}

/* ---- offers ---- */

rusm_msg *rusm__offer_new(uint32_t weight, void *what, void (*refused)(void *what)) {
    struct rusm__offer *offer = rusm__mem_try_zalloc(sizeof(*offer));
    if (!offer) {
        return NULL;
    }
    offer->head.tag = RUSM__TAG_STREAM;
    offer->head.len = weight;
    offer->what = what;
    offer->refuse = refused;
    return &offer->head;
}

void *rusm__offer_what(rusm_msg *msg) {
    return msg->tag == RUSM__TAG_STREAM ? ((struct rusm__offer *)msg)->what : NULL;
}

void rusm__offer_done(rusm_msg *msg) {
    rusm__mem_free(msg);
}
