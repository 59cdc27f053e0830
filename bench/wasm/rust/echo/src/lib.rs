// SPDX-License-Identifier: MIT
//! One receive, one send, the end: what is received goes to the pid in its first eight bytes.

use rusm_rs::Pid;

#[rusm_rs::main]
fn run() {
    let message = rusm_rs::receive_bytes();
    let (to, _) = message.split_first_chunk().expect("a pid comes first");
    rusm_rs::send_bytes(Pid(u64::from_le_bytes(*to)), &message);
}
