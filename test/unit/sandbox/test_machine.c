/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/machine.h"

#define GIB (1ull << 30)

static const struct rusm__machine ordinary = {
    .max_map_count = 65530, .memory_bytes = 16 * GIB, .address_bytes = 120 * 1024 * GIB};

static void mappings_leave_room_for_the_program(void **state) {
    (void)state;
    struct rusm__room room = rusm__machine_room(&ordinary);
    assert_in_range(room.by_mappings, 14000, 16000);
    assert_true(rusm__machine_mappings(&ordinary) <= 65530 - 4096);
    assert_true(room.by_mappings * 4ull < rusm__machine_mappings(&ordinary));
}

static void more_of_each_is_more_room(void **state) {
    (void)state;
    struct rusm__room before = rusm__machine_room(&ordinary);
    struct rusm__machine machine = ordinary;
    machine.max_map_count *= 8;
    machine.memory_bytes *= 2;
    machine.address_bytes /= 2;
    struct rusm__room after = rusm__machine_room(&machine);
    assert_true(after.by_mappings > 100000);
    assert_in_range(after.by_memory, 2 * before.by_memory - 1, 2 * before.by_memory + 1);
    assert_in_range(after.by_addresses, before.by_addresses / 2 - 1, before.by_addresses / 2 + 1);
}

static void the_smallest_machine_holds_one_guest(void **state) {
    (void)state;
    struct rusm__room room = rusm__machine_room(&(struct rusm__machine){0});
    assert_int_equal(room.by_mappings, 1);
    assert_int_equal(room.by_memory, 1);
    assert_int_equal(room.by_addresses, 0);
    assert_int_equal(room.by_small_addresses, 1);
}

static void few_addresses_hold_few_guests(void **state) {
    (void)state;
    struct rusm__machine machine = ordinary;
    assert_true(rusm__machine_room(&machine).by_small_addresses > 1000000);
    machine.address_bytes = 10 * GIB;
    struct rusm__room room = rusm__machine_room(&machine);
    assert_int_equal(room.by_addresses, 2);
    assert_in_range(room.by_small_addresses, 590, 610);
}

/* ---- control groups ---- */

struct groups {
    char root[64], memberships[128];
};

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const struct groups *g, const char *name, const char *file,
                        const char *limit) {
    char path[256];
    snprintf(path, sizeof(path), "%s%s", g->root, name);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof(path), "%s%s/%s", g->root, name, file);
    if (limit)
        write_text(path, limit);
}

static void remove_all(const struct groups *g) {
    char command[96];
    snprintf(command, sizeof(command), "rm -r '%s'", g->root);
    assert_int_equal(system(command), 0);
}

static struct groups new_groups(const char *memberships) {
    struct groups g = {.root = "/tmp/rusm-groups-XXXXXX"};
    assert_non_null(mkdtemp(g.root));
    snprintf(g.memberships, sizeof(g.memberships), "%s/memberships", g.root);
    write_text(g.memberships, memberships);
    return g;
}

static void the_least_of_all_groups_above_counts(void **state) {
    (void)state;
    struct groups g = new_groups("0::/slice/unit/inner\n");
    make_folder(&g, "/slice", "memory.max", "536870912\n");
    make_folder(&g, "/slice/unit", "memory.max", "max\n");
    make_folder(&g, "/slice/unit/inner", "memory.max", "1073741824\n");
    assert_int_equal(rusm__machine_group_memory(g.memberships, g.root), 512u << 20);
    make_folder(&g, "/slice/unit", "memory.max", "268435456\n");
    assert_int_equal(rusm__machine_group_memory(g.memberships, g.root), 256u << 20);
    remove_all(&g);
}

/* A container without a name space for groups sees the path of the host. */
static void a_group_that_is_not_seen_is_the_root(void **state) {
    (void)state;
    struct groups g = new_groups("12:cpu,cpuacct:/x\n0::/docker/abc\n");
    assert_true(rusm__machine_group_memory(g.memberships, g.root) == UINT64_MAX);
    make_folder(&g, "", "memory.max", "4096\n");
    assert_int_equal(rusm__machine_group_memory(g.memberships, g.root), 4096);
    remove_all(&g);
    assert_true(rusm__machine_group_memory(g.memberships, g.root) == UINT64_MAX);
}

static void groups_of_version_1_count_too(void **state) {
    (void)state;
    struct groups g = new_groups("9:memory:/a\n1:name=systemd:/b\nnonsense\n");
    make_folder(&g, "/memory", "memory.limit_in_bytes", "8192\n");
    make_folder(&g, "/memory/a", "memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(rusm__machine_group_memory(g.memberships, g.root), 8192);
    remove_all(&g);
}

static void this_machine_can_be_measured_and_told(void **state) {
    (void)state;
    struct rusm__machine machine;
    rusm__machine_measure(&machine);
    assert_true(machine.max_map_count > 0);
    assert_true(machine.memory_bytes > 0 && machine.memory_bytes < UINT64_MAX);
    assert_true(machine.address_bytes > 0);
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__machine_report(&text);
    assert_non_null(strstr(rusm__buf_cstr(&text), "vm.max_map_count = "));
    assert_non_null(strstr(rusm__buf_cstr(&text), "can be alive; the limit is "));
    assert_non_null(strstr(rusm__buf_cstr(&text), "page scan"));
    rusm__buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_leave_room_for_the_program),
        cmocka_unit_test(more_of_each_is_more_room),
        cmocka_unit_test(the_smallest_machine_holds_one_guest),
        cmocka_unit_test(few_addresses_hold_few_guests),
        cmocka_unit_test(the_least_of_all_groups_above_counts),
        cmocka_unit_test(a_group_that_is_not_seen_is_the_root),
        cmocka_unit_test(groups_of_version_1_count_too),
        cmocka_unit_test(this_machine_can_be_measured_and_told),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
