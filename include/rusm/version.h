/* SPDX-License-Identifier: MIT */
#ifndef RUSM_VERSION_H
#define RUSM_VERSION_H

#include "rusm/export.h"

#define RUSM_VERSION_MAJOR  0
#define RUSM_VERSION_MINOR  1
#define RUSM_VERSION_PATCH  0
#define RUSM_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is linked in, "MAJOR.MINOR.PATCH". Static storage, any thread. */
RUSM_API const char *rusm_version(void);

#ifdef __cplusplus
}
#endif
#endif
