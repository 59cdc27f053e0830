/* SPDX-License-Identifier: MIT */
/* Components: from bytes to something that can be spawned. Everything that can be done once is
 * done here, so that a spawn looks nothing up. */
#include "sandbox/sandbox_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/utf8.h"

#define DEFAULT_ENTRY "run"
#define RUN_INTERFACE "wasi:cli/run@0.2"
#define WEB_INTERFACE "wasi:http/incoming-handler@0.2"

#define CALL_BYTES_LEAST ((size_t)64 << 20)
#define CAUSE_BYTES      4096u
#define HANDLES_MOST     10000u

/* Everything that the steps of one load need. */
struct load {
    struct rusm__component *component;
    const struct rusm__component_options *options;
    const char *entry;
    const char *before; /* how texts about the step at hand begin, for dynamic ones */
    struct rusm__buf *error;
};

/* Whatever part of it there is: a load may have failed half-way. */
void rusm__component_free(struct rusm__component *component) {
    (void)rusm__report_untold(component);
    rusm__copies_free(component);
    if (component->prepared)
        rusm_engine_prepared_free(component->prepared);
    rusm__told_fini(&component->own_told);
    rusm__mem_free(component->grants);
    rusm__mem_free(component->name);
    rusm__mem_free(component);
}

/* "component `x` (wasm/x.wasm): " */
static void begin_error(struct load *load) {
    const struct rusm__component_options *options = load->options;
    if (options->dynamic) {
        rusm__buf_addf(load->error, "%s: ", load->before);
        return;
    }
    rusm__buf_addf(load->error, "component `%s`", options->name);
    if (options->origin)
        rusm__buf_addf(load->error, " (%s)", options->origin);
    rusm__buf_add_str(load->error, ": ");
}

/* The engine repeats the line of a source at which it stopped, and names all that it misses; both
 * are as long as whoever made the source likes. */
static void add_cause(struct rusm__buf *error, const char *cause) {
    size_t len = strlen(cause);
    if (len <= CAUSE_BYTES) {
        rusm__buf_add_str(error, cause);
        return;
    }
    size_t shown = rusm__utf8_good((const unsigned char *)cause, CAUSE_BYTES);
    rusm__buf_add(error, cause, shown);
    rusm__buf_addf(error, "... (%zu more bytes)", len - shown);
}

/* Takes cause, which may be NULL. */
static int fail(struct load *load, int code, char *cause) {
    begin_error(load);
    add_cause(load->error, cause ? cause : rusm_error_text(code));
    rusm_engine_text_free(cause);
    return code;
}

static int summarize(struct rusm__component *component) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__profile_summary(component->profile, &text);
    component->grants = rusm__mem_try_strndup(rusm__buf_cstr(&text), text.len);
    rusm__buf_fini(&text);
    return component->grants ? RUSM_OK : RUSM_ENOMEM;
}

/* ---- WASI ---- */

static int add_env(rusm_engine_wasi *wasi, const struct rusm__profile *profile) {
    int code = RUSM_OK;
    for (size_t i = 0; code == RUSM_OK && i < profile->env_count; i++)
        code = rusm_engine_wasi_add_env(wasi, profile->env[i].name, profile->env[i].value);
    return code;
}

static int add_preopens(rusm_engine_wasi *wasi, const struct rusm__profile *profile) {
    int code = RUSM_OK;
    for (size_t i = 0; code == RUSM_OK && i < profile->preopen_count; i++) {
        const struct rusm__preopen *dir = &profile->preopens[i];
        code = rusm_engine_wasi_add_preopen(wasi, dir->host_dir, dir->guest_dir, dir->read_only);
    }
    return code;
}

static int make_wasi(struct rusm__component *component) {
    const struct rusm__profile *profile = component->profile;
    rusm_engine_wasi *wasi = component->wasi = rusm_engine_wasi_new();
    if (!wasi)
        return RUSM_ENOMEM;
    if (profile->stdio)
        rusm_engine_wasi_allow_stdio(wasi);
    if (profile->network)
        rusm_engine_wasi_allow_network(wasi);
    int code =
        rusm_engine_wasi_add_arg(wasi, component->name); /* what programs expect as argv[0] */
    if (code == RUSM_OK)
        code = add_env(wasi, profile);
    return code == RUSM_OK ? add_preopens(wasi, profile) : code;
}

/* ---- what kind is it? ---- */

static bool is_command(const struct load *load) {
    const rusm_engine_artifact *artifact = load->component->artifact;
    return load->component->is_module ? rusm_engine_artifact_has_function(artifact, "_start")
                                      : rusm_engine_artifact_has_instance(artifact, RUN_INTERFACE);
}

static int no_entry(struct load *load) {
    begin_error(load);
    rusm__buf_addf(load->error,
                   "neither a rusm actor component (entry = \"%s\") nor a wasi:cli command: "
                   "component has no `%s` export",
                   load->entry, load->entry);
    rusm__buf_add_str(load->error,
                      load->options->entry
                          ? "; set `entry` to a function () -> () that it exports"
                          : "; export it as a function () -> (), set `entry` to another one, or "
                            "export wasi:cli/run or wasi:http/incoming-handler");
    return RUSM_EGUEST;
}

