// SPDX-License-Identifier: MIT
//! What wasmtime-wasi refuses is told to C, which tells people (`wasi_denied` in the table of host
//! calls). Each interface that can refuse is wrapped: the call goes to wasmtime-wasi as it is, its
//! answer goes to the guest as it is, and C hears of those answers that come from a missing grant.
//!
//! Errors of the kernel are not refusals. Both can read not-permitted, so that alone is not
//! believed: a path must lead out of its folder, or the folder must have been granted for reading.
//! For preview 1 the same is in `refusals_p1.rs`.
//!
//! A component without folders has nothing that it could open a path below, so its own library
//! refuses, unheard. That it asked for its folders is all there is to tell, and no refusal: many
//! libraries ask whether or not they need one.

use wasmtime::Error;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream,
    NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sockets::{
    ip_name_lookup, network, tcp_create_socket, udp_create_socket,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi::p2::{FsError, FsResult, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

use crate::files;
use crate::host::{self, Slice};
use crate::instance::{SharedRef, State};

/// Why: `enum rusm__wasi_refusal`.
pub fn tell(shared: SharedRef, why: u32, operation: &str, target: &str) {
    let (operation, target) = (operation.as_bytes(), target.as_bytes());
    // SAFETY: the guest is the one of this store, whose call this is; the slices are valid during
    // the call.
    unsafe {
        let (operation, target) = (Slice::new(operation), Slice::new(target));
        (shared.host().wasi_denied)(shared.guest(), why, operation, target);
    }
}

/// Does the path lead out of where it starts, by its words alone?
pub fn leads_out(path: &str) -> bool {
    let mut depth = 0i64;
    path.starts_with('/')
        || path.split('/').any(|part| {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth < 0
        })
}

/// What a call does to the folder that it is made in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Reads,
    Changes,
}

/// Which refusal a not-permitted is, if it is one. A path that seems to stay inside may still
/// follow a link out of it; of a change, the kernel may have its own reasons.
pub fn why(path: &str, deed: Deed, read_only: bool) -> Option<u32> {
    match deed {
        _ if leads_out(path) => Some(host::WASI_OUTSIDE),
        Deed::Changes if read_only => Some(host::WASI_READ_ONLY),
        Deed::Changes => None,
        Deed::Reads => Some(host::WASI_OUTSIDE),
    }
}

// ---- files --------------------------------------------------------------------------------------

pub struct Files<'a> {
    inner: WasiFilesystemCtxView<'a>,
    shared: SharedRef,
}

pub struct WatchedFiles;

impl HasData for WatchedFiles {
    type Data<'a> = Files<'a>;
}

fn files(state: &mut State) -> Files<'_> {
    let shared = state.shared;
    Files {
        inner: state.filesystem(),
        shared,
    }
}

/// What is to be told of a call if it is refused, put down before the call takes its arguments.
struct Call {
    operation: &'static str,
    path: String,
    deed: Deed,
    read_only: bool,
}

type Dir = Resource<Descriptor>;

impl Files<'_> {
    fn call(&self, operation: &'static str, dir: &Dir, path: &str, deed: Deed) -> Call {
        let read_only = match self.inner.table.get(dir) {
            Ok(Descriptor::Dir(dir)) => dir.perms.write_not_permitted(),
            Ok(Descriptor::File(file)) => file.perms.write_not_permitted(),
            Err(_) => false, // a trap comes of it
        };
        Call {
            operation,
            path: path.to_owned(),
            deed,
            read_only,
        }
    }

    /// With two paths, the one that leads out is the one to tell.
    fn call_of_two(&self, operation: &'static str, dir: &Dir, one: &str, other: &str) -> Call {
        let path = if leads_out(one) { one } else { other };
        self.call(operation, dir, path, Deed::Changes)
    }

    fn judge<T>(&self, call: Call, result: FsResult<T>) -> FsResult<T> {
        let refused = match &result {
            Err(error) => matches!(error.downcast_ref(), Some(ErrorCode::NotPermitted)),
            Ok(_) => false,
        };
        if refused && let Some(why) = why(&call.path, call.deed, call.read_only) {
            tell(self.shared, why, call.operation, &call.path);
        }
        result
    }

    /// A change of a file that is open: its path is not known any more.
    fn open_file(&self, operation: &'static str, fd: &Dir) -> Call {
        self.call(operation, fd, "an open file", Deed::Changes)
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Dir, String)>> {
        let folders = preopens::Host::get_directories(&mut self.inner)?;
        if folders.is_empty() {
            tell(self.shared, host::WASI_ASKED, "get-directories", "");
        }
        Ok(folders)
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.inner, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.inner, error)
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.inner.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.inner, stream)
    }
}

