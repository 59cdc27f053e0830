// SPDX-License-Identifier: MIT
//! Sends a ball to and fro. The first message is three numbers of eight bytes: the other player, how
//! many balls to receive before the end, and whether to serve (1) or to wait for one (0).

use rusm_rs::Pid;

const BALL: [u8; 8] = *b"the ball";

#[rusm_rs::main]
fn run() {
    let order = rusm_rs::receive_bytes();
    let number = |at: usize| {
        let bytes = order[at * 8..][..8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (other, rounds, serves) = (Pid(number(0)), number(1), number(2) == 1);
    if serves {
        rusm_rs::send_bytes(other, &BALL);
    }
    for round in 1..=rounds {
        let ball = rusm_rs::receive_bytes();
        if !serves || round < rounds {
            rusm_rs::send_bytes(other, &ball);
        }
    }
}
