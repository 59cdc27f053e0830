// SPDX-License-Identifier: MIT
//! The module `rusm`: what core modules may call, beside preview 1. The same calls of C as
//! `rusm:runtime`, with pointers and lengths into the memory that the guest exports as `memory`.
//!
//! Every number of the guest is its word only. A pointer is a u32 whatever its sign, a negative
//! length is 0, a range is held against the memory before C sees it, and names are checked to be
//! UTF-8. What does not fit ends the guest. A buffer may be larger than the memory as long as what
//! is written lies inside: only that is looked at, after the wait, because memory may have grown.

use std::ops::Range;

use wasmtime::{Caller, Linker, Memory, Result};

use super::actor::{begin_receive, poll_receive};
use super::streams;
use super::value::{HostBytes, Owner};
use super::{expect_ok, expect_some, unexpected};
use crate::error::Stop;
use crate::host::Slice;
use crate::instance::{SharedRef, State};

/// The name of the module that guests import from.
pub const MODULE: &str = "rusm";

type Guest<'a> = Caller<'a, State>;

pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    add_processes(linker)?;
    add_names(linker)?;
    add_messages(linker)?;
    add_streams(linker)?;
    add_waiting_streams(linker)
}

// ---- the guest's memory ----

fn bad(text: String) -> wasmtime::Error {
    Stop::Trap(text).into()
}

fn memory_of(guest: &mut Guest<'_>) -> Result<Memory> {
    let shared = guest.data().shared;
    let export = shared.prepared().memory();
    let memory = export.and_then(|export| guest.get_module_export(export)?.into_memory());
    memory.ok_or_else(|| bad("the module exports no memory with the name `memory`".to_owned()))
}

/// Where in a memory of `size` bytes the range lies.
fn range(size: usize, ptr: i32, len: usize) -> Result<Range<usize>> {
    let start = ptr.cast_unsigned() as usize;
    let end = start.checked_add(len).filter(|end| *end <= size);
    end.map(|end| start..end).ok_or_else(|| {
        bad(format!(
            "{len} bytes at {start} are outside of the memory, which has {size}"
        ))
    })
}

fn length(len: i32) -> usize {
    usize::try_from(len).unwrap_or(0)
}

/// What a length looks like to the guest.
fn told(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// Let C see bytes of the guest where they are. `call` cannot run the guest: it has no store.
fn with_bytes<R>(
    guest: &mut Guest<'_>,
    ptr: i32,
    len: i32,
    call: impl FnOnce(SharedRef, Slice) -> R,
) -> Result<R> {
    let memory = memory_of(guest)?;
    let bytes = memory.data(&*guest);
    let bytes = &bytes[range(bytes.len(), ptr, length(len))?];
    Ok(call(guest.data().shared, Slice::new(bytes)))
}

/// The same for a name.
fn with_text<R>(
    guest: &mut Guest<'_>,
    ptr: i32,
    len: i32,
    call: impl FnOnce(SharedRef, Slice) -> R,
) -> Result<R> {
    with_bytes(guest, ptr, len, |shared, text| {
        // SAFETY: the slice was made from the guest's memory, which nobody changes meanwhile.
        match std::str::from_utf8(unsafe { text.bytes() }) {
            Ok(_) => Ok(call(shared, text)),
            Err(_) => Err(bad("a name or label is not UTF-8".to_owned())),
        }
    })?
}

/// As much as there is room for; answers how much there was.
fn put(guest: &mut Guest<'_>, ptr: i32, cap: i32, bytes: &[u8]) -> Result<i32> {
    let memory = memory_of(guest)?;
    let kept = &bytes[..bytes.len().min(length(cap))];
    let room = memory.data_mut(&mut *guest);
    let place = range(room.len(), ptr, kept.len())?;
    room[place].copy_from_slice(kept);
    Ok(told(bytes.len()))
}

// ---- processes ----

fn add_processes(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "own_pid", |guest: Guest<'_>| {
        let shared = guest.data().shared;
        // SAFETY: the guest is the one of this store (so for every call in this file).
        unsafe { (shared.host().own_pid)(shared.guest()) }.cast_signed()
    })?;
    linker.func_wrap(MODULE, "notify", |guest: Guest<'_>| {
        let shared = guest.data().shared;
        // SAFETY: as above.
        unsafe { (shared.host().notify)(shared.guest()) };
    })?;
    linker.func_wrap(MODULE, "list_processes", list_processes)?;
    linker.func_wrap(MODULE, "is_alive", |guest: Guest<'_>, pid: i64| {
        let shared = guest.data().shared;
        // SAFETY: as above.
        let alive = unsafe { (shared.host().is_alive)(shared.guest(), pid.cast_unsigned()) };
        i32::from(alive != 0)
    })?;
    linker.func_wrap(MODULE, "kill", |guest: Guest<'_>, pid: i64| {
        let shared = guest.data().shared;
        // SAFETY: as above.
        let killed = unsafe { (shared.host().kill)(shared.guest(), pid.cast_unsigned()) };
        i32::from(killed != 0)
    })?;
    Ok(())
}

