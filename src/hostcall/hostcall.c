/* SPDX-License-Identifier: MIT */
/* The table, and what does not belong to an interface. */
#include "hostcall/hostcall_impl.h"

#include <stdarg.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/proc.h"

/* ---- answers ---- */

static void release(void *owner) {
    void *block = (void *)((uintptr_t)owner & ~(uintptr_t)OWNER_KINDS);
    switch ((uintptr_t)owner & OWNER_KINDS) {
    case OWNER_MSG:
        rusm_msg_free(block);
        break;
    case OWNER_CHUNK:
        rusm_chunk_free(block);
        break;
    default:
        rusm__mem_free(block);
    }
}

struct rusm__bytes rusm__bytes_static(const char *text) {
    return (struct rusm__bytes){(const unsigned char *)text, strlen(text), NULL};
}

struct rusm__bytes rusm__bytes_take(struct rusm__buf *buf) {
    struct rusm__bytes bytes = {buf->data, buf->len, buf->data};
    if (buf->failed || !buf->data) {
        bytes = rusm__bytes_static(buf->failed ? "out of memory" : "");
        rusm__buf_fini(buf);
    }
    rusm__buf_init(buf);
    return bytes;
}

/* ---- traps ---- */

uint32_t rusm__hostcall_trap(struct rusm__guest *guest, const char *format, ...) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    struct rusm__buf text;
    rusm__buf_init(&text);
    va_list args;
    va_start(args, format);
    rusm__buf_vaddf(&text, format, args);
    va_end(args);
    rusm__mem_free(calls->trap_text);
    calls->trap_text = rusm__mem_try_strndup(rusm__buf_cstr(&text), text.len);
    guest->trap_text = calls->trap_text ? calls->trap_text : "out of memory";
    rusm__buf_fini(&text);
    return RUSM__CALL_TRAP;
}

static struct rusm__slice trap_text(struct rusm__guest *guest) {
    const char *text = guest->trap_text ? guest->trap_text : "stopped";
    return (struct rusm__slice){(const unsigned char *)text, strlen(text)};
}

/* ---- the engine's own needs ---- */

static uint32_t tick(struct rusm__guest *guest) {
    return rusm__guest_tick(guest);
}

static uint32_t grow(struct rusm__guest *guest, uint32_t kind, size_t current, size_t desired) {
    return rusm__guest_may_grow(guest, kind, current, desired);
}

static void wake(void *runtime, uint64_t pid) {
    /* False: the process is gone, and so is whoever waited. */
    (void)rusm__proc_wake(runtime, pid);
}

/* Relaxed: a count that nothing else hangs on. */
static void notify(struct rusm__guest *guest) {
    atomic_fetch_add_explicit(&rusm__hostcall_of(guest)->notified, 1, memory_order_relaxed);
}

uint64_t rusm__hostcall_notified(const struct rusm__hostcall *hostcall) {
    return atomic_load_explicit(&hostcall->notified, memory_order_relaxed);
}

static const struct rusm__host_calls table = {
    .size = sizeof(table),
    .release = release,
    .trap_text = trap_text,
    .tick = tick,
    .grow = grow,
    .wake = wake,
    .notify = notify,
    .own_pid = rusm__actor_own_pid,
    .spawn = rusm__actor_spawn,
    .spawn_from_begin = rusm__guest_spawn_from_begin,
    .spawn_from_poll = rusm__guest_spawn_from_poll,
    .supervise = rusm__actor_supervise,
    .send = rusm__actor_send,
    .receive_begin = rusm__actor_receive_begin,
    .receive_poll = rusm__actor_receive_poll,
    .stash = rusm__actor_stash,
    .unstash = rusm__actor_unstash,
    .list_processes = rusm__actor_list_processes,
    .info = rusm__actor_info,
    .is_alive = rusm__actor_is_alive,
    .kill = rusm__actor_kill,
    .monitor = rusm__actor_monitor,
    .register_name = rusm__actor_register,
    .unregister_name = rusm__actor_unregister,
    .whereis = rusm__actor_whereis,
    .set_label = rusm__actor_set_label,
    .send_after = rusm__actor_send_after,
    .cancel_timer = rusm__actor_cancel_timer,
    .log = rusm__guest_log,
    .register_tag = rusm__pg_register_tag,
    .unregister_tag = rusm__pg_unregister_tag,
    .whereis_tag = rusm__pg_whereis_tag,
    .kill_tag = rusm__pg_kill_tag,
    .kv_begin = rusm__guest_kv_begin,
    .kv_poll = rusm__guest_kv_poll,
    .stream_open = rusm__guest_stream_open,
    .stream_write_begin = rusm__guest_stream_write_begin,
    .stream_write_poll = rusm__guest_stream_write_poll,
    .stream_close = rusm__guest_stream_close,
    .stream_accept_poll = rusm__guest_stream_accept_poll,
    .stream_read_begin = rusm__guest_stream_read_begin,
    .stream_read_poll = rusm__guest_stream_read_poll,
    .connection = rusm__guest_connection,
    .bridge_call = rusm__bridge_call,
    .bridge_poll = rusm__bridge_poll,
    .wasi_denied = rusm__guest_wasi_denied,
};

