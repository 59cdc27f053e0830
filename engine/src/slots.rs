// SPDX-License-Identifier: MIT
//! Memory slots: where linear memories live, reused without mapping calls.
//!
//! Address space is reserved in groups of sixteen slots, or of fewer where it is scarce (`ulimit -v`);
//! a slot is what a memory may become plus its guard. A slot that comes back is dirty. Dirty slots wait until a group has enough of them and
//! are then cleaned together: the pages that hold something are zeroed in place and stay mapped.
//! Which pages do is known as long as no page fault tells otherwise (src/resident.rs); if one does,
//! `PAGEMAP_SCAN` is asked. So a steady load costs a fraction of one system call a guest, takes no
//! page fault twice, and never shakes the address-space lock.
//!
//! ```text
//!     group   [ slot | guard ][ slot | guard ] ...        one reservation
//!     slot    [ accessible | reserved, not accessible ]   accessible: the size of its last memory
//!     state   CLEAN -> LIVE -> DIRTY -> (cleaned with its group) -> CLEAN
//! ```
//!
//! Nothing is made before it is needed, and then sixteen slots at a time, which takes some twenty
//! microseconds: a pool has no size that somebody waits for. Groups that nobody uses are unmapped
//! when another pool needs their room (src/room.rs).
//!
//! Each thread takes slots from a shard of its own; a slot goes back to the shard it came from. A
//! lock of a shard is contended only by guests that ended on another thread than they began on. When
//! nothing more can be made, other shards are asked.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use crate::pagemap::PageMap;
use crate::resident::{Present, Runs, Witness};
use crate::room;

const GROUP: usize = 16;
/// Slots of a group: the first that the system has addresses for.
const SIZES: [usize; 3] = [GROUP, 4, 1];
/// A group is cleaned when so many of its slots are dirty and nothing else is at hand.
const WORTH_CLEANING: usize = GROUP / 2;
pub const PAGE: usize = 4096;
/// Slots further apart than this are scanned one by one.
const WIDE: usize = 32 << 20;

thread_local! {
    /// A slot or stack was refused on this thread since the flag was last taken.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Remember that the pool, not the guest, is why an instance could not be made.
pub fn note_refusal() {
    REFUSED.set(true);
}

pub fn take_refusal() -> bool {
    REFUSED.replace(false)
}

/// The calling thread's shard of `count`.
pub fn own_shard(count: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| own % count)
}

/// On cache lines of its own, and of those that the processor fetches along. What one thread writes
/// to often must not lie beside what another one does.
#[derive(Default)]
#[repr(align(128))]
pub struct OwnLines<T>(pub T);

/// One engine's hold on a pool. Each memory and each stack of the engine counts itself here, and not
/// at the pool, which several engines share.
pub struct Handle<T>(Arc<OwnLines<Arc<T>>>);

impl<T> Handle<T> {
    pub fn new(pool: &Arc<T>) -> Handle<T> {
        Handle(Arc::new(OwnLines(pool.clone())))
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Handle<T> {
        Handle(self.0.clone())
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

/// Nothing is left half changed by a panic under these locks, so a poisoned one is as good.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    Live,
    Dirty,
}

struct Group {
    /// Null: it was given up, and its place waits for another one.
    base: *mut u8,
    /// How many slots it has. The states of the others are LIVE for ever.
    size: usize,
    state: [State; GROUP],
    accessible: [usize; GROUP],
    /// What may hold something else than zeros, if the witness is right. Of a clean slot: what is
    /// mapped, all zeros. Beyond what is accessible lies what an earlier, larger memory has left.
    resident: [Runs; GROUP],
    witness: [Witness; GROUP],
    clean: usize,
    dirty: usize,
    /// It stands in the queue of groups that are worth cleaning.
    queued: bool,
}

// SAFETY: `base` is a reservation that the group owns; it is used under the lock of its shard.
unsafe impl Send for Group {}

#[derive(Default)]
struct Shard {
    groups: Vec<Group>,
    current: usize,
    worth_cleaning: VecDeque<usize>,
    vacant: Vec<usize>,
}

pub struct Slots {
    shards: Vec<OwnLines<Mutex<Shard>>>,
    reserved: usize,
    stride: usize,
    keep_resident: usize,
    max_slots: usize,
    made: AtomicUsize,
    pagemap: Option<PageMap>,
}

/// Where a slot is.
#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    group: usize,
    slot: usize,
}

impl Slots {
    /// `reserved`: what a memory may become; `guard`: the distance to the next. `keep_resident`:
    /// bytes of a slot that are zeroed in place; what is dirty beyond goes back to the system.
    pub fn new(reserved: usize, guard: usize, keep_resident: usize, max: usize) -> Slots {
        let shards = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Slots {
            shards: (0..shards).map(|_| OwnLines::default()).collect(),
            reserved,
            stride: (reserved + guard).next_multiple_of(PAGE),
            keep_resident,
            max_slots: (max.div_ceil(GROUP) + shards - 1) * GROUP,
            made: AtomicUsize::new(0),
            pagemap: PageMap::open(),
        }
    }

