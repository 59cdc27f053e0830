// SPDX-License-Identifier: MIT
//! Shortcuts: calls that go from the guest to C without the component layer in between.
//!
//! A guest calls an imported function of a component through a small table of its instance: for
//! each import the address of a function and a word of data for it. Wasmtime's function there
//! lifts, checks and lowers for any type, some 70 ns. For a call whose arguments are numbers, or a
//! list of bytes that C only looks at, none of that does anything. So after a guest has made a few
//! such calls, the entry of its own instance is replaced by a function of ours. It does the common
//! case, and hands everything else on to the function that was there before:
//!
//!     first calls       Wasmtime's way; `Opener`, their answer, counts them
//!     `take_over`       the entry is replaced; what was there is kept
//!     the next call     goes through the new function to the old one, so that the number of the
//!                       call's options is known; for calls with bytes `learn` finds their memory
//!     from then on      straight to C
//!
//! What C refuses takes the old way too, with what C said in `Early`, so that traps, their texts
//! and their back-traces are Wasmtime's.
//!
//! Everything used of Wasmtime is public, but hidden from its documentation, as the traits of
//! value.rs and bridge.rs are: the version is pinned, the compiler checks the types of the entry,
//! and what it cannot check is compared with what Wasmtime says before a shortcut opens. If any of
//! it does not fit, calls stay on Wasmtime's way.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::__internal::wasmtime_environ::component::LoweredIndex;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lower};
use wasmtime::{Result, ValRaw};

use crate::host::{CALL_OK, Slice};
use crate::instance::SharedRef;

/// The type of the functions in the table; Wasmtime's name for it is `VMLoweringCallee`.
pub type Callee = unsafe extern "C" fn(
    context: *mut c_void,
    data: *mut c_void,
    ty: u32,
    options: u32,
    values: *mut ValRaw,
    count: usize,
) -> bool;

/// Guests that call less often are not worth it.
const CALLS_BEFORE: u32 = 2;

/// A function that has a shortcut. It is the only thing that the closure given to Wasmtime
/// captures, so its address is the entry's word of data.
#[derive(Clone, Copy)]
pub struct Anchor(*const c_void);

impl Anchor {
    pub fn of<T>(captured: &T) -> Anchor {
        Anchor(std::ptr::from_ref(captured).cast())
    }
}

// SAFETY: an address, behind which nobody looks but who knows that it is alive.
unsafe impl Send for Anchor {}
// SAFETY: as above.
unsafe impl Sync for Anchor {}

/// How Wasmtime describes a linear memory to compiled code.
#[repr(C)]
struct Memory {
    base: *mut u8,
    length: AtomicUsize,
}

/// One replaced entry. `Wasmtime` reaches it through the entry's word of data.
pub struct Shortcut {
    shared: SharedRef,
    anchor: *const c_void,
    /// What was there before.
    callee: Callee,
    data: *mut c_void,
    /// The options of the call that is being handed on.
    seen: Cell<Option<u32>>,
    /// The options that `memory` belongs to.
    options: Cell<Option<u32>>,
    memory: Cell<*const Memory>,
    most_bytes: usize,
}

/// The shortcuts of one guest.
#[derive(Default)]
pub struct Shortcuts {
    calls: Cell<u32>,
    /// Of guests that call often: most that wait for a message have none.
    opened: OnceCell<Box<Opened>>,
}

#[derive(Default)]
struct Opened {
    all: RefCell<Vec<Box<Shortcut>>>,
    early: Cell<Option<Early>>,
}

/// What a shortcut has got already for a call that it hands on.
pub enum Early {
    /// C was called and said this.
    Code(u32),
    Panic(Box<dyn Any + Send>),
}

impl Shortcuts {
    /// For the old way: what C said already, if it was called. A panic goes on where it can.
    pub fn take_early(&self) -> Option<u32> {
        match self.opened.get()?.early.take()? {
            Early::Code(code) => Some(code),
            Early::Panic(panic) => resume_unwind(panic),
        }
    }

    /// How many calls of functions that have a shortcut took the old way. Counted there only, where
    /// it decides when shortcuts open.
    pub fn long_calls(&self) -> u32 {
        self.calls.get()
    }

    fn opened(&self) -> &Opened {
        self.opened.get_or_init(Box::default)
    }

    /// A call has taken the old way and is about to answer.
    fn look<T>(&self, cx: &mut LowerContext<'_, T>, shared: SharedRef, opener: &Opener) {
        self.calls.set(self.calls.get().saturating_add(1));
        if self.calls.get() <= CALLS_BEFORE {
            return;
        }
        let mut all = self.opened().all.borrow_mut();
        let known = all.iter().find(|one| one.anchor == opener.anchor.0);
        match known {
            Some(shortcut) => shortcut.learn(cx),
            None => all.extend(take_over(cx, shared, opener)),
        }
    }
}

