// SPDX-License-Identifier: MIT
//! A host in Rust behind the same table that C fills, and handles that clean up after themselves.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rusm_engine::host::*;
use rusm_engine::*;

pub const DONE: c_int = 0;
pub const PENDING: c_int = 1;
pub const YIELDED: c_int = 2;
pub const TRAPPED: c_int = 3;
pub const EXITED: c_int = 4;

pub const ERROR_TRAP: c_int = 0;
pub const ERROR_START: c_int = 1;
pub const ERROR_POOL: c_int = 2;
pub const ERROR_STOPPED: c_int = 3;
pub const ERROR_HOST: c_int = 4;

/// Memory that the engine must release exactly once.
struct Lent {
    bytes: Vec<u8>,
    pids: Vec<u64>,
    slices: Vec<Slice>,
    texts: Vec<String>,
    open: Arc<AtomicUsize>,
}

/// What `struct rusm__guest` is to C.
pub struct FakeGuest {
    pub pid: u64,
    pub mailbox: VecDeque<Vec<u8>>,
    pub sent: Vec<(u64, Vec<u8>)>,
    pub stashed: Vec<Vec<u8>>,
    pub timeout: Option<u64>,
    /// Answer every timeout at once, or only the next one.
    pub timed_out: bool,
    pub one_timeout: bool,
    pub polls: usize,
    pub tick: u32,
    pub ticks: usize,
    pub memory_ceiling: usize,
    pub table_ceiling: usize,
    pub trap_text: &'static str,
    pub send_answer: u32,
    pub logs: Vec<(u32, String)>,
    pub panic_in_log: bool,
    pub names: BTreeMap<String, u64>,
    pub tags: Vec<String>,
    pub label: Option<String>,
    pub kv: BTreeMap<(String, String), Vec<u8>>,
    pub kv_waits: usize,
    kv_request: Option<(u32, String, String, Vec<u8>)>,
    /// Streams to oneself, by id; `None` is one that was closed.
    pub streams: Vec<Option<VecDeque<Vec<u8>>>>,
    pub stream_waits: usize,
    stream_request: (u64, Vec<u8>),
    pub notified: u64,
    pub killed: Vec<u64>,
    pub monitored: Vec<u64>,
    /// What the function of the bridge was called with.
    pub bridged: Vec<u64>,
    pub has_connection: bool,
    pub open: Arc<AtomicUsize>,
}

impl FakeGuest {
    pub fn new(pid: u64) -> Box<FakeGuest> {
        Box::new(FakeGuest {
            pid,
            mailbox: VecDeque::new(),
            sent: Vec::new(),
            stashed: Vec::new(),
            timeout: None,
            timed_out: false,
            one_timeout: false,
            polls: 0,
            tick: TICK_CONTINUE,
            ticks: 0,
            memory_ceiling: usize::MAX,
            table_ceiling: usize::MAX,
            trap_text: "the fake host said so",
            send_answer: CALL_OK,
            logs: Vec::new(),
            panic_in_log: false,
            names: BTreeMap::new(),
            tags: Vec::new(),
            label: None,
            kv: BTreeMap::new(),
            kv_waits: 0,
            kv_request: None,
            streams: Vec::new(),
            stream_waits: 0,
            stream_request: (0, Vec::new()),
            notified: 0,
            killed: Vec::new(),
            monitored: Vec::new(),
            bridged: Vec::new(),
            has_connection: false,
            open: Arc::new(AtomicUsize::new(0)),
        })
    }

    fn lend(&self, fill: impl FnOnce(&mut Lent)) -> (&'static Lent, *mut c_void) {
        self.open.fetch_add(1, Ordering::SeqCst);
        let mut lent = Box::new(Lent {
            bytes: Vec::new(),
            pids: Vec::new(),
            slices: Vec::new(),
            texts: Vec::new(),
            open: self.open.clone(),
        });
        fill(&mut lent);
        let lent = Box::into_raw(lent);
        // SAFETY: freed by `release`, after the engine's last look at it.
        (unsafe { &*lent }, lent.cast())
    }

    fn lend_bytes(&self, bytes: &[u8]) -> Bytes {
        let (lent, owner) = self.lend(|lent| lent.bytes = bytes.to_vec());
        Bytes {
            ptr: lent.bytes.as_ptr(),
            len: lent.bytes.len(),
            owner,
        }
    }