    /// Is a slot what an engine with these numbers asks for?
    pub fn fits(&self, reserved: usize, guard: usize) -> bool {
        self.reserved == reserved && self.stride == (reserved + guard).next_multiple_of(PAGE)
    }

    fn take(&self, bytes: usize) -> Option<(Place, *mut u8)> {
        let count = self.shards.len();
        let own = own_shard(count);
        (own..own + count).find_map(|shard| self.take_from(shard % count, bytes))
    }

    fn take_from(&self, shard_index: usize, bytes: usize) -> Option<(Place, *mut u8)> {
        let mut shard = lock(&self.shards[shard_index].0);
        let group_index = self.group_with_clean(&mut shard)?;
        let group = &mut shard.groups[group_index];
        let slot = group.pick(bytes);
        let base = group.slot_base(slot, self.stride);
        if !self.fit(base, group.accessible[slot], bytes) {
            return None;
        }
        group.accessible[slot] = bytes;
        group.state[slot] = State::Live;
        group.witness[slot] = Witness::begin();
        group.clean -= 1;
        let place = Place {
            shard: shard_index,
            group: group_index,
            slot,
        };
        Some((place, base))
    }

    fn give(&self, place: Place, accessible: usize) {
        let mut shard = lock(&self.shards[place.shard].0);
        let group = &mut shard.groups[place.group];
        group.accessible[place.slot] = accessible;
        group.state[place.slot] = State::Dirty;
        group.witness[place.slot] = group.witness[place.slot].end();
        group.dirty += 1;
        if group.dirty >= WORTH_CLEANING.min(group.size) && !group.queued {
            group.queued = true;
            shard.worth_cleaning.push_back(place.group);
        }
    }

    /// A group with a clean slot: the present one, the one that has waited longest for cleaning, a
    /// new one, and when no more may be made, any with something to clean.
    fn group_with_clean(&self, shard: &mut Shard) -> Option<usize> {
        let current = shard.current;
        if shard.groups.get(current).is_some_and(|g| g.clean > 0) {
            return Some(current);
        }
        let index = self
            .cleaned_group(shard)
            .or_else(|| Some(shard.add(self.new_group()?)))
            .or_else(|| {
                let any = |group: &Group| group.dirty > 0;
                let index = shard.groups.iter().position(any)?;
                self.clean(&mut shard.groups[index]);
                Some(index)
            })?;
        shard.current = index;
        Some(index)
    }

    /// The group that has waited longest for cleaning, cleaned.
    fn cleaned_group(&self, shard: &mut Shard) -> Option<usize> {
        while let Some(index) = shard.worth_cleaning.pop_front() {
            let group = &mut shard.groups[index];
            group.queued = false;
            self.clean(group);
            // One that was emptied in the meantime, when nothing else was left, has none.
            if group.clean > 0 {
                return Some(index);
            }
        }
        None
    }

