// SPDX-License-Identifier: MIT
//! `rusm:runtime@0.1.0`: what guests may call, one file per interface. Each function lifts its
//! arguments, calls C, and lowers what C answered; nothing is decided here.
//!
//! The package has two spellings under the same version. The newer one has an interface for each
//! subject. In the older one the interface `actor` holds everything, the functions of `kv` with the
//! prefix `kv-`. Both are offered: `actor` is the union.
//!
//! `rusm:kv@0.1.0` is a package of our own, with what the store can do beyond the reference.

mod actor;
pub mod bridge;
mod kv;
mod kv_store;
mod log;
mod pg;
mod raw;
mod serve;
mod shortcut;
mod streams;
mod value;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, WasmList, WasmStr};

use crate::error::Stop;
use crate::host::{CALL_NONE, CALL_OK, CALL_PENDING, CALL_TRAP, Slice};
use crate::instance::{Shared, SharedRef, State};

pub const VERSION: &str = "0.1.0";
pub const INTERFACES: [&str; 7] = [
    "rusm:kv/store",
    "rusm:runtime/actor",
    "rusm:runtime/kv",
    "rusm:runtime/log",
    "rusm:runtime/pg",
    "rusm:runtime/serve",
    "rusm:runtime/streams",
];

pub use shortcut::Shortcuts;

/// The module `rusm` for core modules.
pub use raw::add_to_linker as add_raw_to_linker;

type Store<'a> = StoreContextMut<'a, State>;
type Interface<'a> = LinkerInstance<'a, State>;

pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut actor = linker.instance("rusm:runtime/actor@0.1.0")?;
    actor::add(&mut actor)?;
    // The older spelling.
    kv::add(
        &mut actor,
        ["kv-get", "kv-set", "kv-delete", "kv-exists", "kv-list"],
    )?;
    log::add(&mut actor)?;
    pg::add(&mut actor)?;
    serve::add(&mut actor)?;
    streams::add(&mut actor)?;
    // The newer one.
    let names = ["get", "set", "delete", "exists", "list"];
    kv::add(&mut linker.instance("rusm:runtime/kv@0.1.0")?, names)?;
    kv_store::add(&mut linker.instance("rusm:kv/store@0.1.0")?)?;
    log::add(&mut linker.instance("rusm:runtime/log@0.1.0")?)?;
    pg::add(&mut linker.instance("rusm:runtime/pg@0.1.0")?)?;
    serve::add(&mut linker.instance("rusm:runtime/serve@0.1.0")?)?;
    streams::add(&mut linker.instance("rusm:runtime/streams@0.1.0")?)
}

/// What C answered, without the fourth possibility, TRAP, which is an error.
#[derive(PartialEq, Eq)]
enum Answer {
    Ok,
    None,
    Pending,
}

#[inline]
fn answer(shared: &Shared, code: u32, call: &str) -> Result<Answer, Stop> {
    match code {
        CALL_OK => Ok(Answer::Ok),
        CALL_NONE => Ok(Answer::None),
        CALL_PENDING => Ok(Answer::Pending),
        CALL_TRAP => Err(Stop::Trap(shared.trap_text())),
        other => Err(Stop::Broken(format!("host->{call} answered {other}"))),
    }
}

fn unexpected(call: &str) -> Stop {
    Stop::Broken(format!("host->{call} gave an answer that it cannot give"))
}

/// For calls that can only succeed or trap.
fn expect_ok(shared: &Shared, code: u32, call: &str) -> Result<(), Stop> {
    match answer(shared, code, call)? {
        Answer::Ok => Ok(()),
        _ => Err(unexpected(call)),
    }
}

/// For calls that find something or do not.
fn expect_some(shared: &Shared, code: u32, call: &str) -> Result<bool, Stop> {
    match answer(shared, code, call)? {
        Answer::Ok => Ok(true),
        Answer::None => Ok(false),
        Answer::Pending => Err(unexpected(call)),
    }
}

fn shared(store: &Store<'_>) -> SharedRef {
    store.data().shared
}

/// Let C see a byte list of the guest where it is. `call` must not run the guest, and cannot: it
/// has no store.
fn with_bytes<R>(store: &Store<'_>, list: &WasmList<u8>, call: impl FnOnce(Slice) -> R) -> R {
    call(Slice::new(list.as_le_slice(store)))
}

/// The same for a string, which is checked to be UTF-8 (or made so from UTF-16).
fn with_text<R>(
    store: &Store<'_>,
    text: &WasmStr,
    call: impl FnOnce(Slice) -> R,
) -> wasmtime::Result<R> {
    let text = text.to_str(store)?;
    Ok(call(Slice::new(text.as_bytes())))
}