    fn lend_pids(&self, pids: &[u64]) -> (*const u64, usize, *mut c_void) {
        let (lent, owner) = self.lend(|lent| lent.pids = pids.to_vec());
        (lent.pids.as_ptr(), lent.pids.len(), owner)
    }

    fn lend_texts(&self, texts: Vec<String>) -> (*const Slice, usize, *mut c_void) {
        let (lent, owner) = self.lend(|lent| {
            lent.texts = texts;
            lent.slices = lent
                .texts
                .iter()
                .map(|text| Slice::new(text.as_bytes()))
                .collect();
        });
        (lent.slices.as_ptr(), lent.slices.len(), owner)
    }
}

fn of<'a>(guest: Guest) -> &'a mut FakeGuest {
    // SAFETY: the tests give a FakeGuest that outlives the instance, and use it from one thread.
    unsafe { &mut *guest.cast() }
}

/// Each stream call of the fake that may wait does so as often as the test says.
fn stream_waits(guest: &mut FakeGuest) -> bool {
    let waits = guest.stream_waits > 0;
    guest.stream_waits -= usize::from(waits);
    waits
}

fn string(slice: Slice) -> String {
    // SAFETY: slices are valid during the call, and texts are UTF-8.
    String::from_utf8(unsafe { slice.bytes() }.to_vec()).expect("texts are UTF-8")
}

unsafe extern "C-unwind" fn release(owner: *mut c_void) {
    // SAFETY: it came from `lend` and is released once.
    let lent = unsafe { Box::from_raw(owner.cast::<Lent>()) };
    lent.open.fetch_sub(1, Ordering::SeqCst);
}

unsafe extern "C-unwind" fn trap_text(guest: Guest) -> Slice {
    Slice::new(of(guest).trap_text.as_bytes())
}

unsafe extern "C-unwind" fn tick(guest: Guest) -> u32 {
    of(guest).ticks += 1;
    of(guest).tick
}

unsafe extern "C-unwind" fn grow(guest: Guest, kind: u32, _current: usize, desired: usize) -> u32 {
    let ceiling = match kind {
        GROW_MEMORY => of(guest).memory_ceiling,
        _ => of(guest).table_ceiling,
    };
    u32::from(desired <= ceiling)
}

/// What the engines of a test were given as their runtime.
#[derive(Default)]
pub struct Wakes {
    pids: Mutex<Vec<u64>>,
    changed: Condvar,
}

impl Wakes {
    /// Wait until `pid` was woken, and forget that it was.
    pub fn take(&self, pid: u64) {
        let mut pids = self.pids.lock().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(index) = pids.iter().position(|woken| *woken == pid) {
                pids.remove(index);
                return;
            }
            assert!(Instant::now() < deadline, "no wake for {pid}");
            pids = self
                .changed
                .wait_timeout(pids, Duration::from_secs(1))
                .unwrap()
                .0;
        }
    }

    pub fn count(&self) -> usize {
        self.pids.lock().unwrap().len()
    }
}

unsafe extern "C-unwind" fn wake(runtime: *mut c_void, pid: u64) {
    // SAFETY: the runtime of the tests is a Wakes that outlives its engine.
    let wakes = unsafe { &*runtime.cast::<Wakes>() };
    wakes.pids.lock().unwrap().push(pid);
    wakes.changed.notify_all();
}

unsafe extern "C-unwind" fn notify(guest: Guest) {
    of(guest).notified += 1;
}

unsafe extern "C-unwind" fn own_pid(guest: Guest) -> u64 {
    of(guest).pid
}

unsafe extern "C-unwind" fn spawn(
    guest: Guest,
    component: Slice,
    out_pid: *mut u64,
    out_error: *mut Bytes,
) -> u32 {
    let name = string(component);
    // SAFETY: the engine gives places for both.
    unsafe {
        if name == "known" {
            *out_pid = 77;
            return CALL_OK;
        }
        *out_error = of(guest).lend_bytes(format!("unknown component `{name}`").as_bytes());
    }
    CALL_NONE
}

unsafe extern "C-unwind" fn spawn_from_begin(guest: Guest, component: Slice, source: Slice) {
    let told = format!("{} {}", string(component), string(source));
    of(guest).sent.push((7, told.into_bytes()));
}

