/* SPDX-License-Identifier: MIT */
/* Base 64 of RFC 4648 section 4: standard alphabet, always padded, no line breaks. */
#ifndef RUSM__BASE_BASE64_H
#define RUSM__BASE_BASE64_H

#include <stddef.h>

#include "rusm/export.h"

#include "base/buf.h"

/* Append the text of data; memory that is short shows in buf->failed. */
void rusm__base64_encode(struct rusm__buf *buf, const void *data, size_t len);

/* Append the bytes of text. Strict: length a multiple of four, padding only at the end, unused
 * bits zero, so exactly one text stands for given bytes. RUSM_EINVAL, RUSM_ENOMEM: nothing was
 * appended. */
RUSM_MUST_USE int rusm__base64_decode(struct rusm__buf *buf, const void *text, size_t len);

#endif
