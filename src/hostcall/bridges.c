/* SPDX-License-Identifier: MIT */
/* The bridges of a node: what a program declared, checked and bound. Everything that can be wrong
 * with a declaration is said here, before a component is loaded. */
#include "hostcall/bridge.h"

#include <stdarg.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

#define NAME_MAX_BYTES 128u

RUSM_PRINTF(3, 4)
static int wrong(struct rusm__buf *error, const rusm_bridge *bridge, const char *format, ...) {
    va_list args;
    rusm__buf_addf(error, "the bridge `%s`: ", bridge->name ? bridge->name : "");
    va_start(args, format);
    rusm__buf_vaddf(error, format, args);
    va_end(args);
    return RUSM_EINVAL;
}

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_missing(const char *text) {
    return !text || !*text || strlen(text) > NAME_MAX_BYTES;
}

/* The engine has its own interfaces under these names. */
static bool is_reserved(const char *name) {
    return starts_with(name, "rusm:runtime/") || starts_with(name, "rusm:kv/") ||
           starts_with(name, "wasi:");
}

static int check_bridge(const rusm_bridge *bridges, size_t index, struct rusm__buf *error) {
    const rusm_bridge *bridge = &bridges[index];
    if (bridge->size != sizeof(*bridge))
        return wrong(error, bridge, "`size` is not sizeof(rusm_bridge)");
    if (is_missing(bridge->name) || is_missing(bridge->interface_name))
        return wrong(error, bridge, "a name and an interface name of 1 to %u bytes are needed",
                     NAME_MAX_BYTES);
    if (!strchr(bridge->interface_name, ':') || !strchr(bridge->interface_name, '/'))
        return wrong(error, bridge, "`%s` is no interface of WIT: \"package:name/interface@1.2.3\"",
                     bridge->interface_name);
    if (is_reserved(bridge->interface_name))
        return wrong(error, bridge, "`%s` is an interface of this library", bridge->interface_name);
    if (!bridge->functions || bridge->function_count == 0 ||
        bridge->function_count > RUSM__BRIDGE_FUNCTIONS_MAX)
        return wrong(error, bridge, "1 to %u functions are needed", RUSM__BRIDGE_FUNCTIONS_MAX);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(bridges[i].name, bridge->name) == 0 ||
            strcmp(bridges[i].interface_name, bridge->interface_name) == 0)
            return wrong(error, bridge, "its name or interface is declared twice");
    }
    return RUSM_OK;
}

static int bind_function(struct rusm__bound_function *bound, struct rusm__bridge_function *out,
                         struct rusm__buf *error) {
    const rusm_bridge_function *declared = bound->declared;
    size_t at;
    if (is_missing(declared->name) || !declared->type || !declared->call)
        return wrong(error, bound->bridge, "a function lacks its name, type or call");
    const char *what = rusm__signature_read(declared->type, &bound->signature, &at);
    if (what)
        return wrong(error, bound->bridge, "the type of `%s`, at `%.40s`: %s", declared->name,
                     declared->type + at, what);
    if (declared->flags & ~(uint32_t)RUSM_BRIDGE_MAY_PARK)
        return wrong(error, bound->bridge, "`%s` has flags that do not exist", declared->name);
    *out = (struct rusm__bridge_function){
        .name = declared->name,
        .text = declared->type,
        .params = bound->signature.params,
        .param_count = bound->signature.param_count,
        .answer = bound->signature.answer,
        .error = bound->signature.error,
        .is_result = bound->signature.is_result,
        .may_wait = (declared->flags & RUSM_BRIDGE_MAY_PARK) != 0,
        .function = bound,
    };
    return RUSM_OK;
}

static bool is_repeated(const rusm_bridge *bridge, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (strcmp(bridge->functions[i].name, bridge->functions[index].name) == 0)
            return true;
    }
    return false;
}

/* Its functions stand from `first` on in the arrays of all functions. */
static int bind(struct rusm__bridges *bridges, size_t index, size_t first,
                struct rusm__buf *error) {
    const rusm_bridge *bridge = &bridges->declared[index];
    bridges->interfaces[index] = (struct rusm__bridge_interface){
        .name = bridge->interface_name,
        .functions = bridges->functions + first,
        .function_count = bridge->function_count,
        .grant = bridge->name,
    };
    for (size_t i = 0; i < bridge->function_count; i++) {
        struct rusm__bound_function *bound = &bridges->bound[first + i];
        bound->declared = &bridge->functions[i];
        bound->bridge = bridge;
        bound->index = (uint32_t)index;
        int code = bind_function(bound, &bridges->functions[first + i], error);
        if (code < 0)
            return code;
        if (is_repeated(bridge, i))
            return wrong(error, bridge, "`%s` is declared twice", bound->declared->name);
    }
    return RUSM_OK;
}

static int allocate(struct rusm__bridges *bridges, size_t functions) {
    bridges->interfaces = rusm__mem_try_zalloc(bridges->count * sizeof(*bridges->interfaces));
    bridges->functions = rusm__mem_try_zalloc(functions * sizeof(*bridges->functions));
    bridges->bound = rusm__mem_try_zalloc(functions * sizeof(*bridges->bound));
    return bridges->interfaces && bridges->functions && bridges->bound ? RUSM_OK : RUSM_ENOMEM;
}

static int fill(struct rusm__bridges *bridges, struct rusm__buf *error) {
    size_t functions = 0;
    int code = RUSM_OK;
    for (size_t i = 0; i < bridges->count && code == RUSM_OK; i++) {
        code = check_bridge(bridges->declared, i, error);
        if (code == RUSM_OK)
            functions += bridges->declared[i].function_count;
    }
    if (code == RUSM_OK)
        code = allocate(bridges, functions);
    size_t first = 0;
    for (size_t i = 0; i < bridges->count && code == RUSM_OK; i++) {
        code = bind(bridges, i, first, error);
        first += bridges->declared[i].function_count;
    }
    return code;
}

int rusm__bridges_init(struct rusm__bridges *bridges, const rusm_bridge *declared, size_t count,
                       struct rusm__buf *error) {
    *bridges = (struct rusm__bridges){.declared = declared, .count = count};
    if (count == 0)
        return RUSM_OK;
    if (!declared || count > RUSM__BRIDGES_MAX) {
        rusm__buf_addf(error, "%zu bridges are declared; a node has room for %u", count,
                       RUSM__BRIDGES_MAX);
        return RUSM_EINVAL;
    }
    int code = fill(bridges, error);
    if (code < 0)
        rusm__bridges_fini(bridges);
    return code;
}

void rusm__bridges_fini(struct rusm__bridges *bridges) {
    rusm__mem_free(bridges->interfaces);
    rusm__mem_free(bridges->functions);
    rusm__mem_free(bridges->bound);
    *bridges = (struct rusm__bridges){0};
}
