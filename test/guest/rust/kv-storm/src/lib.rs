// SPDX-License-Identifier: MIT
//! The driver of the bench kv-storm: `GET /storm/:guests/:ms` starts so many writers at once and
//! answers, in one line of JSON, how many read-modify-writes they made, in what time, and how long
//! the one in the middle and the one at 99 % took.

use rusm_rs::Pid;
use std::time::Instant;

/// More than a writer takes beyond its time, also on a slow disk.
const PATIENCE_MS: u64 = 20_000;

fn start(guests: usize) -> Result<Vec<Pid>, String> {
    (0..guests).map(|_| rusm_rs::spawn("kv-writer")).collect()
}

/// The reports of all writers: how long each round took, in microseconds.
fn collect(guests: usize, patience_ms: u64) -> Result<Vec<u32>, String> {
    let mut micros = Vec::new();
    for _ in 0..guests {
        let report = rusm_rs::receive_bytes_timeout(patience_ms).ok_or("a writer is silent")?;
        let rounds = report.chunks_exact(4);
        micros.extend(rounds.map(|four| u32::from_le_bytes(four.try_into().expect("four bytes"))));
    }
    micros.sort_unstable();
    Ok(micros)
}

fn storm(guests: usize, length_ms: u64) -> Result<serde_json::Value, String> {
    let writers = start(guests)?;
    let begun = Instant::now();
    for (number, writer) in writers.iter().enumerate() {
        let order = format!("{} {number} {length_ms}", rusm_rs::me().0);
        rusm_rs::send_bytes(*writer, order.as_bytes());
    }
    let micros = collect(guests, length_ms + PATIENCE_MS)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let at = |percent: usize| micros.get(micros.len() * percent / 100).copied();
    Ok(serde_json::json!({
        "rounds": micros.len(),
        "seconds": elapsed,
        "p50_us": at(50),
        "p99_us": at(99),
    }))
}

#[rusm_rs::handlers]
pub mod kv_storm {
    use rusm_rs::http::{Params, Request, Response};

    pub fn run(_: Request, params: Params) -> Response {
        let number = |name| params.get(name).and_then(|text| text.parse::<u64>().ok());
        let (Some(guests), Some(length_ms)) = (number("guests"), number("ms")) else {
            return Response::new(400, b"guests and ms are numbers".to_vec());
        };
        match super::storm(guests as usize, length_ms) {
            Ok(figures) => Response::new(200, figures.to_string().into_bytes()),
            Err(error) => Response::new(500, error.into_bytes()),
        }
    }
}
