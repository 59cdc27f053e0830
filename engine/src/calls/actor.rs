// SPDX-License-Identifier: MIT
//! `actor`: who am I, spawn, messages, names, timers.

use std::ffi::c_void;
use std::future::poll_fn;
use std::task::{Context, Poll};

use wasmtime::component::{ComponentType, Lift, Lower, WasmList, WasmStr};
use wasmtime::{Result, ValRaw};

use super::shortcut::{Anchor, Nothing, Opener, Shortcut};
use super::value::{HostBytes, HostPids, HostText, HostTexts, Owner, Text};
use super::{
    Answer, Interface, Store, answer, expect_ok, expect_some, shared, unexpected, with_bytes,
    with_text,
};
use crate::error::Stop;
use crate::host::{Bytes, ProcessInfo, Slice};
use crate::instance::SharedRef;
use crate::wake::Wake;

pub fn add(actor: &mut Interface<'_>) -> Result<()> {
    add_processes(actor)?;
    add_messages(actor)?;
    add_names(actor)?;
    add_timers(actor)
}

fn add_processes(actor: &mut Interface<'_>) -> Result<()> {
    actor.func_wrap("own-pid", |store, ()| {
        let shared = shared(&store);
        // SAFETY: the guest is the one of this store (so for every call in this file).
        Ok((unsafe { (shared.host().own_pid)(shared.guest()) },))
    })?;
    actor.func_wrap("spawn", |store, (component,): (WasmStr,)| {
        Ok((spawn(store, &component)?,))
    })?;
    actor.func_wrap_async("spawn-from", |store, arguments: (WasmStr, WasmStr)| {
        spawn_from(&store, arguments)
    })?;
    actor.func_wrap("supervise", |store, arguments: Supervise| {
        Ok((supervise(store, arguments)?,))
    })?;
    actor.func_wrap("monitor", |store, (target,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        unsafe { (shared.host().monitor)(shared.guest(), target) };
        Ok(())
    })?;
    actor.func_wrap("list-processes", |store, ()| {
        Ok((list_processes(shared(&store))?,))
    })?;
    actor.func_wrap("info", |store, (target,): (u64,)| {
        Ok((info(shared(&store), target)?,))
    })?;
    actor.func_wrap("is-alive", |store, (target,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        Ok((unsafe { (shared.host().is_alive)(shared.guest(), target) } != 0,))
    })?;
    actor.func_wrap("kill", |store, (target,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        Ok((unsafe { (shared.host().kill)(shared.guest(), target) } != 0,))
    })
}

fn spawn(store: Store<'_>, component: &WasmStr) -> Result<Result<u64, HostText>> {
    let shared = shared(&store);
    let (mut pid, mut error) = (0u64, Bytes::empty());
    let code = with_text(&store, component, |name: Slice| {
        // SAFETY: as above; both outputs are valid for writes.
        unsafe { (shared.host().spawn)(shared.guest(), name, &mut pid, &mut error) }
    })?;
    if expect_some(&shared, code, "spawn")? {
        return Ok(Ok(pid));
    }
    // SAFETY: NONE means that the error is set.
    Ok(Err(unsafe {
        HostText::new(shared.host(), error, "spawn")?
    }))
}

type Spawned = Result<(Result<u64, HostText>,)>;

/// C copies what it needs of both texts before this returns. A text that is none is the future's
/// answer, because only that can answer an error.
fn spawn_from(
    store: &Store<'_>,
    (component, source): (WasmStr, WasmStr),
) -> Box<dyn Future<Output = Spawned> + Send> {
    let shared = shared(store);
    let begun = with_text(store, &component, |component| {
        with_text(store, &source, |source| {
            // SAFETY: as above; the slices are valid during the call.
            unsafe { (shared.host().spawn_from_begin)(shared.guest(), component, source) };
        })
    });
    let mut failed = begun.and_then(|inner| inner).err();
    Box::new(poll_fn(move |_| match failed.take() {
        Some(error) => Poll::Ready(Err(error)),
        None => poll_spawn_from(shared),
    }))
}

