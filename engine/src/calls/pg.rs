// SPDX-License-Identifier: MIT
//! `pg`: groups of processes under a tag.

use wasmtime::Result;
use wasmtime::component::WasmStr;

use super::value::HostPids;
use super::{Interface, Store, expect_ok, shared, with_text};

pub fn add(pg: &mut Interface<'_>) -> Result<()> {
    pg.func_wrap("register-tag", |store, (tag,): (WasmStr,)| {
        let shared = shared(&store);
        let code = with_text(&store, &tag, |tag| {
            // SAFETY: the guest is the one of this store; the slice is valid during the call (so
            // for every call in this file).
            unsafe { (shared.host().register_tag)(shared.guest(), tag) }
        })?;
        Ok(expect_ok(&shared, code, "register_tag")?)
    })?;
    pg.func_wrap("unregister-tag", |store, (tag,): (WasmStr,)| {
        let shared = shared(&store);
        with_text(&store, &tag, |tag| {
            // SAFETY: as above.
            unsafe { (shared.host().unregister_tag)(shared.guest(), tag) };
        })
    })?;
    pg.func_wrap("whereis-tag", |store, (tag,): (WasmStr,)| {
        Ok((whereis_tag(store, &tag)?,))
    })?;
    pg.func_wrap("kill-tag", |store, (tag,): (WasmStr,)| {
        let shared = shared(&store);
        let killed = with_text(&store, &tag, |tag| {
            // SAFETY: as above.
            unsafe { (shared.host().kill_tag)(shared.guest(), tag) }
        })?;
        Ok((killed,))
    })
}

fn whereis_tag(store: Store<'_>, tag: &WasmStr) -> Result<HostPids> {
    let shared = shared(&store);
    let (mut pids, mut count, mut owner) = (std::ptr::null(), 0usize, std::ptr::null_mut());
    let code = with_text(&store, tag, |tag| {
        let (host, guest) = (shared.host(), shared.guest());
        // SAFETY: as above; the outputs are valid for writes.
        unsafe { (host.whereis_tag)(guest, tag, &mut pids, &mut count, &mut owner) }
    })?;
    expect_ok(&shared, code, "whereis_tag")?;
    // SAFETY: OK means that the outputs are set.
    Ok(unsafe { HostPids::new(shared.host(), pids, count, owner) })
}
