/* SPDX-License-Identifier: MIT */
/* Switching stacks with Boost.Context, and telling the sanitizers about it. In normal builds the
 * sanitizer part is nothing. */
#ifndef RUSM__PROC_FIBER_SWITCH_H
#define RUSM__PROC_FIBER_SWITCH_H

#include <stddef.h>

/* The C interface of libboost_context (its header is C++ only). */
typedef void *fcontext_t;
struct rusm__transfer {
    fcontext_t from;
    void *data;
};
struct rusm__transfer jump_fcontext(fcontext_t to, void *data);
fcontext_t make_fcontext(void *high, size_t bytes, void (*entry)(struct rusm__transfer));

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if __has_feature(address_sanitizer) || defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define RUSM__ASAN_LEAVE(save, low, bytes)  __sanitizer_start_switch_fiber((save), (low), (bytes))
#define RUSM__ASAN_ARRIVE(save, low, bytes) __sanitizer_finish_switch_fiber((save), (low), (bytes))
#else
#define RUSM__ASAN_LEAVE(save, low, bytes)  ((void)0)
#define RUSM__ASAN_ARRIVE(save, low, bytes) ((void)0)
#endif

#if __has_feature(thread_sanitizer) || defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define RUSM__TSAN_CREATE()      __tsan_create_fiber(0)
#define RUSM__TSAN_DESTROY(id)   __tsan_destroy_fiber(id)
#define RUSM__TSAN_CURRENT()     __tsan_get_current_fiber()
#define RUSM__TSAN_SWITCH_TO(id) __tsan_switch_to_fiber((id), 0)
#else
#define RUSM__TSAN_CREATE()      NULL
#define RUSM__TSAN_DESTROY(id)   ((void)(id))
#define RUSM__TSAN_CURRENT()     NULL
#define RUSM__TSAN_SWITCH_TO(id) ((void)(id))
#endif

#endif