/// Calls that no grant of ours decides.
macro_rules! as_they_are {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(async fn $name(&mut self, $($arg: $type),*) -> $answer {
            self.inner.$name($($arg),*).await
        })*
    };
}

/// Calls with a path, below a folder.
macro_rules! with_path {
    ($($name:ident, $text:literal, $deed:ident, ($($before:ident: $flags:ty)?),
       ($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(async fn $name(
            &mut self, dir: Dir, $($before: $flags,)? path: String, $($arg: $type),*
        ) -> $answer {
            let call = self.call($text, &dir, &path, Deed::$deed);
            let result = self.inner.$name(dir, $($before,)? path, $($arg),*).await;
            self.judge(call, result)
        })*
    };
}

impl HostDescriptor for Files<'_> {
    as_they_are! {
        advise(fd: Dir, offset: Filesize, len: Filesize, advice: types::Advice) -> FsResult<()>;
        sync_data(fd: Dir) -> FsResult<()>;
        get_flags(fd: Dir) -> FsResult<DescriptorFlags>;
        get_type(fd: Dir) -> FsResult<types::DescriptorType>;
        read(fd: Dir, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)>;
        read_directory(fd: Dir) -> FsResult<Resource<types::DirectoryEntryStream>>;
        sync(fd: Dir) -> FsResult<()>;
        stat(fd: Dir) -> FsResult<types::DescriptorStat>;
        is_same_object(a: Dir, b: Dir) -> wasmtime::Result<bool>;
        metadata_hash(fd: Dir) -> FsResult<types::MetadataHashValue>;
    }

    with_path! {
        create_directory_at, "create-directory-at", Changes, (), () -> FsResult<()>;
        remove_directory_at, "remove-directory-at", Changes, (), () -> FsResult<()>;
        unlink_file_at, "unlink-file-at", Changes, (), () -> FsResult<()>;
        readlink_at, "readlink-at", Reads, (), () -> FsResult<String>;
        stat_at, "stat-at", Reads, (flags: PathFlags), () -> FsResult<types::DescriptorStat>;
        metadata_hash_at, "metadata-hash-at", Reads, (flags: PathFlags), ()
            -> FsResult<types::MetadataHashValue>;
        set_times_at, "set-times-at", Changes, (flags: PathFlags),
            (atim: NewTimestamp, mtim: NewTimestamp) -> FsResult<()>;
    }

    async fn open_at(
        &mut self,
        dir: Dir,
        path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Dir> {
        let changes = open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
        let deed = if changes { Deed::Changes } else { Deed::Reads };
        if !files::have_room() {
            tell(self.shared, host::WASI_FILES, "open-at", &path);
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let call = self.call("open-at", &dir, &path, deed);
        let opened = self.inner.open_at(dir, path_flags, path, open, flags);
        let result = opened.await;
        self.judge(call, result)
    }

    async fn link_at(
        &mut self,
        dir: Dir,
        flags: PathFlags,
        path: String,
        to_dir: Dir,
        to: String,
    ) -> FsResult<()> {
        let call = self.call_of_two("link-at", &to_dir, &path, &to);
        let result = self.inner.link_at(dir, flags, path, to_dir, to).await;
        self.judge(call, result)
    }

    async fn rename_at(&mut self, dir: Dir, path: String, to_dir: Dir, to: String) -> FsResult<()> {
        let call = self.call_of_two("rename-at", &to_dir, &path, &to);
        let result = self.inner.rename_at(dir, path, to_dir, to).await;
        self.judge(call, result)
    }

    async fn symlink_at(&mut self, dir: Dir, path: String, to: String) -> FsResult<()> {
        let call = self.call_of_two("symlink-at", &dir, &path, &to);
        let result = self.inner.symlink_at(dir, path, to).await;
        self.judge(call, result)
    }

    async fn set_size(&mut self, fd: Dir, size: Filesize) -> FsResult<()> {
        let call = self.open_file("set-size", &fd);
        let result = self.inner.set_size(fd, size).await;
        self.judge(call, result)
    }

    async fn set_times(&mut self, fd: Dir, atim: NewTimestamp, mtim: NewTimestamp) -> FsResult<()> {
        let call = self.open_file("set-times", &fd);
        let result = self.inner.set_times(fd, atim, mtim).await;
        self.judge(call, result)
    }

    async fn write(&mut self, fd: Dir, buf: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let call = self.open_file("write", &fd);
        let result = self.inner.write(fd, buf, offset).await;
        self.judge(call, result)
    }

    fn read_via_stream(&mut self, fd: Dir, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.inner.read_via_stream(fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Dir,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let call = self.open_file("write-via-stream", &fd);
        let result = self.inner.write_via_stream(fd, offset);
        self.judge(call, result)
    }

    fn append_via_stream(&mut self, fd: Dir) -> FsResult<Resource<DynOutputStream>> {
        let call = self.open_file("append-via-stream", &fd);
        let result = self.inner.append_via_stream(fd);
        self.judge(call, result)
    }

    fn drop(&mut self, fd: Dir) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.inner, fd)
    }
}

// ---- sockets ------------------------------------------------------------------------------------

/// Without the grant there is no socket, so what it was meant for is not known.
pub struct Sockets<'a> {
    inner: WasiSocketsCtxView<'a>,
    shared: SharedRef,
}

pub struct WatchedSockets;

impl HasData for WatchedSockets {
    type Data<'a> = Sockets<'a>;
}

fn sockets(state: &mut State) -> Sockets<'_> {
    let shared = state.shared;
    Sockets {
        inner: state.sockets(),
        shared,
    }
}