    /// Room for so many more slots in a group, which is given back with `give_room`.
    fn take_room(&self, size: usize) -> bool {
        let more = |made| (made + size <= self.max_slots).then_some(made + size);
        let place = self
            .made
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if place.is_err() {
            return false;
        }
        let taken = room::take(mappings_of(size));
        if !taken {
            self.made.fetch_sub(size, Ordering::Relaxed);
        }
        taken
    }

    fn give_room(&self, size: usize) {
        self.made.fetch_sub(size, Ordering::Relaxed);
        room::give(mappings_of(size));
    }

    /// Addresses may be used up before mappings are: by groups that lie idle, or because there are so
    /// few that only a smaller group finds any.
    fn new_group(&self) -> Option<Group> {
        self.new_group_of(GROUP).or_else(|| {
            room::shed();
            SIZES.into_iter().find_map(|size| self.new_group_of(size))
        })
    }

    fn new_group_of(&self, size: usize) -> Option<Group> {
        if !self.take_room(size) {
            return None;
        }
        let base = self.reserve(size);
        if base.is_none() {
            self.give_room(size);
        }
        let mut state = [State::Live; GROUP];
        state[..size].fill(State::Clean);
        Some(Group {
            base: base?,
            size,
            state,
            accessible: [0; GROUP],
            resident: [Runs::NONE; GROUP],
            witness: [Witness::default(); GROUP],
            clean: size,
            dirty: 0,
            queued: false,
        })
    }

    /// The addresses of a group.
    fn reserve(&self, size: usize) -> Option<*mut u8> {
        let bytes = self.stride * size;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous reservation, touching nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        if keep_pages_small(base, bytes) {
            return Some(base.cast());
        }
        // SAFETY: the range was just reserved, and nobody has seen it.
        unsafe { libc::munmap(base, bytes) };
        None
    }

    fn give_up(&self, shard: &mut Shard, index: usize) {
        let group = &mut shard.groups[index];
        // SAFETY: no slot of the group is in use, and none is handed out from now on.
        unsafe { libc::munmap(group.base.cast(), self.stride * group.size) };
        group.base = ptr::null_mut();
        group.state = [State::Live; GROUP];
        (group.clean, group.dirty) = (0, 0);
        let size = group.size;
        shard.vacant.push(index);
        self.give_room(size);
    }

    /// Make exactly `bytes` of a clean slot accessible. Clean means zero, so what becomes accessible
    /// later is zero too.
    fn fit(&self, base: *mut u8, accessible: usize, bytes: usize) -> bool {
        match accessible.cmp(&bytes) {
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => protect(base, accessible, bytes, true),
            std::cmp::Ordering::Greater => protect(base, bytes, accessible, false),
        }
    }

    /// Zero every dirty slot of a group: what is known at once, the rest after a look at its pages.
    fn clean(&self, group: &mut Group) {
        let present = Present::read();
        for slot in 0..GROUP {
            if group.state[slot] == State::Dirty && present.confirms(group.witness[slot]) {
                self.clean_known(group, slot);
            }
        }
        if group.dirty > 0 {
            self.clean_unknown(group);
        }
    }

    /// No page has come since the slot was clean.
    fn clean_known(&self, group: &mut Group, slot: usize) {
        let Some(runs) = group.resident[slot].all() else {
            return;
        };
        let base = group.slot_base(slot, self.stride);
        let edge = group.accessible[slot];
        for &(from, to) in runs {
            let (from, to) = (from as usize * PAGE, to as usize * PAGE);
            let bytes = to.min(edge).saturating_sub(from);
            // SAFETY: the accessible part of a dirty slot, which nobody uses; the lock of the shard
            // is held.
            unsafe { ptr::write_bytes(base.wrapping_add(from), 0, bytes) };
        }
        group.settle(slot);
    }

    /// Run by run, so that live neighbours are not looked at.
    fn clean_unknown(&self, group: &mut Group) {
        let mut slot = 0;
        while slot < GROUP {
            let end = (slot..GROUP)
                .find(|&at| group.state[at] != State::Dirty)
                .unwrap_or(GROUP);
            if end > slot {
                self.clean_run(group, slot, end);
            }
            slot = end.max(slot + 1);
        }
    }

