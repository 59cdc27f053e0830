/* SPDX-License-Identifier: MIT */
/* Everything that can be wrong on paper: the manifest, what this release lacks of it, .env. */
#include "node/node_impl.h"

#include <string.h>

#include "rusm/error.h"

static int read_manifest(rusm_node *node, const char *path, bool named,
                         enum rusm__manifest_command command) {
    int code = rusm__manifest_load(path, named, &node->manifest, &node->report);
    if (node->manifest) {
        int lacking = rusm__manifest_unsupported(node->manifest, command, &node->report);
        if (code == RUSM_OK)
            code = lacking;
    }
    if (node->report.count != 0)
        rusm__report_print(&node->report, true, code < 0 ? &node->error : &node->warnings);
    return code;
}

/* --listen stands for [node] listen, so it is held to the same rules. */
static int override_listen(rusm_node *node, const char *listen) {
    const char *wrong = rusm__address_parse(&node->manifest->arena, listen, strlen(listen),
                                            &node->manifest->node.listen);
    if (!wrong)
        return RUSM_OK;
    rusm__node_fail(node, "invalid --listen `%s`: %s", rusm__show(listen, strlen(listen)).text,
                    wrong);
    return RUSM_ECONFIG;
}

int rusm__node_read_config(rusm_node *node, const rusm_node_options *options,
                           enum rusm__manifest_command command) {
    const char *path = options->config_path;
    if (!path)
        path = rusm__node_path(node, RUSM__MANIFEST_FILE);
    if (!path)
        return RUSM_ENOMEM;
    int code = read_manifest(node, path, options->config_path != NULL, command);
    if (code == RUSM_OK && options->node_listen)
        code = override_listen(node, options->node_listen);
    if (code == RUSM_OK)
        code = rusm__dotenv_load(&node->env, node->root, &node->error);
    return code;
}
