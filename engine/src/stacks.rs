// SPDX-License-Identifier: MIT
//! Fiber stacks, kept for reuse. A stack is made once, with a guard page below it, and then passed
//! from guest to guest: Wasm cannot read it, so it is not cleaned in between. Sharded by thread
//! as the memory slots are.

use std::ops::Range;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{StackCreator, StackMemory};

use crate::room;
use crate::slots::{Handle, OwnLines, PAGE, lock, note_refusal, own_shard};

/// A stack and its guard page.
const STACK_MAPPINGS: usize = 2;

pub struct Stacks {
    shards: Vec<OwnLines<Mutex<Vec<Stack>>>>,
    bytes: usize,
    max: usize,
    made: AtomicUsize,
}

/// One mapping: a guard page, then the stack.
#[derive(Clone, Copy)]
struct Stack {
    base: *mut u8,
    shard: usize,
}

// SAFETY: a stack is owned by one holder at a time.
unsafe impl Send for Stack {}

impl Stacks {
    pub fn new(bytes: usize, max: usize) -> Stacks {
        let shards = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Stacks {
            shards: (0..shards).map(|_| OwnLines::default()).collect(),
            bytes: bytes.next_multiple_of(PAGE),
            max,
            made: AtomicUsize::new(0),
        }
    }

    /// Is a stack what an engine with this number asks for?
    pub fn fits(&self, bytes: usize) -> bool {
        self.bytes == bytes.next_multiple_of(PAGE)
    }

    fn take(&self) -> Option<Stack> {
        let own = own_shard(self.shards.len());
        if let Some(stack) = lock(&self.shards[own].0).pop() {
            return Some(stack);
        }
        // All have been made: those that are free lie in other shards.
        self.make(own)
            .or_else(|| self.shards.iter().find_map(|shard| lock(&shard.0).pop()))
    }

    fn make(&self, shard: usize) -> Option<Stack> {
        if self.made.fetch_add(1, Ordering::Relaxed) >= self.max || !room::take(STACK_MAPPINGS) {
            self.made.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let base = map_stack(self.bytes + PAGE);
        if base.is_none() {
            self.made.fetch_sub(1, Ordering::Relaxed);
            room::give(STACK_MAPPINGS);
        }
        base.map(|base| Stack { base, shard })
    }

    fn unmap(&self, stack: &Stack) {
        // SAFETY: the whole mapping of a stack that is in no list and that no guest has.
        unsafe { libc::munmap(stack.base.cast(), self.bytes + PAGE) };
        self.made.fetch_sub(1, Ordering::Relaxed);
        room::give(STACK_MAPPINGS);
    }
}

fn map_stack(bytes: usize) -> Option<*mut u8> {
    // SAFETY: a fresh anonymous mapping.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the first page of the mapping that was just made.
    if unsafe { libc::mprotect(base, PAGE, libc::PROT_NONE) } != 0 {
        // SAFETY: as above; nobody has seen it.
        unsafe { libc::munmap(base, bytes) };
        return None;
    }
    Some(base.cast())
}

impl room::Shed for Stacks {
    fn shed(&self) {
        for shard in &self.shards {
            if let Ok(mut idle) = shard.0.try_lock() {
                idle.drain(..).for_each(|stack| self.unmap(&stack));
            }
        }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        for shard in &self.shards {
            for stack in lock(&shard.0).drain(..) {
                self.unmap(&stack);
            }
        }
    }
}

/// A stack in use.
struct Borrowed {
    stacks: Handle<Stacks>,
    stack: Stack,
}

// SAFETY: the stack belongs to one guest until this is dropped.
unsafe impl Send for Borrowed {}
// SAFETY: shared references read the addresses only.
unsafe impl Sync for Borrowed {}

// SAFETY: the range is mapped for reading and writing, page aligned, above a page that faults.
unsafe impl StackMemory for Borrowed {
    fn top(&self) -> *mut u8 {
        self.stack.base.wrapping_add(PAGE + self.stacks.bytes)
    }

    fn range(&self) -> Range<usize> {
        let low = self.stack.base as usize + PAGE;
        low..low + self.stacks.bytes
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.stack.base..self.stack.base.wrapping_add(PAGE)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        lock(&self.stacks.shards[self.stack.shard].0).push(self.stack);
    }
}

/// What Wasmtime asks for stacks.
pub struct BorrowStacks(pub Handle<Stacks>);

// SAFETY: stacks are as large as was asked for and have a guard page.
unsafe impl StackCreator for BorrowStacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        if size > self.0.bytes || zeroed {
            wasmtime::bail!("a stack of another shape than those of this pool");
        }
        let Some(stack) = self.0.take() else {
            note_refusal();
            wasmtime::bail!("no stack for a guest is free");
        };
        Ok(Box::new(Borrowed {
            stacks: self.0.clone(),
            stack,
        }))
    }
}
