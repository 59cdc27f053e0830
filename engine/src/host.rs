// SPDX-License-Identifier: MIT
//! The mirror of `src/sandbox/host_calls.h`: change both together. `size` is compared when an
//! engine is made, and every entry must be there, so that a call never meets a null pointer.
//!
//! The functions are declared `C-unwind`: a host that unwinds (C++ exceptions, a test in Rust)
//! ends the guest instead of the process.

use std::ffi::c_void;

/// `struct rusm__guest`, opaque here.
pub type Guest = *mut c_void;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    pub ptr: *const u8,
    pub len: usize,
}

impl Slice {
    pub fn new(bytes: &[u8]) -> Slice {
        Slice {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    pub fn empty() -> Slice {
        Slice::new(&[])
    }

    /// The bytes behind the slice.
    ///
    /// # Safety
    /// The slice came from C for the call at hand and 'a does not outlive what C promised for it.
    pub unsafe fn bytes<'a>(&self) -> &'a [u8] {
        if self.len == 0 || self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller vouches for pointer, length and lifetime.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

#[repr(C)]
pub struct Bytes {
    pub ptr: *const u8,
    pub len: usize,
    pub owner: *mut c_void,
}

impl Bytes {
    pub fn empty() -> Bytes {
        Bytes {
            ptr: std::ptr::NonNull::dangling().as_ptr(),
            len: 0,
            owner: std::ptr::null_mut(),
        }
    }
}

pub const CALL_OK: u32 = 0;
pub const CALL_NONE: u32 = 1;
pub const CALL_PENDING: u32 = 2;
pub const CALL_TRAP: u32 = 3;

pub const TICK_CONTINUE: u32 = 0;
pub const TICK_YIELD: u32 = 1;
pub const TICK_STOP: u32 = 2;

pub const GROW_MEMORY: u32 = 0;
pub const GROW_TABLE: u32 = 1;

pub const WASI_HTTP: u32 = 0;
pub const WASI_NETWORK: u32 = 1;
pub const WASI_LISTEN: u32 = 2;
pub const WASI_ASKED: u32 = 3;
pub const WASI_FOLDERS: u32 = 4;
pub const WASI_OUTSIDE: u32 = 5;
pub const WASI_READ_ONLY: u32 = 6;
pub const WASI_FILES: u32 = 7;

pub const KV_GET: u32 = 0;
pub const KV_SET: u32 = 1;
pub const KV_DELETE: u32 = 2;
pub const KV_EXISTS: u32 = 3;
pub const KV_LIST: u32 = 4;
pub const KV_COMPARE_AND_SET: u32 = 5;
pub const KV_INCREMENT: u32 = 6;
pub const KV_BATCH: u32 = 7;
pub const KV_KEYS: u32 = 8;

pub const KV_BATCH_CHANGES: usize = 1024;

#[repr(C)]
pub struct KvChange {
    pub bucket: Slice,
    pub key: Slice,
    pub value: Slice,
    pub ttl_ms: u64,
    pub has_value: u8,
    pub has_ttl: u8,
}

#[repr(C)]
pub struct KvRequest {
    pub op: u32,
    pub limit: u32,
    pub bucket: Slice,
    pub key: Slice,
    pub value: Slice,
    pub other: Slice,
    pub has_value: u8,
    pub has_other: u8,
    pub has_ttl: u8,
    pub ttl_ms: u64,
    pub delta: i64,
    pub changes: *const KvChange,
    pub change_count: usize,
}

impl KvRequest {
    pub fn new(op: u32) -> KvRequest {
        KvRequest {
            op,
            limit: 0,
            bucket: Slice::empty(),
            key: Slice::empty(),
            value: Slice::empty(),
            other: Slice::empty(),
            has_value: 0,
            has_other: 0,
            has_ttl: 0,
            ttl_ms: 0,
            delta: 0,
            changes: std::ptr::null(),
            change_count: 0,
        }
    }
}

#[repr(C)]
pub struct KvAnswer {
    pub value: Bytes,
    pub found: u8,
    pub number: i64,
    pub keys: *const Slice,
    pub key_count: usize,
    pub keys_owner: *mut c_void,
}

#[repr(C)]
pub struct ProcessInfo {
    pub pid: u64,
    pub links: u32,
    pub monitors: u32,
    pub mailbox_depth: u32,
    pub trap_exit: u8,
    pub has_label: u8,
    pub label: Slice,
    pub names: *const Slice,
    pub name_count: usize,
    pub owner: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SlicePair {
    pub name: Slice,
    pub value: Slice,
}

#[repr(C)]
pub struct ConnectionInfo {
    pub method: Slice,
    pub path: Slice,
    pub query: Slice,
    pub remote_addr: Slice,
    pub subprotocol: Slice,
    pub params: *const SlicePair,
    pub headers: *const SlicePair,
    pub param_count: usize,
    pub header_count: usize,
    pub has_subprotocol: u8,
}

pub const TYPE_NONE: u32 = 0;
pub const TYPE_BOOL: u32 = 1;
pub const TYPE_U8: u32 = 2;
pub const TYPE_U16: u32 = 3;
pub const TYPE_U32: u32 = 4;
pub const TYPE_U64: u32 = 5;
pub const TYPE_S8: u32 = 6;
pub const TYPE_S16: u32 = 7;
pub const TYPE_S32: u32 = 8;
pub const TYPE_S64: u32 = 9;
pub const TYPE_F32: u32 = 10;
pub const TYPE_F64: u32 = 11;
pub const TYPE_CHAR: u32 = 12;
pub const TYPE_STRING: u32 = 13;
pub const TYPE_BYTES: u32 = 14;

#[repr(C)]
#[derive(Clone, Copy)]
pub union Payload {
    pub number: u64,
    pub bytes: Slice,
}

/// `rusm_value`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    pub ty: u32,
    pub is_error: u32,
    pub payload: Payload,
}

// SAFETY: a number, or a pointer that only whoever vouches for it looks behind.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    pub const fn number(ty: u32, number: u64) -> Value {
        Value {
            ty,
            is_error: 0,
            payload: Payload { number },
        }
    }

    pub fn bytes(ty: u32, bytes: &[u8]) -> Value {
        let bytes = Slice::new(bytes);
        Value {
            ty,
            is_error: 0,
            payload: Payload { bytes },
        }
    }

    /// A number; for a float its bits, in the lower half where it is a short one.
    pub fn bits(&self) -> u64 {
        // SAFETY: every value of C fills at least this part, and any bits are a number.
        unsafe { self.payload.number }
    }

    /// # Safety
    /// The type is TYPE_STRING or TYPE_BYTES, and C keeps the bytes for 'a.
    pub unsafe fn slice<'a>(&self) -> &'a [u8] {
        // SAFETY: the contract above.
        unsafe { self.payload.bytes.bytes() }
    }
}

#[repr(C)]
pub struct HostCalls {
    pub size: usize,

    pub release: unsafe extern "C-unwind" fn(*mut c_void),
    pub trap_text: unsafe extern "C-unwind" fn(Guest) -> Slice,
    pub tick: unsafe extern "C-unwind" fn(Guest) -> u32,
    pub grow: unsafe extern "C-unwind" fn(Guest, u32, usize, usize) -> u32,
    pub wake: unsafe extern "C-unwind" fn(*mut c_void, u64),

    pub notify: unsafe extern "C-unwind" fn(Guest),

    pub own_pid: unsafe extern "C-unwind" fn(Guest) -> u64,
    pub spawn: unsafe extern "C-unwind" fn(Guest, Slice, *mut u64, *mut Bytes) -> u32,
    pub spawn_from_begin: unsafe extern "C-unwind" fn(Guest, Slice, Slice),
    pub spawn_from_poll: unsafe extern "C-unwind" fn(Guest, *mut u64, *mut Bytes) -> u32,
    pub supervise: unsafe extern "C-unwind" fn(
        Guest,
        u32,
        *const Slice,
        usize,
        u32,
        u32,
        *mut u64,
        *mut Bytes,
    ) -> u32,
    pub send: unsafe extern "C-unwind" fn(Guest, u64, Slice) -> u32,
    pub receive_begin: unsafe extern "C-unwind" fn(Guest, u32, u64),
    pub receive_poll: unsafe extern "C-unwind" fn(Guest, *mut Bytes) -> u32,
    pub stash: unsafe extern "C-unwind" fn(Guest, Slice) -> u32,
    pub unstash: unsafe extern "C-unwind" fn(Guest),
    pub list_processes:
        unsafe extern "C-unwind" fn(Guest, *mut *const u64, *mut usize, *mut *mut c_void) -> u32,
    pub info: unsafe extern "C-unwind" fn(Guest, u64, *mut ProcessInfo) -> u32,
    pub is_alive: unsafe extern "C-unwind" fn(Guest, u64) -> u32,
    pub kill: unsafe extern "C-unwind" fn(Guest, u64) -> u32,
    pub monitor: unsafe extern "C-unwind" fn(Guest, u64),
    pub register_name: unsafe extern "C-unwind" fn(Guest, Slice) -> u32,
    pub unregister_name: unsafe extern "C-unwind" fn(Guest, Slice) -> u32,
    pub whereis: unsafe extern "C-unwind" fn(Guest, Slice, *mut u64) -> u32,
    pub set_label: unsafe extern "C-unwind" fn(Guest, Slice),
    pub send_after: unsafe extern "C-unwind" fn(Guest, u64, u64, Slice, *mut u64) -> u32,
    pub cancel_timer: unsafe extern "C-unwind" fn(Guest, u64) -> u32,

    pub log: unsafe extern "C-unwind" fn(Guest, u32, Slice),
    pub register_tag: unsafe extern "C-unwind" fn(Guest, Slice) -> u32,
    pub unregister_tag: unsafe extern "C-unwind" fn(Guest, Slice),
    pub whereis_tag: unsafe extern "C-unwind" fn(
        Guest,
        Slice,
        *mut *const u64,
        *mut usize,
        *mut *mut c_void,
    ) -> u32,
    pub kill_tag: unsafe extern "C-unwind" fn(Guest, Slice) -> u32,

    pub kv_begin: unsafe extern "C-unwind" fn(Guest, *const KvRequest),
    pub kv_poll: unsafe extern "C-unwind" fn(Guest, *mut KvAnswer) -> u32,

    pub stream_open: unsafe extern "C-unwind" fn(Guest, u64, *mut u64) -> u32,
    pub stream_write_begin: unsafe extern "C-unwind" fn(Guest, u64, Slice),
    pub stream_write_poll: unsafe extern "C-unwind" fn(Guest) -> u32,
    pub stream_close: unsafe extern "C-unwind" fn(Guest, u64),
    pub stream_accept_poll: unsafe extern "C-unwind" fn(Guest, *mut u64) -> u32,
    pub stream_read_begin: unsafe extern "C-unwind" fn(Guest, u64),
    pub stream_read_poll: unsafe extern "C-unwind" fn(Guest, *mut Bytes) -> u32,

    pub connection: unsafe extern "C-unwind" fn(Guest) -> *const ConnectionInfo,

    pub bridge_call: unsafe extern "C-unwind" fn(
        Guest,
        *const c_void,
        *const Value,
        *mut Value,
        *mut *mut c_void,
    ) -> u32,
    pub bridge_poll: unsafe extern "C-unwind" fn(Guest, *mut Value, *mut *mut c_void) -> u32,

    pub wasi_denied: unsafe extern "C-unwind" fn(Guest, u32, Slice, Slice),
}

const WORD: usize = std::mem::size_of::<usize>();

// The table is a size and function pointers, without padding: `check` relies on it.
const _: () = assert!(std::mem::size_of::<HostCalls>().is_multiple_of(WORD));
const _: () = assert!(std::mem::align_of::<HostCalls>() == WORD);

/// The table behind a pointer from C, or why it cannot be used.
///
/// # Safety
/// `table` is null or points to a table that starts with its size and is never freed or changed.
pub unsafe fn check(table: *const HostCalls) -> Result<&'static HostCalls, &'static str> {
    if table.is_null() || !table.cast::<usize>().is_aligned() {
        return Err("no table of host calls");
    }
    let words = table.cast::<usize>();
    // SAFETY: not null, and the caller vouches that it starts with a size.
    if unsafe { words.read() } != std::mem::size_of::<HostCalls>() {
        return Err("the table of host calls has another size");
    }
    let count = std::mem::size_of::<HostCalls>() / WORD;
    // SAFETY: the size says that so many words are there. They are read as plain words because a
    // null entry must not be looked at as a Rust function pointer.
    let missing = (1..count).any(|index| unsafe { words.add(index).read() } == 0);
    if missing {
        return Err("an entry of the table of host calls is missing");
    }
    // SAFETY: every entry was just seen not to be null; the caller vouches for the rest.
    Ok(unsafe { &*table })
}
