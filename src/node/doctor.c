/* SPDX-License-Identifier: MIT */
/* What this machine holds, for `rusm doctor`: nothing is started for it. */
#include <string.h>

#include "rusm/error.h"
#include "rusm/node.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sandbox/machine.h"

int rusm_node_doctor(rusm_problem *report) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__machine_report(&text);
    report->code = text.failed ? RUSM_ENOMEM : RUSM_OK;
    report->text = NULL;
    if (!text.failed &&
        !(report->text = rusm__mem_try_strndup(rusm__buf_cstr(&text), text.len - 1)))
        report->code = RUSM_ENOMEM;
    rusm__buf_fini(&text);
    return report->code;
}
