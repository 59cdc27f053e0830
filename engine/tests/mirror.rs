// SPDX-License-Identifier: MIT
//! The mirrors of C's structs lie in memory as C lays them out. The C compiler is asked, because
//! equal sizes do not prove equal order.

use std::mem::{offset_of, size_of};
use std::process::Command;

use rusm_engine::calls::bridge::{RawFunction, RawInterface};
use rusm_engine::host::*;
use rusm_engine::{EngineConfig, FetchOptions};

/// Each line: what C prints, and what it is here.
struct Layout {
    program: String,
    expected: Vec<String>,
}

macro_rules! compare {
    ($layout:expr, $c_type:literal, $rust:ty, $($field:ident),+ $(,)?) => {
        $layout.line($c_type, "size", concat!("sizeof(", $c_type, ")"), size_of::<$rust>());
        $($layout.line(
            $c_type,
            stringify!($field),
            concat!("offsetof(", $c_type, ", ", stringify!($field), ")"),
            offset_of!($rust, $field),
        );)+
    };
}

impl Layout {
    fn line(&mut self, ty: &str, field: &str, expression: &str, value: usize) {
        self.program += &format!("printf(\"{ty}.{field} %zu\\n\", (size_t){expression});\n");
        self.expected.push(format!("{ty}.{field} {value}"));
    }
}

fn layout() -> Layout {
    let mut layout = Layout {
        program: String::new(),
        expected: Vec::new(),
    };
    compare!(layout, "struct rusm__slice", Slice, ptr, len);
    compare!(layout, "struct rusm__bytes", Bytes, ptr, len, owner);
    let l = &mut layout;
    compare!(
        l,
        "struct rusm__kv_answer",
        KvAnswer,
        value,
        found,
        number,
        keys,
        key_count,
        keys_owner
    );
    compare!(
        l,
        "struct rusm__kv_change_in",
        KvChange,
        bucket,
        key,
        value,
        ttl_ms,
        has_value,
        has_ttl
    );
    compare!(
        l,
        "struct rusm__kv_request",
        KvRequest,
        op,
        limit,
        bucket,
        key,
        value,
        other,
        has_value,
        has_other,
        has_ttl,
        ttl_ms,
        delta,
        changes,
        change_count
    );
    compare!(
        layout,
        "struct rusm__process_info",
        ProcessInfo,
        pid,
        links,
        monitors,
        mailbox_depth,
        trap_exit,
        has_label,
        label,
        names,
        name_count,
        owner,
    );
    compare!(layout, "struct rusm__slice_pair", SlicePair, name, value);
    compare!(layout, "rusm_value", Value, is_error);
    // Two names are keywords here.
    let place = offset_of!(Value, payload);
    layout.line("rusm_value", "as", "offsetof(rusm_value, as)", place);
    let place = offset_of!(Value, ty);
    layout.line("rusm_value", "type", "offsetof(rusm_value, type)", place);
    let l = &mut layout;
    compare!(
        l,
        "struct rusm__bridge_function",
        RawFunction,
        name,
        text,
        params,
        param_count,
        answer,
        error,
        is_result,
        may_wait,
        function
    );
    compare!(
        layout,
        "struct rusm__bridge_interface",
        RawInterface,
        name,
        functions,
        function_count,
        grant
    );
    compare!(
        layout,
        "struct rusm__connection_info",
        ConnectionInfo,
        method,
        path,
        query,
        remote_addr,
        subprotocol,
        params,
        headers,
        param_count,
        header_count,
        has_subprotocol,
    );
    compare!(
        layout,
        "struct rusm__host_calls",
        HostCalls,
        size,
        release,
        trap_text,
        tick,
        grow,
        wake,
        notify,
        own_pid,
        spawn,
        spawn_from_begin,
        spawn_from_poll,
        supervise,
        send,
        receive_begin,
        receive_poll,
        stash,
        unstash,
        list_processes,
        info,
        is_alive,
        kill,
        monitor,
        register_name,
        unregister_name,
        whereis,
        set_label,
        send_after,
        cancel_timer,
        log,
        register_tag,
        unregister_tag,
        whereis_tag,
        kill_tag,
        kv_begin,
        kv_poll,
        stream_open,
        stream_write_begin,
        stream_write_poll,
        stream_close,
        stream_accept_poll,
        stream_read_begin,
        stream_read_poll,
        connection,
        bridge_call,
        bridge_poll,
        wasi_denied,
    );
    compare!(
        layout,
        "rusm_engine_fetch_options",
        FetchOptions,
        size,
        url,
        max_bytes,
        max_redirects,
        timeout_ms,
        allow_local,
        done,
        arg,
    );
    compare!(
        layout,
        "rusm_engine_config",
        EngineConfig,
        size,
        host,
        runtime,
        cache_dir,
        cache_max_bytes,
        max_instances,
        max_memories,
        max_mappings,
        max_memory_bytes,
        table_elements,
        memory_keep_resident,
        stack_bytes,
        guest_stack_bytes,
        blocking_threads,
        interfaces,
        interface_count,
        pools_of,
    );
    layout
}

#[test]
fn structs_lie_as_in_c() {
    let layout = layout();
    let folder = std::env::temp_dir().join(format!("rusm-engine-{}-mirror", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (source, program) = (folder.join("mirror.c"), folder.join("mirror"));
    let text = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"rusm_engine.h\"\n\
         #include \"sandbox/host_calls.h\"\nint main(void) {{\n{}return 0;\n}}\n",
        layout.program
    );
    std::fs::write(&source, text).unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or("cc".into()))
        .args(["-std=c17", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .args([format!("-I{root}/include"), format!("-I{root}/../src")])
        .args([format!("-I{root}/../include")])
        .status();
    assert!(compiled.expect("a C compiler").success());
    let output = Command::new(&program).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed, layout.expected);
}
