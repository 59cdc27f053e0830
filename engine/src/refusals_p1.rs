// SPDX-License-Identifier: MIT
//! As `refusals.rs`, for preview 1: the calls that can refuse are put into the linker again, over
//! those of wasmtime-wasi. Each does what was there before, and looks at the number that comes of
//! it. Preview 1 as wasmtime-wasi offers it has no sockets to refuse.
//!
//! And `proc_exit`, for which wasmtime-wasi has a trap where the status is 126 or more: 134 is what
//! `abort` and 255 what `exit(-1)` of a C library end with.

use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as p1, WasiSnapshotPreview1};
use wiggle::GuestMemory;

use crate::files;
use crate::host;
use crate::instance::State;
use crate::refusals::{Deed, leads_out, tell, why};
use crate::wasi::Grants;

const MODULE: &str = "wasi_snapshot_preview1";

/// Numbers of preview 1.
const BADF: i32 = 8;
const MFILE: i32 = 33;
const PERM: i32 = 63;
const CREATES_OR_TRUNCATES: i32 = 1 | 8; // of oflags
const RIGHT_TO_WRITE: i64 = 1 << 6;
/// The first descriptor that may be a granted folder.
const FIRST_FOLDER: i32 = 3;

/// As much of a path as can matter to people.
const TOLD: usize = 256;

/// A path where the guest says that it lies; what is no path is shown as far as it is one.
fn path_at(memory: &[u8], at: i32, len: i32) -> String {
    let (at, len) = (at as u32 as usize, len as u32 as usize);
    let rest = memory.get(at..).unwrap_or_default();
    String::from_utf8_lossy(&rest[..len.min(TOLD).min(rest.len())]).into_owned()
}

/// The memory that the guest exports, beside its context.
fn reach<'a>(
    caller: &'a mut Caller<'_, State>,
    context: fn(&mut State) -> &mut WasiP1Ctx,
) -> wasmtime::Result<(&'a mut [u8], &'a mut WasiP1Ctx)> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        wasmtime::bail!("missing required memory export");
    };
    let (memory, state) = memory.data_and_store_mut(caller);
    let context = context(state);
    context.set_hostcall_fuel(fuel);
    Ok((memory, context))
}

/// The number of a folder says nothing about where it lies, so only if all that is granted is for
/// reading, a change is known to be refused for that.
fn reason(grants: &Grants, errno: i32, path: &str, deed: Deed) -> Option<u32> {
    match errno {
        PERM => why(path, deed, grants.only_reads()),
        BADF if !grants.has_folders() => Some(host::WASI_FOLDERS),
        _ => None,
    }
}

fn judge(caller: &Caller<'_, State>, errno: i32, operation: &str, path: &str, deed: Deed) -> i32 {
    let shared = caller.data().shared;
    if let Some(why) = reason(shared.prepared().grants(), errno, path, deed) {
        tell(shared, why, operation, path);
    }
    errno
}

/// One more file would be one that is kept from guests.
fn is_full(caller: &Caller<'_, State>, operation: &str, path: &str) -> bool {
    let full = !files::have_room();
    if full {
        tell(caller.data().shared, host::WASI_FILES, operation, path);
    }
    full
}

/// Calls with one path: in brackets, which arguments name it. The last word: does it open a file?
macro_rules! with_path {
    ($linker:ident, $context:ident,
     $($name:ident[$at:ident, $len:ident]($($arg:ident: $type:ty),*), $deed:expr, $opens:literal;)*
    ) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            move |mut caller: Caller<'_, State>, ($($arg,)*): ($($type,)*)| {
                Box::new(async move {
                    let (memory, _) = reach(&mut caller, $context)?;
                    let path = path_at(memory, $at, $len);
                    if $opens && is_full(&caller, stringify!($name), &path) {
                        return Ok(MFILE);
                    }
                    let (memory, context) = reach(&mut caller, $context)?;
                    let mut memory = GuestMemory::Unshared(memory);
                    let errno = p1::$name(context, &mut memory, $($arg),*).await?;
                    Ok(judge(&caller, errno, stringify!($name), &path, $deed))
                })
            },
        )?;)*
    };
}