/// The first question is asked too early. What comes from nowhere cannot be started.
unsafe extern "C-unwind" fn spawn_from_poll(
    guest: Guest,
    out_pid: *mut u64,
    out_error: *mut Bytes,
) -> u32 {
    let guest = of(guest);
    guest.polls += 1;
    if guest.polls % 2 == 1 {
        return CALL_PENDING;
    }
    let asked = guest.sent.last().map(|(_, text)| text.ends_with(b"denied"));
    // SAFETY: the engine gives places for both.
    unsafe {
        if asked == Some(true) {
            *out_error = guest.lend_bytes(b"nothing is there");
            return CALL_NONE;
        }
        *out_pid = 79;
    }
    CALL_OK
}

unsafe extern "C-unwind" fn supervise(
    guest: Guest,
    strategy: u32,
    children: *const Slice,
    count: usize,
    max_restarts: u32,
    within_ms: u32,
    out_pid: *mut u64,
    out_error: *mut Bytes,
) -> u32 {
    // SAFETY: so many slices are there, valid during the call.
    let names = (0..count).map(|index| string(unsafe { children.add(index).read() }));
    let told = format!(
        "{strategy} {max_restarts} {within_ms} {}",
        names.collect::<Vec<_>>().join(",")
    );
    // SAFETY: the engine gives places for both.
    unsafe {
        if count == 0 {
            *out_error = of(guest).lend_bytes(b"nobody to supervise");
            return CALL_NONE;
        }
        *out_pid = 78;
    }
    of(guest).sent.push((7, told.into_bytes()));
    CALL_OK
}

unsafe extern "C-unwind" fn send(guest: Guest, to: u64, message: Slice) -> u32 {
    // SAFETY: valid during the call.
    of(guest)
        .sent
        .push((to, unsafe { message.bytes() }.to_vec()));
    of(guest).send_answer
}

unsafe extern "C-unwind" fn receive_begin(guest: Guest, has_timeout: u32, timeout_ms: u64) {
    of(guest).timeout = (has_timeout != 0).then_some(timeout_ms);
}

unsafe extern "C-unwind" fn receive_poll(guest: Guest, out_message: *mut Bytes) -> u32 {
    let guest = of(guest);
    guest.polls += 1;
    if let Some(message) = guest.mailbox.pop_front() {
        // SAFETY: the engine gives a place for it.
        unsafe { *out_message = guest.lend_bytes(&message) };
        return CALL_OK;
    }
    if guest.timeout.is_some() && guest.timed_out {
        CALL_NONE
    } else {
        CALL_PENDING
    }
}

unsafe extern "C-unwind" fn stash(guest: Guest, message: Slice) -> u32 {
    // SAFETY: valid during the call.
    of(guest).stashed.push(unsafe { message.bytes() }.to_vec());
    CALL_OK
}

unsafe extern "C-unwind" fn unstash(guest: Guest) {
    let guest = of(guest);
    for message in guest.stashed.drain(..).rev() {
        guest.mailbox.push_front(message);
    }
}

unsafe extern "C-unwind" fn list_processes(
    guest: Guest,
    out_pids: *mut *const u64,
    out_count: *mut usize,
    out_owner: *mut *mut c_void,
) -> u32 {
    // SAFETY: the engine gives places for all three.
    unsafe { (*out_pids, *out_count, *out_owner) = of(guest).lend_pids(&[1, 2, 3]) };
    CALL_OK
}

unsafe extern "C-unwind" fn info(guest: Guest, pid: u64, out_info: *mut ProcessInfo) -> u32 {
    if pid != of(guest).pid {
        return CALL_NONE;
    }
    let (names, name_count, owner) = of(guest).lend_texts(vec!["one".into(), "two".into()]);
    let info = ProcessInfo {
        pid,
        links: 4,
        monitors: 5,
        mailbox_depth: 6,
        trap_exit: 1,
        has_label: 1,
        label: Slice::new(b"label"),
        names,
        name_count,
        owner,
    };
    // SAFETY: the engine gives a place for it.
    unsafe { *out_info = info };
    CALL_OK
}

unsafe extern "C-unwind" fn is_alive(guest: Guest, pid: u64) -> u32 {
    u32::from(pid == of(guest).pid)
}

unsafe extern "C-unwind" fn kill(guest: Guest, pid: u64) -> u32 {
    of(guest).killed.push(pid);
    1
}

