// SPDX-License-Identifier: MIT
//! WASI 0.2 for components and preview 1 for core modules, both by wasmtime-wasi.
//!
//! Everything is denied until it is granted: standard input is at its end, output goes nowhere,
//! no environment, no arguments, no folders, no sockets and no name look-up.
//!
//! A context is made when a guest first asks for something that needs one. Random numbers are kept
//! apart, because many Rust guests ask for a hash seed and for nothing else: they never see a
//! context, and no reactor is started for them.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::{self, cli, clocks, io, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSockets, WasiSocketsView};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::client::Http;
use crate::error::chain_text;
use crate::files;
use crate::host;
use crate::instance::{SharedRef, State};
use crate::refusals;
use crate::refusals_p1;

/// The version that wasmtime-wasi gives its interfaces; older 0.2 imports resolve to it. A test
/// compares it with what the linker knows.
pub const VERSION: &str = "0.2.12";

/// The interfaces that `add_to_linker` below defines.
pub const INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What one call may ask for, in bytes. They are made on the scheduler, in some milliseconds.
const MAX_RANDOM: u64 = 4 << 20;

/// Handles that one guest may hold, where C sets no number: files, sockets, streams, pollables.
pub const MAX_HANDLES: usize = 10_000;

#[derive(Clone)]
struct Preopen {
    host: PathBuf,
    guest: String,
    perms: FsPerms,
}

/// `struct rusm_engine_wasi`: what a guest may see. `prepare` takes a copy.
#[derive(Clone, Default)]
pub struct Grants {
    env: Vec<(String, String)>,
    args: Vec<String>,
    preopens: Vec<Preopen>,
    stdio: bool,
    network: bool,
}

/// A context in which nothing is granted.
fn denied() -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.max_random_size(MAX_RANDOM);
    builder
}

impl Grants {
    pub fn add_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub fn add_arg(&mut self, arg: &str) {
        self.args.push(arg.to_owned());
    }

    /// The path is made absolute, so that a later change of the working directory changes nothing.
    /// Whether the folder is there is found out when a guest opens it.
    pub fn add_preopen(&mut self, host: &str, guest: &str, read_only: bool) -> std::io::Result<()> {
        let host = std::path::absolute(host)?;
        let perms = if read_only {
            FsPerms::ReadOnly
        } else {
            FsPerms::ReadWrite
        };
        self.preopens.push(Preopen {
            host,
            guest: guest.to_owned(),
            perms,
        });
        Ok(())
    }

    pub fn allow_stdio(&mut self) {
        self.stdio = true;
    }

    pub fn allow_network(&mut self) {
        self.network = true;
    }

    pub fn may_connect(&self) -> bool {
        self.network
    }

    pub fn has_folders(&self) -> bool {
        !self.preopens.is_empty()
    }

    /// None of the folders may be changed.
    pub fn only_reads(&self) -> bool {
        let mut perms = self.preopens.iter().map(|preopen| preopen.perms);
        perms.all(|perms| perms.write_not_permitted())
    }

    fn builder(&self, shared: SharedRef) -> wasmtime::Result<WasiCtxBuilder> {
        let mut builder = denied();
        builder.envs(&self.env).args(&self.args);
        if self.stdio {
            builder
                .inherit_stdin()
                .stdout(Output::Stdout)
                .stderr(Output::Stderr);
        }
        builder.allow_tcp(self.network).allow_udp(self.network);
        builder.allow_ip_name_lookup(self.network);
        if self.network {
            builder.socket_addr_check(move |address, usage| {
                let allowed = is_client_use(address, usage);
                if !allowed {
                    let operation = operation_of(usage);
                    refusals::tell(shared, host::WASI_LISTEN, operation, &address.to_string());
                }
                Box::pin(async move { allowed })
            });
        }
        for preopen in &self.preopens {
            if !files::have_room() {
                refusals::tell(shared, host::WASI_FILES, "preopen", &preopen.guest);
                wasmtime::bail!("{}", files::FULL);
            }
            builder
                .preopened_dir(&preopen.host, &preopen.guest, preopen.perms)
                .map_err(|error| {
                    error.context(format!(
                        "the folder {} cannot be opened",
                        preopen.host.display()
                    ))
                })?;
        }
        Ok(builder)
    }
}

/// The grant is for connecting and for UDP, not for listening. A bind is only let through in the
/// form that connecting implies: any address, any port.
fn is_client_use(address: SocketAddr, usage: SocketAddrUse) -> bool {
    match usage {
        SocketAddrUse::TcpConnect
        | SocketAddrUse::UdpBind
        | SocketAddrUse::UdpSend
        | SocketAddrUse::UdpReceive => true,
        SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

fn operation_of(usage: SocketAddrUse) -> &'static str {
    match usage {
        SocketAddrUse::TcpBind => "tcp bind",
        SocketAddrUse::TcpListen => "tcp listen",
        SocketAddrUse::TcpAccept => "tcp accept",
        _ => "socket",
    }
}

/// Standard output that is written by the blocking pool: a terminal or pipe that nobody reads must
/// not hold up a scheduler.
#[derive(Clone, Copy)]
enum Output {
    Stdout,
    Stderr,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self {
            Output::Stdout => std::io::IsTerminal::is_terminal(&std::io::stdout()),
            Output::Stderr => std::io::IsTerminal::is_terminal(&std::io::stderr()),
        }
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        match self {
            Output::Stdout => Box::new(tokio::io::stdout()),
            Output::Stderr => Box::new(tokio::io::stderr()),
        }
    }
}

