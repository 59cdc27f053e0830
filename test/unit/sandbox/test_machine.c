/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
    assert_int_equal(room.by_addresses, 1);
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
        cmocka_unit_test(this_machine_can_be_measured_and_told),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