unsafe extern "C-unwind" fn monitor(guest: Guest, target: u64) {
    of(guest).monitored.push(target);
}

unsafe extern "C-unwind" fn register_name(guest: Guest, name: Slice) -> u32 {
    let pid = of(guest).pid;
    u32::from(of(guest).names.insert(string(name), pid).is_none())
}

unsafe extern "C-unwind" fn unregister_name(guest: Guest, name: Slice) -> u32 {
    u32::from(of(guest).names.remove(&string(name)).is_some())
}

unsafe extern "C-unwind" fn whereis(guest: Guest, name: Slice, out_pid: *mut u64) -> u32 {
    match of(guest).names.get(&string(name)) {
        Some(pid) => {
            // SAFETY: the engine gives a place for it.
            unsafe { *out_pid = *pid };
            CALL_OK
        }
        None => CALL_NONE,
    }
}

unsafe extern "C-unwind" fn set_label(guest: Guest, label: Slice) {
    of(guest).label = Some(string(label));
}

unsafe extern "C-unwind" fn send_after(
    guest: Guest,
    to: u64,
    delay_ms: u64,
    message: Slice,
    out_timer: *mut u64,
) -> u32 {
    // SAFETY: valid during the call.
    of(guest)
        .sent
        .push((to + delay_ms, unsafe { message.bytes() }.to_vec()));
    // SAFETY: the engine gives a place for it.
    unsafe { *out_timer = 9 };
    CALL_OK
}

unsafe extern "C-unwind" fn cancel_timer(_guest: Guest, timer: u64) -> u32 {
    u32::from(timer == 9)
}

unsafe extern "C-unwind" fn log(guest: Guest, level: u32, text: Slice) {
    assert!(!of(guest).panic_in_log, "a panic of the fake host");
    of(guest).logs.push((level, string(text)));
}

unsafe extern "C-unwind" fn register_tag(guest: Guest, tag: Slice) -> u32 {
    of(guest).tags.push(string(tag));
    CALL_OK
}

unsafe extern "C-unwind" fn unregister_tag(guest: Guest, tag: Slice) {
    let tag = string(tag);
    of(guest).tags.retain(|held| *held != tag);
}

unsafe extern "C-unwind" fn whereis_tag(
    guest: Guest,
    tag: Slice,
    out_pids: *mut *const u64,
    out_count: *mut usize,
    out_owner: *mut *mut c_void,
) -> u32 {
    let members = if of(guest).tags.contains(&string(tag)) {
        vec![of(guest).pid]
    } else {
        vec![]
    };
    // SAFETY: the engine gives places for all three.
    unsafe { (*out_pids, *out_count, *out_owner) = of(guest).lend_pids(&members) };
    CALL_OK
}

unsafe extern "C-unwind" fn kill_tag(guest: Guest, tag: Slice) -> u32 {
    let tag = string(tag);
    of(guest).tags.iter().filter(|held| **held == tag).count() as u32
}

unsafe extern "C-unwind" fn kv_begin(guest: Guest, request: *const KvRequest) {
    // SAFETY: valid during the call, as is what it points to.
    let request = unsafe { &*request };
    // SAFETY: as above.
    let value = unsafe { request.value.bytes() }.to_vec();
    of(guest).kv_request = Some((
        request.op,
        string(request.bucket),
        string(request.key),
        value,
    ));
}

unsafe extern "C-unwind" fn kv_poll(guest: Guest, out_answer: *mut KvAnswer) -> u32 {
    let guest = of(guest);
    if guest.kv_waits > 0 {
        guest.kv_waits -= 1;
        return CALL_PENDING;
    }
    // SAFETY: the engine gives a place for it.
    let answer = unsafe { &mut *out_answer };
    let (op, bucket, key, value) = guest.kv_request.take().expect("begun");
    if bucket == "denied" {
        answer.value = guest.lend_bytes(b"kv denied: missing the storage capability");
        return CALL_NONE;
    }
    let place = (bucket.clone(), key);
    match op {
        KV_GET => {
            if let Some(value) = guest.kv.get(&place) {
                answer.value = guest.lend_bytes(value);
                answer.found = 1;
            }
        }
        KV_SET => drop(guest.kv.insert(place, value)),
        KV_DELETE => answer.found = u8::from(guest.kv.remove(&place).is_some()),
        KV_EXISTS => answer.found = u8::from(guest.kv.contains_key(&place)),
        KV_LIST => {
            let keys = guest.kv.keys().filter(|(held, _)| *held == bucket);
            let keys = keys.map(|(_, key)| key.clone()).collect();
            (answer.keys, answer.key_count, answer.keys_owner) = guest.lend_texts(keys);
        }
        other => panic!("an unknown operation {other}"),
    }
    CALL_OK
}