/// As many pids as there is room for, each a u64 in little endian.
fn list_processes(mut guest: Guest<'_>, ptr: i32, cap: i32) -> Result<i32> {
    let shared = guest.data().shared;
    let (mut pids, mut count, mut owner) = (std::ptr::null(), 0usize, std::ptr::null_mut());
    // SAFETY: as above; the outputs are valid for writes.
    let code = unsafe {
        (shared.host().list_processes)(shared.guest(), &mut pids, &mut count, &mut owner)
    };
    expect_ok(&shared, code, "list_processes")?;
    let _owner = Owner::new(shared.host(), owner);
    let kept = count.min(length(cap));
    let memory = memory_of(&mut guest)?;
    let room = memory.data_mut(&mut guest);
    let place = range(room.len(), ptr, kept.saturating_mul(8))?;
    for (index, place) in room[place].chunks_exact_mut(8).enumerate() {
        // SAFETY: OK means that `count` pids are there until the owner is released.
        let pid: u64 = unsafe { pids.add(index).read() };
        place.copy_from_slice(&pid.to_le_bytes());
    }
    Ok(told(count))
}

// ---- names ----

fn add_names(linker: &mut Linker<State>) -> Result<()> {
    type Named = fn(SharedRef, Slice) -> u32;
    let calls: [(&str, Named); 2] = [
        ("register", |shared, name| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().register_name)(shared.guest(), name) }
        }),
        ("unregister", |shared, name| {
            // SAFETY: as above.
            unsafe { (shared.host().unregister_name)(shared.guest(), name) }
        }),
    ];
    for (name, call) in calls {
        let named = move |mut guest: Guest<'_>, ptr: i32, len: i32| {
            let done = with_text(&mut guest, ptr, len, call)?;
            Ok(i32::from(done != 0))
        };
        linker.func_wrap(MODULE, name, named)?;
    }
    let whereis = |mut guest: Guest<'_>, ptr: i32, len: i32| -> Result<i64> {
        let mut pid = 0u64;
        let code = with_text(&mut guest, ptr, len, |shared, name| {
            // SAFETY: as above; the output is valid for a write.
            unsafe { (shared.host().whereis)(shared.guest(), name, &mut pid) }
        })?;
        let found = expect_some(&guest.data().shared, code, "whereis")?;
        Ok(if found { pid.cast_signed() } else { -1 })
    };
    linker.func_wrap(MODULE, "whereis", whereis)?;
    let set_label = |mut guest: Guest<'_>, ptr: i32, len: i32| {
        with_text(&mut guest, ptr, len, |shared, label| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().set_label)(shared.guest(), label) };
        })
    };
    linker.func_wrap(MODULE, "set_label", set_label)?;
    Ok(())
}

// ---- messages ----

