/* SPDX-License-Identifier: MIT */
/* rusm.toml as plain structs: read, checked, and with every default applied.
 *
 *   struct rusm__report report;
 *   struct rusm__manifest *manifest;
 *   rusm__report_init(&report);
 *   int code = rusm__manifest_load("rusm.toml", false, &manifest, &report);
 *   if (manifest != NULL) {
 *       int lacking = rusm__manifest_unsupported(manifest, RUSM__FOR_SERVE, &report);
 *       code = code != RUSM_OK ? code : lacking;
 *   }
 *   if (code == RUSM_OK) { ... use it ... } else { rusm__report_print(&report, true, &text); }
 *
 * Rules of the structs: texts are terminated and hold no control characters; an optional text that
 * is not set is NULL; a count of 0 comes with a pointer that must not be read; numbers are within
 * the ranges of docs/manifest.md. `at[RUSM__<TABLE>_<KEY>]` is the place of that key's value, with
 * line 0 where the file does not set it: "was it set?" and "where?" in one.
 *
 * A manifest is one arena, immutable once loaded, and may be read from any thread. */
#ifndef RUSM__MANIFEST_MANIFEST_H
#define RUSM__MANIFEST_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/arena.h"
#include "base/log.h"
#include "manifest/pos.h"
#include "manifest/report.h"
#include "manifest/routes.h"

#define RUSM__MANIFEST_FILE          "rusm.toml"
#define RUSM__MANIFEST_NAME_MAX      128  /* components, profiles, bridges, hooks */
#define RUSM__MANIFEST_TEXT_MAX      4096 /* any other text */
#define RUSM__MANIFEST_LISTENERS_MAX 256

/* ---- small values ---- */

struct rusm__strings {
    const char *const *items;
    size_t count;
};

enum rusm__host_kind { RUSM__HOST_NAME, RUSM__HOST_IPV4, RUSM__HOST_IPV6 };

/* host:port as somebody may bind it. */
struct rusm__address {
    const char *text; /* as written */
    const char *host; /* without the brackets of an IPv6 address */
    enum rusm__host_kind kind;
    uint16_t port; /* 0: the system chooses */
};

/* Read host:port; text is borrowed and terminated. What is wrong with it, or NULL. */
RUSM_MUST_USE const char *rusm__address_parse(struct rusm__arena *arena, const char *text,
                                              size_t len, struct rusm__address *out);

enum rusm__source_kind { RUSM__SOURCE_NONE, RUSM__SOURCE_KV, RUSM__SOURCE_URL };

/* Where a bundle comes from instead of ./wasm. */
struct rusm__source {
    enum rusm__source_kind kind;
    const char *text;   /* as written, blanks around it removed; NULL for NONE */
    const char *bucket; /* KV */
    const char *key;    /* KV */
    const char *url;    /* URL: http://... or https://... */
};

/* ---- [node] ---- */

enum rusm__node_key {
    RUSM__NODE_LISTEN,
    RUSM__NODE_PROFILE,
    RUSM__NODE_TICKS_PER_SECOND,
    RUSM__NODE_STORE,
    RUSM__NODE_DYNAMIC_WASM_TTL_SECS,
    RUSM__NODE_KEYS,
};

enum rusm__node_profile {
    RUSM__NODE_PROFILE_LIGHT,
    RUSM__NODE_PROFILE_BALANCED,
    RUSM__NODE_PROFILE_MAX,
};

struct rusm__manifest_node {
    struct rusm__pos at[RUSM__NODE_KEYS];
    struct rusm__address listen; /* of the attach endpoint */
    enum rusm__node_profile profile;
    uint32_t ticks_per_second;
    const char *store; /* path; NULL: no durable store */
    uint64_t dynamic_wasm_ttl_secs;
};

/* ---- [log] ---- */

enum rusm__log_key { RUSM__LOG_LEVEL, RUSM__LOG_KEYS };

struct rusm__manifest_log {
    struct rusm__pos at[RUSM__LOG_KEYS];
    enum rusm__log_level level;
};

/* ---- [capabilities.<name>] ---- */

enum rusm__capability_key {
    RUSM__CAPABILITY_INHERITS,
    RUSM__CAPABILITY_ALLOW_NETWORK,
    RUSM__CAPABILITY_ALLOW_SPAWN,
    RUSM__CAPABILITY_ALLOW_PROCESS_CONTROL,
    RUSM__CAPABILITY_ALLOW_STDIO,
    RUSM__CAPABILITY_ALLOW_STORAGE,
    RUSM__CAPABILITY_BRIDGES,
    RUSM__CAPABILITY_ENV,
    RUSM__CAPABILITY_PREOPEN,
    RUSM__CAPABILITY_URL_LOCAL_HOSTS,
    RUSM__CAPABILITY_MAX_MEMORY_MB, /* the first limit; the rest of them are limits, too */
    RUSM__CAPABILITY_MAX_HOST_MB,
    RUSM__CAPABILITY_MAX_MESSAGE_BYTES,
    RUSM__CAPABILITY_MAILBOX_MESSAGES,
    RUSM__CAPABILITY_MAILBOX_BYTES,
    RUSM__CAPABILITY_MAILBOX_POLICY,
    RUSM__CAPABILITY_MAX_CHILDREN,
    RUSM__CAPABILITY_MAX_NAMES,
    RUSM__CAPABILITY_MAX_TIMERS,
    RUSM__CAPABILITY_MAX_STREAMS,
    RUSM__CAPABILITY_CPU_MS,
    RUSM__CAPABILITY_DEADLINE_MS,
    RUSM__CAPABILITY_KEYS,
};

