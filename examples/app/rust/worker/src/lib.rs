// SPDX-License-Identifier: MIT
//! One process per job: takes one request, answers it, ends. Its memory ceiling is its only limit:
//! a job that needs more ends this process and nothing else.

use rusm_rs::wire;

/// How many primes are below or equal to `n`, by the sieve of Eratosthenes.
fn count_primes(n: usize) -> usize {
    let mut composite = vec![false; n + 1];
    let mut candidate = 2;
    while candidate <= n / candidate {
        if !composite[candidate] {
            for multiple in (candidate * candidate..=n).step_by(candidate) {
                composite[multiple] = true;
            }
        }
        candidate += 1;
    }
    (2..=n).filter(|&number| !composite[number]).count()
}

#[rusm_rs::main]
fn main() {
    let request = wire::next_request();
    match (request.op.as_str(), request.args::<(u32,)>()) {
        ("primes", Ok((n,))) => wire::reply_ok(&request, &count_primes(n as usize)),
        ("primes", Err(error)) => wire::reply_err(&request, &error),
        (other, _) => wire::reply_err(&request, &format!("no such function: {other}")),
    }
}
