// SPDX-License-Identifier: MIT
//! Compiled code on disk. It is trusted code: whoever can write an entry can run native code in
//! this process. So the folder must be ours alone (mode 0700, our user), and it is held open and
//! reached only through that descriptor.
//!
//!     <64 hex digits>     an entry; the name is its key
//!     .<name>             an entry that is being written, renamed when complete
//!
//!     entry:  magic 16 | key 32 | SHA-256 of the code 32 | code
//!
//! The key is SHA-256 over the guest's bytes, Wasmtime's hash of everything that its compiler
//! depends on, and the class of the engine. An entry that does not check out is removed and made
//! anew, never run.
//!
//! Two nodes may share a folder. Entries are complete when they get their name, and the last one
//! wins with equal content. Nothing is synced to the disk: what a crash leaves behind fails its
//! checksum and is compiled again.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine as Wasmtime, Module, Precompiled};

use crate::artifact::Code;

const MAGIC: [u8; 16] = *b"rusm compiled 1\n";
const HEADER: usize = 16 + 32 + 32;
/// Larger than any code that Wasmtime makes from the 4 GiB that a Wasm file can have at most.
const MAX_ENTRY: u64 = 4 << 30;
/// A temporary file of this age belongs to nobody any more.
const STALE_SECONDS: i64 = 3600;

/// Distinguishes the temporary files of one process. Relaxed: only uniqueness counts.
static SERIAL: AtomicU64 = AtomicU64::new(0);

pub struct Key {
    digest: [u8; 32],
    name: String,
}

pub struct Cache {
    folder: OwnedFd,
    max_bytes: u64,
    /// What every key of this engine begins with.
    seed: [u8; 32],
}

/// Lets Wasmtime write its compatibility hash into a digest that is the same in every process.
struct Feed(Sha256);

impl Hasher for Feed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(std::array::from_fn(|index| digest[index]))
    }
}

fn seed_of(class: [u8; 32], engine: &Wasmtime) -> [u8; 32] {
    let mut feed = Feed(Sha256::new());
    feed.write(&MAGIC);
    feed.write(&class);
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.0.finalize().into()
}

impl Cache {
    /// The folder is made if it is not there. The error says why it stays unused.
    pub fn open(
        path: &Path,
        max_bytes: u64,
        class: [u8; 32],
        engine: &Wasmtime,
    ) -> Result<Cache, String> {
        let folder = open_folder(path)
            .map_err(|why| format!("compiled code is not kept: {}: {why}", path.display()))?;
        Ok(Cache {
            folder,
            max_bytes,
            seed: seed_of(class, engine),
        })
    }