struct Context {
    ctx: WasiCtx,
    table: ResourceTable,
}

/// The WASI part of a store's data. Empty until asked for.
#[derive(Default)]
pub struct Wasi {
    /// Nothing of it but the random numbers is used.
    random: Option<Box<WasiCtx>>,
    context: Option<Box<Context>>,
    p1: Option<Box<WasiP1Ctx>>,
    http: Option<Box<Http>>,
}

/// What the guest was granted. If a folder has vanished since, the guest gets nothing at all and
/// is ended with that cause.
fn granted(shared: SharedRef) -> WasiCtxBuilder {
    shared.enter_reactor();
    shared
        .prepared()
        .grants()
        .builder(shared)
        .unwrap_or_else(|error| {
            shared.set_broken(crate::error::chain_text(&error));
            let mut builder = WasiCtxBuilder::new();
            builder.allow_tcp(false).allow_udp(false);
            builder
        })
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let shared = self.shared;
        let context = self.wasi.context.get_or_insert_with(|| {
            let mut table = ResourceTable::new();
            table.set_max_capacity(shared.prepared().handles());
            Box::new(Context {
                ctx: granted(shared).build(),
                table,
            })
        });
        WasiCtxView {
            ctx: &mut context.ctx,
            table: &mut context.table,
        }
    }
}

/// Its handles lie in the table of the context, beside the streams that its bodies are read by.
impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let shared = self.shared;
        WasiView::ctx(self);
        let Wasi { context, http, .. } = &mut self.wasi;
        let http = http.get_or_insert_with(|| Box::new(Http::new(shared)));
        let table = match context {
            Some(context) => &mut context.table,
            None => unreachable!("the line above has made it"),
        };
        WasiHttpCtxView {
            ctx: &mut http.ctx,
            table,
            hooks: &mut http.hooks,
        }
    }
}

fn random_of(state: &mut State) -> &mut WasiRandomCtx {
    state
        .wasi
        .random
        .get_or_insert_with(|| Box::new(denied().build()))
        .random()
}

fn table_of(state: &mut State) -> &mut ResourceTable {
    state.ctx().table
}

fn p1_of(state: &mut State) -> &mut WasiP1Ctx {
    let shared = state.shared;
    state.wasi.p1.get_or_insert_with(|| {
        let mut context = Box::new(granted(shared).build_p1());
        let table = context.ctx().table;
        table.set_max_capacity(shared.prepared().handles());
        context
    })
}

/// The resources of wasi:io live in the table alone.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Errors of wasi:io lie there, too, but what they say is our own business: where RUST_BACKTRACE is
/// set, wasmtime-wasi would show the guest the frames of its host.
struct IoErrors;

struct ErrorTable<'a>(&'a mut ResourceTable);

impl HasData for IoErrors {
    type Data<'a> = ErrorTable<'a>;
}

fn errors_of(state: &mut State) -> ErrorTable<'_> {
    ErrorTable(table_of(state))
}

impl io::error::Host for ErrorTable<'_> {}

impl io::error::HostError for ErrorTable<'_> {
    fn to_debug_string(&mut self, error: Resource<io::error::Error>) -> wasmtime::Result<String> {
        Ok(chain_text(self.0.get(&error)?))
    }

    fn drop(&mut self, error: Resource<io::error::Error>) -> wasmtime::Result<()> {
        self.0.delete(error)?;
        Ok(())
    }
}

/// WASI 0.2 for components. One call an interface, because random numbers go their own way.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let l = linker;
    random::random::add_to_linker::<_, WasiRandom>(l, random_of)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, random_of)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, random_of)?;
    io::error::add_to_linker::<_, IoErrors>(l, errors_of)?;
    io::poll::add_to_linker::<_, Io>(l, table_of)?;
    io::streams::add_to_linker::<_, Io>(l, table_of)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    add_cli(l)?;
    refusals::add_to_linker(l)?;
    add_sockets(l)
}

fn add_cli(l: &mut Linker<State>) -> wasmtime::Result<()> {
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)
}

fn add_sockets(l: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = (&bindings::LinkOptions::default()).into();
    sockets::network::add_to_linker::<_, WasiSockets>(l, &options, State::sockets)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, State::sockets)
}

/// Preview 1 for core modules.
pub fn add_p1_to_linker(linker: &mut wasmtime::Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, p1_of)?;
    refusals_p1::add_to_linker(linker, p1_of)
}
