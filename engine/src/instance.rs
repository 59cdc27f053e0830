// SPDX-License-Identifier: MIT
//! One guest: a store and the call that is under way in it, as one future that C polls.
//!
//!     start     nothing runs; the future is made, no slot of the pool is taken
//!     resume    poll once; Wasmtime switches to the guest's stack and back
//!     stop      a flag: host calls that wait and ticks look at it
//!     drop      the future is dropped, and with it store, stack and slot
//!
//! `Shared` is what both sides see: the host calls that run on the guest's stack and `resume`
//! around them. It lives in the instance, so it outlives the future that points to it. Everything
//! in it is used by one thread at a time (the border's rule for instances), but for `wake`.
//!
//! No waker is ever registered for a wait that C knows about: C resumes when it has something.
//! Only a wait inside WASI clones the waker, and only then is one allocated.

use std::cell::{Cell, OnceCell};
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::EnterGuard;
use wasmtime::component;
use wasmtime::{ResourceLimiter, Store, StoreContextMut, UpdateDeadline};

use crate::calls::Shortcuts;
use crate::error::{Fault, Kind, Stop};
use crate::host::{self, Guest, HostCalls, TICK_CONTINUE, TICK_STOP, TICK_YIELD};
use crate::prepare::{Entry, Prepared};
use crate::reactor;
use crate::resident;
use crate::wake::Wake;
use crate::wasi::Wasi;

pub const DONE: c_int = 0;
pub const PENDING: c_int = 1;
pub const YIELDED: c_int = 2;
pub const TRAPPED: c_int = 3;
pub const EXITED: c_int = 4;

/// Ticks from now until the guest is asked again. One: C decides at each tick.
const TICKS: u64 = 1;

/// The shape that one guest may have. It keeps a single one from taking the whole pool; the largest
/// known toolchains (interpreters linked from shared libraries) stay well below.
const CORE_INSTANCES: usize = 128;
const MEMORIES: usize = 16;
const TABLES: usize = 64;

/// What the guest's side and the scheduler's side share.
pub struct Shared {
    host: &'static HostCalls,
    guest: Guest,
    wake: Wake,
    /// C asked for the end.
    stop: Cell<bool>,
    /// The future is pending in one of our own waits, which answers to `stop`.
    waits_for_host: Cell<bool>,
    /// Something went wrong where no error could be answered; the guest ends with this text.
    broken: OnceCell<String>,
    memory_bytes: Cell<u64>,
    last_growth: Cell<u64>,
    /// The thread that ran it first (src/resident.rs); 0: none yet.
    home: Cell<u64>,
    /// Another one has run it since.
    moved: Cell<bool>,
    shortcuts: Shortcuts,
    /// A WASI context exists: resume and drop happen inside the reactor.
    needs_reactor: Cell<bool>,
    /// Only set while a resume or a drop is under way, so it never changes threads.
    entered: Cell<Option<EnterGuard<'static>>>,
}

impl Shared {
    fn new(prepared: Arc<Prepared>, guest: Guest, pid: u64) -> Shared {
        Shared {
            host: prepared.engine().host,
            guest,
            wake: Wake::new(prepared, pid),
            stop: Cell::new(false),
            waits_for_host: Cell::new(false),
            broken: OnceCell::new(),
            memory_bytes: Cell::new(0),
            last_growth: Cell::new(0),
            home: Cell::new(0),
            moved: Cell::new(false),
            shortcuts: Shortcuts::default(),
            needs_reactor: Cell::new(false),
            entered: Cell::new(None),
        }
    }