#define RUSM__LIMIT_KEYS (RUSM__CAPABILITY_KEYS - RUSM__CAPABILITY_MAX_MEMORY_MB)

enum rusm__mailbox_policy {
    RUSM__MAILBOX_REFUSE,
    RUSM__MAILBOX_DROP_OLDEST,
    RUSM__MAILBOX_BLOCK_SENDER,
    RUSM__MAILBOX_EXIT,
};

struct rusm__limits {
    uint64_t max_message_bytes;
    uint64_t mailbox_bytes;
    uint64_t cpu_ms;        /* 0: no limit */
    uint64_t deadline_ms;   /* 0: no limit */
    uint32_t max_memory_mb; /* of each linear memory, inclusive */
    uint32_t max_host_mb;
    uint32_t mailbox_messages;
    enum rusm__mailbox_policy mailbox_policy;
    uint32_t max_children; /* alive at once */
    uint32_t max_names;    /* names and tags together */
    uint32_t max_timers;   /* armed at once */
    uint32_t max_streams;  /* ends of byte streams; at least 1 */
};

enum rusm__preopen_key {
    RUSM__PREOPEN_HOST,
    RUSM__PREOPEN_GUEST,
    RUSM__PREOPEN_READ_ONLY,
    RUSM__PREOPEN_KEYS,
};

struct rusm__manifest_preopen {
    struct rusm__pos at[RUSM__PREOPEN_KEYS];
    const char *host;
    const char *guest;
    bool read_only;
};

struct rusm__manifest_profile {
    const char *name;
    const char *limits_of;    /* the component that sets limits of its own; NULL: none does */
    struct rusm__pos name_at; /* line 0: built in */
    struct rusm__pos at[RUSM__CAPABILITY_KEYS];
    const char *inherits; /* a built-in profile */
    bool network, spawn, process_control, stdio, storage;
    struct rusm__limits limits;
    struct rusm__strings bridges;
    struct rusm__strings env; /* names; values come from the environment when it is used */
    const struct rusm__manifest_preopen *preopens;
    size_t preopen_count;
    struct rusm__strings url_local_hosts; /* HOST or HOST:PORT */
};

/* ---- [components.<name>] ---- */

enum rusm__component_key {
    RUSM__COMPONENT_CAPABILITY,
    RUSM__COMPONENT_RESIDENT,
    RUSM__COMPONENT_RESTART,
    RUSM__COMPONENT_SOURCE,
    RUSM__COMPONENT_DYNAMIC,
    RUSM__COMPONENT_ENTRY,
    RUSM__COMPONENT_MAX_MEMORY_MB, /* limits, in the order of those of a profile */
    RUSM__COMPONENT_MAX_HOST_MB,
    RUSM__COMPONENT_MAX_MESSAGE_BYTES,
    RUSM__COMPONENT_MAILBOX_MESSAGES,
    RUSM__COMPONENT_MAILBOX_BYTES,
    RUSM__COMPONENT_MAILBOX_POLICY,
    RUSM__COMPONENT_MAX_CHILDREN,
    RUSM__COMPONENT_MAX_NAMES,
    RUSM__COMPONENT_MAX_TIMERS,
    RUSM__COMPONENT_MAX_STREAMS,
    RUSM__COMPONENT_CPU_MS,
    RUSM__COMPONENT_DEADLINE_MS,
    RUSM__COMPONENT_KEYS,
};

enum rusm__restart { RUSM__RESTART_PERMANENT, RUSM__RESTART_TRANSIENT, RUSM__RESTART_TEMPORARY };

enum rusm__dynamic {
    RUSM__DYNAMIC_NONE,
    RUSM__DYNAMIC_JS,
    RUSM__DYNAMIC_WASM,
    RUSM__DYNAMIC_WASI_CLI,
};

struct rusm__manifest_component {
    const char *name;
    struct rusm__pos name_at;
    struct rusm__pos at[RUSM__COMPONENT_KEYS];
    const char *capability;
    /* What `capability` names, with the limits that the component sets itself. */
    const struct rusm__manifest_profile *profile;
    struct rusm__limits own; /* of these, those whose `at` is set */
    bool resident;
    enum rusm__restart restart;
    struct rusm__source source;
    enum rusm__dynamic dynamic;
    const char *entry;
};

/* ---- [[serve]] ---- */

