/* SPDX-License-Identifier: MIT */
/* What stands before a declaration: visibility, and "the result must be looked at". */
#ifndef RUSM_EXPORT_H
#define RUSM_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define RUSM_API                 __attribute__((visibility("default")))
#define RUSM_MUST_USE            __attribute__((warn_unused_result))
#define RUSM_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define RUSM_API
#define RUSM_MUST_USE
#define RUSM_PRINTF(text, first)
#endif

#endif