/* What the template says, it is. Whether it is there, the next step finds out. */
static int classify_dynamic(struct load *load) {
    struct rusm__component *component = load->component;
    const struct rusm__component_dynamic *dynamic = load->options->dynamic;
    component->kind = dynamic->is_command ? RUSM__COMPONENT_COMMAND : RUSM__COMPONENT_ACTOR;
    load->before = dynamic->preparing;
    if (!dynamic->is_command || is_command(load))
        return RUSM_OK;
    load->before = dynamic->no_command;
    begin_error(load);
    rusm__buf_addf(load->error, "it has no `%s` export",
                   load->component->is_module ? "_start" : RUN_INTERFACE);
    return RUSM_EGUEST;
}

/* An entry that was asked for by name must be there: a typing error must not run something else. */
static int classify(struct load *load) {
    struct rusm__component *component = load->component;
    if (load->options->dynamic)
        return classify_dynamic(load);
    bool named = load->options->entry;
    if (rusm_engine_artifact_has_function(component->artifact, load->entry))
        component->kind = RUSM__COMPONENT_ACTOR;
    else if (!named && is_command(load))
        component->kind = RUSM__COMPONENT_COMMAND;
    else if (!named && rusm_engine_artifact_has_instance(component->artifact, WEB_INTERFACE))
        component->kind = RUSM__COMPONENT_HTTP;
    else
        return no_entry(load);
    return RUSM_OK;
}

/* ---- loading ---- */

/* Binary, or text, which starts with a bracket or a comment after blanks. What the engine says of
 * other bytes helps nobody. */
static bool is_wasm(const unsigned char *bytes, size_t len) {
    size_t at = 0;
    if (len >= 4 && memcmp(bytes, "\0asm", 4) == 0)
        return true;
    while (at < len && bytes[at] && strchr(" \t\r\n", bytes[at]))
        at++;
    return at < len && (bytes[at] == '(' || bytes[at] == ';');
}

static int no_wasm(struct load *load, size_t len) {
    begin_error(load);
    if (load->options->dynamic) {
        rusm__buf_add_str(load->error, len ? "this is no WebAssembly" : "there are no bytes");
        return RUSM_EGUEST;
    }
    rusm__buf_add_str(load->error, len ? "this is no WebAssembly" : "the file is empty");
    rusm__buf_add_str(load->error, "; build the component again and copy it here");
    return RUSM_EGUEST;
}

static int cannot_compile(struct load *load, int code, char *text) {
    fail(load, code, text);
    if (code == RUSM_EGUEST && !load->options->dynamic)
        rusm__buf_add_str(load->error, "; if it was cut short, build or copy it again");
    return code;
}

static int compile(struct load *load, const void *wasm, size_t len) {
    struct rusm__component *component = load->component;
    struct rusm__pools *pools = &component->sandbox->pools;
    if (!is_wasm(wasm, len))
        return no_wasm(load, len);
    rusm_engine *engine = NULL;
    component->class = rusm__pools_class(load->options->profile->max_memory_bytes);
    int code =
        rusm__pools_engine(pools, component->class, RUSM__ENGINE_COMMON, &engine, load->error);
    if (code < 0)
        return code;
    component->is_scarce = rusm__pools_are_scarce(pools, component->class);
    char *text = NULL;
    code = rusm_engine_artifact_new(engine, wasm, len, &component->artifact, NULL, &text);
    if (code < 0)
        return cannot_compile(load, code, text);
    component->is_module =
        rusm_engine_artifact_kind(component->artifact) == RUSM_ENGINE_CORE_MODULE;
    component->code_bytes = rusm_engine_artifact_code_bytes(component->artifact);
    component->symbol_bytes = rusm_engine_artifact_symbol_bytes(component->artifact);
    return RUSM_OK;
}

/* What the engine lets through in one call. It must not be what refuses a message that is too long:
 * its text would not name the limit. */
static size_t call_bytes(const struct rusm__profile *profile) {
    return profile->max_message_bytes < CALL_BYTES_LEAST
               ? 2 * CALL_BYTES_LEAST
               : (size_t)profile->max_message_bytes + CALL_BYTES_LEAST;
}

/* How many handles of WASI a guest may hold: one for each part of `max-host-mb` that a handle may
 * make the host hold. */
static uint32_t handles(const struct rusm__profile *profile) {
    uint64_t most = profile->max_host_bytes / RUSM__HANDLE_BYTES;
    return !most || most > HANDLES_MOST ? HANDLES_MOST : (uint32_t)most;
}

/* An interface of the program's own is offered to whom the manifest grants it, and to nobody else.
 */
static int check_bridges(struct load *load) {
    const struct rusm__sandbox *sandbox = load->component->sandbox;
    const struct rusm__profile *profile = load->component->profile;
    for (size_t i = 0; i < sandbox->interface_count; i++) {
        const struct rusm__bridge_interface *bridge = &sandbox->interfaces[i];
        if (profile->bridges >> i & 1 ||
            !rusm_engine_artifact_imports(load->component->artifact, bridge->name))
            continue;
        begin_error(load);
        rusm__buf_addf(
            load->error,
            "it imports the bridge %s and may not; to allow it put \"%s\" into `bridges` "
            "under [capabilities.%s]",
            bridge->name, bridge->grant, profile->name);
        return RUSM_EGUEST;
    }
    return RUSM_OK;
}

