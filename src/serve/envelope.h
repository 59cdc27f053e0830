/* SPDX-License-Identifier: MIT */
/* A request as the message that a handler gets (spec: wire formats, routed dispatch):
 *
 *   {"op":"fetch","ref":0,"from":"<pid>","action":s,"params":[[n,v]...],"request":
 *    {"method":s,"url":"<path?query>","headers":[[k,v]...],"body":"<base64>"}}
 *
 * Header names are lower case, in the order of arrival; a value that is not ASCII becomes empty. */
#ifndef RUSM__SERVE_ENVELOPE_H
#define RUSM__SERVE_ENVELOPE_H

#include <stddef.h>

#include "rusm/export.h"
#include "rusm/msg.h"
#include "rusm/runtime.h"

#include "base/buf.h"
#include "serve/http.h"
#include "serve/serve.h"

/* Write it into a new message. All but the body passes through `scratch`, which keeps its memory
 * from request to request; the body is encoded once, to where it stays. RUSM_ENOMEM, RUSM_ETOOBIG.
 */
RUSM_MUST_USE int rusm__envelope_build(const struct rusm__http *http,
                                       const struct rusm__serve_match *match, const char *path,
                                       size_t path_len, rusm_pid from, struct rusm__buf *scratch,
                                       rusm_msg **out_msg);

#endif
