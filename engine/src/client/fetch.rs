// SPDX-License-Identifier: MIT
//! Get what a URL holds, for C: a fixed number of redirects, a time and a size.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::connect::{ConnectError, Driver, Place, is_local, reach};
use crate::error::{EGUEST, OK, c_text};
use crate::reactor;

/// `rusm_engine_fetch_options`.
#[repr(C)]
pub struct FetchOptions {
    pub size: usize,
    pub url: *const c_char,
    pub max_bytes: usize,
    pub max_redirects: u32,
    pub timeout_ms: u32,
    pub allow_local: c_int,
    pub done: unsafe extern "C-unwind" fn(*mut c_void, c_int, *const u8, usize, *const c_char),
    pub arg: *mut c_void,
}

/// The way back, used exactly once.
struct Done {
    call: unsafe extern "C-unwind" fn(*mut c_void, c_int, *const u8, usize, *const c_char),
    arg: *mut c_void,
}

// SAFETY: the pointer is only handed back to `call`, which the header allows on any thread.
unsafe impl Send for Done {}

impl Done {
    fn of(options: &FetchOptions) -> Done {
        Done {
            call: options.done,
            arg: options.arg,
        }
    }

    fn tell(self, result: Result<Vec<u8>, String>) {
        let (code, bytes, text) = match result {
            Ok(bytes) => (OK, bytes, String::new()),
            Err(text) => (EGUEST, Vec::new(), text),
        };
        let text = c_text(&text);
        // SAFETY: C keeps what `arg` points to until this one call; all else lives during it.
        unsafe { (self.call)(self.arg, code, bytes.as_ptr(), bytes.len(), text.as_ptr()) };
    }
}

/// The limits of one fetch.
#[derive(Clone, Copy)]
struct Limits {
    max_bytes: usize,
    max_redirects: u32,
    timeout: Duration,
    /// This machine itself may be asked, at the place that the URL names.
    allow_local: bool,
}

impl Limits {
    fn of(options: &FetchOptions) -> Limits {
        Limits {
            max_bytes: options.max_bytes,
            max_redirects: options.max_redirects,
            timeout: Duration::from_millis(options.timeout_ms.into()),
            allow_local: options.allow_local != 0,
        }
    }
}

/// `struct rusm_engine_fetch`: dropping it calls the fetch off.
pub struct Fetch(Arc<Notify>);

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Fetch {
    pub fn start(url: String, options: &FetchOptions) -> Fetch {
        let (limits, done) = (Limits::of(options), Done::of(options));
        let off = Arc::new(Notify::new());
        let called_off = off.clone();
        reactor::spawn(async move {
            let result = tokio::select! {
                biased;
                () = called_off.notified() => Err("called off".to_owned()),
                () = tokio::time::sleep(limits.timeout) => {
                    Err(format!("it took longer than {} s", limits.timeout.as_secs_f64()))
                }
                result = get(&url, limits) => result,
            };
            done.tell(result);
        });
        Fetch(off)
    }
}

fn connect_text(place: &Place, error: &ConnectError) -> String {
    let host = &place.host;
    match error {
        ConnectError::Unknown(error) => format!("the host {host} is not known: {error}"),
        ConnectError::Forbidden => format!(
            "{host} is this machine, its link or a private network, which must be listed: put it \
             into `url-local-hosts` of the profile that asks"
        ),
        ConnectError::Refused(error) => format!("{host}:{}: {error}", place.port),
        ConnectError::Tls(error) => format!("no secure connection to {host}: {error}"),
        ConnectError::Http(error) => format!("{host}: {error}"),
    }
}

/// The answer's head, its body to come as long as the driver lives.
async fn ask(
    uri: &Uri,
    place: &Place,
    allow_local: bool,
) -> Result<(Response<Incoming>, Driver), String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" }; // http://host?query
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(format!("{slash}{path}"))
        .header(HOST, host)
        .header(USER_AGENT, concat!("rusm/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, driver) = reach(place, |ip| allow_local || !is_local(ip))
        .await
        .map_err(|error| connect_text(place, &error))?;
    let answer = sender.send_request(request).await;
    Ok((answer.map_err(|error| error.to_string())?, driver))
}

fn too_large(limit: usize) -> String {
    format!("it is larger than {limit} bytes")
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, String> {
    let told = response.headers().get(CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if data.len() > limit - bytes.len() {
            return Err(too_large(limit));
        }
        bytes
            .try_reserve(data.len())
            .map_err(|_| "out of memory".to_owned())?;
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Where a redirect leads: a whole URL, or a path at the same place.
fn follow(from: &Uri, response: &Response<Incoming>) -> Result<Uri, String> {
    let wrong = || "a redirect that leads nowhere".to_owned();
    let location = response.headers().get(LOCATION).ok_or_else(wrong)?;
    let starts = |with: &[u8]| location.as_bytes().starts_with(with);
    let target: Uri = location
        .to_str()
        .map_err(|_| wrong())?
        .parse()
        .map_err(|_| wrong())?;
    let mut parts = target.into_parts();
    if parts.scheme.is_none() {
        if !starts(b"/") || starts(b"//") || parts.authority.is_some() {
            return Err("a redirect to neither a whole URL nor an absolute path".to_owned());
        }
        parts.scheme = from.scheme().cloned();
        parts.authority = from.authority().cloned();
    }
    Uri::from_parts(parts).map_err(|_| wrong())
}

/// Local addresses stay allowed only at the place that the URL itself names; and what began secured
/// goes on secured.
async fn get(url: &str, limits: Limits) -> Result<Vec<u8>, String> {
    let no_url = || format!("no URL that can be fetched: {url}");
    let mut uri: Uri = url.parse().map_err(|_| no_url())?;
    let first = Place::of(&uri).ok_or_else(no_url)?;
    for _ in 0..=limits.max_redirects {
        let place = Place::of(&uri).ok_or("a redirect to something else than http or https")?;
        if first.secure && !place.secure {
            return Err("a redirect from https to http".to_owned());
        }
        let (response, _driver) = ask(&uri, &place, limits.allow_local && place == first).await?;
        match response.status() {
            status if status.is_success() => return read(response, limits.max_bytes).await,
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => uri = follow(&uri, &response)?,
            status => return Err(format!("the server answers {status}")),
        }
    }
    Err(format!("more than {} redirects", limits.max_redirects))
}
