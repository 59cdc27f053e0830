// SPDX-License-Identifier: MIT
//! The HTTP handler: one fresh process per request. Each public function of `api` is an action
//! that `[serve.routes]` in rusm.toml can name.

mod job;

use rusm_rs::http::Response;
use serde::Serialize;

const CALL_TIMEOUT_MS: u64 = 5_000;

/// A JSON answer.
fn json(status: u16, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("plain data serializes");
    Response::new(status, body).header("content-type", "application/json")
}

fn failure(status: u16, text: &str) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
    }
    json(status, &Failure { error: text })
}

/// The stored greeting, if there is one and it is text.
fn greeting() -> Result<Option<String>, String> {
    let stored = rusm_rs::kv::bucket("app").get("greeting")?;
    Ok(stored.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// Call the resident service and pass its answer on.
fn ask_visits(op: &str, args: &impl Serialize) -> Response {
    let Some(service) = rusm_rs::whereis("visits") else {
        return failure(503, "the visits service is not running");
    };
    match rusm_rs::wire::call_timeout::<_, serde_json::Value>(service, op, args, CALL_TIMEOUT_MS) {
        Ok(answer) => json(200, &answer),
        Err(error) => failure(503, &error),
    }
}

#[rusm_rs::handlers]
pub mod api {
    use super::{ask_visits, failure, greeting, job, json};
    use rusm_rs::http::{Params, Request, Response};
    use serde::Serialize;

    #[derive(Serialize)]
    struct Home {
        app: &'static str,
        greeting: Option<String>,
    }

    /// GET / - one look into the store.
    pub fn home(_: Request, _: Params) -> Response {
        match greeting() {
            Ok(greeting) => json(
                200,
                &Home {
                    app: "example",
                    greeting,
                },
            ),
            Err(error) => failure(500, &error),
        }
    }

    /// PUT /greeting - durable when answered.
    pub fn set_greeting(request: Request, _: Params) -> Response {
        let Ok(text) = String::from_utf8(request.body) else {
            return failure(400, "a greeting is UTF-8 text");
        };
        match rusm_rs::kv::bucket("app").set("greeting", text.as_bytes()) {
            Ok(()) => json(
                200,
                &Home {
                    app: "example",
                    greeting: Some(text),
                },
            ),
            Err(error) => failure(500, &error),
        }
    }

    /// GET /hello/:name
    pub fn hello(_: Request, params: Params) -> Response {
        Response::text(format!(
            "Hello, {}!\n",
            params.get("name").unwrap_or("nobody")
        ))
    }

    /// POST /echo - the same bytes back.
    pub fn echo(request: Request, _: Params) -> Response {
        Response::new(200, request.body).header("content-type", "application/octet-stream")
    }

    /// POST /visits - the body is a name.
    pub fn visit(request: Request, _: Params) -> Response {
        match String::from_utf8(request.body) {
            Ok(name) => ask_visits("add", &(name,)),
            Err(_) => failure(400, "a name is UTF-8 text"),
        }
    }

    /// GET /visits
    pub fn visits(_: Request, _: Params) -> Response {
        ask_visits("tally", &[(); 0])
    }

    /// POST /jobs - the body is a number; a worker of its own counts the primes up to it.
    pub fn job(request: Request, _: Params) -> Response {
        #[derive(Serialize)]
        struct Done {
            n: u32,
            primes: u64,
        }
        let text = String::from_utf8(request.body).unwrap_or_default();
        let n = match text.trim().parse::<u32>() {
            Ok(n) if n < u32::MAX => n,
            _ => return failure(400, "send a number from 0 to 4294967294"),
        };
        match job::run(n) {
            Ok(primes) => json(200, &Done { n, primes }),
            Err(error) => failure(500, &error),
        }
    }

    /// GET /slow/:ms - a handler that waits costs no thread.
    pub fn slow(_: Request, params: Params) -> Response {
        let ms = params
            .get("ms")
            .and_then(|ms| ms.parse::<u64>().ok())
            .unwrap_or(0)
            .min(10_000);
        rusm_rs::receive_bytes_timeout(ms);
        Response::text(format!("waited {ms} ms\n"))
    }

    /// GET /crash - ends this process; the client gets a 502, nobody else notices.
    pub fn crash(_: Request, _: Params) -> Response {
        panic!("asked to crash");
    }
}
