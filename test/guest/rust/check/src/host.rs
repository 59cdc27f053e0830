// SPDX-License-Identifier: MIT
//! Spawning, looking at processes, logging, serving: lines 89 to 95, 119, 195.

use crate::tools::{holds, next, same, to_self, unique, Outcome, Peer};
use crate::Check;
use rusm_rs::rusm::runtime::{actor, log};
use serde_json::json;

pub const CHECKS: &[Check] = &[
    ("spawn-unknown", spawn_unknown),
    ("child-has-own-profile", child_has_own_profile),
    ("child-kills-itself", child_kills_itself),
    ("child-answers", child_answers),
    ("children-in-numbers", children_in_numbers),
    ("pids-are-not-reused", pids_are_not_reused),
    ("info-of-self", info_of_self),
    ("info-of-another", info_of_another),
    ("info-of-the-dead", info_of_the_dead),
    ("list", list),
    ("alive", alive),
    ("kill-a-spinner", kill_a_spinner),
    ("label", label),
    ("log", log_lines),
    ("no-connection", no_connection),
    ("anchor", anchor),
];

fn spawn_unknown() -> Outcome {
    let answer = rusm_rs::spawn("nonesuch").map(|pid| pid.0);
    same("spawn", answer, Err("unknown component `nonesuch`".into()))
}

/// The peer has no grant, though its parent has all.
fn child_has_own_profile() -> Outcome {
    let peer = Peer::start()?;
    let answer = peer.ask(json!({ "do": "spawn", "name": "peer" }))?;
    same(
        "spawn",
        answer,
        json!({ "err": "spawn denied: missing the spawn capability" }),
    )?;
    peer.end()
}

fn child_kills_itself() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    peer.tell(json!({ "do": "kill-self" }));
    let mut message = next("down")?;
    if message == "true" {
        message = next("down")?; // the kill may take effect after the answer was sent
    }
    same("down", message, peer.down("killed"))
}

fn child_answers() -> Outcome {
    let peer = Peer::start()?;
    let value = json!({ "text": "\u{0} \u{1f600} \" \\", "number": 18446744073709551615u64 });
    same(
        "echo",
        peer.ask(json!({ "do": "echo", "value": value.clone() }))?,
        value,
    )?;
    peer.end()
}

fn children_in_numbers() -> Outcome {
    let peers: Vec<Peer> = (0..20).map(|_| Peer::start()).collect::<Result<_, _>>()?;
    for peer in &peers {
        peer.tell(json!({ "do": "echo", "value": peer.0.to_string() }));
    }
    let mut answers: Vec<String> = Vec::new();
    for _ in &peers {
        answers.push(next("an answer")?.trim_matches('"').to_string());
    }
    let mut wanted: Vec<String> = peers.iter().map(|peer| peer.0.to_string()).collect();
    answers.sort();
    wanted.sort();
    same("answers", answers, wanted)?;
    peers.iter().try_for_each(Peer::end)
}

fn pids_are_not_reused() -> Outcome {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let peer = Peer::start()?;
        holds("a new pid", seen.insert(peer.0))?;
        peer.end()?;
    }
    holds("nobody is 0", !seen.contains(&rusm_rs::Pid(0)))
}

fn info_of_self() -> Outcome {
    let (me, name) = (rusm_rs::me(), unique("known"));
    rusm_rs::register(&name);
    to_self("waiting");
    let info = actor::info(me.0).ok_or("none")?;
    same("pid", info.pid, me.0)?;
    same("names", info.names, vec![name])?;
    same("mailbox-depth", info.mailbox_depth, 1)?;
    same("links", info.links, 0)?;
    same("trap-exit", info.trap_exit, false)
}

fn info_of_another() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    peer.ask(json!({ "do": "echo", "value": 1 }))?;
    let info = actor::info(peer.0 .0).ok_or("none")?;
    same("pid", info.pid, peer.0 .0)?;
    same("monitors", info.monitors, 1)?;
    same("label", info.label.as_deref(), Some("peer"))?;
    peer.end()
}

fn info_of_the_dead() -> Outcome {
    let peer = Peer::start()?;
    peer.end()?;
    holds("none", actor::info(peer.0 .0).is_none())
}

fn list() -> Outcome {
    let peer = Peer::start()?;
    let pids = rusm_rs::list();
    holds(
        "both are listed",
        pids.contains(&rusm_rs::me()) && pids.contains(&peer.0),
    )?;
    peer.end()?;
    holds("gone", !rusm_rs::list().contains(&peer.0))
}

fn alive() -> Outcome {
    let peer = Peer::start()?;
    holds("self", rusm_rs::is_alive(rusm_rs::me()))?;
    holds("peer", rusm_rs::is_alive(peer.0))?;
    peer.end()?;
    holds("the dead", !rusm_rs::is_alive(peer.0))
}

fn kill_a_spinner() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    peer.tell(json!({ "do": "spin" }));
    rusm_rs::receive_bytes_timeout(30);
    holds("kill", rusm_rs::kill(peer.0))?;
    same("down", next("down")?, peer.down("killed"))
}

fn label() -> Outcome {
    rusm_rs::set_label("renamed");
    let info = actor::info(rusm_rs::me().0).ok_or("none")?;
    same("label", info.label.as_deref(), Some("renamed"))
}

/// The test that runs this looks at the node's standard error.
fn log_lines() -> Outcome {
    log::log(log::LogLevel::Error, "conformance error line");
    log::log(log::LogLevel::Warn, "conformance warn line");
    log::log(log::LogLevel::Info, "conformance info line");
    log::log(log::LogLevel::Debug, "conformance debug line");
    log::log(log::LogLevel::Warn, "two\nlines");
    Ok(())
}

fn no_connection() -> Outcome {
    holds("none", rusm_rs::connection().is_none())
}

/// Leaves a peer behind that is registered as `anchor`, for the checks of `denied`.
fn anchor() -> Outcome {
    if rusm_rs::whereis("anchor").is_some() {
        return Ok(());
    }
    let answer = Peer::start()?.ask(json!({ "do": "register", "name": "anchor" }))?;
    same("register", answer, json!(true))
}