fn poll_spawn_from(shared: SharedRef) -> Poll<Spawned> {
    if let Err(stop) = shared.check_stop() {
        return Poll::Ready(Err(stop.into()));
    }
    let (mut pid, mut error) = (0u64, Bytes::empty());
    // SAFETY: as above; both outputs are valid for writes.
    let code = unsafe { (shared.host().spawn_from_poll)(shared.guest(), &mut pid, &mut error) };
    let answered = match answer(&shared, code, "spawn_from_poll") {
        Ok(Answer::Ok) => Ok(Ok(pid)),
        // SAFETY: NONE means that the error is set.
        Ok(Answer::None) => unsafe {
            HostText::new(shared.host(), error, "spawn_from_poll").map(Err)
        },
        Ok(Answer::Pending) => {
            shared.set_waiting();
            return Poll::Pending;
        }
        Err(stop) => Err(stop),
    };
    Poll::Ready(answered.map(|result| (result,)).map_err(Into::into))
}

/// `supervise-strategy`, with the numbers that C knows.
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values are made by lifting them")]
enum Strategy {
    #[component(name = "one-for-one")]
    OneForOne,
    #[component(name = "one-for-all")]
    OneForAll,
    #[component(name = "rest-for-one")]
    RestForOne,
}

/// More names than any host takes are not even looked at: C sees that there are too many.
const MAX_NAMES: usize = 20_000;

type Supervise = (Strategy, WasmList<WasmStr>, u32, u32);

fn supervise(mut store: Store<'_>, arguments: Supervise) -> Result<Result<u64, HostText>> {
    let (strategy, children, max_restarts, within_ms) = arguments;
    let shared = shared(&store);
    let listed: Vec<WasmStr> = children
        .iter(&mut store)?
        .take(MAX_NAMES)
        .collect::<Result<_>>()?;
    let texts = listed
        .iter()
        .map(|name| name.to_str(&store))
        .collect::<Result<Vec<_>>>()?;
    let names: Vec<Slice> = texts
        .iter()
        .map(|text| Slice::new(text.as_bytes()))
        .collect();
    let (mut pid, mut error) = (0u64, Bytes::empty());
    // SAFETY: as above; the slices are valid during the call, both outputs for writes.
    let code = unsafe {
        (shared.host().supervise)(
            shared.guest(),
            strategy as u32,
            names.as_ptr(),
            names.len(),
            max_restarts,
            within_ms,
            &mut pid,
            &mut error,
        )
    };
    if expect_some(&shared, code, "supervise")? {
        return Ok(Ok(pid));
    }
    // SAFETY: NONE means that the error is set.
    Ok(Err(unsafe {
        HostText::new(shared.host(), error, "supervise")?
    }))
}

fn list_processes(shared: SharedRef) -> Result<HostPids> {
    let (mut pids, mut count, mut owner) = (std::ptr::null(), 0usize, std::ptr::null_mut());
    // SAFETY: as above; the outputs are valid for writes.
    let code = unsafe {
        (shared.host().list_processes)(shared.guest(), &mut pids, &mut count, &mut owner)
    };
    expect_ok(&shared, code, "list_processes")?;
    // SAFETY: OK means that the outputs are set.
    Ok(unsafe { HostPids::new(shared.host(), pids, count, owner) })
}

/// `process-info`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Info {
    pid: u64,
    links: u32,
    monitors: u32,
    names: HostTexts,
    label: Option<Text>,
    #[component(name = "mailbox-depth")]
    mailbox_depth: u32,
    #[component(name = "trap-exit")]
    trap_exit: bool,
}

fn empty_info() -> ProcessInfo {
    ProcessInfo {
        pid: 0,
        links: 0,
        monitors: 0,
        mailbox_depth: 0,
        trap_exit: 0,
        has_label: 0,
        label: Slice::empty(),
        names: std::ptr::null(),
        name_count: 0,
        owner: std::ptr::null_mut::<c_void>(),
    }
}

