// SPDX-License-Identifier: MIT
//! `log`: one line at a level.

use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, WasmStr};

use super::{Interface, shared, with_text};

/// `log-level`, with the numbers that C uses.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "values are made from what the guest passes")]
enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

pub fn add(log: &mut Interface<'_>) -> Result<()> {
    log.func_wrap("log", |store, (level, message): (Level, WasmStr)| {
        let shared = shared(&store);
        with_text(&store, &message, |message| {
            // SAFETY: the guest is the one of this store; the slice is valid during the call.
            unsafe { (shared.host().log)(shared.guest(), level as u32, message) };
        })
    })
}
