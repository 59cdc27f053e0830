/* SPDX-License-Identifier: MIT */
/* Bridges: host interfaces of a program's own, which guests import under a WIT name like those of
 * this library. A program lists them in rusm_node_options.bridges; the manifest grants them by
 * name: `bridges = ["weather"]` under [capabilities.<profile>]. A component that imports the
 * interface without that grant is not loaded, and every call looks at the grant again.
 *
 *     interface weather {                         package app:weather@0.1.0
 *         warmest: func(city: string, days: u32) -> result<f64, string>;
 *     }
 *
 *     static int warmest(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
 *         *answer = rusm_value_f64(21.5);
 *         if (args[1].as.u > 14)
 *             *answer = rusm_value_error(rusm_value_bytes(RUSM_TYPE_STRING, "too far", 7));
 *         return RUSM_OK;
 *     }
 *     static const rusm_bridge_function functions[] = {
 *         {"warmest", "func(city: string, days: u32) -> result<f64, string>", warmest, 0, 0}};
 *     static const rusm_bridge weather = {
 *         sizeof(rusm_bridge), "weather", "app:weather/weather@0.1.0", functions, 1, NULL};
 *
 * Types: bool, s8 to u64, f32, f64, char, string, list<u8>; as the answer also a result whose sides
 * are any of these or nothing. Parameters make at most 16 values of core Wasm, of which a string or
 * list takes two. The types that a guest was built with are compared when it is loaded. */
#ifndef RUSM_BRIDGE_H
#define RUSM_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/error.h"
#include "rusm/export.h"
#include "rusm/msg.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- values ---- */

typedef enum rusm_type {
    RUSM_TYPE_NONE = 0,
    RUSM_TYPE_BOOL = 1, /* as.u: 0 or 1 */
    RUSM_TYPE_U8 = 2,   /* as.u, as the next three */
    RUSM_TYPE_U16 = 3,
    RUSM_TYPE_U32 = 4,
    RUSM_TYPE_U64 = 5,
    RUSM_TYPE_S8 = 6, /* as.s, as the next three */
    RUSM_TYPE_S16 = 7,
    RUSM_TYPE_S32 = 8,
    RUSM_TYPE_S64 = 9,
    RUSM_TYPE_F32 = 10,
    RUSM_TYPE_F64 = 11,
    RUSM_TYPE_CHAR = 12,   /* as.u: a Unicode scalar value */
    RUSM_TYPE_STRING = 13, /* as.bytes: UTF-8 without a zero at the end */
    RUSM_TYPE_BYTES = 14,  /* as.bytes: list<u8> */
} rusm_type;

typedef struct rusm_value {
    uint32_t type;     /* rusm_type */
    uint32_t is_error; /* of an answer that is a result: 1 for its error */
    union {
        uint64_t u;
        int64_t s;
        float f32;
        double f64;
        struct {
            const void *data; /* may be NULL when len is 0 */
            size_t len;
        } bytes;
    } as;
} rusm_value;

/* Make values. Bytes stay the caller's: see rusm_bridge_fn for how long. */
static inline rusm_value rusm_value_none(void) {
    rusm_value value;
    value.type = RUSM_TYPE_NONE;
    value.is_error = 0;
    value.as.bytes.data = NULL;
    value.as.bytes.len = 0;
    return value;
}
/* RUSM_TYPE_BOOL, U8 to U64, CHAR. */
static inline rusm_value rusm_value_unsigned(rusm_type type, uint64_t number) {
    rusm_value value = rusm_value_none();
    value.type = (uint32_t)type;
    value.as.u = number;
    return value;
}
/* RUSM_TYPE_S8 to S64. */
static inline rusm_value rusm_value_signed(rusm_type type, int64_t number) {
    rusm_value value = rusm_value_none();
    value.type = (uint32_t)type;
    value.as.s = number;
    return value;
}
static inline rusm_value rusm_value_f32(float number) {
    rusm_value value = rusm_value_none();
    value.type = RUSM_TYPE_F32;
    value.as.f32 = number;
    return value;
}
static inline rusm_value rusm_value_f64(double number) {
    rusm_value value = rusm_value_none();
    value.type = RUSM_TYPE_F64;
    value.as.f64 = number;
    return value;
}
/* RUSM_TYPE_STRING, RUSM_TYPE_BYTES. */
static inline rusm_value rusm_value_bytes(rusm_type type, const void *data, size_t len) {
    rusm_value value = rusm_value_none();
    value.type = (uint32_t)type;
    value.as.bytes.data = data;
    value.as.bytes.len = len;
    return value;
}
/* The same value as the error of a result. */
static inline rusm_value rusm_value_error(rusm_value value) {
    value.is_error = 1;
    return value;
}

