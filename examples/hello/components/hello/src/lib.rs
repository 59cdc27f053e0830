// SPDX-License-Identifier: MIT
//! Every request is a fresh process that runs one of these functions.

#[rusm_rs::handlers]
pub mod hello {
    use rusm_rs::http::{Params, Request, Response};

    pub fn home(_: Request, _: Params) -> Response {
        Response::text("Hello from a sandbox of its own.\n")
    }

    pub fn greet(_: Request, params: Params) -> Response {
        Response::text(format!(
            "Hello, {}.\n",
            params.get("name").unwrap_or("nobody")
        ))
    }
}
