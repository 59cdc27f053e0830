/* SPDX-License-Identifier: MIT */
/* The engine's HTTP client, for those who may not include its header. */
#include "sandbox/sandbox.h"

#include "rusm/error.h"
#include "rusm_engine.h"

int rusm__fetch_start(const struct rusm__fetch_options *options, struct rusm__fetch **out_fetch,
                      struct rusm__buf *error) {
    rusm_engine_fetch_options fetch = {
        .size = sizeof(fetch),
        .url = options->url,
        .max_bytes = options->max_bytes,
        .max_redirects = options->max_redirects,
        .timeout_ms = options->timeout_ms,
        .allow_local = options->allow_local,
        .done = options->done,
        .arg = options->arg,
    };
    char *text = NULL;
    rusm_engine_fetch *started = NULL;
    int code = rusm_engine_fetch_start(&fetch, &started, &text);
    if (code < 0)
        rusm__buf_add_str(error, text ? text : rusm_error_text(code));
    rusm_engine_text_free(text);
    *out_fetch = (struct rusm__fetch *)started;
    return code;
}

void rusm__fetch_free(struct rusm__fetch *fetch) {
    if (fetch)
        rusm_engine_fetch_free((rusm_engine_fetch *)fetch);
}
