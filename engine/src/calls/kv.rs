// SPDX-License-Identifier: MIT
//! `kv`: the store of the node. Every call waits, because C does the work elsewhere.

use std::future::poll_fn;
use std::task::Poll;

use wasmtime::Result;
use wasmtime::component::{WasmList, WasmStr};

use super::value::{HostBytes, HostText, HostTexts, Owner};
use super::{Answer, Interface, Store, answer, shared};
use crate::error::Stop;
use crate::host::{
    Bytes, KV_DELETE, KV_EXISTS, KV_GET, KV_LIST, KV_SET, KvAnswer, KvRequest, Slice,
};
use crate::instance::SharedRef;

/// `names` are those of get, set, delete, exists and list, in this order.
pub fn add(kv: &mut Interface<'_>, names: [&str; 5]) -> Result<()> {
    let [get, set, delete, exists, list] = names;
    kv.func_wrap_async(get, |store, (bucket, key): (WasmStr, WasmStr)| {
        let begun = begin(&store, KV_GET, &bucket, Some(&key), None);
        finish(begun, |shared, answer| {
            let found = answer.found != 0;
            // SAFETY: OK means that the fields of the operation are set.
            let value = unsafe { HostBytes::new(shared.host(), answer.value) };
            Ok(found.then_some(value))
        })
    })?;
    type Set = (WasmStr, WasmStr, WasmList<u8>);
    kv.func_wrap_async(set, |store, (bucket, key, value): Set| {
        let begun = begin(&store, KV_SET, &bucket, Some(&key), Some(&value));
        finish(begun, |_, _| Ok(()))
    })?;
    kv.func_wrap_async(delete, |store, (bucket, key): (WasmStr, WasmStr)| {
        let begun = begin(&store, KV_DELETE, &bucket, Some(&key), None);
        finish(begun, |_, answer| Ok(answer.found != 0))
    })?;
    kv.func_wrap_async(exists, |store, (bucket, key): (WasmStr, WasmStr)| {
        let begun = begin(&store, KV_EXISTS, &bucket, Some(&key), None);
        finish(begun, |_, answer| Ok(answer.found != 0))
    })?;
    kv.func_wrap_async(list, |store, (bucket,): (WasmStr,)| {
        let begun = begin(&store, KV_LIST, &bucket, None, None);
        finish(begun, |shared, answer| {
            let owner = Owner::new(shared.host(), answer.keys_owner);
            // SAFETY: OK means that the fields of the operation are set; C keeps the keys until
            // their owner is released.
            unsafe { HostTexts::new(owner, answer.keys, answer.key_count, "kv_poll") }
        })
    })
}

/// Hand the arguments to C. An error is kept for the future, because only that can answer it.
fn begin(
    store: &Store<'_>,
    op: u32,
    bucket: &WasmStr,
    key: Option<&WasmStr>,
    value: Option<&WasmList<u8>>,
) -> Result<SharedRef> {
    let bucket = bucket.to_str(store)?;
    let key = key.map(|key| key.to_str(store)).transpose()?;
    let mut request = KvRequest::new(op);
    request.bucket = Slice::new(bucket.as_bytes());
    if let Some(key) = &key {
        request.key = Slice::new(key.as_bytes());
    }
    if let Some(value) = value {
        request.value = Slice::new(value.as_le_slice(store));
        request.has_value = 1;
    }
    Ok(begin_with(store, &request))
}

/// What the request points to is valid as long as the caller holds it, and C copies it.
pub fn begin_with(store: &Store<'_>, request: &KvRequest) -> SharedRef {
    let shared = shared(store);
    // SAFETY: the guest is the one of this store; the request is valid during the call.
    unsafe { (shared.host().kv_begin)(shared.guest(), request) };
    shared
}

fn empty_answer() -> KvAnswer {
    KvAnswer {
        value: Bytes::empty(),
        found: 0,
        number: 0,
        keys: std::ptr::null(),
        key_count: 0,
        keys_owner: std::ptr::null_mut(),
    }
}

/// What a kv function answers: one value, a `result` whose error is a text.
pub type Answered<V> = Result<(Result<V, HostText>,)>;

pub fn finish<V: 'static>(
    begun: Result<SharedRef>,
    convert: fn(SharedRef, KvAnswer) -> Result<V, Stop>,
) -> Box<dyn Future<Output = Answered<V>> + Send> {
    let mut begun = Some(begun);
    Box::new(poll_fn(move |_| match &mut begun {
        Some(Ok(shared)) => poll(*shared, convert),
        failed => Poll::Ready(Err(match failed.take() {
            Some(Err(error)) => error,
            _ => Stop::Broken("a finished kv call was asked again".to_owned()).into(),
        })),
    }))
}

fn poll<V>(
    shared: SharedRef,
    convert: fn(SharedRef, KvAnswer) -> Result<V, Stop>,
) -> Poll<Answered<V>> {
    if let Err(stop) = shared.check_stop() {
        return Poll::Ready(Err(stop.into()));
    }
    let mut output = empty_answer();
    // SAFETY: the guest is the one of this store; the output is valid for a write.
    let code = unsafe { (shared.host().kv_poll)(shared.guest(), &mut output) };
    let answered = match answer(&shared, code, "kv_poll") {
        Ok(Answer::Ok) => convert(shared, output).map(Ok),
        // SAFETY: NONE means that the value is the error's text.
        Ok(Answer::None) => unsafe {
            HostText::new(shared.host(), output.value, "kv_poll").map(Err)
        },
        Ok(Answer::Pending) => {
            shared.set_waiting();
            return Poll::Pending;
        }
        Err(stop) => Err(stop),
    };
    Poll::Ready(answered.map(|result| (result,)).map_err(Into::into))
}
