// SPDX-License-Identifier: MIT
//! `serve`: what a handler of a connection knows about its request, and sends to its client.

use wasmtime::Result;
use wasmtime::component::{ComponentType, Lower, WasmList, WasmStr};

use super::value::{Text, pairs};
use super::{Interface, Store, shared, with_text};
use crate::error::Stop;
use crate::host::{ConnectionInfo, Slice};
use crate::instance::SharedRef;

/// `connection-info`. What it points to lives as long as the process.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Connection {
    method: Text,
    path: Text,
    query: Text,
    params: Vec<(Text, Text)>,
    headers: Vec<(Text, Text)>,
    #[component(name = "remote-addr")]
    remote_addr: Text,
    subprotocol: Option<Text>,
}

pub fn add(serve: &mut Interface<'_>) -> Result<()> {
    serve.func_wrap("connection", |store, ()| Ok((connection(shared(&store))?,)))?;
    add_senders(serve)
}

type Event = (WasmList<u8>, Option<WasmStr>, Option<WasmStr>, Option<u32>);

/// The node has no listeners for WebSockets and event streams, so every process is one that has no
/// such connection: sending to it is false, closing it does nothing. Texts have to be texts.
fn add_senders(serve: &mut Interface<'_>) -> Result<()> {
    serve.func_wrap("ws-send-text", |_, (_,): (WasmList<u8>,)| Ok((false,)))?;
    serve.func_wrap("ws-close", |store, (_, reason): (u16, WasmStr)| {
        check_text(&store, Some(&reason))
    })?;
    serve.func_wrap("sse-send", |store, (_, event, id, _): Event| {
        check_text(&store, event.as_ref())?;
        check_text(&store, id.as_ref())?;
        Ok((false,))
    })
}

fn check_text(store: &Store<'_>, text: Option<&WasmStr>) -> Result<()> {
    text.map_or(Ok(()), |text| with_text(store, text, |_| ()))
}

fn connection(shared: SharedRef) -> Result<Option<Connection>, Stop> {
    // SAFETY: the guest is the one of this store.
    let info = unsafe { (shared.host().connection)(shared.guest()) };
    // SAFETY: null, or a record that lives as long as the process.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return Ok(None);
    };
    convert(info).map(Some)
}

fn convert(info: &ConnectionInfo) -> Result<Connection, Stop> {
    // SAFETY: everything in the record lives as long as the process.
    let text = |slice: Slice| unsafe { Text::new(slice, "connection") };
    Ok(Connection {
        method: text(info.method)?,
        path: text(info.path)?,
        query: text(info.query)?,
        // SAFETY: as above.
        params: unsafe { pairs(info.params, info.param_count, "connection")? },
        // SAFETY: as above.
        headers: unsafe { pairs(info.headers, info.header_count, "connection")? },
        remote_addr: text(info.remote_addr)?,
        subprotocol: match info.has_subprotocol {
            0 => None,
            _ => Some(text(info.subprotocol)?),
        },
    })
}
