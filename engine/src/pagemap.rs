// SPDX-License-Identifier: MIT
//! Which pages of a range has anybody touched? Linux answers since 6.7 with one ioctl on
//! /proc/self/pagemap (PAGEMAP_SCAN(2)). Where it cannot be had, callers do without.

use std::fs::File;
use std::os::fd::AsRawFd;

// linux/fs.h
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
const REGIONS: usize = 128;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl =
    (3 << 30 | (std::mem::size_of::<ScanArg>() << 16) | (b'f' as usize) << 8 | 16) as libc::Ioctl;

pub struct PageMap(File);

impl PageMap {
    /// None where the kernel does not offer the scan.
    pub fn open() -> Option<PageMap> {
        let map = PageMap(File::open("/proc/self/pagemap").ok()?);
        let probe = &raw const map as usize & !(crate::slots::PAGE - 1);
        map.each_touched(probe, probe + crate::slots::PAGE, |_, _| {})
            .then_some(map)
    }

    /// Call `found(start, end)` for each run of pages in the range that hold something else than
    /// the zeros they began with: present or swapped out, and not the zero page. False if the
    /// kernel refused, possibly after some calls.
    pub fn each_touched(
        &self,
        from: usize,
        to: usize,
        mut found: impl FnMut(usize, usize),
    ) -> bool {
        let mut regions = [Region::default(); REGIONS];
        let mut start = from as u64;
        while start < to as u64 {
            let mut arg = ScanArg {
                size: std::mem::size_of::<ScanArg>() as u64,
                start,
                end: to as u64,
                vec: regions.as_mut_ptr() as u64,
                vec_len: REGIONS as u64,
                category_inverted: PAGE_IS_PFNZERO,
                category_mask: PAGE_IS_PFNZERO,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                ..ScanArg::default()
            };
            // SAFETY: the argument is laid out as the kernel wants it and outlives the call.
            let count = unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg) };
            if count < 0 || arg.walk_end <= start {
                return false;
            }
            for region in &regions[..usize::try_from(count).unwrap_or(0).min(REGIONS)] {
                found(region.start as usize, region.end as usize);
            }
            start = arg.walk_end;
        }
        true
    }
}
