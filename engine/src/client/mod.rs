// SPDX-License-Identifier: MIT
//! The one HTTP client: HTTP/1.1 over TCP, or over TLS with the certificates that the system
//! trusts. `fetch` gets what a URL holds for C; `outgoing` sends the requests of guests
//! (wasi:http). Everything here runs on the reactor.

mod connect;
mod fetch;
mod outgoing;
mod tls;

pub use fetch::{Fetch, FetchOptions};
pub use outgoing::{Http, INTERFACES, VERSION, add_to_linker};