fn add_messages(linker: &mut Linker<State>) -> Result<()> {
    let send = |mut guest: Guest<'_>, to: i64, ptr: i32, len: i32| -> Result<()> {
        let code = with_bytes(&mut guest, ptr, len, |shared, message| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().send)(shared.guest(), to.cast_unsigned(), message) }
        })?;
        Ok(expect_ok(&guest.data().shared, code, "send")?)
    };
    linker.func_wrap(MODULE, "send", send)?;
    linker.func_wrap_async(MODULE, "receive", |mut guest, (ptr, cap): (i32, i32)| {
        Box::new(async move {
            let shared = guest.data().shared;
            begin_receive(shared, None);
            let message: Option<HostBytes> = std::future::poll_fn(|_| poll_receive(shared)).await?;
            let message = message.ok_or_else(|| unexpected("receive_poll"))?;
            put(&mut guest, ptr, cap, message.as_slice())
        })
    })?;
    Ok(())
}

// ---- streams ----

fn add_streams(linker: &mut Linker<State>) -> Result<()> {
    let open = |guest: Guest<'_>, to: i64| -> Result<i64> {
        let shared = guest.data().shared;
        let mut id = 0u64;
        // SAFETY: as above; the output is valid for a write.
        let code =
            unsafe { (shared.host().stream_open)(shared.guest(), to.cast_unsigned(), &mut id) };
        let opened = expect_some(&shared, code, "stream_open")?;
        Ok(if opened { id.cast_signed() } else { -1 })
    };
    linker.func_wrap(MODULE, "stream_open", open)?;
    linker.func_wrap(MODULE, "stream_close", |guest: Guest<'_>, id: i64| {
        let shared = guest.data().shared;
        // SAFETY: as above.
        unsafe { (shared.host().stream_close)(shared.guest(), id.cast_unsigned()) };
    })?;
    Ok(())
}

type Write = (i64, i32, i32);

fn add_waiting_streams(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap_async(MODULE, "stream_write", |mut guest, args: Write| {
        let (id, ptr, len) = args;
        Box::new(async move {
            let shared = guest.data().shared;
            with_bytes(&mut guest, ptr, len, |shared, chunk| {
                // SAFETY: as above; the slice is valid during the call.
                unsafe {
                    (shared.host().stream_write_begin)(shared.guest(), id.cast_unsigned(), chunk)
                };
            })?;
            let written = std::future::poll_fn(|_| streams::poll_write(shared)).await?;
            Ok(if written { 0i32 } else { -1 })
        })
    })?;
    linker.func_wrap_async(MODULE, "stream_accept", |guest, ()| {
        Box::new(async move {
            let shared = guest.data().shared;
            let id = std::future::poll_fn(|_| streams::poll_accept(shared)).await?;
            Ok(id.cast_signed())
        })
    })?;
    linker.func_wrap_async(MODULE, "stream_read", |mut guest, args: Write| {
        let (id, ptr, cap) = args;
        Box::new(async move {
            let shared = guest.data().shared;
            // SAFETY: as above.
            unsafe { (shared.host().stream_read_begin)(shared.guest(), id.cast_unsigned()) };
            match std::future::poll_fn(|_| streams::poll_read(shared)).await? {
                Some(chunk) => put(&mut guest, ptr, cap, chunk.as_slice()),
                None => Ok(-1),
            }
        })
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_inside_or_is_refused() {
        assert_eq!(range(10, 0, 10).unwrap(), 0..10);
        assert_eq!(range(10, 10, 0).unwrap(), 10..10);
        assert!(range(10, 10, 1).is_err());
        assert!(range(10, -1, 0).is_err());
        assert!(range(10, -1, 2).is_err());
        assert!(range(10, 1, usize::MAX).is_err());
        assert_eq!(range(1 << 32, -1, 1).unwrap(), 0xffff_ffff..1 << 32);
    }

    #[test]
    fn lengths_of_either_side_are_bounded() {
        assert_eq!(length(-1), 0);
        assert_eq!(length(i32::MAX), 0x7fff_ffff);
        assert_eq!(told(usize::MAX), i32::MAX);
    }
}