    pub fn host(&self) -> &'static HostCalls {
        self.host
    }

    pub fn guest(&self) -> Guest {
        self.guest
    }

    pub fn prepared(&self) -> &Prepared {
        self.wake.prepared()
    }

    pub fn shortcuts(&self) -> &Shortcuts {
        &self.shortcuts
    }

    /// The text of C for the TRAP or STOP that it has just answered.
    pub fn trap_text(&self) -> String {
        // SAFETY: the guest is the one that C gave; the text is valid until the next call for it,
        // and it is copied before that.
        let text = unsafe { (self.host.trap_text)(self.guest).bytes() };
        String::from_utf8_lossy(text).into_owned()
    }

    /// Checked by every wait of ours before it asks C.
    pub fn check_stop(&self) -> Result<(), Stop> {
        self.waits_for_host.set(false);
        if let Some(text) = self.broken.get() {
            return Err(Stop::Broken(text.clone()));
        }
        if self.stop.get() {
            return Err(Stop::Stopped("stopped by the host".to_owned()));
        }
        Ok(())
    }

    /// Our own wait is about to answer Pending.
    pub fn set_waiting(&self) {
        self.waits_for_host.set(true);
    }

    /// Remember a fault where none can be answered. The guest ends at its next wait or tick.
    pub fn set_broken(&self, text: String) {
        // A second fault changes nothing: the first is the one to tell.
        let _ = self.broken.set(text);
    }

    /// Called when the first WASI context is made, in the middle of a resume.
    pub fn enter_reactor(&self) {
        self.needs_reactor.set(true);
        let entered = self.entered.take().unwrap_or_else(reactor::enter);
        self.entered.set(Some(entered));
    }

    fn enter_if_needed(&self) {
        if self.needs_reactor.get() {
            self.entered.set(Some(reactor::enter()));
        }
    }

    /// The calling thread is about to run or to drop the guest.
    fn note_thread(&self) {
        let thread = resident::own_thread();
        if self.home.get() == 0 {
            self.home.set(thread);
        }
        self.moved
            .set(self.moved.get() || self.home.get() != thread);
        resident::note_guest(self.moved.get());
    }

    fn leave_reactor(&self) {
        if self.needs_reactor.get() {
            drop(self.entered.take());
        }
    }

    fn may_grow(&self, kind: u32, current: usize, desired: usize) -> bool {
        // SAFETY: the guest is the one that C gave for this instance.
        unsafe { (self.host.grow)(self.guest, kind, current, desired) != 0 }
    }
}

/// A pointer to `Shared` for the store and for futures of host calls.
#[derive(Clone, Copy)]
pub struct SharedRef(NonNull<Shared>);

// SAFETY: an instance is used by one thread at a time (the border's rule), and everything that
// holds a SharedRef is owned by that instance's future.
unsafe impl Send for SharedRef {}
// SAFETY: as above; no two threads reach it at once.
unsafe impl Sync for SharedRef {}

impl std::ops::Deref for SharedRef {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: `Shared` is boxed by the instance and freed after the future that holds this.
        unsafe { self.0.as_ref() }
    }
}

