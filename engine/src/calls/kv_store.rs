// SPDX-License-Identifier: MIT
//! `rusm:kv/store`: the store of the node, beyond what the reference offers. Everything goes
//! through the same two entries of C as `kv` does.

use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Lower, WasmList, WasmStr};

use super::kv::{begin_with, finish};
use super::value::{HostTexts, Owner, Text};
use super::{Interface, Store};
use crate::error::Stop;
use crate::host::{
    KV_BATCH, KV_BATCH_CHANGES, KV_COMPARE_AND_SET, KV_INCREMENT, KV_KEYS, KV_SET, KvAnswer,
    KvChange, KvRequest, Slice,
};
use crate::instance::SharedRef;

pub fn add(kv: &mut Interface<'_>) -> Result<()> {
    type CompareAndSet = (
        WasmStr,
        WasmStr,
        Option<WasmList<u8>>,
        Option<WasmList<u8>>,
        Option<u64>,
    );
    kv.func_wrap_async("compare-and-set", |store, arguments: CompareAndSet| {
        let (bucket, key, expected, value, ttl) = arguments;
        let begun = keyed(&store, KV_COMPARE_AND_SET, &bucket, &key, |request| {
            (request.has_other, request.other) = bytes(&store, expected.as_ref());
            (request.has_value, request.value) = bytes(&store, value.as_ref());
            (request.has_ttl, request.ttl_ms) = (ttl.is_some().into(), ttl.unwrap_or(0));
        });
        finish(begun, |_, answer| Ok(answer.found != 0))
    })?;
    type Increment = (WasmStr, WasmStr, i64);
    kv.func_wrap_async("increment", |store, (bucket, key, delta): Increment| {
        let begun = keyed(&store, KV_INCREMENT, &bucket, &key, |request| {
            request.delta = delta;
        });
        finish(begun, |_, answer| Ok(answer.number))
    })?;
    type SetWithTtl = (WasmStr, WasmStr, WasmList<u8>, u64);
    kv.func_wrap_async(
        "set-with-ttl",
        |store, (bucket, key, value, ttl): SetWithTtl| {
            let begun = keyed(&store, KV_SET, &bucket, &key, |request| {
                (request.has_value, request.value) = bytes(&store, Some(&value));
                (request.has_ttl, request.ttl_ms) = (1, ttl);
            });
            finish(begun, |_, _| Ok(()))
        },
    )?;
    kv.func_wrap_async("batch", |store, (changes,): (WasmList<Change>,)| {
        finish(batch(store, &changes), |_, _| Ok(()))
    })?;
    type Keys = (WasmStr, WasmStr, Option<WasmStr>, u32);
    kv.func_wrap_async("keys", |store, (bucket, prefix, after, limit): Keys| {
        finish(keys(&store, &bucket, &prefix, after.as_ref(), limit), page)
    })
}

/// A request about one key, to which `fill` adds what else the call has.
fn keyed(
    store: &Store<'_>,
    op: u32,
    bucket: &WasmStr,
    key: &WasmStr,
    fill: impl FnOnce(&mut KvRequest),
) -> Result<SharedRef> {
    let (bucket, key) = (bucket.to_str(store)?, key.to_str(store)?);
    let mut request = KvRequest::new(op);
    request.bucket = Slice::new(bucket.as_bytes());
    request.key = Slice::new(key.as_bytes());
    fill(&mut request);
    Ok(begin_with(store, &request))
}

/// A list of the guest that may be missing, where it is.
fn bytes(store: &Store<'_>, list: Option<&WasmList<u8>>) -> (u8, Slice) {
    match list {
        Some(list) => (1, Slice::new(list.as_le_slice(store))),
        None => (0, Slice::empty()),
    }
}

/// `change`.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Change {
    bucket: WasmStr,
    key: WasmStr,
    value: Option<WasmList<u8>>,
    #[component(name = "ttl-ms")]
    ttl_ms: Option<u64>,
}

/// C refuses a longer batch by its count, so no more than the limit is looked at.
fn batch(mut store: Store<'_>, changes: &WasmList<Change>) -> Result<SharedRef> {
    let listed: Vec<Change> = changes
        .iter(&mut store)?
        .take(KV_BATCH_CHANGES)
        .collect::<Result<_>>()?;
    let names = listed
        .iter()
        .map(|change| Ok((change.bucket.to_str(&store)?, change.key.to_str(&store)?)))
        .collect::<Result<Vec<_>>>()?;
    let slices: Vec<KvChange> = listed
        .iter()
        .zip(&names)
        .map(|(change, (bucket, key))| {
            let (has_value, value) = bytes(&store, change.value.as_ref());
            KvChange {
                bucket: Slice::new(bucket.as_bytes()),
                key: Slice::new(key.as_bytes()),
                value,
                ttl_ms: change.ttl_ms.unwrap_or(0),
                has_value,
                has_ttl: change.ttl_ms.is_some().into(),
            }
        })
        .collect();
    let mut request = KvRequest::new(KV_BATCH);
    request.changes = slices.as_ptr();
    request.change_count = changes.len();
    Ok(begin_with(&store, &request))
}

fn keys(
    store: &Store<'_>,
    bucket: &WasmStr,
    prefix: &WasmStr,
    after: Option<&WasmStr>,
    limit: u32,
) -> Result<SharedRef> {
    let after = after.map(|after| after.to_str(store)).transpose()?;
    keyed(store, KV_KEYS, bucket, prefix, |request| {
        request.limit = limit;
        if let Some(after) = &after {
            (request.has_other, request.other) = (1, Slice::new(after.as_bytes()));
        }
    })
}

/// `page`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Page {
    keys: HostTexts,
    next: Option<Text>,
}

fn page(shared: SharedRef, answer: KvAnswer) -> Result<Page, Stop> {
    let owner = Owner::new(shared.host(), answer.keys_owner);
    // SAFETY: OK means that the fields of the operation are set; C keeps the keys, and the one
    // behind them that leads on, until their owner, which lies in the same record, is released.
    unsafe {
        let keys = HostTexts::new(owner, answer.keys, answer.key_count, "kv_poll")?;
        let next = match answer.found {
            0 => None,
            _ => Some(Text::new(
                answer.keys.add(answer.key_count).read(),
                "kv_poll",
            )?),
        };
        Ok(Page { keys, next })
    }
}