struct Fixed<T>(T);
// SAFETY: constants that point to constants.
unsafe impl<T> Sync for Fixed<T> {}

const fn fixed(text: &'static str) -> Slice {
    Slice {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

static PARAMS: Fixed<[SlicePair; 1]> = Fixed([SlicePair {
    name: fixed("plan"),
    value: fixed("gold"),
}]);
static HEADERS: Fixed<[SlicePair; 2]> = Fixed([
    SlicePair {
        name: fixed("host"),
        value: fixed("x"),
    },
    SlicePair {
        name: fixed("accept"),
        value: fixed("y"),
    },
]);
static CONNECTION: Fixed<ConnectionInfo> = Fixed(ConnectionInfo {
    method: fixed("GET"),
    path: fixed("/a"),
    query: fixed(""),
    remote_addr: fixed("127.0.0.1:1"),
    subprotocol: fixed("chat"),
    params: PARAMS.0.as_ptr(),
    headers: HEADERS.0.as_ptr(),
    param_count: 1,
    header_count: 2,
    has_subprotocol: 1,
});

unsafe extern "C-unwind" fn stream_open(guest: Guest, to: u64, out_id: *mut u64) -> u32 {
    if to == 404 {
        return CALL_NONE;
    }
    let streams = &mut of(guest).streams;
    // SAFETY: the engine gives a place for it.
    unsafe { *out_id = streams.len() as u64 };
    streams.push(Some(VecDeque::new()));
    CALL_OK
}

unsafe extern "C-unwind" fn stream_write_begin(guest: Guest, id: u64, chunk: Slice) {
    // SAFETY: valid during the call.
    of(guest).stream_request = (id, unsafe { chunk.bytes() }.to_vec());
}

unsafe extern "C-unwind" fn stream_write_poll(guest: Guest) -> u32 {
    let guest = of(guest);
    if stream_waits(guest) {
        return CALL_PENDING;
    }
    let (id, chunk) = guest.stream_request.clone();
    match guest.streams.get_mut(id as usize) {
        Some(Some(chunks)) => {
            chunks.push_back(chunk);
            CALL_OK
        }
        _ => CALL_NONE,
    }
}

unsafe extern "C-unwind" fn stream_close(guest: Guest, id: u64) {
    if let Some(stream) = of(guest).streams.get_mut(id as usize) {
        *stream = None;
    }
}

unsafe extern "C-unwind" fn stream_accept_poll(guest: Guest, out_id: *mut u64) -> u32 {
    if stream_waits(of(guest)) {
        return CALL_PENDING;
    }
    // SAFETY: the engine gives a place for it.
    unsafe { *out_id = 1 << 40 };
    CALL_OK
}

unsafe extern "C-unwind" fn stream_read_begin(guest: Guest, id: u64) {
    of(guest).stream_request = (id, Vec::new());
}

unsafe extern "C-unwind" fn stream_read_poll(guest: Guest, out_chunk: *mut Bytes) -> u32 {
    let guest = of(guest);
    if stream_waits(guest) {
        return CALL_PENDING;
    }
    let id = guest.stream_request.0 as usize;
    let chunk = match guest.streams.get_mut(id) {
        Some(Some(chunks)) => chunks.pop_front(),
        _ => None,
    };
    let Some(chunk) = chunk else {
        return CALL_NONE;
    };
    // SAFETY: the engine gives a place for it.
    unsafe { *out_chunk = guest.lend_bytes(&chunk) };
    CALL_OK
}

unsafe extern "C-unwind" fn connection(guest: Guest) -> *const ConnectionInfo {
    if of(guest).has_connection {
        &CONNECTION.0
    } else {
        ptr::null()
    }
}

/// For `func(n: u64) -> u64`: one more than it was given.
unsafe extern "C-unwind" fn bridge_call(
    guest: Guest,
    _: *const c_void,
    args: *const Value,
    out_answer: *mut Value,
    _: *mut *mut c_void,
) -> u32 {
    // SAFETY: the engine gives one argument, as the function was declared, and a place.
    unsafe {
        let number = (*args).bits();
        of(guest).bridged.push(number);
        *out_answer = Value::number(TYPE_U64, number + 1);
    }
    CALL_OK
}

unsafe extern "C-unwind" fn bridge_poll(_: Guest, _: *mut Value, _: *mut *mut c_void) -> u32 {
    CALL_TRAP
}

unsafe extern "C-unwind" fn wasi_denied(guest: Guest, why: u32, operation: Slice, target: Slice) {
    let text = format!("{why} {} {}", string(operation), string(target));
    of(guest).sent.push((9, text.into_bytes()));
}

pub static CALLS: HostCalls = HostCalls {
    size: std::mem::size_of::<HostCalls>(),
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
};

/// An engine with a small pool, changed by the test as it likes.
pub fn config() -> EngineConfig {
    EngineConfig {
        size: std::mem::size_of::<EngineConfig>(),
        host: &CALLS,
        runtime: ptr::null_mut(),
        cache_dir: ptr::null(),
        cache_max_bytes: 64 << 20,
        max_instances: 8,
        max_memories: 16,
        max_mappings: 0,
        max_memory_bytes: 4 << 30,
        table_elements: 1000,
        memory_keep_resident: 2 << 20,
        stack_bytes: 512 << 10,
        guest_stack_bytes: 256 << 10,
        blocking_threads: 2,
        interfaces: ptr::null(),
        interface_count: 0,
        pools_of: ptr::null(),
    }
}

fn take_text(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a text of the engine, freed once.
    unsafe {
        let copy = CStr::from_ptr(text)
            .to_str()
            .expect("texts are UTF-8")
            .to_owned();
        rusm_engine_text_free(text);
        copy
    }
}

pub struct TestEngine {
    pub raw: *mut Engine,
    pub wakes: Box<Wakes>,
}

impl TestEngine {
    pub fn new() -> TestEngine {
        TestEngine::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut EngineConfig)) -> TestEngine {
        TestEngine::try_with(change).expect("the engine is made")
    }

    pub fn try_with(change: impl FnOnce(&mut EngineConfig)) -> Result<TestEngine, (c_int, String)> {
        let wakes: Box<Wakes> = Box::default();
        let mut config = config();
        config.runtime = ptr::from_ref(&*wakes).cast_mut().cast();
        change(&mut config);
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the border is called as its header says (so for every call in this file).
        match unsafe { rusm_engine_new(&config, &mut raw, &mut error) } {
            0 => Ok(TestEngine { raw, wakes }),
            code => Err((code, take_text(error))),
        }
    }

    pub fn artifact(&self, wasm: impl AsRef<[u8]>) -> Result<TestArtifact, (c_int, String)> {
        let wasm = wasm.as_ref();
        let (mut raw, mut error, mut cached) = (ptr::null_mut(), ptr::null_mut(), -1);
        // SAFETY: as above.
        let code = unsafe {
            let (bytes, len) = (wasm.as_ptr(), wasm.len());
            rusm_engine_artifact_new(self.raw, bytes, len, &mut raw, &mut cached, &mut error)
        };
        match code {
            0 => Ok(TestArtifact {
                raw,
                cached: cached == 1,
            }),
            code => Err((code, take_text(error))),
        }
    }

    /// Compile and prepare the entry `run`.
    pub fn prepare(&self, wasm: impl AsRef<[u8]>) -> TestPrepared {
        let artifact = self.artifact(wasm).expect("it compiles");
        artifact
            .prepare(0, "run", ptr::null())
            .expect("it can be prepared")
    }

    /// Tick every millisecond while `body` runs.
    pub fn ticking<R>(&self, body: impl FnOnce() -> R) -> R {
        let engine = self.raw as usize;
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    // SAFETY: as above; the engine outlives the scope.
                    unsafe { rusm_engine_tick(engine as *mut Engine) };
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            stop.store(true, Ordering::SeqCst);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { rusm_engine_free(self.raw) };
    }
}

pub struct TestArtifact {
    pub raw: *mut Artifact,
    pub cached: bool,
}

impl TestArtifact {
    pub fn prepare(
        &self,
        kind: c_int,
        entry: &str,
        wasi: *const Grants,
    ) -> Result<TestPrepared, (c_int, String)> {
        let entry = CString::new(entry).unwrap();
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above.
        let code = unsafe {
            rusm_engine_prepare(self.raw, kind, entry.as_ptr(), wasi, &mut raw, &mut error)
        };
        match code {
            0 => Ok(TestPrepared { raw }),
            code => Err((code, take_text(error))),
        }
    }

    pub fn has_function(&self, name: &str) -> bool {
        let name = CString::new(name).unwrap();
        // SAFETY: as above.
        unsafe { rusm_engine_artifact_has_function(self.raw, name.as_ptr()) == 1 }
    }

    pub fn has_instance(&self, prefix: &str) -> bool {
        let prefix = CString::new(prefix).unwrap();
        // SAFETY: as above.
        unsafe { rusm_engine_artifact_has_instance(self.raw, prefix.as_ptr()) == 1 }
    }

    pub fn kind(&self) -> c_int {
        // SAFETY: as above.
        unsafe { rusm_engine_artifact_kind(self.raw) }
    }
}

impl Drop for TestArtifact {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { rusm_engine_artifact_free(self.raw) };
    }
}

