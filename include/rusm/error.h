/* SPDX-License-Identifier: MIT */
/* Every error that a call of this library returns: 0 is success, failures are negative. One list
 * makes the codes, the names and the texts. All functions here may be called from any thread. */
#ifndef RUSM_ERROR_H
#define RUSM_ERROR_H

#include "rusm/export.h"

/* X(name, value, text) */
#define RUSM_ERROR_MAP(X)                                                                          \
    X(ENOMEM, -1, "out of memory")                                                                 \
    X(EINVAL, -2, "invalid argument")                                                              \
    X(ENOPROC, -3, "no such process")                                                              \
    X(EFULL, -4, "the mailbox is at its limit")                                                    \
    X(EPROCS, -5, "the process table is full (raise max_processes)")                               \
    X(ETOOBIG, -6, "larger than the limit allows")                                                 \
    X(EEXIST, -7, "already taken")                                                                 \
    X(ENOTFOUND, -8, "not found")                                                                  \
    X(ETIMEDOUT, -9, "the deadline has passed")                                                    \
    X(EPERM, -10, "not permitted")                                                                 \
    X(ESTATE, -11, "not possible in this state")                                                   \
    X(EIO, -12, "input or output failed")                                                          \
    X(EBUSY, -13, "in use by another")                                                             \
    X(ECONFIG, -14, "the configuration is not valid")                                              \
    X(EGUEST, -15, "the guest program is not acceptable")                                          \
    X(ELIMIT, -16, "a configured limit is reached")                                                \
    X(ENOTSUP, -17, "not supported yet")                                                           \
    X(EEXITING, -18, "the process is to end")                                                      \
    X(EAGAIN, -19, "not yet; the process is woken when it can go on")                              \
    X(ECLOSED, -20, "the other end is closed")                                                     \
    X(ECRASHED, -21, "the process at the other end crashed")

enum {
    RUSM_OK = 0,
#define RUSM_ERROR_ENUM(name, value, text) RUSM_##name = (value),
    RUSM_ERROR_MAP(RUSM_ERROR_ENUM)
#undef RUSM_ERROR_ENUM
};

#ifdef __cplusplus
extern "C" {
#endif

/* The constant's name, such as "RUSM_ENOPROC"; "RUSM_UNKNOWN" for other values. Static storage. */
RUSM_API const char *rusm_error_name(int code);

/* One English sentence fragment without a full stop. Static storage. */
RUSM_API const char *rusm_error_text(int code);

#ifdef __cplusplus
}
#endif
#endif
