/* SPDX-License-Identifier: MIT */
/* The version that this library was built as; a program compares it with the header's. */
#include "rusm/version.h"

#define DOTTED_(major, minor, patch) #major "." #minor "." #patch
#define DOTTED(major, minor, patch)  DOTTED_(major, minor, patch)

/* The header states the version twice, for the preprocessor and for people; they must agree. */
_Static_assert(sizeof(RUSM_VERSION_STRING) ==
                   sizeof(DOTTED(RUSM_VERSION_MAJOR, RUSM_VERSION_MINOR, RUSM_VERSION_PATCH)),
               "RUSM_VERSION_STRING and the numbers differ");

const char *rusm_version(void) {
    return DOTTED(RUSM_VERSION_MAJOR, RUSM_VERSION_MINOR, RUSM_VERSION_PATCH);
}