    pub fn key(&self, wasm: &[u8]) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(wasm);
        let digest: [u8; 32] = hash.finalize().into();
        let name = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Key { digest, name }
    }

    /// The code of an entry that checks out. Any other is removed.
    pub fn load(&self, key: &Key, engine: &Wasmtime) -> Option<Code> {
        let loaded = match self.read(key) {
            Ok(bytes) => code_of(&bytes, key, engine),
            Err(Errno::NOENT) => return None,
            Err(_) => None,
        };
        match loaded {
            // Its turn to be removed comes later now. A failure only makes it come earlier.
            Some(_) => drop(self.touch(key)),
            // If it cannot be removed either, the next start finds it damaged again.
            None => drop(rustix::fs::unlinkat(
                &self.folder,
                &key.name,
                AtFlags::empty(),
            )),
        }
        loaded
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.folder, &key.name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        let size = u64::try_from(stat.st_size).map_err(|_| Errno::INVAL)?;
        if !is_ours(&stat, FileType::RegularFile, 0o022) || size > MAX_ENTRY {
            return Err(Errno::PERM);
        }
        let mut bytes = Vec::new();
        let room = usize::try_from(size).map_err(|_| Errno::FBIG)?;
        bytes
            .try_reserve_exact(room + 1)
            .map_err(|_| Errno::NOMEM)?;
        let mut file = File::from(file).take(size + 1);
        file.read_to_end(&mut bytes).map_err(errno)?;
        Ok(bytes)
    }

    fn touch(&self, key: &Key) -> Result<(), Errno> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::utimensat(&self.folder, &key.name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Keep the code. A cache that cannot be written (full disk) costs time at the next start and
    /// nothing else, so no error comes out of here.
    pub fn store(&self, key: &Key, code: &Code) {
        let Ok(bytes) = code.serialize() else { return };
        if bytes.len() as u64 + HEADER as u64 > self.max_bytes.min(MAX_ENTRY) {
            return;
        }
        if self.write(key, &bytes).is_ok() {
            self.prune();
        }
    }

    fn write(&self, key: &Key, code: &[u8]) -> Result<(), Errno> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let pid = rustix::process::getpid().as_raw_nonzero();
        let temporary = format!(".{}-{pid}-{serial}", key.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let written = write_entry(File::from(file), key, code)
            .and_then(|()| rustix::fs::renameat(&self.folder, &temporary, &self.folder, &key.name));
        if written.is_err() {
            // What stays behind is removed as stale later.
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        written
    }

    /// Remove stale temporary files, and the entries that have not been used for the longest time
    /// until the rest is within the bound. Another node may do the same: what is gone is gone.
    fn prune(&self) {
        let Ok(mut entries) = self.list() else { return };
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let mut total = 0u64;
        for entry in entries {
            total = total.saturating_add(entry.bytes);
            if total > self.max_bytes {
                let _ = rustix::fs::unlinkat(&self.folder, &*entry.name, AtFlags::empty());
            }
        }
    }

    fn list(&self) -> Result<Vec<Entry>, Errno> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let mut entries = Vec::new();
        for item in Dir::read_from(&self.folder)? {
            let item = item?;
            let name = OsStr::from_bytes(item.file_name().to_bytes());
            let Ok(stat) = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let hidden = item.file_name().to_bytes().first() == Some(&b'.');
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                continue;
            }
            if hidden && stat.st_mtime < now - STALE_SECONDS {
                let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
            }
            if !hidden {
                entries.push(Entry::new(name, &stat));
            }
        }
        Ok(entries)
    }
}

struct Entry {
    name: std::ffi::OsString,
    bytes: u64,
    used: (i64, i64),
}

impl Entry {
    fn new(name: &OsStr, stat: &Stat) -> Entry {
        let used = (stat.st_mtime, stat.st_mtime_nsec as i64);
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        Entry {
            name: name.to_owned(),
            bytes,
            used,
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Of the given type, owned by us, and without any of the forbidden mode bits.
fn is_ours(stat: &Stat, kind: FileType, forbidden: u32) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_mode & forbidden == 0
}

fn open_folder(path: &Path) -> Result<OwnedFd, String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| error.to_string())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| format!("it cannot be opened as a folder: {error}"))?;
    let stat = rustix::fs::fstat(&folder).map_err(|error| error.to_string())?;
    if !is_ours(&stat, FileType::Directory, 0o077) {
        return Err("it must belong to this user and have mode 0700".to_owned());
    }
    Ok(folder)
}

fn checksum(code: &[u8]) -> [u8; 32] {
    Sha256::digest(code).into()
}

fn write_entry(mut file: File, key: &Key, code: &[u8]) -> Result<(), Errno> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&key.digest);
    header.extend_from_slice(&checksum(code));
    file.write_all(&header)
        .and_then(|()| file.write_all(code))
        .map_err(errno)
}

fn code_of(entry: &[u8], key: &Key, engine: &Wasmtime) -> Option<Code> {
    let (header, code) = entry.split_at_checked(HEADER)?;
    let expected = [&MAGIC[..], &key.digest, &checksum(code)].concat();
    if header != expected {
        return None;
    }
    // SAFETY: the entry lies in a folder that only this user can write, its key covers the version
    // and settings of the compiler, and its checksum says that it is what was written.
    unsafe {
        match Wasmtime::detect_precompiled(code)? {
            Precompiled::Component => Component::deserialize(engine, code)
                .ok()
                .map(Code::Component),
            Precompiled::Module => Module::deserialize(engine, code).ok().map(Code::Module),
        }
    }
}
