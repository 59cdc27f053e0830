// SPDX-License-Identifier: MIT
//! The resident service: counts visits by name, in its own memory. One process for the whole app,
//! so there is nothing to lock; after a crash it starts from zero.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;

/// What a visitor gets to know.
#[derive(Deserialize, Serialize)]
pub struct Visit {
    name: String,
    total: u64,
    visits: u64,
}

/// What everybody gets to know.
#[derive(Deserialize, Serialize)]
pub struct Tally {
    names: u64,
    total: u64,
}

#[derive(Default)]
struct State {
    by_name: HashMap<String, u64>,
    total: u64,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Every function in here is an operation that other processes can call.
#[rusm_rs::service]
mod visits {
    use super::{Tally, Visit, STATE};

    pub fn add(name: String) -> Visit {
        STATE.with_borrow_mut(|state| {
            state.total += 1;
            let visits = state.by_name.entry(name.clone()).or_default();
            *visits += 1;
            Visit {
                name,
                total: state.total,
                visits: *visits,
            }
        })
    }

    pub fn tally() -> Tally {
        STATE.with_borrow(|state| Tally {
            names: state.by_name.len() as u64,
            total: state.total,
        })
    }
}

#[rusm_rs::main]
fn main() {
    if !rusm_rs::register("visits") {
        panic!("the name `visits` is taken");
    }
    visits::serve();
}