pub struct TestPrepared {
    pub raw: *mut Prepared,
}

impl TestPrepared {
    pub fn copy(&self, engine: &TestEngine) -> TestPrepared {
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above.
        let code = unsafe { rusm_engine_prepared_copy(self.raw, engine.raw, &mut raw, &mut error) };
        assert_eq!(code, 0, "{}", take_text(error));
        TestPrepared { raw }
    }

    pub fn start(&self) -> TestInstance {
        self.start_as(FakeGuest::new(42))
    }

    pub fn start_as(&self, mut guest: Box<FakeGuest>) -> TestInstance {
        let mut raw = ptr::null_mut();
        let (data, pid) = (ptr::from_mut(&mut *guest), guest.pid);
        // SAFETY: as above; the guest is dropped after the instance.
        let code = unsafe { rusm_engine_start(self.raw, data.cast(), pid, &mut raw) };
        assert_eq!(code, 0);
        TestInstance {
            raw,
            guest: Box::into_raw(guest),
        }
    }
}

impl Drop for TestPrepared {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { rusm_engine_prepared_free(self.raw) };
    }
}

pub struct TestInstance {
    pub raw: *mut Instance,
    guest: *mut FakeGuest,
}

impl TestInstance {
    /// Only between resumes.
    pub fn guest(&mut self) -> &mut FakeGuest {
        // SAFETY: ours, and the engine does not run.
        unsafe { &mut *self.guest }
    }

