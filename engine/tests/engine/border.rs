// SPDX-License-Identifier: MIT
//! Wrong use of the border is answered, and what the configuration cannot be is refused.

use std::ffi::CStr;
use std::ptr;

use super::fake::*;
use rusm_engine::host::HostCalls;
use rusm_engine::*;

const EINVAL: i32 = -2;
const ECONFIG: i32 = -14;

fn refused(change: impl FnOnce(&mut EngineConfig)) -> (i32, String) {
    TestEngine::try_with(change).err().expect("it is refused")
}

#[test]
fn wrong_configurations_are_refused() {
    assert_eq!(refused(|config| config.size -= 8).0, EINVAL);
    assert_eq!(refused(|config| config.host = ptr::null()).0, EINVAL);
    assert_eq!(refused(|config| config.max_instances = 0).0, ECONFIG);
    assert_eq!(refused(|config| config.max_memories = 0).0, ECONFIG);
    assert_eq!(refused(|config| config.max_memory_bytes = 100).0, ECONFIG);
    assert_eq!(
        refused(|config| config.max_memory_bytes = 8 << 30).0,
        ECONFIG
    );
    assert_eq!(refused(|config| config.guest_stack_bytes = 0).0, ECONFIG);
    let (code, text) = refused(|config| config.stack_bytes = config.guest_stack_bytes + 1000);
    assert_eq!(code, ECONFIG);
    assert!(text.contains("stack_bytes"), "{text}");
}

#[test]
fn a_table_with_holes_is_refused() {
    let mut words = [0usize; size_of::<HostCalls>() / size_of::<usize>()];
    // SAFETY: a table is words, and so many of them.
    let source =
        unsafe { std::slice::from_raw_parts(ptr::from_ref(&CALLS).cast::<usize>(), words.len()) };
    words.copy_from_slice(source);
    let last = words.len() - 1;
    words[last] = 0;
    let (code, text) = refused(|config| config.host = words.as_ptr().cast());
    assert_eq!(
        (code, text.as_str()),
        (EINVAL, "an entry of the table of host calls is missing")
    );
    words[0] = 8;
    let (code, text) = refused(|config| config.host = words.as_ptr().cast());
    assert_eq!(
        (code, text.as_str()),
        (EINVAL, "the table of host calls has another size")
    );
}

#[test]
fn null_is_answered_and_may_be_freed() {
    // SAFETY: null is what these calls are asked to stand.
    unsafe {
        assert_eq!(
            rusm_engine_new(ptr::null(), ptr::null_mut(), ptr::null_mut()),
            EINVAL
        );
        rusm_engine_free(ptr::null_mut());
        rusm_engine_tick(ptr::null_mut());
        rusm_engine_text_free(ptr::null_mut());
        rusm_engine_artifact_free(ptr::null_mut());
        rusm_engine_prepared_free(ptr::null_mut());
        rusm_engine_wasi_free(ptr::null_mut());
        rusm_engine_drop(ptr::null_mut());
        rusm_engine_stop(ptr::null_mut());
        assert_eq!(rusm_engine_resume(ptr::null_mut()), EINVAL);
        assert_eq!(rusm_engine_artifact_kind(ptr::null()), EINVAL);
        let mut prepared = ptr::null_mut();
        let code = rusm_engine_prepare(
            ptr::null_mut(),
            0,
            c"run".as_ptr(),
            ptr::null(),
            &mut prepared,
            ptr::null_mut(),
        );
        assert_eq!(code, EINVAL);
        let mut instance = ptr::null_mut();
        assert_eq!(
            rusm_engine_start(ptr::null_mut(), ptr::null_mut(), 1, &mut instance),
            EINVAL
        );
    }
}

#[test]
fn the_version_is_the_one_that_was_built() {
    // SAFETY: a static text.
    let version = unsafe { CStr::from_ptr(rusm_engine_version()) };
    let lock = include_str!("../../Cargo.lock");
    let entry = format!(
        "name = \"wasmtime\"\nversion = \"{}\"",
        version.to_str().unwrap()
    );
    assert!(lock.contains(&entry), "{version:?}");
}

#[test]
fn two_engines_do_not_mix() {
    let (one, two) = (TestEngine::new(), TestEngine::new());
    let prepared_one = one.prepare(super::wat::plain(r#"(func (export "run"))"#));
    let prepared_two = two.prepare(super::wat::plain(r#"(func (export "run") unreachable)"#));
    assert_eq!(prepared_one.start().resume(), DONE);
    assert_eq!(prepared_two.start().resume(), TRAPPED);
    drop(one);
    assert_eq!(prepared_two.start().resume(), TRAPPED);
}