    /// Clean slots that lie side by side. Where slots are wide, walking the empty space between them
    /// costs the kernel more than a call for each.
    fn clean_run(&self, group: &mut Group, first: usize, end: usize) {
        let step = if self.stride > WIDE { 1 } else { end - first };
        for at in (first..end).step_by(step) {
            self.clean_at_once(group, at, at + step);
        }
    }

    /// One scan over the slots from `first` to before `end`, all of them dirty.
    fn clean_at_once(&self, group: &mut Group, first: usize, end: usize) {
        let mut kept = [0usize; GROUP];
        let mut found = [Runs::NONE; GROUP];
        let from = group.slot_base(first, self.stride);
        let to = group.slot_base(end - 1, self.stride);
        let last = group.accessible[end - 1];
        let scanned = self.pagemap.as_ref().is_some_and(|pagemap| {
            pagemap.each_touched(from as usize, to as usize + last, |start, stop| {
                // What was accessible in an earlier life may still hold pages, which are zero and
                // must not be touched.
                let slot = (start - group.base as usize) / self.stride;
                let base = group.slot_base(slot, self.stride) as usize;
                let edge = base + group.accessible[slot];
                let bytes = stop.min(edge).saturating_sub(start);
                kept[slot] += bytes;
                if bytes > 0 && kept[slot] <= self.keep_resident {
                    found[slot].add(page(start - base), page(start - base + bytes));
                    // SAFETY: the accessible part of a dirty slot, which nobody uses; the lock of
                    // the shard is held.
                    unsafe { ptr::write_bytes(start as *mut u8, 0, bytes) };
                }
            })
        });
        for slot in first..end {
            let accessible = group.accessible[slot];
            if !scanned || kept[slot] > self.keep_resident {
                discard(group.slot_base(slot, self.stride), accessible);
                found[slot] = Runs::NONE;
            }
            group.resident[slot] = group.resident[slot]
                .above(page(accessible))
                .and(found[slot]);
            group.settle(slot);
        }
    }
}

impl room::Shed for Slots {
    fn shed(&self) {
        for shard in &self.shards {
            let Ok(mut shard) = shard.0.try_lock() else {
                continue;
            };
            for index in 0..shard.groups.len() {
                let group = &shard.groups[index];
                if group.clean + group.dirty == group.size {
                    self.give_up(&mut shard, index);
                }
            }
        }
    }
}

impl Shard {
    fn add(&mut self, group: Group) -> usize {
        // The queue may still name a place that was given up.
        match self.vacant.pop() {
            Some(index) => {
                let queued = self.groups[index].queued;
                self.groups[index] = Group { queued, ..group };
                index
            }
            None => {
                self.groups.push(group);
                self.groups.len() - 1
            }
        }
    }
}

impl Group {
    fn slot_base(&self, slot: usize, stride: usize) -> *mut u8 {
        self.base.wrapping_add(slot * stride)
    }

    /// A dirty slot has become clean.
    fn settle(&mut self, slot: usize) {
        self.state[slot] = State::Clean;
        self.dirty -= 1;
        self.clean += 1;
    }

    /// A clean slot, one of the right size if there is one.
    fn pick(&self, bytes: usize) -> usize {
        let clean = |at: &usize| self.state[*at] == State::Clean;
        (0..GROUP)
            .filter(clean)
            .find(|&at| self.accessible[at] == bytes)
            .or_else(|| (0..GROUP).find(clean))
            .unwrap_or_default()
    }
}

/// Mappings of a group at most: of each slot what is accessible and what is not, and the guard.
fn mappings_of(size: usize) -> usize {
    2 * size + 1
}

/// Which page an offset in a slot is; all of them are small enough.
fn page(offset: usize) -> u32 {
    u32::try_from(offset / PAGE).unwrap_or(u32::MAX)
}

/// A huge page would make a touch of one page cost the zeroing of 512. It would also bring pages
/// without a fault, when the kernel makes one out of small ones, and src/resident.rs would not know
/// of them. EINVAL: this kernel has no huge pages.
fn keep_pages_small(base: *mut libc::c_void, bytes: usize) -> bool {
    // SAFETY: a range that the caller has just reserved.
    let status = unsafe { libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE) };
    status == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}