/// Calls with two paths, `at` and `to`: the one that leads out is told, else the second.
macro_rules! with_paths {
    ($linker:ident, $context:ident,
     $($name:ident[$at:ident, $len:ident, $to:ident, $to_len:ident]
       ($($arg:ident: $type:ty),*);)*) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            move |mut caller: Caller<'_, State>, ($($arg,)*): ($($type,)*)| {
                Box::new(async move {
                    let (memory, context) = reach(&mut caller, $context)?;
                    let first = path_at(memory, $at, $len);
                    let second = path_at(memory, $to, $to_len);
                    let path = if leads_out(&first) { first } else { second };
                    let mut memory = GuestMemory::Unshared(memory);
                    let errno = p1::$name(context, &mut memory, $($arg),*).await?;
                    Ok(judge(&caller, errno, stringify!($name), &path, Deed::Changes))
                })
            },
        )?;)*
    };
}

fn deed_of_open(oflags: i32, rights: i64) -> Deed {
    match oflags & CREATES_OR_TRUNCATES != 0 || rights & RIGHT_TO_WRITE != 0 {
        true => Deed::Changes,
        false => Deed::Reads,
    }
}

/// A guest looks for its folders from the first number on, until there is none.
fn add_folders(
    linker: &mut Linker<State>,
    context: fn(&mut State) -> &mut WasiP1Ctx,
) -> wasmtime::Result<()> {
    let call = move |mut caller: Caller<'_, State>, fd: i32, out: i32| -> wasmtime::Result<i32> {
        let (memory, context) = reach(&mut caller, context)?;
        let errno = p1::fd_prestat_get(context, &mut GuestMemory::Unshared(memory), fd, out)?;
        let asked = errno == BADF && fd == FIRST_FOLDER;
        if asked && !caller.data().shared.prepared().grants().has_folders() {
            tell(caller.data().shared, host::WASI_ASKED, "fd_prestat_get", "");
        }
        Ok(errno)
    };
    linker.func_wrap(MODULE, "fd_prestat_get", call)?;
    Ok(())
}

fn add_exit(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "proc_exit", |status: i32| -> wasmtime::Result<()> {
        Err(I32Exit(status).into())
    })?;
    Ok(())
}

/// Over what `wasmtime_wasi::p1` has put into the linker.
pub fn add_to_linker(
    linker: &mut Linker<State>,
    context: fn(&mut State) -> &mut WasiP1Ctx,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    add_exit(linker)?;
    add_folders(linker, context)?;
    with_path! { linker, context,
        path_open[at, len](dir: i32, flags: i32, at: i32, len: i32, oflags: i32, rights: i64, more: i64,
            fdflags: i32, out: i32), deed_of_open(oflags, rights), true;
        path_create_directory[at, len](dir: i32, at: i32, len: i32), Deed::Changes, false;
        path_remove_directory[at, len](dir: i32, at: i32, len: i32), Deed::Changes, false;
        path_unlink_file[at, len](dir: i32, at: i32, len: i32), Deed::Changes, false;
        path_filestat_get[at, len](dir: i32, flags: i32, at: i32, len: i32, out: i32), Deed::Reads, false;
        path_filestat_set_times[at, len](dir: i32, flags: i32, at: i32, len: i32, atim: i64, mtim: i64,
            times: i32), Deed::Changes, false;
        path_readlink[at, len](dir: i32, at: i32, len: i32, out: i32, room: i32, used: i32), Deed::Reads, false;
    }
    with_paths! { linker, context,
        path_link[at, len, to, to_len](dir: i32, flags: i32, at: i32, len: i32, to_dir: i32, to: i32, to_len: i32);
        path_rename[at, len, to, to_len](dir: i32, at: i32, len: i32, to_dir: i32, to: i32, to_len: i32);
        path_symlink[at, len, to, to_len](at: i32, len: i32, dir: i32, to: i32, to_len: i32);
    }
    linker.allow_shadowing(false);
    Ok(())
}
