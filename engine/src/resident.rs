// SPDX-License-Identifier: MIT
//! Which pages of a slot hold something, known without asking the kernel.
//!
//! A page that holds nothing yet gets its content by a page fault, and the kernel counts the faults
//! of every thread. So while a thread has had no fault, whatever it touched held something before:
//!
//! ```text
//!     cleaned   the slot's runs are known: a scan told, or nothing has changed since one
//!     taken     a witness remembers the thread and its faults as last read
//!     given     by the same thread, without having run anywhere else
//!     cleaned   the thread's faults are still the same: the runs are, too
//! ```
//!
//! The count is read once for many slots. An old count at `taken` does no harm: faults in between
//! make the witness fail, and then the kernel is asked. A write to a page that so far reads as the
//! shared page of zeros is a fault as well.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

/// More runs than this are not remembered; such a slot is scanned every time.
const RUNS: usize = 6;

thread_local! {
    static THREAD: u64 = next_thread();
    /// The faults of this thread when they were last read.
    static LAST_READ: Cell<u64> = const { Cell::new(0) };
    /// The guest that this thread runs or drops has run on another one.
    static MOVED: Cell<bool> = const { Cell::new(false) };
}

fn next_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A number that no other thread has or will have, and that is not 0.
pub fn own_thread() -> u64 {
    THREAD.with(|own| *own)
}

/// From now on this thread runs or drops a guest, which `moved` if another thread has run it.
pub fn note_guest(moved: bool) {
    MOVED.set(moved);
}

/// Page faults of the calling thread so far.
fn faults() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills the structure; it fails only for addresses and names that are wrong.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    (usage.ru_minflt + usage.ru_majflt) as u64
}

/// Who took a slot, and how many faults that thread had had by then, or fewer.
#[derive(Clone, Copy, Default)]
pub struct Witness {
    /// 0: nobody can tell.
    thread: u64,
    faults: u64,
}

impl Witness {
    /// For a slot that the calling thread takes.
    pub fn begin() -> Witness {
        Witness {
            thread: own_thread(),
            faults: LAST_READ.get(),
        }
    }

    /// The calling thread gives the slot back.
    pub fn end(self) -> Witness {
        if MOVED.get() || self.thread != own_thread() {
            Witness::default()
        } else {
            self
        }
    }
}

/// The calling thread and its faults, just read.
pub struct Present(Witness);

impl Present {
    pub fn read() -> Present {
        LAST_READ.set(faults());
        Present(Witness::begin())
    }

    /// No page has come to what the witness has seen.
    pub fn confirms(&self, witness: Witness) -> bool {
        witness.thread == self.0.thread && witness.faults == self.0.faults
    }
}

/// A page of a slot, counted from its base. A slot has 2^20 of them at most.
type Page = u32;

/// The pages of a slot that hold something, as runs `[from, to)`.
#[derive(Clone, Copy)]
pub struct Runs {
    runs: [(Page, Page); RUNS],
    count: u32,
    /// Runs that did not fit end here at most; 0: all did.
    lost: Page,
}

impl Runs {
    pub const NONE: Runs = Runs {
        runs: [(0, 0); RUNS],
        count: 0,
        lost: 0,
    };

    pub fn add(&mut self, from: Page, to: Page) {
        if from >= to {
            return;
        }
        match self.runs.get_mut(self.count as usize) {
            Some(run) => {
                *run = (from, to);
                self.count += 1;
            }
            None => self.lost = self.lost.max(to),
        }
    }

    /// None if they are not all known.
    pub fn all(&self) -> Option<&[(Page, Page)]> {
        (self.lost == 0).then(|| &self.runs[..self.count as usize])
    }

    /// Both; no page is in either twice.
    pub fn and(mut self, others: Runs) -> Runs {
        self.lost = self.lost.max(others.lost);
        for &(from, to) in &others.runs[..others.count as usize] {
            self.add(from, to);
        }
        self
    }

    /// What lies at `edge` and above.
    pub fn above(&self, edge: Page) -> Runs {
        let mut above = Runs::NONE;
        if self.lost > edge {
            above.lost = self.lost;
        }
        for &(from, to) in &self.runs[..self.count as usize] {
            above.add(from.max(edge), to);
        }
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch_a_new_page() {
        let page = vec![1u8; 1 << 20];
        assert_eq!(std::hint::black_box(&page)[1 << 19], 1);
    }

    #[test]
    fn a_witness_holds_until_a_page_comes() {
        let quiet = || {
            Present::read();
            let witness = Witness::begin().end();
            Present::read().confirms(witness)
        };
        assert!((0..1000).any(|_| quiet()));
        let witness = Witness::begin().end();
        touch_a_new_page();
        assert!(!Present::read().confirms(witness));
    }

    #[test]
    fn nobody_can_tell_about_a_guest_that_moved() {
        Present::read();
        note_guest(true);
        let witness = Witness::begin().end();
        note_guest(false);
        assert!(!Present(Witness::begin()).confirms(witness));
        let elsewhere = std::thread::spawn(Witness::begin).join().expect("no panic");
        assert_eq!(elsewhere.end().thread, 0);
    }

    #[test]
    fn runs_are_cut_at_an_edge_and_bounded() {
        let mut runs = Runs::NONE;
        runs.add(0, 1);
        runs.add(2, 4);
        runs.add(5, 5);
        assert_eq!(runs.all(), Some(&[(0, 1), (2, 4)][..]));
        assert_eq!(runs.above(3).all(), Some(&[(3, 4)][..]));
        for at in 5..5 + RUNS as Page {
            runs.add(at, at + 1);
        }
        let end = 5 + RUNS as Page;
        assert_eq!(runs.all(), None);
        assert_eq!(runs.above(end - 1).all(), None);
        assert_eq!(runs.above(end).all(), Some(&[][..]));
    }
}
