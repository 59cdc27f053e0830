/* SPDX-License-Identifier: MIT */
#include "hostcall/template.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hostcall/hostcall.h"

static char *no_command_text(const char *name) {
    static const char format[] = "`%s` source is not a wasi:cli command";
    size_t size = sizeof(format) + strlen(name);
    char *text = rusm__mem_try_alloc(size);
    if (text)
        snprintf(text, size, format, name);
    return text;
}

static void say(struct rusm__template *template, bool is_command) {
    template->how = (struct rusm__component_dynamic){
        .is_command = is_command,
        .compiling = is_command ? "compiling dynamic wasi-cli component"
                                : "compiling dynamic WASM component",
        .preparing =
            is_command ? "wasi-cli: instantiate_pre failed" : "preparing dynamic WASM component",
        .no_command = template->no_command,
        .told = &template->told,
    };
}

struct rusm__template *rusm__template_new(struct rusm__sandbox *sandbox,
                                          const struct rusm__template_options *options) {
    const char *entry = options->entry ? options->entry : "run";
    struct rusm__template *template = rusm__mem_try_zalloc(sizeof(*template));
    if (!template)
        return NULL;
    template->sandbox = sandbox;
    template->profile = options->profile;
    template->name = rusm__mem_try_strndup(options->name, strlen(options->name));
    template->entry = rusm__mem_try_strndup(entry, strlen(entry));
    template->no_command = no_command_text(options->name);
    if (template->name && template->entry && template->no_command) {
        say(template, options->is_command);
        return template;
    }
    rusm__template_free(template);
    return NULL;
}

void rusm__template_free(struct rusm__template *template) {
    if (!template)
        return;
    rusm__told_fini(&template->told);
    rusm__mem_free(template->name);
    rusm__mem_free(template->entry);
    rusm__mem_free(template->no_command);
    rusm__mem_free(template);
}
