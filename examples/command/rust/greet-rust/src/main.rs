// SPDX-License-Identifier: MIT
//! An ordinary program: prints a line and ends well.

fn main() {
    println!("greetings from a stock Rust program");
}
