// SPDX-License-Identifier: MIT
//! The engine behind `include/rusm_engine.h`. This file is the border: it turns pointers into
//! references, catches panics, and turns results into codes. See README.md for what lies behind.
//!
//! The header says what each function does; here it is only said why it is sound. Throughout, C
//! vouches for its pointers: handles come from here and are used until they are freed, texts are
//! zero-terminated, outputs are valid for a write or null where the header allows it.

mod artifact;
mod cache;
pub mod calls;
mod client;
mod dwarf;
mod engine;
mod error;
mod files;
pub mod host;
mod imports;
mod instance;
mod names;
mod pagemap;
mod prepare;
mod reactor;
mod refusals;
mod refusals_p1;
mod resident;
mod room;
mod slots;
mod stacks;
mod symbols;
mod wake;
mod wasi;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use artifact::Artifact;
pub use client::{Fetch, FetchOptions};
pub use engine::{Engine, EngineConfig, Pools, wasmtime_config};
pub use instance::Instance;
pub use prepare::Prepared;
pub use wasi::Grants;

use error::{EINVAL, ENOTFOUND, ESTATE, Failure, OK, hand_over, panic_text};

/// Run the body of a call that can fail: its code, and its text in `out_error`.
fn guard(out_error: *mut *mut c_char, body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::new(
            ESTATE,
            format!("the engine panicked: {}", panic_text(&*panic)),
        ),
    };
    // SAFETY: C gave null or a place for a text.
    unsafe { hand_over(out_error, &failure.text) };
    failure.code
}

/// Run the body of a call that answers something; a panic answers `otherwise`.
fn guard_or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

fn missing(what: &str) -> Failure {
    Failure::new(EINVAL, format!("{what} is missing"))
}

/// # Safety
/// `pointer` is null or valid for as long as the result is used.
unsafe fn given<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: the contract above.
    unsafe { pointer.as_ref() }.ok_or_else(|| missing(what))
}

/// # Safety
/// As for `given`.
unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(missing(what));
    }
    // SAFETY: not null, so a zero-terminated text by the contract above.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str()
        .map_err(|_| Failure::new(EINVAL, format!("{what} is not UTF-8")))
}

/// Set an output to null first; the header promises a safe value on failure.
///
/// # Safety
/// `out` is null or valid for a write.
unsafe fn output<'a, T>(out: *mut *mut T, what: &str) -> Result<&'a mut *mut T, Failure> {
    // SAFETY: the contract above.
    let out = unsafe { out.as_mut() }.ok_or_else(|| missing(what))?;
    *out = std::ptr::null_mut();
    Ok(out)
}

/// A handle that C holds on to a shared object.
fn share<T>(object: &Arc<T>) -> *mut T {
    Arc::into_raw(object.clone()).cast_mut()
}

/// The shared object behind a handle, which keeps its own count.
///
/// # Safety
/// `handle` came from `share` and has not been given back.
unsafe fn shared<T>(handle: *const T) -> Arc<T> {
    // SAFETY: the handle owns a count, so the object is there to be counted once more.
    unsafe {
        Arc::increment_strong_count(handle);
        Arc::from_raw(handle)
    }
}

/// # Safety
/// `handle` is null or came from `share`, and is not used again.
unsafe fn unshare<T>(handle: *const T) {
    if !handle.is_null() {
        // SAFETY: the contract above.
        drop(unsafe { Arc::from_raw(handle) });
    }
}

/// # Safety
/// `handle` is null or came from Box::into_raw, and is not used again.
unsafe fn unbox<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the contract above.
        drop(unsafe { Box::from_raw(handle) });
    }
}

// ---- engine ----

