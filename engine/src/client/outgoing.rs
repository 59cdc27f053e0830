// SPDX-License-Identifier: MIT
//! `wasi:http` of guests: their requests, by the client of this folder. Answering requests is not
//! offered here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::add_only_http_to_linker_async;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result as HttpResult, WasiBody, WasiHttpCtx, WasiHttpHooks,
};

use super::connect::{ConnectError, Place, reach};
use crate::files;
use crate::host;
use crate::instance::{SharedRef, State};
use crate::refusals::tell;

/// The version that wasmtime-wasi-http gives its interfaces.
pub const VERSION: &str = "0.2.12";
pub const INTERFACES: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/types"];

/// Requests of one guest that are under way, their answers' bodies included.
const REQUESTS: usize = 64;

/// Bytes of the headers of one request: what a handle may make the host hold, more or less
/// (`handles` in src/sandbox/component.c).
const FIELDS: usize = 32 << 10;

/// Where the guest says nothing, and the most that it may say.
const CONNECT: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(600);

type Answer = Result<(http::Response<WasiBody>, Io), Error>;
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The HTTP part of a store's data. Made when a guest first asks.
pub struct Http {
    pub ctx: WasiHttpCtx,
    pub hooks: Hooks,
}

impl Http {
    pub fn new(shared: SharedRef) -> Http {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(FIELDS);
        Http {
            ctx,
            hooks: Hooks {
                shared,
                room: Arc::new(Semaphore::new(REQUESTS)),
            },
        }
    }
}

pub struct Hooks {
    shared: SharedRef,
    room: Arc<Semaphore>,
}

impl Hooks {
    /// Refused before anything is looked up or connected to; C tells people.
    fn is_denied(&self, request: &http::Request<WasiBody>) -> bool {
        if self.shared.prepared().grants().may_connect() {
            return false;
        }
        let target = request.uri().authority().map_or("", |to| to.as_str());
        tell(self.shared, host::WASI_HTTP, "request", target);
        true
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = HttpResult<(http::Response<WasiBody>, Io)>> + Send> {
        let permit = self.room.clone().try_acquire_owned();
        let denied = self.is_denied(&request);
        Box::new(async move {
            if denied {
                return Err(Error::HttpRequestDenied);
            }
            let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
            if !files::have_room() {
                return Err(Error::ConnectionLimitReached);
            }
            send(request, options.unwrap_or_default(), permit).await
        })
    }
}

fn error_of(error: ConnectError) -> Error {
    match error {
        ConnectError::Unknown(_) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        ConnectError::Forbidden => Error::DestinationIpProhibited,
        ConnectError::Refused(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Error::ConnectionRefused
        }
        ConnectError::Refused(error) => Error::Connect(error),
        ConnectError::Tls(error) => Error::Tls(error),
        ConnectError::Http(error) => Error::Hyper(error),
    }
}

/// The packet names the path alone: the place is where it goes.
fn to_path(request: &mut http::Request<WasiBody>) -> Result<(), Error> {
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
    *request.uri_mut() = http::Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(())
}

async fn send(
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let limit = |given: Option<Duration>, most: Duration| given.map_or(most, |time| time.min(most));
    let place = Place::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    to_path(&mut request)?;
    let connect = limit(options.connect_timeout, CONNECT);
    // The grant is for any address, as that of wasi:sockets is.
    let (mut sender, driver) = tokio::time::timeout(connect, reach(&place, |_| true))
        .await
        .map_err(|_| Error::ConnectionTimeout)?
        .map_err(error_of)?;
    let first = limit(options.first_byte_timeout, WAIT);
    let response = tokio::time::timeout(first, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let between = limit(options.between_bytes_timeout, WAIT);
    let response = response.map(|body| Paced::new(body, between).boxed_unsync());
    let io: Io = Box::new(async move {
        let _permit = permit;
        driver.await.map_err(Error::from)
    });
    Ok((response, io))
}

/// A body that must not stand still for longer than a given time.
struct Paced {
    body: Incoming,
    pause: Duration,
    due: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(body: Incoming, pause: Duration) -> Paced {
        Paced {
            body,
            pause,
            due: Box::pin(tokio::time::sleep(pause)),
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = polled {
            let next = Instant::now() + self.pause;
            self.due.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        self.due
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_only_http_to_linker_async(linker)
}
