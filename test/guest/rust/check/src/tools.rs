// SPDX-License-Identifier: MIT
//! What checks are written with.

use rusm_rs::Pid;
use serde_json::{json, Value};
use std::fmt::Debug;

pub type Outcome = Result<(), String>;

/// Long enough for a loaded machine; a check that waits this long has failed.
pub const PATIENCE_MS: u64 = 10_000;

pub fn same<T: PartialEq + Debug>(what: &str, found: T, wanted: T) -> Outcome {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: found {found:?}, wanted {wanted:?}"))
    }
}

pub fn holds(what: &str, condition: bool) -> Outcome {
    same(what, condition, true)
}

/// The next message as text; an error if none comes.
pub fn next(what: &str) -> Result<String, String> {
    match rusm_rs::receive_bytes_timeout(PATIENCE_MS) {
        Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        None => Err(format!("{what}: no message came")),
    }
}

pub fn nothing_comes(what: &str, within_ms: u64) -> Outcome {
    let message = rusm_rs::receive_bytes_timeout(within_ms);
    same(
        what,
        message.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        None,
    )
}

pub fn to_self(message: &str) {
    rusm_rs::send_bytes(rusm_rs::me(), message.as_bytes());
}

/// A helper process (see ../../peer).
pub struct Peer(pub Pid);

impl Peer {
    pub fn start() -> Result<Peer, String> {
        Ok(Peer(rusm_rs::spawn("peer")?))
    }

    pub fn tell(&self, mut command: Value) {
        command["from"] = json!(rusm_rs::me().to_string());
        rusm_rs::send(self.0, &command).expect("plain data serializes");
    }

    pub fn ask(&self, command: Value) -> Result<Value, String> {
        let what = command["do"].to_string();
        self.tell(command);
        serde_json::from_str(&next(&what)?).map_err(|error| error.to_string())
    }

    /// Wait until it is gone.
    pub fn end(&self) -> Outcome {
        rusm_rs::monitor(self.0);
        self.tell(json!({ "do": "quit" }));
        next("the end of the peer").map(drop)
    }

    pub fn down(&self, reason: &str) -> String {
        format!(r#"{{"__down":"{}","reason":"{reason}"}}"#, self.0)
    }
}

/// A name that no other check uses at the same time.
pub fn unique(stem: &str) -> String {
    format!("{stem}-{}", rusm_rs::me())
}
