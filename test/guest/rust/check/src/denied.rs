// SPDX-License-Identifier: MIT
//! What a component without grants gets: lines 77, 92, 93, 100, 117, 188.

use crate::tools::{holds, nothing_comes, same, to_self, unique, Outcome};
use crate::Check;
use rusm_rs::rusm::runtime::actor;
use rusm_rs::Pid;

pub const CHECKS: &[Check] = &[
    ("spawn", spawn),
    ("monitor", monitor),
    ("list", list),
    ("info", info),
    ("alive", alive),
    ("kill", kill),
    ("kill-tag", kill_tag),
    ("kv", kv),
    ("allowed-all-the-same", allowed_all_the_same),
];

/// A process that lives and is not ours.
fn other() -> Result<Pid, String> {
    rusm_rs::whereis("anchor").ok_or("run the check `anchor` first".into())
}

fn spawn() -> Outcome {
    let answer = rusm_rs::spawn("peer").map(|pid| pid.0);
    same(
        "spawn",
        answer,
        Err("spawn denied: missing the spawn capability".into()),
    )
}

fn monitor() -> Outcome {
    rusm_rs::monitor(Pid(u64::MAX)); // with a grant: noproc at once
    rusm_rs::monitor(other()?);
    nothing_comes("a down", 30)
}

fn list() -> Outcome {
    same("list", rusm_rs::list(), vec![rusm_rs::me()])
}

fn info() -> Outcome {
    holds("of another", actor::info(other()?.0).is_none())?;
    holds("of itself", actor::info(rusm_rs::me().0).is_some())
}

fn alive() -> Outcome {
    holds("another", !rusm_rs::is_alive(other()?))?;
    holds("itself", rusm_rs::is_alive(rusm_rs::me()))
}

fn kill() -> Outcome {
    holds("kill", !rusm_rs::kill(other()?))?;
    holds(
        "it still has its name",
        rusm_rs::whereis("anchor").is_some(),
    )
}

fn kill_tag() -> Outcome {
    let tag = unique("ours");
    rusm_rs::register_tag(&tag);
    same("killed", rusm_rs::kill_tag(&tag), 0)?;
    same(
        "still a member",
        rusm_rs::whereis_tag(&tag),
        vec![rusm_rs::me()],
    )
}

fn kv() -> Outcome {
    let (bucket, denied) = (
        rusm_rs::kv::bucket("b"),
        "kv denied: missing the storage capability",
    );
    same("get", bucket.get("k"), Err(denied.into()))?;
    same("set", bucket.set("k", b"v"), Err(denied.into()))?;
    same("delete", bucket.delete("k"), Err(denied.into()))?;
    same("exists", bucket.exists("k"), Err(denied.into()))?;
    same("list", bucket.list(), Err(denied.into()))
}

fn allowed_all_the_same() -> Outcome {
    to_self("hello");
    same("message", crate::tools::next("message")?.as_str(), "hello")?;
    holds("register", rusm_rs::register(&unique("free")))?;
    rusm_rs::send_after(rusm_rs::me(), 1, b"tick");
    same("timer", crate::tools::next("timer")?.as_str(), "tick")
}