/// Replace the entry through which the call at hand came.
///
/// The loop ends: no shortcut has the anchor yet, so the entry of this call still has the word of
/// data that it was made with, which is the anchor (a test sees to it).
fn take_over<T>(
    cx: &mut LowerContext<'_, T>,
    shared: SharedRef,
    opener: &Opener,
) -> Option<Box<Shortcut>> {
    // Wasmtime asserts in debug builds that an entry is set once.
    if cfg!(debug_assertions) {
        return None;
    }
    let find = |index: &u32| {
        let entry = cx.instance().lowering(LoweredIndex::from_u32(*index));
        std::ptr::eq(entry.data.as_ptr().cast(), opener.anchor.0)
    };
    let index = LoweredIndex::from_u32((0..).find(find)?);
    let mut entry = cx.instance().lowering(index);
    // SAFETY: the entry holds a function of this type; `Callee` has the same parameters, pointers
    // for pointers.
    let callee =
        unsafe { std::mem::transmute::<*mut c_void, Callee>(entry.callee.as_ptr().cast()) };
    let shortcut = Box::new(Shortcut {
        shared,
        anchor: opener.anchor.0,
        callee,
        data: entry.data.as_ptr().cast(),
        seen: Cell::new(None),
        options: Cell::new(None),
        memory: Cell::new(std::ptr::null()),
        most_bytes: shared.prepared().call_bytes().unwrap_or(0),
    });
    entry.callee = NonNull::new(opener.callee as *mut _)?.into();
    entry.data = NonNull::from(&*shortcut).cast().into();
    cx.instance_mut().set_lowering(index, entry);
    Some(shortcut)
}

impl Shortcut {
    /// # Safety
    /// `data` is what a replaced entry gives to its function.
    pub unsafe fn of<'a>(data: *mut c_void) -> &'a Shortcut {
        // SAFETY: the shortcut is boxed by the instance and freed after its store; it is only
        // looked at, by the thread that runs the guest.
        unsafe { &*data.cast::<Shortcut>() }
    }

    /// # Safety
    /// The anchor is that of a captured `T`, which lives as long as the linker.
    pub unsafe fn captured<T>(&self) -> &T {
        // SAFETY: the contract above; an instance keeps what it was linked from.
        unsafe { &*self.anchor.cast::<T>() }
    }

    /// The memory of the call at hand, if it came through this shortcut (the same function can be
    /// imported twice, with two memories), and if it is what Wasmtime says it is.
    fn learn<T>(&self, cx: &mut LowerContext<'_, T>) {
        let (Some(seen), None) = (self.seen.get(), self.options.get()) else {
            return;
        };
        let Some(index) = cx.options().memory() else {
            return;
        };
        let memory: *const Memory = cx.instance().runtime_memory(index).as_ptr().cast();
        let truth = cx.as_slice_mut();
        // SAFETY: Wasmtime's record of a memory is at least these two words, and aligned.
        let (base, length) = unsafe { ((*memory).base, &(*memory).length) };
        if base == truth.as_mut_ptr() && length.load(Ordering::Relaxed) == truth.len() {
            self.memory.set(memory);
            self.options.set(Some(seen));
        }
    }

    /// Bytes of the guest that calls, if they lie in its memory and are not too many.
    pub fn bytes(&self, options: u32, ptr: ValRaw, len: ValRaw) -> Option<Slice> {
        let (ptr, len) = (ptr.get_u32() as usize, len.get_u32() as usize);
        if self.options.get() != Some(options) || len > self.most_bytes {
            return None;
        }
        // SAFETY: `learn` has found the record, which lives in the store of the guest that calls.
        let memory = unsafe { &*self.memory.get() };
        // Relaxed: only the guest's own thread changes the length.
        let end = ptr.checked_add(len)?;
        (end <= memory.length.load(Ordering::Relaxed)).then(|| Slice {
            // SAFETY: inside the memory, as was just seen.
            ptr: unsafe { memory.base.add(ptr) },
            len,
        })
    }

    /// Call C. False: the call is not over, and the old way is to be told why.
    pub fn call(&self, call: impl FnOnce(SharedRef) -> u32) -> bool {
        let early = match catch_unwind(AssertUnwindSafe(|| call(self.shared))) {
            Ok(CALL_OK) => return true,
            Ok(code) => Early::Code(code),
            Err(panic) => Early::Panic(panic),
        };
        self.shared.shortcuts().opened().early.set(Some(early));
        false
    }

    /// The old way.
    ///
    /// # Safety
    /// The arguments are those of the call at hand.
    pub unsafe fn hand_on(
        &self,
        context: *mut c_void,
        ty: u32,
        options: u32,
        values: *mut ValRaw,
        count: usize,
    ) -> bool {
        self.seen.set(Some(options));
        // SAFETY: the same call with the word of data that belongs to the function.
        let done = unsafe { (self.callee)(context, self.data, ty, options, values, count) };
        self.seen.set(None);
        done
    }
}

// ---- answers that open shortcuts ----

/// Which function a call was for, and what to put in its place.
#[derive(Clone, Copy)]
pub struct Opener {
    pub anchor: Anchor,
    pub callee: Callee,
}

impl Opener {
    pub fn look<T>(&self, cx: &mut LowerContext<'_, T>, shared: SharedRef) {
        shared.shortcuts().look(cx, shared, self);
    }
}

/// The answer of a function that answers nothing.
pub struct Nothing {
    pub shared: SharedRef,
    pub opener: Opener,
}

// SAFETY: it passes for the empty list of results in every item.
unsafe impl ComponentType for Nothing {
    type Lower = <() as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <() as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <() as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: as above.
unsafe impl ComponentNamedList for Nothing {}

// SAFETY: an empty list has nothing to write.
unsafe impl Lower for Nothing {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.opener.look(cx, self.shared);
        ().linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        ().linear_lower_to_memory(cx, ty, offset)
    }
}
