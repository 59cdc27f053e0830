// SPDX-License-Identifier: MIT
//! How many mappings of the kernel the slots and stacks of all engines may take together. The kernel
//! bounds them for the whole process (vm.max_map_count), and a process that meets that bound cannot
//! even allocate memory any more; so the bound here is met first.
//!
//! Each pool keeps what it has made. When nothing is left, the others give up what they do not use:
//! room that one class of guests needed yesterday is there for another class today.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};

use crate::slots::lock;

/// A pool that can unmap what is idle. It is called from inside another pool, with locks of that one
/// held, so it may only try to take its own.
pub trait Shed: Send + Sync {
    fn shed(&self);
}

// Relaxed: these count room and publish nothing.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static POOLS: Mutex<Vec<Weak<dyn Shed>>> = Mutex::new(Vec::new());

/// From now on for the whole process; 0: no bound.
pub fn limit(mappings: u64) {
    let most = usize::try_from(mappings).unwrap_or(usize::MAX);
    LIMIT.store(if most == 0 { usize::MAX } else { most }, Ordering::Relaxed);
}

/// This pool can be asked to shed.
pub fn join(pool: Weak<dyn Shed>) {
    let mut pools = lock(&POOLS);
    pools.retain(|other| other.strong_count() > 0);
    pools.push(pool);
}

fn try_take(mappings: usize) -> bool {
    let most = LIMIT.load(Ordering::Relaxed);
    TAKEN
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            let after = taken.checked_add(mappings)?;
            (after <= most).then_some(after)
        })
        .is_ok()
}

pub fn take(mappings: usize) -> bool {
    if try_take(mappings) {
        return true;
    }
    shed();
    try_take(mappings)
}

/// Every pool gives up what it does not use.
pub fn shed() {
    // Strong references are dropped after the lock: the last one of a pool unmaps it.
    let pools: Vec<_> = lock(&POOLS).iter().filter_map(Weak::upgrade).collect();
    pools.iter().for_each(|pool| pool.shed());
}

pub fn give(mappings: usize) {
    TAKEN.fetch_sub(mappings, Ordering::Relaxed);
}
