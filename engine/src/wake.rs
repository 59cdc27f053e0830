// SPDX-License-Identifier: MIT
//! How a wait inside WASI gets back to C: host->wake(runtime, pid).
//!
//! Two wakers with one effect. The one that a poll is given borrows from the instance and costs
//! nothing. Cloning it, which only WASI does, makes the one that owns what it needs, because it may
//! be used after the instance is gone. The gate is what makes that safe for the runtime: C closes it
//! before the runtime goes, and afterwards nobody is called.

use std::cell::OnceCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use crate::host::HostCalls;
use crate::instance::SharedRef;
use crate::prepare::Prepared;

struct Runtime(*mut c_void);

// SAFETY: the pointer is only handed back to host->wake, which takes it on any thread.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

/// The way to the runtime of one engine, until it is closed.
pub struct Gate {
    host: &'static HostCalls,
    runtime: RwLock<Option<Runtime>>,
}

impl Gate {
    pub fn new(host: &'static HostCalls, runtime: *mut c_void) -> Gate {
        Gate {
            host,
            runtime: RwLock::new(Some(Runtime(runtime))),
        }
    }

    fn wake(&self, pid: u64) {
        let runtime = self.runtime.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            // SAFETY: the gate is open, and C closes it before the runtime goes.
            unsafe { (self.host.wake)(runtime.0, pid) };
        }
    }

    /// Waits until no wake is under way; none comes after it.
    pub fn close(&self) {
        *self.runtime.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What an owned waker needs.
struct Target {
    gate: Arc<Gate>,
    pid: u64,
}

/// The part of an instance that a waker may look at, from any thread.
pub struct Wake {
    prepared: Arc<Prepared>,
    pid: u64,
    /// Wasmtime wakes the task when it yields at a tick. C knows about that yield: it gets YIELDED,
    /// and host->wake would only be noise. Relaxed: written and read by the thread that polls.
    yielding: AtomicBool,
    owned: OnceLock<Arc<Target>>,
    /// Whose part this is; set before the first poll.
    shared: OnceCell<SharedRef>,
}

impl Wake {
    pub fn new(prepared: Arc<Prepared>, pid: u64) -> Wake {
        Wake {
            prepared,
            pid,
            yielding: AtomicBool::new(false),
            owned: OnceLock::new(),
            shared: OnceCell::new(),
        }
    }

    /// Once the whole lies where it stays.
    pub fn set_shared(&self, shared: SharedRef) {
        // It is set once; a second time would say the same.
        let _ = self.shared.set(shared);
    }

    /// The instance that is polled with this context. With it a future of a host call need not
    /// hold anything, and boxing what is empty allocates nothing.
    pub fn polled(context: &Context<'_>) -> Option<SharedRef> {
        let waker = context.waker();
        if !std::ptr::eq(waker.vtable(), &raw const BORROWED) {
            return None;
        }
        // SAFETY: the data of BORROWED is a Wake that lives for the poll in which this happens.
        unsafe { &*waker.data().cast::<Wake>() }
            .shared
            .get()
            .copied()
    }

    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub fn set_yielding(&self, yielding: bool) {
        self.yielding.store(yielding, Ordering::Relaxed);
    }

    pub fn is_yielding(&self) -> bool {
        self.yielding.load(Ordering::Relaxed)
    }

    /// A waker for one poll, which must end before `self` does. That is why it cannot be dropped
    /// by accident: only a clone of it owns anything.
    pub fn waker(&self) -> ManuallyDrop<Waker> {
        let raw = RawWaker::new(std::ptr::from_ref(self).cast(), &BORROWED);
        // SAFETY: the functions of BORROWED fit its data, which the caller keeps for the poll.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    fn target(&self) -> Arc<Target> {
        let gate = || self.prepared.engine().gate.clone();
        self.owned
            .get_or_init(|| {
                Arc::new(Target {
                    gate: gate(),
                    pid: self.pid,
                })
            })
            .clone()
    }

    fn wake(&self) {
        if !self.is_yielding() {
            self.prepared.engine().gate.wake(self.pid);
        }
    }
}

static BORROWED: RawWakerVTable =
    RawWakerVTable::new(borrowed_clone, borrowed_wake, borrowed_wake, |_| {});
static OWNED: RawWakerVTable = RawWakerVTable::new(owned_clone, owned_wake, owned_peek, owned_drop);

fn owned(target: Arc<Target>) -> RawWaker {
    RawWaker::new(Arc::into_raw(target).cast(), &OWNED)
}

fn borrowed_clone(data: *const ()) -> RawWaker {
    // SAFETY: the data of BORROWED is a Wake that lives for the poll in which this happens.
    owned(unsafe { &*data.cast::<Wake>() }.target())
}

fn borrowed_wake(data: *const ()) {
    // SAFETY: the data of BORROWED is a Wake that lives for the poll in which this happens.
    unsafe { &*data.cast::<Wake>() }.wake();
}

fn owned_clone(data: *const ()) -> RawWaker {
    // SAFETY: the data of OWNED came from Arc::into_raw, and this waker still owns one count.
    unsafe { Arc::increment_strong_count(data.cast::<Target>()) };
    RawWaker::new(data, &OWNED)
}

fn owned_wake(data: *const ()) {
    // SAFETY: as in owned_clone; waking by value gives up the count of this waker.
    let target = unsafe { Arc::from_raw(data.cast::<Target>()) };
    target.gate.wake(target.pid);
}

fn owned_peek(data: *const ()) {
    // SAFETY: as in owned_clone; the waker, and with it the count, stays.
    let target = unsafe { &*data.cast::<Target>() };
    target.gate.wake(target.pid);
}

fn owned_drop(data: *const ()) {
    // SAFETY: as in owned_clone; this gives up the count of this waker.
    drop(unsafe { Arc::from_raw(data.cast::<Target>()) });
}