/// # Safety
/// See the head of this file; the table of host calls is static.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_new(
    config: *const EngineConfig,
    out_engine: *mut *mut Engine,
    out_error: *mut *mut c_char,
) -> c_int {
    guard(out_error, || {
        // SAFETY: see the head of this file.
        let (out, config) =
            unsafe { (output(out_engine, "out_engine")?, given(config, "config")?) };
        if config.size != std::mem::size_of::<EngineConfig>() {
            return Err(Failure::new(EINVAL, "the configuration has another size"));
        }
        // SAFETY: see the head of this file.
        let engine = Arc::new(unsafe { Engine::new(config)? });
        *out = share(&engine);
        Ok(())
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_close_gate(engine: *mut Engine) {
    guard_or((), || {
        // SAFETY: see the head of this file.
        if let Some(engine) = unsafe { engine.as_ref() } {
            engine.gate.close();
        }
    });
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_free(engine: *mut Engine) {
    guard_or((), || {
        // SAFETY: see the head of this file.
        if let Some(engine) = unsafe { engine.as_ref() } {
            engine.gate.close();
        }
        // SAFETY: see the head of this file.
        unsafe { unshare(engine) };
    });
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_text_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the text came from CString::into_raw.
        drop(unsafe { CString::from_raw(text) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn rusm_engine_scans_pages() -> c_int {
    c_int::from(pagemap::PageMap::open().is_some())
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_tick(engine: *mut Engine) {
    // One atomic addition: nothing to catch, and allowed in a signal handler.
    // SAFETY: see the head of this file.
    if let Some(engine) = unsafe { engine.as_ref() } {
        engine.wasmtime.increment_epoch();
    }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_cache_problem(engine: *const Engine) -> *const c_char {
    // SAFETY: see the head of this file.
    let problem = unsafe { engine.as_ref() }.and_then(Engine::cache_problem);
    problem.map_or(std::ptr::null(), CStr::as_ptr)
}

/// # Safety
/// Always sound.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_version() -> *const c_char {
    c"48.0.8".as_ptr()
}

// ---- digest ----

/// # Safety
/// See the head of this file; `data` has `len` bytes, `out_digest` room for 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_digest(data: *const u8, len: usize, out_digest: *mut u8) {
    // SAFETY: as above; a slice of C may be null when it is empty.
    let digest = Sha256::digest(unsafe { host::Slice { ptr: data, len }.bytes() });
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(digest.as_ptr(), out_digest, digest.len()) };
}

// ---- artifact ----

/// # Safety
/// See the head of this file; `wasm` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_new(
    engine: *mut Engine,
    wasm: *const u8,
    len: usize,
    out_artifact: *mut *mut Artifact,
    out_cached: *mut c_int,
    out_error: *mut *mut c_char,
) -> c_int {
    guard(out_error, || {
        // SAFETY: see the head of this file.
        let out = unsafe { output(out_artifact, "out_artifact")? };
        // SAFETY: see the head of this file.
        unsafe { given(engine, "engine")? };
        // SAFETY: see the head of this file.
        let engine = unsafe { shared(engine) };
        // SAFETY: as above; a slice of C may be null when it is empty.
        let wasm = unsafe { host::Slice { ptr: wasm, len }.bytes() };
        let (artifact, cached) = Artifact::new(engine, wasm)?;
        // SAFETY: see the head of this file.
        if let Some(out) = unsafe { out_cached.as_mut() } {
            *out = c_int::from(cached);
        }
        *out = Box::into_raw(Box::new(artifact));
        Ok(())
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_free(artifact: *mut Artifact) {
    // SAFETY: see the head of this file.
    guard_or((), || unsafe { unbox(artifact) });
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_kind(artifact: *const Artifact) -> c_int {
    // SAFETY: see the head of this file.
    match unsafe { artifact.as_ref() }.map(|artifact| &artifact.code) {
        Some(artifact::Code::Component(_)) => 0,
        Some(artifact::Code::Module(_)) => 1,
        None => EINVAL,
    }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_symbol_bytes(artifact: *const Artifact) -> usize {
    // SAFETY: see the head of this file.
    guard_or(0, || unsafe {
        artifact.as_ref().map_or(0, Artifact::symbol_bytes)
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_code_bytes(artifact: *const Artifact) -> usize {
    // SAFETY: see the head of this file.
    guard_or(0, || unsafe {
        artifact.as_ref().map_or(0, Artifact::code_bytes)
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_has_function(
    artifact: *const Artifact,
    name: *const c_char,
) -> c_int {
    guard_or(0, || {
        // SAFETY: see the head of this file.
        let given = unsafe { (given(artifact, "artifact"), text(name, "name")) };
        match given {
            (Ok(artifact), Ok(name)) => c_int::from(artifact.has_function(name)),
            _ => 0,
        }
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_has_instance(
    artifact: *const Artifact,
    prefix: *const c_char,
) -> c_int {
    guard_or(0, || {
        // SAFETY: see the head of this file.
        let given = unsafe { (given(artifact, "artifact"), text(prefix, "prefix")) };
        match given {
            (Ok(artifact), Ok(prefix)) => c_int::from(artifact.has_instance(prefix)),
            _ => 0,
        }
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_artifact_imports(
    artifact: *const Artifact,
    interface: *const c_char,
) -> c_int {
    guard_or(0, || {
        // SAFETY: see the head of this file.
        let given = unsafe { (given(artifact, "artifact"), text(interface, "interface")) };
        match given {
            (Ok(artifact), Ok(interface)) => c_int::from(artifact.imports(interface)),
            _ => 0,
        }
    })
}

// ---- fetching ----

/// # Safety
/// See the head of this file; `arg` of the options is used until `done` has been called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_fetch_start(
    options: *const FetchOptions,
    out_fetch: *mut *mut Fetch,
    out_error: *mut *mut c_char,
) -> c_int {
    guard(out_error, || {
        // SAFETY: see the head of this file.
        let (out, options) =
            unsafe { (output(out_fetch, "out_fetch")?, given(options, "options")?) };
        if options.size != std::mem::size_of::<FetchOptions>() {
            return Err(Failure::new(EINVAL, "the options have another size"));
        }
        // SAFETY: see the head of this file.
        let url = unsafe { text(options.url, "url")? };
        *out = Box::into_raw(Box::new(Fetch::start(url.to_owned(), options)));
        Ok(())
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_fetch_free(fetch: *mut Fetch) {
    // SAFETY: see the head of this file.
    guard_or((), || unsafe { unbox(fetch) });
}

// ---- wasi ----

#[unsafe(no_mangle)]
pub extern "C" fn rusm_engine_wasi_new() -> *mut Grants {
    guard_or(std::ptr::null_mut(), || Box::into_raw(Box::default()))
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_free(wasi: *mut Grants) {
    // SAFETY: see the head of this file.
    guard_or((), || unsafe { unbox(wasi) });
}

/// # Safety
/// See the head of this file.
unsafe fn change(
    wasi: *mut Grants,
    body: impl FnOnce(&mut Grants) -> Result<(), Failure>,
) -> c_int {
    guard(std::ptr::null_mut(), || {
        // SAFETY: see the head of this file; C uses it from one thread.
        body(unsafe { wasi.as_mut() }.ok_or_else(|| missing("wasi"))?)
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_add_env(
    wasi: *mut Grants,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    let body = |wasi: &mut Grants| {
        // SAFETY: see the head of this file.
        let (name, value) = unsafe { (text(name, "name")?, text(value, "value")?) };
        wasi.add_env(name, value);
        Ok(())
    };
    // SAFETY: see the head of this file.
    unsafe { change(wasi, body) }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_add_arg(wasi: *mut Grants, arg: *const c_char) -> c_int {
    let body = |wasi: &mut Grants| {
        // SAFETY: see the head of this file.
        wasi.add_arg(unsafe { text(arg, "arg")? });
        Ok(())
    };
    // SAFETY: see the head of this file.
    unsafe { change(wasi, body) }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_add_preopen(
    wasi: *mut Grants,
    host_dir: *const c_char,
    guest_dir: *const c_char,
    read_only: c_int,
) -> c_int {
    let body = |wasi: &mut Grants| {
        // SAFETY: see the head of this file.
        let (host, guest) = unsafe { (text(host_dir, "host_dir")?, text(guest_dir, "guest_dir")?) };
        wasi.add_preopen(host, guest, read_only != 0)
            .map_err(|error| Failure::new(ENOTFOUND, error.to_string()))
    };
    // SAFETY: see the head of this file.
    unsafe { change(wasi, body) }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_allow_stdio(wasi: *mut Grants) {
    // SAFETY: see the head of this file.
    if let Some(wasi) = unsafe { wasi.as_mut() } {
        wasi.allow_stdio();
    }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_wasi_allow_network(wasi: *mut Grants) {
    // SAFETY: see the head of this file.
    if let Some(wasi) = unsafe { wasi.as_mut() } {
        wasi.allow_network();
    }
}

// ---- prepared ----

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_prepare(
    artifact: *mut Artifact,
    entry_kind: c_int,
    entry: *const c_char,
    wasi: *const Grants,
    out_prepared: *mut *mut Prepared,
    out_error: *mut *mut c_char,
) -> c_int {
    guard(out_error, || {
        // SAFETY: see the head of this file.
        let (out, artifact) = unsafe {
            (
                output(out_prepared, "out_prepared")?,
                given(artifact, "artifact")?,
            )
        };
        let entry = match entry_kind {
            prepare::ENTRY_COMMAND => "",
            // SAFETY: see the head of this file.
            _ => unsafe { text(entry, "entry")? },
        };
        // SAFETY: see the head of this file.
        let grants = unsafe { wasi.as_ref() }.cloned().unwrap_or_default();
        let prepared = Prepared::new(artifact, entry_kind, entry, grants)?;
        *out = share(&Arc::new(prepared));
        Ok(())
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_prepared_copy(
    prepared: *const Prepared,
    engine: *mut Engine,
    out_prepared: *mut *mut Prepared,
    out_error: *mut *mut c_char,
) -> c_int {
    guard(out_error, || {
        // SAFETY: see the head of this file.
        let out = unsafe { output(out_prepared, "out_prepared")? };
        // SAFETY: see the head of this file.
        let prepared = unsafe { given(prepared, "prepared")? };
        // SAFETY: see the head of this file.
        unsafe { given(engine, "engine")? };
        // SAFETY: see the head of this file.
        let copy = prepared.copy(unsafe { shared(engine) })?;
        *out = share(&Arc::new(copy));
        Ok(())
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_prepared_set_call_bytes(
    prepared: *mut Prepared,
    bytes: usize,
) {
    // SAFETY: see the head of this file.
    if let Some(prepared) = unsafe { prepared.as_ref() } {
        prepared.set_call_bytes(bytes);
    }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_prepared_set_handles(prepared: *mut Prepared, handles: u32) {
    // SAFETY: see the head of this file.
    if let Some(prepared) = unsafe { prepared.as_ref() } {
        prepared.set_handles(handles);
    }
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_prepared_free(prepared: *mut Prepared) {
    // SAFETY: see the head of this file.
    guard_or((), || unsafe { unshare(prepared) });
}

// ---- instance ----

/// # Safety
/// See the head of this file; `guest` is used until the instance is dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_start(
    prepared: *mut Prepared,
    guest: *mut c_void,
    pid: u64,
    out_instance: *mut *mut Instance,
) -> c_int {
    guard(std::ptr::null_mut(), || {
        // SAFETY: see the head of this file.
        let out = unsafe { output(out_instance, "out_instance")? };
        // SAFETY: see the head of this file.
        unsafe { given(prepared, "prepared")? };
        // SAFETY: see the head of this file.
        let prepared = unsafe { shared(prepared) };
        *out = Box::into_raw(Box::new(Instance::new(prepared, guest, pid)));
        Ok(())
    })
}

/// # Safety
/// See the head of this file; one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn rusm_engine_resume(instance: *mut Instance) -> c_int {
    // Panics are caught in `resume_as`. Declared as above so that nothing is left to do here after
    // it: the call becomes a jump, and the way back from the guest one return shorter.
    // SAFETY: see the head of this file.
    match unsafe { instance.as_mut() } {
        Some(instance) => instance.resume(),
        None => EINVAL,
    }
}

/// # Safety
/// See the head of this file; one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_stop(instance: *mut Instance) {
    // SAFETY: see the head of this file.
    if let Some(instance) = unsafe { instance.as_mut() } {
        instance.stop();
    }
}

/// # Safety
/// See the head of this file; one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_drop(instance: *mut Instance) {
    // SAFETY: see the head of this file.
    guard_or((), || unsafe { unbox(instance) });
}

/// # Safety
/// See the head of this file; one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_instance_error(
    instance: *mut Instance,
    out_cause: *mut *const c_char,
    out_backtrace: *mut *const c_char,
) -> c_int {
    guard_or(error::Kind::Host as c_int, || {
        // SAFETY: see the head of this file.
        let fault = unsafe { instance.as_ref() }.and_then(Instance::fault);
        // SAFETY: see the head of this file.
        if let Some(out) = unsafe { out_cause.as_mut() } {
            *out = fault.map_or(std::ptr::null(), |fault| fault.cause().as_ptr());
        }
        // SAFETY: see the head of this file.
        if let Some(out) = unsafe { out_backtrace.as_mut() } {
            let backtrace = fault.and_then(error::Fault::backtrace);
            *out = backtrace.map_or(std::ptr::null(), |text| text.as_ptr());
        }
        fault.map_or(ESTATE, |fault| fault.kind() as c_int)
    })
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_instance_trap(instance: *const Instance) -> *const c_char {
    // SAFETY: see the head of this file.
    let fault = unsafe { instance.as_ref() }.and_then(Instance::fault);
    fault.map_or(std::ptr::null(), |fault| fault.word().as_ptr())
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_instance_exit_status(instance: *const Instance) -> c_int {
    // SAFETY: see the head of this file.
    unsafe { instance.as_ref() }.map_or(0, Instance::exit_status)
}

/// # Safety
/// See the head of this file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rusm_engine_instance_memory_bytes(instance: *const Instance) -> u64 {
    // SAFETY: see the head of this file.
    unsafe { instance.as_ref() }.map_or(0, Instance::memory_bytes)
}
