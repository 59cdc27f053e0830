/* SPDX-License-Identifier: MIT */
/* Where two groups of fields are written by different threads, they stand on different lines. */
#ifndef RUSM__SYNC_CACHELINE_H
#define RUSM__SYNC_CACHELINE_H

/* Two 64-byte lines: x86 prefetches lines in pairs. */
#define RUSM__CACHELINE 128

#endif