fn info(shared: SharedRef, target: u64) -> Result<Option<Info>> {
    let mut raw = empty_info();
    // SAFETY: as above; the output is valid for a write.
    let code = unsafe { (shared.host().info)(shared.guest(), target, &mut raw) };
    if !expect_some(&shared, code, "info")? {
        return Ok(None);
    }
    let owner = Owner::new(shared.host(), raw.owner);
    // SAFETY: OK means that the record is set; C keeps what it points to until the owner, which
    // lies in the same record as `names`, is released.
    let names = unsafe { HostTexts::new(owner, raw.names, raw.name_count, "info")? };
    let label = match raw.has_label {
        0 => None,
        // SAFETY: as above.
        _ => Some(unsafe { Text::new(raw.label, "info")? }),
    };
    Ok(Some(Info {
        pid: raw.pid,
        links: raw.links,
        monitors: raw.monitors,
        names,
        label,
        mailbox_depth: raw.mailbox_depth,
        trap_exit: raw.trap_exit != 0,
    }))
}

fn add_messages(actor: &mut Interface<'_>) -> Result<()> {
    let anchor = 0u64;
    actor.func_wrap("send", move |store, (to, message): (u64, WasmList<u8>)| {
        let opener = Opener {
            anchor: Anchor::of(&anchor),
            callee: send_at_once,
        };
        send(store, to, &message, opener)
    })?;
    // These futures hold nothing, so that boxing them allocates nothing.
    actor.func_wrap_async("receive", |store, ()| {
        begin_receive(shared(&store), None);
        Box::new(poll_fn(|context| {
            poll_polled(context).map(|received| match received? {
                Some(message) => Ok((message,)),
                None => Err(unexpected("receive_poll").into()),
            })
        }))
    })?;
    actor.func_wrap_async("receive-timeout", |store, (timeout_ms,): (u64,)| {
        begin_receive(shared(&store), Some(timeout_ms));
        Box::new(poll_fn(|context| {
            poll_polled(context).map(|received| Ok((received?,)))
        }))
    })?;
    actor.func_wrap("stash", |store, (message,): (WasmList<u8>,)| {
        let shared = shared(&store);
        let code = with_bytes(&store, &message, |message| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().stash)(shared.guest(), message) }
        });
        Ok(expect_ok(&shared, code, "stash")?)
    })?;
    actor.func_wrap("unstash", |store, ()| {
        let shared = shared(&store);
        // SAFETY: as above.
        unsafe { (shared.host().unstash)(shared.guest()) };
        Ok(())
    })
}

fn send(store: Store<'_>, to: u64, message: &WasmList<u8>, opener: Opener) -> Result<Nothing> {
    let shared = shared(&store);
    let code = shared.shortcuts().take_early().unwrap_or_else(|| {
        with_bytes(&store, message, |message| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().send)(shared.guest(), to, message) }
        })
    });
    expect_ok(&shared, code, "send")?;
    Ok(Nothing { shared, opener })
}

/// # Safety
/// Called by compiled code, for an entry of `send` that a shortcut has replaced.
unsafe extern "C" fn send_at_once(
    context: *mut c_void,
    data: *mut c_void,
    ty: u32,
    options: u32,
    values: *mut ValRaw,
    count: usize,
) -> bool {
    // SAFETY: the contract above.
    let shortcut = unsafe { Shortcut::of(data) };
    // SAFETY: the pid, and where the message lies.
    let [to, ptr, len] = unsafe { values.cast::<[ValRaw; 3]>().read() };
    if let Some(message) = shortcut.bytes(options, ptr, len) {
        // SAFETY: as above; the slice is valid during the call.
        let send = |shared: SharedRef| unsafe {
            (shared.host().send)(shared.guest(), to.get_u64(), message)
        };
        if shortcut.call(send) {
            return true;
        }
    }
    // SAFETY: the arguments are those of this call.
    unsafe { shortcut.hand_on(context, ty, options, values, count) }
}