/* ---- life ---- */

static void guest_end(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    rusm__guest_kv_end(guest);
    rusm__guest_spawn_from_end(guest);
    rusm__timers_end(guest);
    rusm__guest_streams_end(guest);
    rusm_context_unref(calls->context);
    rusm__outbox_fini(&calls->outbox);
    rusm__bridge_end(guest);
    rusm__mem_free(calls->trap_text);
    rusm__mem_free(calls->who);
}

int rusm__hostcall_open(const struct rusm__hostcall_options *options,
                        struct rusm__hostcall **out_hostcall, struct rusm__buf *error) {
    struct rusm__hostcall *hostcall = rusm__mem_try_zalloc(sizeof(*hostcall));
    *out_hostcall = NULL;
    if (!hostcall)
        return RUSM_ENOMEM;
    hostcall->runtime = options->runtime;
    rusm__orphans_init(&hostcall->orphans, options->runtime);
    int code =
        rusm__bridges_init(&hostcall->bridges, options->bridges, options->bridge_count, error);
    if (code < 0)
        goto no_store;
    code = rusm__store_init(&hostcall->store, options->store, options->runtime);
    if (code < 0)
        goto no_store;
    rusm__bundles_init(&hostcall->bundles, options->runtime, options->store,
                       options->dynamic_ttl_ns);
    *out_hostcall = hostcall;
    return RUSM_OK;
no_store:
    rusm__bridges_fini(&hostcall->bridges);
    rusm__orphans_fini(&hostcall->orphans);
    rusm__mem_free(hostcall);
    return code;
}

void rusm__hostcall_close(struct rusm__hostcall *hostcall) {
    if (!hostcall)
        return;
    rusm__bundles_stop(&hostcall->bundles); /* if there never was a sandbox */
    rusm__bundles_fini(&hostcall->bundles);
    rusm__store_fini(&hostcall->store);
    rusm__orphans_fini(&hostcall->orphans);
    rusm__registered_fini(&hostcall->registered);
    rusm__bridges_fini(&hostcall->bridges);
    rusm__mem_free(hostcall);
}

/* What the sandbox is about to free must not be compiled for any more. */
static void closing(void *host_data) {
    struct rusm__hostcall *hostcall = host_data;
    rusm__bundles_stop(&hostcall->bundles);
}

void rusm__hostcall_fill(struct rusm__hostcall *hostcall, struct rusm__sandbox_options *options) {
    options->host = &table;
    options->host_data = hostcall;
    options->calls_bytes = sizeof(struct rusm__calls);
    options->guest_end = guest_end;
    options->guest_held = rusm__ledger_held;
    options->interfaces = hostcall->bridges.interfaces;
    options->interface_count = hostcall->bridges.count;
    options->closing = closing;
}

int rusm__hostcall_add(struct rusm__hostcall *hostcall, struct rusm__component *component) {
    return rusm__registered_add(&hostcall->registered, rusm__component_name(component), component,
                                NULL);
}

int rusm__hostcall_add_template(struct rusm__hostcall *hostcall, struct rusm__sandbox *sandbox,
                                const struct rusm__template_options *options) {
    struct rusm__template *template = rusm__template_new(sandbox, options);
    if (!template)
        return RUSM_ENOMEM;
    int code = rusm__bundles_start(&hostcall->bundles);
    if (code == RUSM_OK)
        code = rusm__registered_add(&hostcall->registered, options->name, NULL, template);
    if (code < 0)
        rusm__template_free(template);
    return code;
}

uint64_t rusm__hostcall_compiled(struct rusm__hostcall *hostcall) {
    return rusm__bundles_compiled(&hostcall->bundles);
}
