// SPDX-License-Identifier: MIT
//! One writer of the bench kv-storm: reads its counter, adds one, writes it back and waits until
//! that is durable, again and again. It is told `<pid to report to> <own number> <milliseconds>`
//! and reports how long each round took, in microseconds, 4 bytes each, little endian.

use rusm_rs::Pid;
use std::time::{Duration, Instant};

/// One read-modify-write.
fn round(bucket: &rusm_rs::kv::Bucket, key: &str) -> Result<(), String> {
    let count = match bucket.get(key)? {
        Some(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| format!("{key} holds no number"))?,
        None => 0,
    };
    bucket.set(key, (count + 1).to_string().as_bytes())
}

fn storm(number: &str, length: Duration) -> Result<Vec<u8>, String> {
    let bucket = rusm_rs::kv::bucket("storm");
    let key = format!("counter-{number}");
    let mut report = Vec::new();
    let mut last = Instant::now();
    let end = last + length;
    while last < end {
        round(&bucket, &key)?;
        let now = Instant::now();
        let micros = u32::try_from((now - last).as_micros()).unwrap_or(u32::MAX);
        report.extend_from_slice(&micros.to_le_bytes());
        last = now;
    }
    Ok(report)
}

#[rusm_rs::main]
fn main() {
    let order = String::from_utf8(rusm_rs::receive_bytes()).expect("an order in UTF-8");
    let mut words = order.split(' ');
    let mut word = || words.next().expect("three words");
    let (to, number, length) = (word(), word(), word());
    let to = Pid(to.parse().expect("a pid"));
    let length = Duration::from_millis(length.parse().expect("milliseconds"));
    let report = storm(number, length).expect("the store takes every write");
    rusm_rs::send_bytes(to, &report);
}
