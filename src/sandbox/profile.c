/* SPDX-License-Identifier: MIT */
/* Profiles: how one looks in the log. */
#include "sandbox/sandbox.h"

static void add_word(struct rusm__buf *out, bool granted, const char *word) {
    if (granted)
        rusm__buf_addf(out, "%s ", word);
}

static void add_count(struct rusm__buf *out, const char *word, size_t count) {
    if (count)
        rusm__buf_addf(out, "%s=%zu ", word, count);
}

void rusm__profile_summary(const struct rusm__profile *profile, struct rusm__buf *out) {
    size_t before = out->len;
    add_word(out, profile->network, "net");
    add_word(out, profile->spawn, "spawn");
    add_word(out, profile->storage, "storage");
    add_word(out, profile->process_control, "proc");
    add_word(out, profile->stdio, "stdio");
    add_count(out, "env", profile->env_count);
    add_count(out, "dir", profile->preopen_count);
    if (profile->bridge_names)
        rusm__buf_addf(out, "bridge=%s ", profile->bridge_names);
    add_word(out, out->len == before, "sandboxed");
    rusm__buf_addf(out, "mem=%lluM", (unsigned long long)(profile->max_memory_bytes >> 20));
}
