/* SPDX-License-Identifier: MIT */
/* A set of monitor or link records, keyed by a number. Chained hash table that grows; when there
 * is no memory to grow, chains get longer instead. Owner only. Chains go through signal->chain. */
#ifndef RUSM__PROC_RECORDS_H
#define RUSM__PROC_RECORDS_H

#include <stdatomic.h>
#include <stdint.h>

#include "proc/msg_impl.h"

struct rusm__records {
    struct rusm__signal **buckets; /* NULL: everything is in `few` */
    struct rusm__signal *few;
    uint32_t mask;
    _Atomic uint32_t count; /* read by anyone */
    uint8_t by_peer;        /* key: 1 = peer, 0 = head.ref */
};

void rusm__records_fini(struct rusm__records *set); /* must be empty */
void rusm__records_add(struct rusm__records *set, struct rusm__signal *record);
struct rusm__signal *rusm__records_find(const struct rusm__records *set, uint64_t key);
/* Unlinked, or NULL. */
struct rusm__signal *rusm__records_remove(struct rusm__records *set, uint64_t key);
/* Any one, unlinked; NULL when empty. */
struct rusm__signal *rusm__records_pop(struct rusm__records *set);

#endif