pub(super) fn begin_receive(shared: SharedRef, timeout_ms: Option<u64>) {
    let has_timeout = u32::from(timeout_ms.is_some());
    let timeout_ms = timeout_ms.unwrap_or(0);
    // SAFETY: as above.
    unsafe { (shared.host().receive_begin)(shared.guest(), has_timeout, timeout_ms) };
}

/// For the instance that is polled.
fn poll_polled(context: &Context<'_>) -> Poll<Result<Option<HostBytes>, Stop>> {
    match Wake::polled(context) {
        Some(shared) => poll_receive(shared),
        None => Poll::Ready(Err(Stop::Broken(
            "a wait was polled by somebody else".to_owned(),
        ))),
    }
}

/// Ask C whether something has come. No waker is registered: C resumes when it is worth asking
/// again. Inlined: while C is called here the stack is switched, and after that no return is
/// predicted.
#[inline(always)]
pub(super) fn poll_receive(shared: SharedRef) -> Poll<Result<Option<HostBytes>, Stop>> {
    if let Err(stop) = shared.check_stop() {
        return Poll::Ready(Err(stop));
    }
    let mut message = Bytes::empty();
    // SAFETY: as above; the output is valid for a write.
    let code = unsafe { (shared.host().receive_poll)(shared.guest(), &mut message) };
    Poll::Ready(match answer(&shared, code, "receive_poll") {
        // SAFETY: OK means that the message is set.
        Ok(Answer::Ok) => Ok(Some(unsafe { HostBytes::new(shared.host(), message) })),
        Ok(Answer::None) => Ok(None),
        Ok(Answer::Pending) => {
            shared.set_waiting();
            return Poll::Pending;
        }
        Err(stop) => Err(stop),
    })
}

fn add_names(actor: &mut Interface<'_>) -> Result<()> {
    actor.func_wrap("register", |store, (name,): (WasmStr,)| {
        let shared = shared(&store);
        let done = with_text(&store, &name, |name| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().register_name)(shared.guest(), name) }
        })?;
        Ok((done != 0,))
    })?;
    actor.func_wrap("unregister", |store, (name,): (WasmStr,)| {
        let shared = shared(&store);
        let done = with_text(&store, &name, |name| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().unregister_name)(shared.guest(), name) }
        })?;
        Ok((done != 0,))
    })?;
    actor.func_wrap("whereis", |store, (name,): (WasmStr,)| {
        let shared = shared(&store);
        let mut pid = 0u64;
        let code = with_text(&store, &name, |name| {
            // SAFETY: as above; the slice is valid during the call, the output for a write.
            unsafe { (shared.host().whereis)(shared.guest(), name, &mut pid) }
        })?;
        Ok((expect_some(&shared, code, "whereis")?.then_some(pid),))
    })?;
    actor.func_wrap("set-label", |store, (label,): (WasmStr,)| {
        let shared = shared(&store);
        with_text(&store, &label, |label| {
            // SAFETY: as above; the slice is valid during the call.
            unsafe { (shared.host().set_label)(shared.guest(), label) };
        })
    })
}

fn add_timers(actor: &mut Interface<'_>) -> Result<()> {
    type SendAfter = (u64, u64, WasmList<u8>);
    actor.func_wrap("send-after", |store, (to, delay_ms, message): SendAfter| {
        let shared = shared(&store);
        let mut timer = 0u64;
        let code = with_bytes(&store, &message, |message| {
            let (host, guest) = (shared.host(), shared.guest());
            // SAFETY: as above; the slice is valid during the call, the output for a write.
            unsafe { (host.send_after)(guest, to, delay_ms, message, &mut timer) }
        });
        expect_ok(&shared, code, "send_after")?;
        Ok((timer,))
    })?;
    actor.func_wrap("cancel-timer", |store, (timer,): (u64,)| {
        let shared = shared(&store);
        // SAFETY: as above.
        Ok((unsafe { (shared.host().cancel_timer)(shared.guest(), timer) } != 0,))
    })
}
