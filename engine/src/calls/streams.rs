// SPDX-License-Identifier: MIT
//! `streams`: bytes from one process to another.

use std::future::poll_fn;
use std::task::Poll;

use wasmtime::Result;
use wasmtime::component::WasmList;

use super::value::HostBytes;
use super::{Answer, Interface, answer, expect_some, shared, unexpected, with_bytes};
use crate::error::Stop;
use crate::host::Bytes;
use crate::instance::SharedRef;

pub fn add(streams: &mut Interface<'_>) -> Result<()> {
    streams.func_wrap("stream-open", |store, (to,): (u64,)| {
        let shared = shared(&store);
        let mut id = 0u64;
        // SAFETY: the guest is the one of this store (so for every call in this file); the output
        // is valid for a write.
        let code = unsafe { (shared.host().stream_open)(shared.guest(), to, &mut id) };
        Ok((expect_some(&shared, code, "stream_open")?.then_some(id),))
    })?;
    streams.func_wrap("stream-close", |store, (id,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        unsafe { (shared.host().stream_close)(shared.guest(), id) };
        Ok(())
    })?;
    add_waiting(streams)
}

fn add_waiting(streams: &mut Interface<'_>) -> Result<()> {
    streams.func_wrap_async("stream-write", |store, (id, chunk): (u64, WasmList<u8>)| {
        let shared = shared(&store);
        with_bytes(&store, &chunk, |chunk| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().stream_write_begin)(shared.guest(), id, chunk) };
        });
        Box::new(poll_fn(move |_| {
            poll_write(shared).map(|written| Ok((written?,)))
        }))
    })?;
    streams.func_wrap_async("stream-accept", |store, ()| {
        let shared = shared(&store);
        Box::new(poll_fn(move |_| poll_accept(shared).map(|id| Ok((id?,)))))
    })?;
    streams.func_wrap_async("stream-read", |store, (id,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        unsafe { (shared.host().stream_read_begin)(shared.guest(), id) };
        Box::new(poll_fn(move |_| {
            poll_read(shared).map(|chunk| Ok((chunk?,)))
        }))
    })
}

/// For these three `x_begin` has been called, and the guest is the one of the store.
pub(super) fn poll_write(shared: SharedRef) -> Poll<Result<bool, Stop>> {
    poll(shared, "stream_write_poll", || {
        // SAFETY: as above.
        unsafe { (shared.host().stream_write_poll)(shared.guest()) }
    })
}

pub(super) fn poll_accept(shared: SharedRef) -> Poll<Result<u64, Stop>> {
    let mut id = 0u64;
    let accepted = poll(shared, "stream_accept_poll", || {
        // SAFETY: as above; the output is valid for a write.
        unsafe { (shared.host().stream_accept_poll)(shared.guest(), &mut id) }
    });
    accepted.map(|accepted| match accepted? {
        true => Ok(id),
        false => Err(unexpected("stream_accept_poll")),
    })
}

pub(super) fn poll_read(shared: SharedRef) -> Poll<Result<Option<HostBytes>, Stop>> {
    let mut chunk = Bytes::empty();
    let read = poll(shared, "stream_read_poll", || {
        // SAFETY: as above; the output is valid for a write.
        unsafe { (shared.host().stream_read_poll)(shared.guest(), &mut chunk) }
    });
    // SAFETY: OK means that the chunk is set.
    read.map(|read| Ok(read?.then(|| unsafe { HostBytes::new(shared.host(), chunk) })))
}

/// Ask C, which resumes when it is worth asking again. True: OK; false: NONE.
fn poll(shared: SharedRef, name: &str, ask: impl FnOnce() -> u32) -> Poll<Result<bool, Stop>> {
    if let Err(stop) = shared.check_stop() {
        return Poll::Ready(Err(stop));
    }
    Poll::Ready(match answer(&shared, ask(), name) {
        Ok(Answer::Ok) => Ok(true),
        Ok(Answer::None) => Ok(false),
        Ok(Answer::Pending) => {
            shared.set_waiting();
            return Poll::Pending;
        }
        Err(stop) => Err(stop),
    })
}
