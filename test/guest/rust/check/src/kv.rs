// SPDX-License-Identifier: MIT
//! The store: lines 99 to 105.

use crate::tools::{holds, same, unique, Outcome};
use crate::Check;

pub const CHECKS: &[Check] = &[
    ("kv-round-trip", round_trip),
    ("kv-order", order),
    ("kv-buckets-do-not-mix", buckets_do_not_mix),
    ("kv-missing", missing),
    ("kv-empty", empty),
    ("kv-overwrite", overwrite),
    ("kv-large-value", large_value),
    ("kv-long-key", long_key),
];

fn round_trip() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("trip"));
    bucket.set("key", b"value")?;
    same("get", bucket.get("key")?, Some(b"value".to_vec()))?;
    holds("exists", bucket.exists("key")?)?;
    same("list", bucket.list()?, vec!["key".to_string()])?;
    holds("delete", bucket.delete("key")?)?;
    same("get after delete", bucket.get("key")?, None)?;
    same("list after delete", bucket.list()?, vec![])
}

fn order() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("order"));
    for key in ["b", "\u{fc}", "a", "aa", "B", "c"] {
        bucket.set(key, key.as_bytes())?;
    }
    same(
        "list",
        bucket.list()?,
        ["B", "a", "aa", "b", "c", "\u{fc}"]
            .map(String::from)
            .to_vec(),
    )
}

fn buckets_do_not_mix() -> Outcome {
    let stem = unique("mix");
    let (one, two) = (
        rusm_rs::kv::bucket(format!("{stem}a")),
        rusm_rs::kv::bucket(format!("{stem}ab")),
    );
    one.set("bc", b"1")?;
    two.set("c", b"2")?;
    same("one", one.list()?, vec!["bc".to_string()])?;
    same("two", two.list()?, vec!["c".to_string()])?;
    same("one", one.get("bc")?, Some(b"1".to_vec()))?;
    same("two", two.get("c")?, Some(b"2".to_vec()))
}

fn missing() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("missing"));
    same("get", bucket.get("no")?, None)?;
    holds("exists", !bucket.exists("no")?)?;
    holds("delete", !bucket.delete("no")?)
}

fn empty() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("empty"));
    bucket.set("", b"")?;
    same("get", bucket.get("")?, Some(vec![]))?;
    same("list", bucket.list()?, vec![String::new()])
}

fn overwrite() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("over"));
    bucket.set("key", b"a long first value")?;
    bucket.set("key", b"short")?;
    same("get", bucket.get("key")?, Some(b"short".to_vec()))
}

fn large_value() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("large"));
    let value: Vec<u8> = (0..1 << 20).map(|i: u32| (i ^ i >> 8) as u8).collect();
    bucket.set("key", &value)?;
    holds("the same bytes", bucket.get("key")? == Some(value))?;
    holds("delete", bucket.delete("key")?)
}

/// Either it works or the error says that the key is too long.
fn long_key() -> Outcome {
    let bucket = rusm_rs::kv::bucket(unique("long"));
    let key = "k".repeat(4096);
    match bucket.set(&key, b"value") {
        Ok(()) => same("get", bucket.get(&key)?, Some(b"value".to_vec())),
        Err(error) => holds(
            &format!("the error names the key: {error}"),
            error.contains("key"),
        ),
    }
}
