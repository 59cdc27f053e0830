/* SPDX-License-Identifier: MIT */
/* A template: what spawn-from starts code under. The guest picks the code, the operator its profile
 * and its entry. Made before guests run, never changed but for what was told. */
#ifndef RUSM__HOSTCALL_TEMPLATE_H
#define RUSM__HOSTCALL_TEMPLATE_H

#include "sandbox/sandbox.h"
#include "sandbox/told.h"

struct rusm__template {
    struct rusm__sandbox *sandbox;
    char *name;
    char *entry; /* NULL: a command */
    const struct rusm__profile *profile;
    struct rusm__component_dynamic how;
    char *no_command;       /* owned text of how */
    struct rusm__told told; /* what its components have told */
};

struct rusm__template_options;

/* NULL: no memory. */
struct rusm__template *rusm__template_new(struct rusm__sandbox *sandbox,
                                          const struct rusm__template_options *options);
void rusm__template_free(struct rusm__template *template); /* NULL is allowed */

#endif
