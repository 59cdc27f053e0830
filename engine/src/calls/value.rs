// SPDX-License-Identifier: MIT
//! Results that lie in memory of C. Each is lowered as the plain type that it stands for, from
//! where it is, so the only copy is the one into the guest. The owner is released when the value
//! is dropped: after the copy, when the copy failed, or when the guest was ended in the middle of
//! it (lowering runs the guest's allocator).

use std::ffi::c_void;
use std::mem::MaybeUninit;

use wasmtime::Result;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentType, Lower};

use crate::error::Stop;
use crate::host::{Bytes, HostCalls, Slice, SlicePair};

/// What C wants back.
pub struct Owner {
    host: &'static HostCalls,
    owner: *mut c_void,
}

impl Owner {
    pub fn new(host: &'static HostCalls, owner: *mut c_void) -> Owner {
        Owner { host, owner }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.owner.is_null() {
            // SAFETY: C handed out the owner for exactly this, once.
            unsafe { (self.host.release)(self.owner) };
        }
    }
}

// SAFETY: an instance is used by one thread at a time, and these values never leave it.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

/// A text of C, already checked to be UTF-8. Valid as long as its owner, kept beside it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(Slice);

// SAFETY: as for Owner.
unsafe impl Send for Text {}
// SAFETY: as for Owner.
unsafe impl Sync for Text {}

impl Text {
    /// # Safety
    /// The slice came from C and stays valid while the value is used.
    pub unsafe fn new(slice: Slice, call: &str) -> Result<Text, Stop> {
        // SAFETY: the caller vouches for the slice.
        let bytes = unsafe { slice.bytes() };
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Text(slice)),
            Err(_) => Err(Stop::Broken(format!(
                "host->{call} gave a text that is not UTF-8"
            ))),
        }
    }

    /// # Safety
    /// As for `new`, for the array and every slice in it.
    unsafe fn check_all(slices: *const Slice, count: usize, call: &str) -> Result<(), Stop> {
        for index in 0..count {
            // SAFETY: the caller vouches for the array.
            unsafe { Text::new(slices.add(index).read(), call)? };
        }
        Ok(())
    }

    fn as_str(&self) -> &str {
        // SAFETY: `new` has checked it, and C keeps it as it is while the owner is held.
        unsafe { std::str::from_utf8_unchecked(self.0.bytes()) }
    }
}

/// Bytes of C.
pub struct HostBytes {
    slice: Slice,
    _owner: Owner,
}

// SAFETY: as for Owner.
unsafe impl Send for HostBytes {}
// SAFETY: as for Owner.
unsafe impl Sync for HostBytes {}

impl HostBytes {
    /// # Safety
    /// The bytes came from C, which keeps them until they are released.
    pub unsafe fn new(host: &'static HostCalls, bytes: Bytes) -> HostBytes {
        let slice = Slice {
            ptr: bytes.ptr,
            len: bytes.len,
        };
        HostBytes {
            slice,
            _owner: Owner::new(host, bytes.owner),
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: C keeps the bytes until the owner, held here, is released.
        unsafe { self.slice.bytes() }
    }
}

/// One text of C with its owner.
pub struct HostText {
    text: Text,
    _owner: Owner,
}

impl HostText {
    /// # Safety
    /// As for HostBytes::new.
    pub unsafe fn new(
        host: &'static HostCalls,
        bytes: Bytes,
        call: &str,
    ) -> Result<HostText, Stop> {
        let owner = Owner::new(host, bytes.owner);
        // SAFETY: the caller vouches for the bytes.
        let text = unsafe {
            Text::new(
                Slice {
                    ptr: bytes.ptr,
                    len: bytes.len,
                },
                call,
            )?
        };
        Ok(HostText {
            text,
            _owner: owner,
        })
    }

    fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

/// A list of texts of C.
pub struct HostTexts {
    texts: *const Text,
    count: usize,
    _owner: Owner,
}

// SAFETY: as for Owner.
unsafe impl Send for HostTexts {}
// SAFETY: as for Owner.
unsafe impl Sync for HostTexts {}

impl HostTexts {
    /// # Safety
    /// The array and its slices came from C, which keeps them until the owner is released.
    pub unsafe fn new(
        owner: Owner,
        slices: *const Slice,
        count: usize,
        call: &str,
    ) -> Result<HostTexts, Stop> {
        // SAFETY: the caller vouches for the array.
        unsafe { Text::check_all(slices, count, call)? };
        Ok(HostTexts {
            texts: slices.cast(),
            count,
            _owner: owner,
        })
    }

