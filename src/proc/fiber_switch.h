/* SPDX-License-Identifier: MIT */
/* Switching stacks, and telling the sanitizers about it. In normal builds the sanitizer part is
 * nothing.
 *
 * On x86-64 the switch is a few instructions in the place where it is used: the compiler saves what
 * is live there and no more, and the processor predicts the return addresses behind it, which it
 * cannot do behind a call that comes back on another stack. Elsewhere Boost.Context does it. The
 * floating-point environment (rounding, exceptions) is the thread's and is not switched. */
#ifndef RUSM__PROC_FIBER_SWITCH_H
#define RUSM__PROC_FIBER_SWITCH_H

#include <stddef.h>
#include <stdint.h>

/* What a stack that does not run goes on with. */
typedef void *rusm__context;

#if defined(__x86_64__) && !defined(RUSM_PORTABLE_SWITCH)

/* A context whose first switch calls entry(the `arg` of that switch), which must not return. */
static inline rusm__context rusm__context_make(void *high, size_t bytes, void (*entry)(void *)) {
    (void)bytes;
    void **top = (void **)((uintptr_t)high & ~(uintptr_t)15);
    *--top = NULL; /* as a return address: where back-traces end */
    *--top = NULL; /* rbp */
    *--top = NULL; /* rbx */
    *--top = (void *)(uintptr_t)entry;
    return top;
}

/* Leave this stack, with *from as the way back, and go on at `to`. */
static inline __attribute__((always_inline)) void rusm__switch(rusm__context *from,
                                                               rusm__context to, void *arg) {
    /* Below the red zone: the two registers that a compiler may not let be clobbered, and where to
     * go on. Everything else is in the clobber list. */
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
                     "pushq %%rbp\n\t"
                     "pushq %%rbx\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "movq %%rsp, (%[from])\n\t"
                     "movq %[to], %%rsp\n\t"
                     "popq %%rax\n\t"
                     "popq %%rbx\n\t"
                     "popq %%rbp\n\t"
                     "jmpq *%%rax\n"
                     "1:\n\t"
                     "endbr64\n\t"
                     "leaq 128(%%rsp), %%rsp"
                     : [from] "+S"(from), [to] "+d"(to), "+D"(arg)
                     :
                     : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0",
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
}

#else

/* The C interface of libboost_context (its header is C++ only). */
struct rusm__transfer {
    rusm__context from;
    void *data;
};
struct rusm__transfer jump_fcontext(rusm__context to, void *data);
rusm__context make_fcontext(void *high, size_t bytes, void (*entry)(struct rusm__transfer));

/* What a jump carries; on the stack that it leaves, read on arrival. */
struct rusm__jump {
    rusm__context *from;
    void *arg;
};

/* Gets to know its entry first, and goes on when it is switched to. */
static inline void rusm__context_begin(struct rusm__transfer transfer) {
    void (**entry)(void *) = transfer.data;
    void (*own_entry)(void *) = *entry;
    transfer = jump_fcontext(transfer.from, NULL);
    struct rusm__jump *jump = transfer.data;
    *jump->from = transfer.from;
    own_entry(jump->arg);
}

static inline rusm__context rusm__context_make(void *high, size_t bytes, void (*entry)(void *)) {
    return jump_fcontext(make_fcontext(high, bytes, rusm__context_begin), &entry).from;
}

static inline void rusm__switch(rusm__context *from, rusm__context to, void *arg) {
    struct rusm__jump jump = {.from = from, .arg = arg};
    struct rusm__transfer transfer = jump_fcontext(to, &jump);
    *((struct rusm__jump *)transfer.data)->from = transfer.from;
}

#endif

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