fn protect(base: *mut u8, from: usize, to: usize, accessible: bool) -> bool {
    let how = if accessible {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_NONE
    };
    // SAFETY: the range lies in a slot that the caller owns.
    unsafe { libc::mprotect(base.add(from).cast(), to - from, how) == 0 }
}

/// Give pages back; they read as zero afterwards.
fn discard(base: *mut u8, bytes: usize) {
    // SAFETY: the accessible part of a dirty slot, which nobody uses.
    let status = unsafe { libc::madvise(base.cast(), bytes, libc::MADV_DONTNEED) };
    assert!(
        status == 0 || bytes == 0,
        "madvise refused to discard pages"
    );
}

impl Drop for Slots {
    fn drop(&mut self) {
        for shard in &self.shards {
            for group in lock(&shard.0).groups.iter().filter(|g| !g.base.is_null()) {
                // SAFETY: no memory is left, each held this.
                unsafe { libc::munmap(group.base.cast(), self.stride * group.size) };
                room::give(mappings_of(group.size));
            }
        }
    }
}

/// A linear memory in its slot.
struct SlotMemory {
    slots: Handle<Slots>,
    place: Place,
    base: *mut u8,
    bytes: usize,
}

impl SlotMemory {
    /// Protection goes by pages.
    fn accessible(&self) -> usize {
        self.bytes.next_multiple_of(PAGE)
    }
}

// SAFETY: the slot belongs to this memory alone until it is given back.
unsafe impl Send for SlotMemory {}
// SAFETY: shared references read the fields only.
unsafe impl Sync for SlotMemory {}

// SAFETY: `base` stays where it is; `bytes` from there are accessible, and everything up to the
// reservation and its guard faults.
unsafe impl LinearMemory for SlotMemory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        self.slots.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let wanted = new_size.next_multiple_of(PAGE);
        if new_size > self.slots.reserved
            || (wanted > self.accessible() && !protect(self.base, self.accessible(), wanted, true))
        {
            wasmtime::bail!("the slot of this memory cannot grow to {new_size} bytes");
        }
        self.bytes = new_size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        self.slots.give(self.place, self.accessible());
    }
}

/// What Wasmtime asks for memories.
pub struct SlotCreator(pub Handle<Slots>);

// SAFETY: memories are zeroed, private, and surrounded by the guard that was asked for.
unsafe impl MemoryCreator for SlotCreator {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let slots = &self.0;
        if reserved.unwrap_or(0) > slots.reserved || slots.reserved + guard > slots.stride {
            return Err("a memory of another shape than the slots of this pool".into());
        }
        if minimum > slots.reserved {
            return Err(format!(
                "a memory of {minimum} bytes does not fit into a slot of {}",
                slots.reserved
            ));
        }
        let Some((place, base)) = slots.take(minimum.next_multiple_of(PAGE)) else {
            note_refusal();
            return Err("no slot for a linear memory is free".into());
        };
        Ok(Box::new(SlotMemory {
            slots: slots.clone(),
            place,
            base,
            bytes: minimum,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resident::tests::{in_a_thread, refuse};

    #[test]
    fn slots_where_huge_pages_may_come_are_not_used() {
        let slots = || Slots::new(PAGE, PAGE, PAGE, GROUP);
        assert!(slots().take(PAGE).is_some());
        in_a_thread(move || {
            refuse(libc::SYS_madvise, libc::ENOMEM);
            let slots = slots();
            assert!(slots.take(PAGE).is_none());
            assert_eq!(slots.made.load(Ordering::Relaxed), 0);
        });
        in_a_thread(move || {
            refuse(libc::SYS_madvise, libc::EINVAL);
            assert!(slots().take(PAGE).is_some());
        });
    }
}
