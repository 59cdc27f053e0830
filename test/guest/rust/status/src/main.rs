// SPDX-License-Identifier: MIT
//! A stock command that ends as the environment says: STATUS is a number for exit(), or "panic".
//! It tells what it can see of the world, so that a test can tell whether that was granted.

fn main() {
    let status = std::env::var("STATUS").unwrap_or_default();
    println!("STATUS={status} HOME={:?}", std::env::var("HOME").ok());
    let read = std::fs::read_to_string("/data/in.txt").ok();
    let written = std::fs::write("/data/out.txt", "by a guest").is_ok();
    println!("read={read:?} written={written}");
    eprintln!("status: about to end");
    match status.parse() {
        Ok(code) => std::process::exit(code),
        Err(_) if status == "panic" => panic!("asked to panic"),
        Err(_) => {}
    }
}
