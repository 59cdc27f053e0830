/* SPDX-License-Identifier: MIT */
#include "proc/census.h"

#include "proc/proc_impl.h"

static void visit_process(rusm_proc *proc, void *arg) {
    const struct rusm__census_visit *visit = arg;
    /* acquire: pairs with rusm_proc_set_label; the read section keeps the text */
    const struct rusm__label *label = atomic_load_explicit(&proc->label, memory_order_acquire);
    if (proc->logged && label && label->len) {
        visit->label(label->text, label->len, visit->arg);
    }
}

void rusm__proc_census(rusm_runtime *rt, const struct rusm__census_visit *visit) {
    bool more = true;
    for (uint32_t part = 0; more; part++) {
        bool joined = rusm__read_begin(rt);
        more = rusm__table_part(&rt->procs->table, part, visit_process, (void *)visit);
        rusm__read_end(rt, joined);
    }
    for (uint32_t shard = 0; shard < RUSM__REGISTRY_SHARDS; shard++) {
        bool joined = rusm__read_begin(rt);
        rusm__registry_words(&rt->procs->tags, shard, visit->tag, visit->arg);
        rusm__read_end(rt, joined);
    }
}