enum rusm__serve_key {
    RUSM__SERVE_PROTOCOL,
    RUSM__SERVE_LISTEN,
    RUSM__SERVE_COMPONENT,
    RUSM__SERVE_SOURCE,
    RUSM__SERVE_ROUTES,
    RUSM__SERVE_HEADERS,
    RUSM__SERVE_TLS,
    RUSM__SERVE_SUBPROTOCOLS,
    RUSM__SERVE_MAX_CONNECTIONS,
    RUSM__SERVE_MAX_MESSAGE_SIZE,
    RUSM__SERVE_ALLOWED_ORIGINS,
    RUSM__SERVE_COMPRESSION,
    RUSM__SERVE_AUTHENTICATION,
    RUSM__SERVE_KEYS,
};

/* From 1: 0 is "not given", which a good manifest does not have. */
enum rusm__protocol { RUSM__PROTOCOL_HTTP = 1, RUSM__PROTOCOL_SSE, RUSM__PROTOCOL_WS };

/* Name in lower case. Sorted by name, no name twice. */
struct rusm__header {
    const char *name;
    const char *value;
};

enum rusm__tls_key { RUSM__TLS_CERT, RUSM__TLS_KEY, RUSM__TLS_KEYS };

struct rusm__manifest_tls {
    struct rusm__pos at[RUSM__TLS_KEYS];
    const char *cert; /* path of a PEM chain, leaf first */
    const char *key;  /* path of a PEM key */
};

struct rusm__manifest_listener {
    struct rusm__pos table_at; /* of [[serve]] */
    struct rusm__pos at[RUSM__SERVE_KEYS];
    enum rusm__protocol protocol;
    struct rusm__address listen;
    bool routed;
    const struct rusm__routes *routes; /* NULL unless routed: `component` handles everything */
    const char *component;             /* never NULL without routes; else only a name to print */
    const struct rusm__manifest_component *declared; /* the same-named, or NULL */
    const struct rusm__manifest_profile *profile;    /* of the route-less handler */
    struct rusm__source source;
    const struct rusm__header *headers;
    size_t header_count;
    const struct rusm__manifest_tls *tls; /* NULL: plain */
    struct rusm__strings subprotocols;
    struct rusm__strings allowed_origins; /* empty: any */
    uint32_t max_connections;             /* 0: no limit */
    uint64_t max_message_size;            /* 0: no limit */
    bool compression;
    const char *authentication; /* name of a hook */
};

/* ---- all of it ---- */

struct rusm__manifest {
    const char *path; /* as in messages */
    bool found;       /* false: the file was missing, so these are the defaults */
    struct rusm__manifest_node node;
    struct rusm__manifest_log log;
    const struct rusm__manifest_profile *capabilities; /* the app's own, in name order */
    size_t capability_count;
    const struct rusm__manifest_component *components; /* in name order */
    size_t component_count;
    const struct rusm__manifest_listener *serve; /* in the order of the file */
    size_t serve_count;
    struct rusm__arena arena; /* holds everything above, and this struct */
};

/* Read and check the file. A missing file is an error only when it was named explicitly.
 *
 * RUSM_OK: *out_manifest is good; the report may hold warnings. RUSM_ECONFIG: the report says what
 * is wrong, sorted; *out_manifest is still set if the file was TOML, so that
 * rusm__manifest_unsupported can add its part to the same report, and good for nothing else.
 * RUSM_ENOMEM: NULL. Reads a file: not on a scheduler. */
RUSM_MUST_USE int rusm__manifest_load(const char *path, bool named,
                                      struct rusm__manifest **out_manifest,
                                      struct rusm__report *report);

/* The same for a text in memory; `path` is only shown. Any bytes are welcome. */
RUSM_MUST_USE int rusm__manifest_parse(const char *path, const char *text, size_t len,
                                       struct rusm__manifest **out_manifest,
                                       struct rusm__report *report);

void rusm__manifest_free(struct rusm__manifest *manifest); /* NULL is allowed */

/* By name; NULL if there is none. A profile of the app hides a built-in one. */
const struct rusm__manifest_component *
rusm__manifest_find_component(const struct rusm__manifest *manifest, const char *name);
const struct rusm__manifest_profile *
rusm__manifest_find_profile(const struct rusm__manifest *manifest, const char *name);

/* The built-in profiles, in the order of the documents; NULL after the last. */
const struct rusm__manifest_profile *rusm__manifest_builtin_profile(size_t index);

/* ---- what the manifest asks for and this release lacks ---- */

/* The commands that read a manifest; bits, so that a feature can name all that need it. */
enum rusm__manifest_command {
    RUSM__FOR_RUN = 1,
    RUSM__FOR_SERVE = 2,
    RUSM__FOR_DEV = 4,
    RUSM__FOR_NODE_START = 8,
    RUSM__FOR_KV = 16,
    RUSM__FOR_BUILD = 32,
    RUSM__FOR_CHECK = 64, /* everything that any command would refuse */
};

/* Add a problem for every feature that the manifest uses, the command needs, and this release
 * lacks. Sorts the report. RUSM_OK if there is none, else RUSM_ENOTSUP; RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__manifest_unsupported(const struct rusm__manifest *manifest,
                                             enum rusm__manifest_command command,
                                             struct rusm__report *report);

/* ---- the manual ---- */

/* The reference of all keys as Markdown, from the tables that the checks use. */
void rusm__manifest_reference(struct rusm__buf *out);

#endif
