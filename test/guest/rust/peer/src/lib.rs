// SPDX-License-Identifier: MIT
//! The other process in a test: does what it is told, one message after the other. A command is
//! `{"do":"...","from":"<pid>",...}`; commands that have a result send it to `from` as JSON.

use rusm_rs::Pid;
use serde_json::{json, Value};

fn pid(value: &Value) -> Pid {
    Pid(value
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a pid"))
}

fn text<'a>(command: &'a Value, key: &str) -> &'a str {
    command[key].as_str().expect("a text")
}

/// What a command answers; `Null` for none.
fn obey(command: &Value) -> Value {
    match text(command, "do") {
        "crash" => panic!("asked to crash"),
        "kill-self" => json!(rusm_rs::kill(rusm_rs::me())),
        "echo" => command["value"].clone(),
        "register" => json!(rusm_rs::register(text(command, "name"))),
        "unregister" => json!(rusm_rs::unregister(text(command, "name"))),
        "join" => {
            rusm_rs::register_tag(text(command, "tag"));
            json!(true)
        }
        "leave" => {
            rusm_rs::unregister_tag(text(command, "tag"));
            json!(true)
        }
        "spawn" => match rusm_rs::spawn(text(command, "name")) {
            Ok(pid) => json!({ "ok": pid.to_string() }),
            Err(error) => json!({ "err": error }),
        },
        "send-after" => {
            let message = text(command, "message").as_bytes();
            let delay = command["ms"].as_u64().expect("milliseconds");
            json!(rusm_rs::send_after(pid(&command["to"]), delay, message))
        }
        "send" => {
            rusm_rs::send_bytes(pid(&command["to"]), text(command, "message").as_bytes());
            Value::Null
        }
        "spin" => loop {
            std::hint::black_box(());
        },
        other => panic!("unknown command {other}"),
    }
}

#[rusm_rs::main]
fn main() {
    loop {
        let Ok(command) = rusm_rs::receive::<Value>() else {
            continue;
        };
        if command["do"] == "quit" {
            return;
        }
        let answer = obey(&command);
        if !answer.is_null() {
            rusm_rs::send(pid(&command["from"]), &answer).expect("plain data serializes");
        }
    }
}