    fn as_slice(&self) -> &[Text] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: Text is a transparent Slice; `new` has checked all of them.
        unsafe { std::slice::from_raw_parts(self.texts, self.count) }
    }
}

/// A list of pids of C.
pub struct HostPids {
    pids: *const u64,
    count: usize,
    _owner: Owner,
}

// SAFETY: as for Owner.
unsafe impl Send for HostPids {}
// SAFETY: as for Owner.
unsafe impl Sync for HostPids {}

impl HostPids {
    /// # Safety
    /// The array came from C, which keeps it until the owner is released.
    pub unsafe fn new(
        host: &'static HostCalls,
        pids: *const u64,
        count: usize,
        owner: *mut c_void,
    ) -> HostPids {
        HostPids {
            pids,
            count,
            _owner: Owner::new(host, owner),
        }
    }

    fn as_slice(&self) -> &[u64] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: C keeps the array until the owner, held here, is released.
        unsafe { std::slice::from_raw_parts(self.pids, self.count) }
    }
}

/// Pairs of texts. There are few, and they are asked for once in the life of a process.
///
/// # Safety
/// The array and its slices came from C and stay valid while the result is used.
pub unsafe fn pairs(
    pairs: *const SlicePair,
    count: usize,
    call: &str,
) -> Result<Vec<(Text, Text)>, Stop> {
    let mut texts = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the caller vouches for the array.
        let SlicePair { name, value } = unsafe { pairs.add(index).read() };
        // SAFETY: the caller vouches for the slices.
        unsafe { texts.push((Text::new(name, call)?, Text::new(value, call)?)) };
    }
    Ok(texts)
}

/// Make a type pass for another at the border to the guest: `$plain` is what it is lowered as.
macro_rules! lower_as {
    ($type:ty, $plain:ty, $view:ident) => {
        // SAFETY: every item is the one of the plain type, whose implementation is Wasmtime's.
        unsafe impl ComponentType for $type {
            type Lower = <$plain as ComponentType>::Lower;

            const ABI: CanonicalAbiInfo = <$plain as ComponentType>::ABI;

            fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
                <$plain as ComponentType>::typecheck(ty, types)
            }
        }

        // SAFETY: both functions lower a value of the plain type, for which `ty` was checked.
        unsafe impl Lower for $type {
            fn linear_lower_to_flat<T>(
                &self,
                cx: &mut LowerContext<'_, T>,
                ty: InterfaceType,
                dst: &mut MaybeUninit<Self::Lower>,
            ) -> Result<()> {
                self.$view().linear_lower_to_flat(cx, ty, dst)
            }

            fn linear_lower_to_memory<T>(
                &self,
                cx: &mut LowerContext<'_, T>,
                ty: InterfaceType,
                offset: usize,
            ) -> Result<()> {
                self.$view().linear_lower_to_memory(cx, ty, offset)
            }
        }
    };
}

// SAFETY: every item is the one of a list of bytes, whose implementation is Wasmtime's.
unsafe impl ComponentType for HostBytes {
    type Lower = <[u8] as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: what is written is the list of bytes for which `ty` was checked.
unsafe impl Lower for HostBytes {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.as_slice().linear_lower_to_flat(cx, ty, dst)
    }

    /// Wasmtime's looks the memory up for the bytes, the pointer and the length; once is enough.
    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        let bytes = self.as_slice();
        let place = cx.realloc(0, 0, 1, bytes.len())?;
        let (ptr, len) = (u32::try_from(place)?, u32::try_from(bytes.len())?);
        let memory = cx.as_slice_mut();
        memory[place..][..bytes.len()].copy_from_slice(bytes);
        memory[offset..][..4].copy_from_slice(&ptr.to_le_bytes());
        memory[offset + 4..][..4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }
}

lower_as!(HostText, str, as_str);
lower_as!(Text, str, as_str);
lower_as!(HostTexts, [Text], as_slice);
lower_as!(HostPids, [u64], as_slice);
