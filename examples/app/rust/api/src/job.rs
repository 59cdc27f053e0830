// SPDX-License-Identifier: MIT
//! A worker per job: spawn it, watch it, ask it, wait for the answer or for its end.

use rusm_rs::Pid;
use serde_json::json;
use std::time::{Duration, Instant};

const JOB_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of primes up to `n`, or why there is no answer.
pub fn run(n: u32) -> Result<u64, String> {
    let worker = rusm_rs::spawn("worker")?;
    rusm_rs::monitor(worker);
    let request =
        json!({ "op": "primes", "args": [n], "from": rusm_rs::me().to_string(), "ref": 1 });
    rusm_rs::send(worker, &request).map_err(|error| error.to_string())?;
    await_answer(worker)
}

fn await_answer(worker: Pid) -> Result<u64, String> {
    let deadline = Instant::now() + JOB_TIMEOUT;
    loop {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .as_millis() as u64;
        let Some(message) = rusm_rs::receive_bytes_timeout(left) else {
            return Err("timeout".into());
        };
        if rusm_rs::down_pid(&message) == Some(worker) {
            return Err("the process ended without an answer".into());
        }
        let Ok(reply) = serde_json::from_slice::<serde_json::Value>(&message) else {
            continue;
        };
        match (
            reply["ref"].as_u64(),
            reply["ok"].as_u64(),
            reply["err"].as_str(),
        ) {
            (Some(1), Some(primes), _) => return Ok(primes),
            (Some(1), _, Some(error)) => return Err(error.to_string()),
            _ => continue,
        }
    }
}
