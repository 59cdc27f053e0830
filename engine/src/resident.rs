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
//!
//! All of this hangs on a count that counts. Where it stands still (a kernel in user space that
//! answers the call and fills in nothing) or may not be read (a filter of system calls), it would
//! tell of every slot that nothing was touched, and the next guest would read the last one's bytes.
//! So whether it counts is tried once, and a read that fails is no witness.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::slots::PAGE;

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

/// What was noted last. Whoever runs a guest in the middle of another one's call restores it.
pub fn noted_guest() -> bool {
    MOVED.get()
}

/// What the kernel says of the page faults of the calling thread, if it may be asked.
fn faults() -> Option<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills the structure, which is valid when it is all zeros, too.
    let (status, usage) = unsafe {
        let status = libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        (status, usage.assume_init())
    };
    (status == 0).then_some((usage.ru_minflt + usage.ru_majflt) as u64)
}

/// Does the first touch of a page count?
fn touch_counts() -> bool {
    // SAFETY: a fresh anonymous mapping, touching nothing that exists.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return false;
    }
    let before = faults();
    // SAFETY: the page that was just made, which nobody else knows.
    unsafe { page.cast::<u8>().write_volatile(1) };
    let after = faults();
    // SAFETY: as above.
    unsafe { libc::munmap(page, PAGE) };
    before.is_some() && before < after
}

/// None: nobody can tell.
fn counted_faults() -> Option<u64> {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    COUNTS.get_or_init(touch_counts).then(faults).flatten()
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

/// The calling thread and its faults, just read; None: they cannot be.
pub struct Present(Option<Witness>);

impl Present {
    pub fn read() -> Present {
        let read = counted_faults();
        Present(read.map(|faults| {
            LAST_READ.set(faults);
            Witness::begin()
        }))
    }

    /// No page has come to what the witness has seen.
    pub fn confirms(&self, witness: Witness) -> bool {
        self.0.is_some_and(|present| {
            witness.thread == present.thread && witness.faults == present.faults
        })
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
pub mod tests {
    use super::*;

    /// From now on a system call of the calling thread does nothing and answers `errno`; 0: it says
    /// that all went well. The thread ends with the test.
    pub fn refuse(call: libc::c_long, errno: libc::c_int) {
        let step = |code: u32, on_false: u8, k: u32| libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: on_false,
            k,
        };
        let mut steps = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0), // its number
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
            step(
                libc::BPF_RET | libc::BPF_K,
                0,
                libc::SECCOMP_RET_ERRNO | errno as u32,
            ),
            step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: both are settings of this thread alone; the kernel copies the program.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let mode = libc::SECCOMP_MODE_FILTER;
            assert_eq!(
                libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
                0
            );
        }
    }

    pub fn in_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().expect("the test passes");
    }

    /// One of a mapping of its own: the heap may have some that were touched.
    fn touch_a_new_page() {
        let _ = touch_counts();
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
    fn a_count_that_may_not_be_read_is_no_witness() {
        // Tried where it counts: the answer holds for the whole process.
        assert!(counted_faults().is_some());
        in_a_thread(|| {
            refuse(libc::SYS_getrusage, libc::EPERM);
            Present::read();
            let witness = Witness::begin().end();
            touch_a_new_page();
            assert!(!Present::read().confirms(witness));
        });
    }

    #[test]
    fn a_count_that_stands_still_is_noticed() {
        assert!(touch_counts());
        in_a_thread(|| {
            refuse(libc::SYS_getrusage, 0);
            assert_eq!(faults(), Some(0));
            assert!(!touch_counts());
        });
    }

    #[test]
    fn nobody_can_tell_about_a_guest_that_moved() {
        Present::read();
        note_guest(true);
        let witness = Witness::begin().end();
        note_guest(false);
        assert!(!Present(Some(Witness::begin())).confirms(witness));
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