    pub fn resume(&mut self) -> c_int {
        // SAFETY: as above.
        unsafe { rusm_engine_resume(self.raw) }
    }

    pub fn stop(&mut self) {
        // SAFETY: as above.
        unsafe { rusm_engine_stop(self.raw) };
    }

    /// Kind, cause and back-trace.
    pub fn error(&mut self) -> (c_int, String, String) {
        let (mut cause, mut trace) = (ptr::null(), ptr::null());
        let text = |pointer: *const c_char| {
            if pointer.is_null() {
                return String::new();
            }
            // SAFETY: a text that lives as long as the instance.
            unsafe { CStr::from_ptr(pointer) }
                .to_str()
                .unwrap()
                .to_owned()
        };
        // SAFETY: as above.
        let kind = unsafe { rusm_engine_instance_error(self.raw, &mut cause, &mut trace) };
        (kind, text(cause), text(trace))
    }

    pub fn exit_status(&self) -> c_int {
        // SAFETY: as above.
        unsafe { rusm_engine_instance_exit_status(self.raw) }
    }

    /// Calls that did not take the short way of their function.
    pub fn long_calls(&self) -> u32 {
        // SAFETY: as above.
        unsafe { &*self.raw }.long_calls()
    }

    pub fn memory_bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { rusm_engine_instance_memory_bytes(self.raw) }
    }
}

impl Drop for TestInstance {
    fn drop(&mut self) {
        // SAFETY: as above; the instance goes before the guest that it points to.
        let guest = unsafe {
            rusm_engine_drop(self.raw);
            Box::from_raw(self.guest)
        };
        if !std::thread::panicking() {
            assert_eq!(
                guest.open.load(Ordering::SeqCst),
                0,
                "something was not released"
            );
        }
    }
}