static int prepare(struct load *load) {
    struct rusm__component *component = load->component;
    if (component->kind == RUSM__COMPONENT_HTTP)
        return RUSM_OK;
    int entry = component->kind == RUSM__COMPONENT_COMMAND ? RUSM_ENGINE_ENTRY_COMMAND
                                                           : RUSM_ENGINE_ENTRY_FUNCTION;
    char *text = NULL;
    int code = rusm_engine_prepare(component->artifact, entry, load->entry, component->wasi,
                                   &component->prepared, &text);
    if (code < 0)
        return fail(load, code, text);
    rusm_engine_prepared_set_call_bytes(component->prepared, call_bytes(component->profile));
    rusm_engine_prepared_set_handles(component->prepared, handles(component->profile));
    return RUSM_OK;
}

static int fill(struct load *load, const void *wasm, size_t len) {
    struct rusm__component *component = load->component;
    const struct rusm__component_options *options = load->options;
    component->profile = options->profile;
    component->is_dynamic = options->dynamic;
    component->told = options->dynamic ? options->dynamic->told : &component->own_told;
    component->name = rusm__mem_try_strndup(options->name, strlen(options->name));
    int code = component->name ? summarize(component) : RUSM_ENOMEM;
    if (code == RUSM_OK)
        code = make_wasi(component);
    if (code < 0)
        return fail(load, code, NULL);
    code = compile(load, wasm, len);
    if (code == RUSM_OK)
        code = classify(load);
    if (code == RUSM_OK)
        code = check_bridges(load);
    if (code == RUSM_OK)
        code = prepare(load);
    return code;
}

/* Prepared code stands on its own; what it was made from can go. */
static void free_materials(struct rusm__component *component) {
    if (component->artifact)
        rusm_engine_artifact_free(component->artifact);
    component->artifact = NULL;
    if (component->wasi)
        rusm_engine_wasi_free(component->wasi);
    component->wasi = NULL;
}

int rusm__component_load(struct rusm__sandbox *sandbox, const void *wasm, size_t len,
                         const struct rusm__component_options *options,
                         struct rusm__component **out_component, struct rusm__buf *error) {
    *out_component = NULL;
    struct load load = {.component = rusm__mem_try_zalloc(sizeof(*load.component)),
                        .options = options,
                        .entry = options->entry ? options->entry : DEFAULT_ENTRY,
                        .before = options->dynamic ? options->dynamic->compiling : NULL,
                        .error = error};
    if (!load.component)
        return fail(&load, RUSM_ENOMEM, NULL);
    load.component->sandbox = sandbox;
    int code = fill(&load, wasm, len);
    free_materials(load.component);
    if (code < 0) {
        rusm__component_free(load.component);
        return code;
    }
    if (!load.component->is_dynamic) {
        pthread_mutex_lock(&sandbox->lock);
        load.component->next = sandbox->components;
        sandbox->components = load.component;
        pthread_mutex_unlock(&sandbox->lock);
    }
    *out_component = load.component;
    return RUSM_OK;
}

/* ---- dynamic ones ---- */

void rusm__component_digest(const void *wasm, size_t len, unsigned char out_digest[32]) {
    rusm_engine_digest(wasm, len, out_digest);
}

/* Relaxed: whoever holds it got it under a lock or from another holder. */
void rusm__component_hold(struct rusm__component *component) {
    if (component->is_dynamic)
        atomic_fetch_add_explicit(&component->holders, 1, memory_order_relaxed);
}

/* Release: what the holder did with it comes before what is_held (acquire) allows, its end. */
void rusm__component_let_go(struct rusm__component *component) {
    if (component->is_dynamic)
        atomic_fetch_sub_explicit(&component->holders, 1, memory_order_release);
}

bool rusm__component_is_held(const struct rusm__component *component) {
    return atomic_load_explicit(&component->holders, memory_order_acquire) != 0;
}

size_t rusm__component_code_bytes(const struct rusm__component *component) {
    return component->code_bytes + component->symbol_bytes;
}

/* ---- looking ---- */

const char *rusm__component_name(const struct rusm__component *component) {
    return component->name;
}

enum rusm__component_kind rusm__component_get_kind(const struct rusm__component *component) {
    return component->kind;
}

const struct rusm__profile *rusm__component_profile(const struct rusm__component *component) {
    return component->profile;
}

bool rusm__component_is_module(const struct rusm__component *component) {
    return component->is_module;
}

bool rusm__component_first_time(struct rusm__component *component, unsigned cause) {
    return rusm__told_first_time(component->told, cause);
}

enum rusm__telling rusm__component_tell(struct rusm__component *component, unsigned cause,
                                        const void *target, size_t len) {
    return rusm__told_target(component->told, cause, target, len);
}
