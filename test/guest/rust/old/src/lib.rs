// SPDX-License-Identifier: MIT
//! A guest of the time when the contract was one interface: the same calls in the older spelling.
//! `GET /old` answers `{"ok":true}` or says what went wrong.

use rusm_rs::Pid;

fn expect(what: &str, condition: bool) -> Result<(), String> {
    condition.then_some(()).ok_or(what.to_string())
}

fn mail_and_names() -> Result<(), String> {
    let me = rusm_rs::me();
    rusm_rs::send_bytes(me, b"mail");
    expect("mail", rusm_rs::receive_bytes() == b"mail")?;
    expect("silence", rusm_rs::receive_bytes_timeout(1).is_none())?;
    expect("register", rusm_rs::register("old-guest"))?;
    expect("whereis", rusm_rs::whereis("old-guest") == Some(me))?;
    expect("unregister", rusm_rs::unregister("old-guest"))?;
    rusm_rs::register_tag("old-tag");
    expect("tag", rusm_rs::whereis_tag("old-tag") == vec![me])?;
    rusm_rs::unregister_tag("old-tag");
    rusm_rs::set_label("old");
    expect("alive", rusm_rs::is_alive(me))?;
    expect("list", rusm_rs::list().contains(&me))
}

fn processes() -> Result<(), String> {
    let peer = rusm_rs::spawn("peer")?;
    rusm_rs::monitor(peer);
    expect("kill", rusm_rs::kill(peer))?;
    let down = rusm_rs::receive_bytes();
    expect("down", rusm_rs::down_pid(&down) == Some(peer))?;
    expect("spawn of nothing", rusm_rs::spawn("nonesuch").is_err())?;
    expect("kill of the dead", !rusm_rs::kill(Pid(peer.0)))
}

fn store() -> Result<(), String> {
    let bucket = rusm_rs::kv::bucket("old");
    bucket.set("key", b"value")?;
    expect("get", bucket.get("key")? == Some(b"value".to_vec()))?;
    expect("exists", bucket.exists("key")?)?;
    expect("list", bucket.list()? == vec!["key".to_string()])?;
    expect("delete", bucket.delete("key")?)?;
    expect("get after delete", bucket.get("key")?.is_none())
}

#[rusm_rs::handlers]
pub mod old {
    use rusm_rs::http::{Params, Request, Response};
    use serde_json::json;

    pub fn check(_: Request, _: Params) -> Response {
        let outcome = super::mail_and_names()
            .and_then(|_| super::processes())
            .and_then(|_| super::store());
        let body = match outcome {
            Ok(()) => json!({ "ok": true }),
            Err(why) => json!({ "ok": false, "why": why }),
        };
        Response::new(200, body.to_string()).header("content-type", "application/json")
    }
}
