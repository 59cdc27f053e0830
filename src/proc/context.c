/* SPDX-License-Identifier: MIT */
/* Contexts of messages. A message that has one is longer by a pointer, behind its bytes:
 *
 *     header (flag CONTEXT) | bytes, filled up to a multiple of 8 | rusm_context *
 *
 * so a message without one neither has a field for it nor is looked at for it, but when it is
 * freed: there the flag lies beside the tag that is read anyway. */
#include <string.h>

#include "rusm/error.h"
#include "rusm/msg.h"

#include "base/mem.h"
#include "proc/msg_impl.h"

struct rusm_context {
    _Atomic uint32_t refs;
    uint32_t len;
    unsigned char data[];
};

int rusm_context_new(const void *data, size_t len, rusm_context **out_context) {
    *out_context = NULL;
    if (!data && len) {
        return RUSM_EINVAL;
    }
    if (len > RUSM_CONTEXT_MAX_BYTES) {
        return RUSM_ETOOBIG;
    }
    rusm_context *context = rusm__mem_try_alloc(sizeof(*context) + len);
    if (!context) {
        return RUSM_ENOMEM;
    }
    atomic_init(&context->refs, 1);
    context->len = (uint32_t)len;
    if (len) {
        memcpy(context->data, data, len); /* data may be NULL with len 0 */
    }
    *out_context = context;
    return RUSM_OK;
}

rusm_context *rusm_context_ref(rusm_context *context) {
    if (context) {
        /* relaxed: who adds a reference holds one already */
        atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    }
    return context;
}

void rusm_context_unref(rusm_context *context) {
    /* acq_rel: the last one sees that everybody else is done reading */
    if (context && atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) == 1) {
        rusm__mem_free(context);
    }
}

const unsigned char *rusm_context_data(const rusm_context *context) {
    return context->data;
}

size_t rusm_context_len(const rusm_context *context) {
    return context->len;
}

/* ---- in a message ---- */

static size_t place_of(const rusm_msg *msg) {
    return sizeof(*msg) + (msg->len + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
}

rusm_context *rusm_msg_context(const rusm_msg *msg) {
    rusm_context *context = NULL;
    if (msg->tag == RUSM__TAG_DATA && (msg->flags & RUSM__MSG_CONTEXT)) {
        memcpy(&context, (const char *)msg + place_of(msg), sizeof(context));
    }
    return context;
}

static void put(rusm_msg *msg, rusm_context *context) {
    memcpy((char *)msg + place_of(msg), &context, sizeof(context));
}

int rusm_msg_set_context(rusm_msg **msg, rusm_context *context) {
    if ((*msg)->tag != RUSM__TAG_DATA) {
        return RUSM_EINVAL;
    }
    rusm_context *before = rusm_msg_context(*msg);
    if (!((*msg)->flags & RUSM__MSG_CONTEXT)) {
        if (!context) {
            return RUSM_OK;
        }
        rusm_msg *longer = rusm__mem_try_realloc(*msg, place_of(*msg) + sizeof(void *));
        if (!longer) {
            return RUSM_ENOMEM;
        }
        longer->flags |= RUSM__MSG_CONTEXT;
        *msg = longer;
    }
    put(*msg, rusm_context_ref(context)); /* the room stays when there is none any more */
    rusm_context_unref(before);
    return RUSM_OK;
}