/* ---- functions ---- */

typedef struct rusm_bridge_call rusm_bridge_call;
typedef struct rusm_parked rusm_parked;

/* One call of a guest. `args` has a value for each parameter; strings and lists lie in the guest's
 * memory, are UTF-8 where they are strings, and are valid until this returns.
 *
 * RUSM_OK: *answer (RUSM_TYPE_NONE before) is set, with the declared type; what its bytes point to
 * stays as it is until the guest has its copy: memory of rusm_bridge_alloc, or static.
 * RUSM_EAGAIN: rusm_bridge_park was called, and the answer comes later. A call that was parked and
 * returns RUSM_OK has two answers, which ends the guest.
 * Anything else ends the guest with the text of rusm_bridge_fail, or that of the code.
 *
 * Runs on the scheduler that runs the guest, on the guest's stack: at most 48 KiB of stack, and it
 * must not wait, write output or call into the node that it belongs to other than by the functions
 * below and those of the core that any thread may call. Several guests call at once. */
typedef int (*rusm_bridge_fn)(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer);

enum {
    RUSM_BRIDGE_MAY_PARK = 1, /* the function may call rusm_bridge_park */
};

typedef struct rusm_bridge_function {
    const char *name; /* as in WIT: "get-weather" */
    const char *type; /* as in WIT: "func(city: string) -> result<string, string>" */
    rusm_bridge_fn call;
    uint32_t flags;
    uint32_t wait_ms; /* how long a parked call waits before it ends its guest; 0 = 30,000 */
} rusm_bridge_function;

/* Set size to sizeof(rusm_bridge). All of it is static: a node keeps the pointers. */
typedef struct rusm_bridge {
    size_t size;
    const char *name;           /* what the manifest grants: letters, digits, `-`, `_`, `.` */
    const char *interface_name; /* "app:weather/weather@0.1.0" */
    const rusm_bridge_function *functions;
    size_t function_count;
    void *data; /* for rusm_bridge_data */
} rusm_bridge;

/* ---- within a call: the thread that it runs on only ---- */

RUSM_API void *rusm_bridge_data(const rusm_bridge_call *call); /* the bridge's */
RUSM_API rusm_runtime *rusm_bridge_runtime(const rusm_bridge_call *call);
RUSM_API rusm_pid rusm_bridge_pid(const rusm_bridge_call *call);          /* the guest's process */
RUSM_API const char *rusm_bridge_component(const rusm_bridge_call *call); /* its component; lives as
                                                                           * long as the node */

/* The context of the message that the guest works on (rusm/msg.h): who it works for. NULL: none.
 * Valid until the call returns. */
RUSM_API const rusm_context *rusm_bridge_context(const rusm_bridge_call *call);

/* Memory for the bytes of the answer, once per call; it is freed when the guest has its copy. NULL:
 * there is none. */
RUSM_API void *rusm_bridge_alloc(rusm_bridge_call *call, size_t bytes);

/* Why the guest is to end, cut at 255 bytes; answers RUSM_EGUEST, for the function to return. */
RUSM_API int rusm_bridge_fail(rusm_bridge_call *call, const char *text);

/* ---- answering later ---- */

/* Let the guest wait. The function then returns RUSM_EAGAIN, and *out_parked is answered exactly
 * once, by any thread; that may happen before the function has returned. RUSM_ENOTSUP: the function
 * is not marked RUSM_BRIDGE_MAY_PARK. RUSM_ESTATE: this call is parked already. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_bridge_park(rusm_bridge_call *call, rusm_parked **out_parked);

/* Answer with a value of the declared type; bytes are copied. A guest that has ended meanwhile, or
 * whose time was up, does not matter. Takes parked. Any thread, also after the node has stopped;
 * never waits for long. */
RUSM_API void rusm_parked_answer(rusm_parked *parked, const rusm_value *answer);
/* End the guest with this text instead. Takes parked. Any thread. */
RUSM_API void rusm_parked_fail(rusm_parked *parked, const char *text);
/* Does the guest still wait? Work that nobody waits for can be given up; parked is answered all the
 * same. Any thread. */
RUSM_API bool rusm_parked_is_wanted(rusm_parked *parked);

#ifdef __cplusplus
}
#endif
#endif
