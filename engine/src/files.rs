// SPDX-License-Identifier: MIT
//! Open files and sockets: a quarter of what the process may open (RLIMIT_NOFILE) is kept from
//! guests, so that however many they hold, connections are accepted and the store works.
//!
//! Nobody counts. The kernel gives out the lowest number that is free; if a guest only opens while
//! that number lies below its share, guests together never hold more than the share.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// Why a guest gets none.
pub const FULL: &str = "guests hold as many open files as they may";

/// The numbers from here on are not for guests.
fn share() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is there and writable.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return u64::MAX;
    }
    limit.rlim_cur - limit.rlim_cur / 4
}

/// The lowest number that is free; None: there is none.
fn lowest_free() -> Option<u64> {
    static ANY: OnceLock<Option<File>> = OnceLock::new();
    let any = ANY.get_or_init(|| File::open("/dev/null").ok()).as_ref()?;
    // SAFETY: duplicates a descriptor that is open.
    let number = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) };
    if number < 0 {
        return None;
    }
    // SAFETY: made above and owned by nobody else; closed at once.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    u64::try_from(number).ok()
}

/// May a guest open one more file or socket?
pub fn have_room() -> bool {
    lowest_free().is_some_and(|number| number < share())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_out_from_below() {
        let before = lowest_free().expect("a free number");
        let held = File::open("/dev/null").expect("/dev/null");
        let after = lowest_free().expect("a free number");
        // Other tests open files meanwhile; what is held is never free.
        assert_ne!(after, held.as_raw_fd() as u64);
        assert!(before < share() && have_room());
    }
}
