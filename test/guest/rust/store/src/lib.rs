// SPDX-License-Identifier: MIT
//! A guest that writes numbered keys and looks for those that were lost; for the test that kills
//! the node. Each request is a process. `PUT /put/:writer/:number` writes one key in one of four
//! ways and answers when it is durable; `GET /lost/:writer/:from/:number` lists those numbers, from
//! the one and below the other, that are not there with their value, and tells the writer's counter.

wit_bindgen::generate!({ path: "../../../../wit/kv", world: "imports", generate_all });

use rusm::kv::store::{self, Change};

const BUCKET: &str = "killed";

fn key(writer: &str, number: u64) -> String {
    format!("{writer}-{number:08}")
}

/// Long enough that some values take pages of their own.
fn value(writer: &str, number: u64) -> Vec<u8> {
    format!("{writer}/{number}/")
        .repeat(1 + number as usize % 300)
        .into_bytes()
}

fn write(writer: &str, number: u64) -> Result<bool, String> {
    let (key, value) = (key(writer, number), value(writer, number));
    match number % 4 {
        0 => rusm_rs::kv::bucket(BUCKET).set(&key, &value).map(|()| true),
        1 => store::set_with_ttl(BUCKET, &key, &value, 3_600_000).map(|()| true),
        2 => store::compare_and_set(BUCKET, &key, None, Some(&value), None),
        _ => store::batch(&[
            Change {
                bucket: BUCKET.into(),
                key,
                value: Some(value),
                ttl_ms: None,
            },
            Change {
                bucket: "last".into(),
                key: writer.into(),
                value: Some(number.to_string().into_bytes()),
                ttl_ms: None,
            },
        ])
        .map(|()| true),
    }
}

fn holds(writer: &str, number: u64) -> Result<bool, String> {
    let found = rusm_rs::kv::bucket(BUCKET).get(&key(writer, number))?;
    Ok(found == Some(value(writer, number)))
}

fn lost(writer: &str, numbers: std::ops::Range<u64>) -> Result<Vec<u64>, String> {
    let mut lost = Vec::new();
    for number in numbers {
        if !holds(writer, number)? {
            lost.push(number);
        }
    }
    Ok(lost)
}

#[rusm_rs::handlers]
pub mod store_app {
    use super::{holds, lost, store, write};
    use rusm_rs::http::{Params, Request, Response};
    use serde_json::{json, Value};

    fn answer(result: Result<Value, String>) -> Response {
        match result {
            Ok(value) => Response::new(200, value.to_string().into_bytes()),
            Err(error) => Response::new(500, error.into_bytes()),
        }
    }

    fn number(params: &Params, name: &str) -> Result<u64, String> {
        let number = params.get(name).and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("{name} is no number"))
    }

    fn try_put(params: &Params) -> Result<Value, String> {
        let writer = params.get("writer").ok_or("no writer")?;
        let number = number(params, "number")?;
        // What was written before a kill, without an answer, is as good.
        let made = write(writer, number)? || holds(writer, number)?;
        store::increment("written", writer, 1)?;
        Ok(json!(made))
    }

    pub fn put(_: Request, params: Params) -> Response {
        answer(try_put(&params))
    }

    fn try_lost(params: &Params) -> Result<Value, String> {
        let writer = params.get("writer").ok_or("no writer")?;
        let numbers = number(params, "from")?..number(params, "number")?;
        let written = store::increment("written", writer, 0)?;
        Ok(json!({ "lost": lost(writer, numbers)?, "written": written }))
    }

    pub fn lost_of(_: Request, params: Params) -> Response {
        answer(try_lost(&params))
    }

    /// How many keys there are, page by page.
    pub fn pages(_: Request, _: Params) -> Response {
        let mut after: Option<String> = None;
        let mut count = 0;
        loop {
            match store::keys(super::BUCKET, "", after.as_deref(), 100) {
                Ok(page) => {
                    count += page.keys.len();
                    after = page.next;
                }
                Err(error) => return answer(Err(error)),
            }
            if after.is_none() {
                return answer(Ok(json!(count)));
            }
        }
    }
}
