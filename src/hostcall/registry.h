/* SPDX-License-Identifier: MIT */
/* The names that actor.spawn knows, in order. Filled before guests run, only read afterwards. */
#ifndef RUSM__HOSTCALL_REGISTRY_H
#define RUSM__HOSTCALL_REGISTRY_H

#include <stddef.h>

#include "rusm/export.h"

struct rusm__component;
struct rusm__template;

struct rusm__registration {
    char *name;
    struct rusm__component *component; /* NULL: a template, for spawn-from only */
    struct rusm__template *template;
};

struct rusm__registered {
    struct rusm__registration *items;
    size_t count;
    size_t cap;
};

/* One of component and template, the latter taken on success. RUSM_EEXIST, RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__registered_add(struct rusm__registered *registered, const char *name,
                                       struct rusm__component *component,
                                       struct rusm__template *template);
/* NULL: nobody registered that name. */
const struct rusm__registration *rusm__registered_find(const struct rusm__registered *registered,
                                                       const void *name, size_t len);
void rusm__registered_fini(struct rusm__registered *registered);

#endif
