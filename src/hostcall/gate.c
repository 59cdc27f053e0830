/* SPDX-License-Identifier: MIT */
/* Refusals in the log. Runs on the guest's stack: short lines, cut targets. */
#include "hostcall/gate.h"

#include <stdio.h>

#include "base/log.h"

#define TARGET_MAX 64 /* bytes of a guest's text in our own lines */

#define LAST "; this was refused for many targets, further ones are not told"

static const struct {
    const char *call;
    const char *remedy;
} denials[] = {
    [RUSM__REFUSED_SPAWN] = {"actor.spawn", "`allow-spawn = true`"},
    [RUSM__REFUSED_MONITOR] = {"actor.monitor", "`allow-spawn = true` (or "
                                                "`allow-process-control = true`)"},
    [RUSM__REFUSED_LIST] = {"actor.list-processes", "`allow-process-control = true`"},
    [RUSM__REFUSED_INFO] = {"actor.info", "`allow-process-control = true`"},
    [RUSM__REFUSED_IS_ALIVE] = {"actor.is-alive", "`allow-process-control = true`"},
    [RUSM__REFUSED_KILL] = {"actor.kill", "`allow-process-control = true`"},
    [RUSM__REFUSED_KILL_TAG] = {"pg.kill-tag", "`allow-process-control = true`"},
    [RUSM__REFUSED_SUPERVISE] = {"actor.supervise", "`allow-spawn = true`"},
    [RUSM__REFUSED_BRIDGE] = {"a bridge", "its name into `bridges`"},
    [RUSM__REFUSED_SPAWN_FROM] = {"actor.spawn-from", "`allow-spawn = true`"},
    [RUSM__REFUSED_FROM_KV] = {"actor.spawn-from", "`allow-storage = true`"},
    [RUSM__REFUSED_FROM_URL] = {"actor.spawn-from", "`allow-network = true`"},
#define KV(op, call) [RUSM__REFUSED_KV + RUSM__KV_##op] = {call, "`allow-storage = true`"}
    KV(GET, "kv.get"),
    KV(SET, "kv.set"),
    KV(DELETE, "kv.delete"),
    KV(EXISTS, "kv.exists"),
    KV(LIST, "kv.list"),
    KV(COMPARE_AND_SET, "store.compare-and-set"),
    KV(INCREMENT, "store.increment"),
    KV(BATCH, "store.batch"),
    KV(KEYS, "store.keys"),
#undef KV
};

/* What is shown of a target, and what stands behind the line. */
struct target {
    size_t len;
    const char *cut;
    const char *after;
};

static bool is_to_be_told(struct rusm__guest *guest, enum rusm__refusal what, const void *target,
                          size_t len, struct target *out) {
    out->len = len < TARGET_MAX ? len : TARGET_MAX;
    out->cut = len > TARGET_MAX ? "..." : "";
    enum rusm__telling telling = rusm__component_tell(guest->component, what, target, out->len);
    out->after = telling == RUSM__TELL_LAST ? LAST : "";
    return telling != RUSM__TELL_NOT;
}

void rusm__gate_deny_call(struct rusm__guest *guest, enum rusm__refusal what, const char *call,
                          const void *target, size_t len, const char *remedy) {
    struct target told;
    if (is_to_be_told(guest, what, target, len, &told))
        rusm__log(RUSM__LOG_WARN, "rusm", "denied",
                  "%s#%llu  %s of %.*s%s; to allow it put %s under [capabilities.%s]%s",
                  rusm__component_name(guest->component), (unsigned long long)guest->pid, call,
                  (int)told.len, (const char *)target, told.cut, remedy, guest->profile->name,
                  told.after);
}

void rusm__gate_never(struct rusm__guest *guest, enum rusm__refusal what, const char *call,
                      const void *target, size_t len, const char *why) {
    struct target told;
    if (is_to_be_told(guest, what, target, len, &told))
        rusm__log(RUSM__LOG_WARN, "rusm", "denied", "%s#%llu  %s of %.*s%s; %s%s",
                  rusm__component_name(guest->component), (unsigned long long)guest->pid, call,
                  (int)told.len, (const char *)target, told.cut, why, told.after);
}

void rusm__gate_deny(struct rusm__guest *guest, enum rusm__refusal what, const void *target,
                     size_t len) {
    rusm__gate_deny_call(guest, what, denials[what].call, target, len, denials[what].remedy);
}

/* As text; answers its length. */
static size_t say_pid(rusm_pid pid, char out[32]) {
    return (size_t)snprintf(out, 32, "#%llu", (unsigned long long)pid);
}

void rusm__gate_deny_pid(struct rusm__guest *guest, enum rusm__refusal what, rusm_pid target) {
    char text[32];
    rusm__gate_deny(guest, what, text, say_pid(target, text));
}

void rusm__gate_deny_own(struct rusm__guest *guest, rusm_pid target) {
    char text[32];
    rusm__gate_never(guest, RUSM__REFUSED_KILL_OWN, "actor.kill", text, say_pid(target, text),
                     "it is a process of the node itself, which no grant lets guests end");
}

void rusm__gate_limit(struct rusm__guest *guest, enum rusm__refusal what, const void *text,
                      size_t len) {
    if (!rusm__component_first_time(guest->component, what))
        return;
    rusm__log(RUSM__LOG_WARN, "rusm", "limit", "%s#%llu  %.*s",
              rusm__component_name(guest->component), (unsigned long long)guest->pid, (int)len,
              (const char *)text);
}

void rusm__gate_full(struct rusm__guest *guest, const char *what, rusm_pid to) {
    char text[96];
    int len = snprintf(text, sizeof(text), "%s to #%llu is dropped: its mailbox is at its limit",
                       what, (unsigned long long)to);
    rusm__gate_limit(guest, RUSM__REFUSED_SEND, text, (size_t)len);
}
