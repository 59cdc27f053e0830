// SPDX-License-Identifier: MIT
//! The conformance guest: `GET /check/:name` runs one check in a fresh process and answers
//! `{"name":...,"ok":true}`, or `"ok":false` with a reason. `GET /checks` lists the names. The
//! numbers in the comments are lines of the conformance list.
//!
//! Two components run this artefact: one with every grant, whose checks are in `granted`, and one
//! without any, whose checks are in `denied`.

mod actor;
mod denied;
mod host;
mod kv;
mod tools;

use tools::Outcome;

/// Name and code.
pub type Check = (&'static str, fn() -> Outcome);

fn run(checks: &[&[Check]], name: &str) -> Outcome {
    match checks
        .iter()
        .copied()
        .flatten()
        .find(|(candidate, _)| *candidate == name)
    {
        Some((_, check)) => check(),
        None => Err("there is no such check".into()),
    }
}

fn names(checks: &[&[Check]]) -> Vec<&'static str> {
    checks
        .iter()
        .copied()
        .flatten()
        .map(|(name, _)| *name)
        .collect()
}

#[rusm_rs::handlers]
pub mod check {
    use super::{actor, denied, host, kv, names, run, tools::Outcome, Check};
    use rusm_rs::http::{Params, Request, Response};
    use serde_json::{json, Value};

    const GRANTED: &[&[Check]] = &[actor::CHECKS, host::CHECKS, kv::CHECKS];
    const DENIED: &[&[Check]] = &[denied::CHECKS];

    fn answer(value: Value) -> Response {
        let body = value.to_string();
        Response::new(200, body).header("content-type", "application/json")
    }

    fn report(name: &str, outcome: Outcome) -> Response {
        answer(match outcome {
            Ok(()) => json!({ "name": name, "ok": true }),
            Err(why) => json!({ "name": name, "ok": false, "why": why }),
        })
    }

    pub fn granted(_: Request, params: Params) -> Response {
        let name = params.get("name").unwrap_or_default();
        report(name, run(GRANTED, name))
    }

    pub fn without(_: Request, params: Params) -> Response {
        let name = params.get("name").unwrap_or_default();
        report(name, run(DENIED, name))
    }

    pub fn list(_: Request, _: Params) -> Response {
        answer(json!({ "granted": names(GRANTED), "denied": names(DENIED) }))
    }
}