/// The data of a store.
pub struct State {
    pub shared: SharedRef,
    pub wasi: Wasi,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let shared = self.shared;
        // The memory's own maximum is no matter of policy: C is not asked. Beyond the slot it is, so
        // that it knows what was refused; no ceiling of a profile lies there.
        if desired > maximum.unwrap_or(usize::MAX)
            || !shared.may_grow(host::GROW_MEMORY, current, desired)
            || desired > shared.prepared().engine().max_memory_bytes
        {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current) as u64;
        shared.last_growth.set(growth);
        shared.memory_bytes.set(shared.memory_bytes.get() + growth);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The guest is told by the -1 of memory.grow. Only the kernel can refuse what was granted
        // above, so only then has something been counted that is not there. The other caller is
        // growth beyond what the memory's type can express, for which nobody was asked.
        let shared = self.shared;
        if error.is::<rustix::io::Errno>() || error.is::<std::io::Error>() {
            shared
                .memory_bytes
                .set(shared.memory_bytes.get() - shared.last_growth.get());
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let shared = self.shared;
        // As above. What C grants it counts, so it must be granted here too.
        Ok(desired <= maximum.unwrap_or(usize::MAX)
            && shared.may_grow(host::GROW_TABLE, current, desired)
            && desired <= shared.prepared().engine().table_elements)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// An epoch has passed while the guest ran.
fn tick(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let shared = store.data().shared;
    shared.check_stop()?;
    // SAFETY: the guest is the one that C gave for this instance.
    match unsafe { (shared.host.tick)(shared.guest) } {
        TICK_CONTINUE => Ok(UpdateDeadline::Continue(TICKS)),
        TICK_YIELD => {
            shared.wake.set_yielding(true);
            // From when it is resumed. At once, because C may have told it to stop meanwhile.
            Ok(UpdateDeadline::Yield(0))
        }
        TICK_STOP => Err(Stop::Stopped(shared.trap_text()).into()),
        other => Err(Stop::Broken(format!("host->tick answered {other}")).into()),
    }
}

/// How the call ended, when it did not fail.
enum Ended {
    Done,
    /// `run` of a command returned its error.
    CommandFailed,
}

/// An error, and whether the entry had not been reached yet.
struct Failed {
    error: wasmtime::Error,
    starting: bool,
}

/// What a future of a guest comes to.
enum Next {
    /// The instance is there; this is the call of its entry. A future of its own, because making an
    /// instance takes three times the memory of what a guest that waits needs.
    Call(Call),
    Ended(Ended),
}

/// The call that is under way, a future whose type only `Call::new` knows. It is no `dyn Future`
/// because each switch back to the scheduler returns through every function between the guest and
/// C, and no such return is predicted: `resume` is one function for all of them.
struct Call {
    future: NonNull<c_void>,
    resume: fn(&mut Instance) -> c_int,
    drop: unsafe fn(NonNull<c_void>),
}

// SAFETY: `Call::new` demands of the future that it is.
unsafe impl Send for Call {}

impl Call {
    fn new<F>(future: F) -> Call
    where
        F: Future<Output = Result<Next, Failed>> + Send,
    {
        Call {
            future: NonNull::from(Box::leak(Box::new(future))).cast(),
            resume: Instance::resume_as::<F>,
            drop: |future| {
                // SAFETY: leaked above, and dropped once: `drop` below is the only caller.
                drop(unsafe { Box::from_raw(future.cast::<F>().as_ptr()) });
            },
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: the future is the one of `new`.
        unsafe { (self.drop)(self.future) };
    }
}

fn starting(error: wasmtime::Error) -> Failed {
    Failed {
        error,
        starting: true,
    }
}

fn running(error: wasmtime::Error) -> Failed {
    Failed {
        error,
        starting: false,
    }
}

fn new_store(prepared: &Prepared, shared: SharedRef) -> wasmtime::Result<Store<State>> {
    let state = State {
        shared,
        wasi: Wasi::default(),
    };
    let mut store = Store::try_new(&prepared.engine().wasmtime, state)?;
    // Neither of the two captures anything, so neither is allocated.
    store.limiter(|state| state);
    store.epoch_deadline_callback(tick);
    store.set_epoch_deadline(TICKS);
    store.set_max_component_handles(prepared.handles());
    if let Some(bytes) = prepared.call_bytes() {
        store.set_hostcall_fuel(bytes);
    }
    Ok(store)
}

/// The first part of a guest's life: until its entry can be called.
async fn instantiate(shared: SharedRef) -> Result<Next, Failed> {
    let prepared = shared.prepared();
    let mut store = new_store(prepared, shared).map_err(starting)?;
    match prepared.entry() {
        Entry::Component { pre, function } => {
            let instance = pre.instantiate_async(&mut store).await.map_err(starting)?;
            let function = instance
                .get_func(&mut store, function)
                .ok_or_else(lost_entry)?;
            let function = function.typed::<(), ()>(&store).map_err(starting)?;
            Ok(Next::Call(run_component(store, function)))
        }
        Entry::Command { pre, function } => {
            let instance = pre.instantiate_async(&mut store).await.map_err(starting)?;
            let function = instance
                .get_func(&mut store, function)
                .ok_or_else(lost_entry)?;
            let function = function
                .typed::<(), (Result<(), ()>,)>(&store)
                .map_err(starting)?;
            Ok(Next::Call(run_command(store, function)))
        }
        Entry::Module { pre, function, .. } => {
            let instance = pre.instantiate_async(&mut store).await.map_err(starting)?;
            let export = instance.get_module_export(&mut store, function);
            let function = export
                .and_then(|item| item.into_func())
                .ok_or_else(lost_entry)?;
            let function = function.typed::<(), ()>(&store).map_err(starting)?;
            Ok(Next::Call(run_module(store, function)))
        }
    }
}

// The rest of it. The slot goes back to the pool when one of these ends, before C drops the
// instance. Blocks, because a future of an `async fn` keeps its arguments twice.

fn run_component(mut store: Store<State>, function: component::TypedFunc<(), ()>) -> Call {
    Call::new(async move {
        function.call_async(&mut store, ()).await.map_err(running)?;
        Ok(Next::Ended(Ended::Done))
    })
}

fn run_command(
    mut store: Store<State>,
    function: component::TypedFunc<(), (Result<(), ()>,)>,
) -> Call {
    Call::new(async move {
        let (result,) = function.call_async(&mut store, ()).await.map_err(running)?;
        Ok(Next::Ended(match result {
            Ok(()) => Ended::Done,
            Err(()) => Ended::CommandFailed,
        }))
    })
}

fn run_module(mut store: Store<State>, function: wasmtime::TypedFunc<(), ()>) -> Call {
    Call::new(async move {
        function.call_async(&mut store, ()).await.map_err(running)?;
        Ok(Next::Ended(Ended::Done))
    })
}

fn lost_entry() -> Failed {
    starting(Stop::Broken("the entry was seen at prepare and is not there now".to_owned()).into())
}

/// How an instance ended, once it has.
enum Outcome {
    Done,
    Exited(i32),
    Trapped(Box<Fault>),
}

impl Outcome {
    fn trapped(fault: Fault) -> Outcome {
        Outcome::Trapped(Box::new(fault))
    }
}

/// `struct rusm_engine_instance`.
pub struct Instance {
    /// ManuallyDrop because of the reactor: `drop_call` is the only place that ends it.
    call: Option<ManuallyDrop<Call>>,
    outcome: Option<Outcome>,
    /// From a Box; freed after the call, which points to it too.
    shared: SharedRef,
}

impl Instance {
    pub fn new(prepared: Arc<Prepared>, guest: *mut c_void, pid: u64) -> Instance {
        let shared = Box::new(Shared::new(prepared, guest, pid));
        let shared = SharedRef(NonNull::from(Box::leak(shared)));
        shared.wake.set_shared(shared);
        let call = Call::new(instantiate(shared));
        Instance {
            call: Some(ManuallyDrop::new(call)),
            outcome: None,
            shared,
        }
    }

    /// A panic answers TRAPPED.
    pub fn resume(&mut self) -> c_int {
        match &self.call {
            Some(call) => (call.resume)(self),
            None => self.answer(),
        }
    }

    fn answer(&self) -> c_int {
        match &self.outcome {
            None if self.shared.wake.is_yielding() => YIELDED,
            None => PENDING,
            Some(Outcome::Done) => DONE,
            Some(Outcome::Exited(_)) => EXITED,
            Some(Outcome::Trapped(_)) => TRAPPED,
        }
    }

    /// For a call whose future is an `F`.
    fn resume_as<F>(&mut self) -> c_int
    where
        F: Future<Output = Result<Next, Failed>>,
    {
        let outer = resident::noted_guest();
        let resumed = catch_unwind(AssertUnwindSafe(|| {
            if self.outcome.is_none() {
                self.step::<F>();
            }
            self.answer()
        }));
        resident::note_guest(outer);
        resumed.unwrap_or(TRAPPED)
    }

    /// Poll once, and settle what came of it.
    #[inline(always)]
    fn step<F>(&mut self)
    where
        F: Future<Output = Result<Next, Failed>>,
    {
        if self.shared.stop.get() && !self.answers_to_stop() {
            return self.give_up();
        }
        let Some(call) = &self.call else {
            let fault = Fault::from_text(Kind::Host, "nothing to resume");
            return self.settle(Outcome::trapped(fault));
        };
        // SAFETY: the future is an F, for which this was chosen; it is boxed, so it never moves,
        // and nobody else polls it.
        let call = unsafe { Pin::new_unchecked(call.future.cast::<F>().as_mut()) };
        self.shared.wake.set_yielding(false);
        self.shared.note_thread();
        self.shared.enter_if_needed();
        let waker = self.shared.wake.waker();
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| call.poll(&mut context)));
        self.shared.leave_reactor();
        match polled {
            Ok(Poll::Pending) if self.shared.stop.get() && !self.answers_to_stop() => {
                self.give_up()
            }
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Ok(Next::Call(next)))) => self.go_on(next),
            Ok(Poll::Ready(Ok(Next::Ended(Ended::Done)))) => self.settle(Outcome::Done),
            Ok(Poll::Ready(Ok(Next::Ended(Ended::CommandFailed)))) => {
                self.settle(Outcome::Exited(1));
            }
            Ok(Poll::Ready(Err(failed))) => self.settle(failure(failed, self.shared.prepared())),
            Err(panic) => self.settle(Outcome::trapped(Fault::from_panic(&*panic))),
        }
    }

    /// From one part of the life into the other without coming back to C in between.
    fn go_on(&mut self, next: Call) {
        let resume = next.resume;
        if let Some(done) = self.call.replace(ManuallyDrop::new(next)) {
            drop(ManuallyDrop::into_inner(done));
        }
        // What it answers is answered again by whoever was asked first.
        let _ = resume(self);
    }

    /// Will a poll end the guest now that `stop` is set? Yes in one of our waits, and yes after a
    /// yield, at the next tick. No before the start and no while it waits inside WASI.
    fn answers_to_stop(&self) -> bool {
        self.shared.waits_for_host.get() || self.shared.wake.is_yielding()
    }

    fn give_up(&mut self) {
        let fault = Fault::from_text(Kind::Stopped, "stopped by the host");
        self.settle(Outcome::trapped(fault));
    }

    /// It has ended. A fault that could not be answered where it happened outranks what the guest
    /// made of it.
    fn settle(&mut self, outcome: Outcome) {
        let fault = self
            .drop_call()
            .or_else(|| self.shared.broken.get().cloned());
        self.outcome = Some(match fault {
            Some(text) => Outcome::trapped(Fault::from_text(Kind::Host, &text)),
            None => outcome,
        });
    }

    /// Drop the future, inside the reactor if it has to be. A panic on the way is told and leaks
    /// what was not dropped yet.
    fn drop_call(&mut self) -> Option<String> {
        let call = self.call.take()?;
        self.shared.note_thread();
        self.shared.enter_if_needed();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(ManuallyDrop::into_inner(call))));
        self.shared.leave_reactor();
        let panic = dropped.err()?;
        Some(format!(
            "the engine panicked at a drop: {}",
            crate::error::panic_text(&*panic)
        ))
    }

    pub fn stop(&mut self) {
        self.shared.stop.set(true);
    }

    pub fn fault(&self) -> Option<&Fault> {
        match &self.outcome {
            Some(Outcome::Trapped(fault)) => Some(fault),
            _ => None,
        }
    }

    pub fn exit_status(&self) -> i32 {
        match &self.outcome {
            Some(Outcome::Exited(status)) => *status,
            _ => 0,
        }
    }

    pub fn memory_bytes(&self) -> u64 {
        self.shared.memory_bytes.get()
    }

    /// For tests, which cannot see otherwise that shortcuts open: `Shortcuts::long_calls`.
    #[doc(hidden)]
    pub fn long_calls(&self) -> u32 {
        self.shared.shortcuts.long_calls()
    }
}

fn failure(failed: Failed, prepared: &Prepared) -> Outcome {
    match failed.error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(exit) => Outcome::Exited(exit.0),
        None => {
            let symbols = prepared.symbols();
            Outcome::trapped(Fault::from_error(failed.error, failed.starting, symbols))
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Nobody is left to tell about a panic here; its message went to standard error.
        let _ = self.drop_call();
        // SAFETY: it came from Box::leak in `new`, and the call that pointed to it is gone, but
        // for a panic at its drop; what that leaked is never touched again.
        drop(unsafe { Box::from_raw(self.shared.0.as_ptr()) });
    }
}
