/* SPDX-License-Identifier: MIT */
/* Bridges: the interfaces of rusm/bridge.h, read and checked, as the engine and the calls need
 * them. Read once, before the first component is loaded, and never changed afterwards. */
#ifndef RUSM__HOSTCALL_BRIDGE_H
#define RUSM__HOSTCALL_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/bridge.h"

#include "base/buf.h"
#include "sandbox/host_calls.h"

#define RUSM__BRIDGES_MAX          64u /* a bit of a profile each */
#define RUSM__BRIDGE_FUNCTIONS_MAX 256u
#define RUSM__BRIDGE_PARAMS_MAX    16u

struct rusm__guest;

/* The type of a function. */
struct rusm__signature {
    uint32_t params[RUSM__BRIDGE_PARAMS_MAX]; /* rusm_type */
    uint32_t param_count;
    uint32_t answer; /* RUSM_TYPE_NONE: nothing; of a result: its ok */
    uint32_t error;  /* of a result */
    bool is_result;
};

/* Read "func(a: u32, b: string) -> result<f64, string>". NULL, or what is wrong with it; *out_at is
 * then the place. */
const char *rusm__signature_read(const char *text, struct rusm__signature *out, size_t *out_at);

struct rusm__bound_function {
    const rusm_bridge_function *declared;
    const rusm_bridge *bridge;
    uint32_t index; /* of the bridge: its bit in a profile */
    struct rusm__signature signature;
};

struct rusm__bridges {
    const rusm_bridge *declared;
    size_t count;
    struct rusm__bridge_interface *interfaces; /* for the sandbox; `count` of them */
    struct rusm__bridge_function *functions;   /* of all of them */
    struct rusm__bound_function *bound;        /* the same, for calls */
};

/* RUSM_EINVAL with a text that names the bridge, RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__bridges_init(struct rusm__bridges *bridges, const rusm_bridge *declared,
                                     size_t count, struct rusm__buf *error);
void rusm__bridges_fini(struct rusm__bridges *bridges);

/* The state of one guest's parked call. */
struct rusm__bridge_wait {
    rusm_parked *parked; /* NULL: none */
    uint64_t deadline_ns;
};

uint32_t rusm__bridge_call(struct rusm__guest *guest, const void *function, const rusm_value *args,
                           rusm_value *out_answer, void **out_owner);
uint32_t rusm__bridge_poll(struct rusm__guest *guest, rusm_value *out_answer, void **out_owner);
void rusm__bridge_end(struct rusm__guest *guest); /* the guest has ended */

#endif