impl Sockets<'_> {
    fn judge(&self, operation: &'static str, target: &str) {
        if !self.shared.prepared().grants().may_connect() {
            tell(self.shared, host::WASI_NETWORK, operation, target);
        }
    }

    /// One more socket.
    fn may_open(&self, operation: &'static str, target: &str) -> SocketResult<()> {
        self.judge(operation, target);
        if files::have_room() {
            return Ok(());
        }
        tell(self.shared, host::WASI_FILES, operation, target);
        Err(network::ErrorCode::NewSocketLimit.into())
    }
}

fn any_address(family: network::IpAddressFamily) -> &'static str {
    match family {
        network::IpAddressFamily::Ipv4 => "an IPv4 address",
        network::IpAddressFamily::Ipv6 => "an IPv6 address",
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(
        &mut self,
        family: network::IpAddressFamily,
    ) -> SocketResult<Resource<TcpSocket>> {
        self.may_open("create-tcp-socket", any_address(family))?;
        self.inner.create_tcp_socket(family)
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(
        &mut self,
        family: network::IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        self.may_open("create-udp-socket", any_address(family))?;
        self.inner.create_udp_socket(family).await
    }
}

impl ip_name_lookup::Host for Sockets<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<network::Network>,
        name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        self.judge("resolve-addresses", &name);
        self.inner.resolve_addresses(network, name)
    }
}

type Lookup = Resource<ip_name_lookup::ResolveAddressStream>;

impl ip_name_lookup::HostResolveAddressStream for Sockets<'_> {
    fn resolve_next_address(&mut self, lookup: Lookup) -> SocketResult<Option<network::IpAddress>> {
        self.inner.resolve_next_address(lookup)
    }

    fn subscribe(&mut self, lookup: Lookup) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.inner, lookup)
    }

    fn drop(&mut self, lookup: Lookup) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.inner, lookup)
    }
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        network::Host::convert_error_code(&mut self.inner, error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        network::Host::network_error_code(&mut self.inner, error)
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.inner, network)
    }
}

/// The interfaces that can refuse.
pub fn add_to_linker(l: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, WatchedFiles>(l, files)?;
    preopens::add_to_linker::<_, WatchedFiles>(l, files)?;
    ip_name_lookup::add_to_linker::<_, WatchedSockets>(l, sockets)?;
    tcp_create_socket::add_to_linker::<_, WatchedSockets>(l, sockets)?;
    udp_create_socket::add_to_linker::<_, WatchedSockets>(l, sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_known() {
        for path in [
            "/",
            "/etc",
            "..",
            "../x",
            "a/../../x",
            "./..",
            "a/b/../../..",
        ] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["", ".", "a", "a/..", "a/../b", "./a//b/..", "...", "..a"] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn the_kernels_own_refusals_are_not_ours() {
        assert_eq!(why("a", Deed::Changes, false), None);
        assert_eq!(why("a", Deed::Changes, true), Some(host::WASI_READ_ONLY));
        assert_eq!(why("../a", Deed::Changes, true), Some(host::WASI_OUTSIDE));
        assert_eq!(why("link", Deed::Reads, true), Some(host::WASI_OUTSIDE));
    }
}
