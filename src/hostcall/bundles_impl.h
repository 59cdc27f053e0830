/* SPDX-License-Identifier: MIT */
/* What the two sides of bundles.h share: a load, and how one ends. Everything that is called
 * `_locked` is called with the lock of the bundles. */
#ifndef RUSM__HOSTCALL_BUNDLES_IMPL_H
#define RUSM__HOSTCALL_BUNDLES_IMPL_H

#include "hostcall/bundles.h"

/* What is asked for, by one or more. The first block of memory holds the source's text, too. */
struct rusm__load {
    struct rusm__bundles *bundles;
    struct rusm__list queued; /* or fetching */
    struct rusm__list waiters;
    struct rusm__fetch *fetch; /* NULL: not started, or called off */
    bool is_fetched, is_off;
    bool holds_fetch;    /* counted in fetch_count, until it is freed */
    unsigned char *body; /* what was fetched, owned; NULL: `why` says why not */
    size_t body_len;
    char *why;
    struct rusm__template *template;
    enum rusm__bundle_place place;
    bool has_digest;
    struct rusm__digest digest; /* of the source; inline: of its bytes */
    size_t first_len, key_len, whole_len;
    unsigned char text[]; /* inline: the bytes; others: first, key, and the source as given */
};

/* Everyone who waits gets the component, or the text when there is none. */
void rusm__load_finish_locked(struct rusm__bundles *bundles, struct rusm__load *load,
                              struct rusm__component *component, struct rusm__buf *error);
/* It is in no list and nobody waits for it. */
void rusm__load_free_locked(struct rusm__bundles *bundles, struct rusm__load *load);
/* If nobody waits for it any more, it need not be fetched to its end. */
void rusm__load_call_off_locked(struct rusm__load *load);

/* bundle_work.c: the thread. The argument is the bundles. */
void *rusm__bundles_work(void *arg);

#endif
