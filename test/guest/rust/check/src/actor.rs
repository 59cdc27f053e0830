// SPDX-License-Identifier: MIT
//! Mailboxes, ends, names, timers, groups: lines 71 to 95 and 115 to 118.

use crate::tools::{holds, next, nothing_comes, same, to_self, unique, Outcome, Peer};
use crate::Check;
use rusm_rs::rusm::runtime::actor;
use serde_json::json;
use std::time::Instant;

pub const CHECKS: &[Check] = &[
    ("order", order),
    ("send-to-the-dead", send_to_the_dead),
    ("timeout", timeout),
    ("timeout-keeps-messages", timeout_keeps_messages),
    ("poll", poll),
    ("down-normal", down_normal),
    ("down-crashed", down_crashed),
    ("down-killed", down_killed),
    ("down-noproc", down_noproc),
    ("monitor-twice", monitor_twice),
    ("stash-one", stash_one),
    ("stash-order", stash_order),
    ("unstash-nothing", unstash_nothing),
    ("name-is-one-process", name_is_one_process),
    ("two-names", two_names),
    ("own-name-again", own_name_again),
    ("unregister-foreign", unregister_foreign),
    ("timer-fires", timer_fires),
    ("timer-cancelled", timer_cancelled),
    ("timer-fired-cannot-cancel", timer_fired_cannot_cancel),
    ("timer-unknown", timer_unknown),
    ("timer-outlives-setter", timer_outlives_setter),
    ("timer-to-the-dead", timer_to_the_dead),
    ("tags", tags),
    ("tag-twice", tag_twice),
    ("kill-tag", kill_tag),
    ("kill-tag-unknown", kill_tag_unknown),
    ("message-of-1-mib", message_of_1_mib),
    ("empty-message", empty_message),
    ("many-messages", many_messages),
];

fn order() -> Outcome {
    to_self("one");
    to_self("two");
    same("first", next("first")?.as_str(), "one")?;
    same("second", next("second")?.as_str(), "two")
}

fn send_to_the_dead() -> Outcome {
    let peer = Peer::start()?;
    peer.end()?;
    peer.tell(json!({ "do": "quit" }));
    nothing_comes("after sending to the dead", 20)
}

fn timeout() -> Outcome {
    let from = Instant::now();
    nothing_comes("an empty mailbox", 50)?;
    let waited = from.elapsed().as_millis();
    holds(&format!("waited {waited} ms, at least 49"), waited >= 49)
}

fn timeout_keeps_messages() -> Outcome {
    nothing_comes("before", 5)?;
    rusm_rs::send_after(rusm_rs::me(), 20, b"late");
    nothing_comes("too early", 1)?;
    same("the message", next("late")?.as_str(), "late")
}

fn poll() -> Outcome {
    nothing_comes("nothing queued", 0)?;
    to_self("queued");
    let message = rusm_rs::receive_bytes_timeout(0);
    same("with 0 ms", message, Some(b"queued".to_vec()))
}

fn down_normal() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    peer.tell(json!({ "do": "quit" }));
    same("down", next("down")?, peer.down("normal"))
}

fn down_crashed() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    peer.tell(json!({ "do": "crash" }));
    same("down", next("down")?, peer.down("crashed"))
}

fn down_killed() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    holds("kill of the living", rusm_rs::kill(peer.0))?;
    same("down", next("down")?, peer.down("killed"))?;
    holds("kill of the dead", !rusm_rs::kill(peer.0))
}

fn down_noproc() -> Outcome {
    let peer = Peer::start()?;
    peer.end()?;
    rusm_rs::monitor(peer.0);
    same("down", next("down")?, peer.down("noproc"))
}

fn monitor_twice() -> Outcome {
    let peer = Peer::start()?;
    rusm_rs::monitor(peer.0);
    rusm_rs::monitor(peer.0);
    peer.tell(json!({ "do": "quit" }));
    same("first", next("first")?, peer.down("normal"))?;
    same("second", next("second")?, peer.down("normal"))?;
    nothing_comes("a third", 20)
}

fn stash_one() -> Outcome {
    to_self("m1");
    to_self("m2");
    actor::stash(next("m1")?.as_bytes());
    same("while m1 is aside", next("m2")?.as_str(), "m2")?;
    nothing_comes("m1 while it is aside", 0)?;
    to_self("m3");
    actor::unstash();
    same("then", next("m1")?.as_str(), "m1")?;
    same("then", next("m3")?.as_str(), "m3")
}

fn stash_order() -> Outcome {
    for message in ["a", "b"] {
        to_self(message);
        actor::stash(next(message)?.as_bytes());
    }
    to_self("c");
    actor::unstash();
    for wanted in ["a", "b", "c"] {
        same("order", next(wanted)?.as_str(), wanted)?;
    }
    Ok(())
}

fn unstash_nothing() -> Outcome {
    actor::unstash();
    nothing_comes("nothing was stashed", 0)
}

fn name_is_one_process() -> Outcome {
    let (peer, name) = (Peer::start()?, unique("name"));
    same(
        "by the peer",
        peer.ask(json!({ "do": "register", "name": name }))?,
        json!(true),
    )?;
    holds("taken", !rusm_rs::register(&name))?;
    same("whereis", rusm_rs::whereis(&name), Some(peer.0))?;
    peer.end()?;
    same("whereis after the end", rusm_rs::whereis(&name), None)?;
    holds("free again", rusm_rs::register(&name))
}

fn two_names() -> Outcome {
    let (peer, one, two) = (Peer::start()?, unique("one"), unique("two"));
    for name in [&one, &two] {
        same(
            "register",
            peer.ask(json!({ "do": "register", "name": name }))?,
            json!(true),
        )?;
        same("whereis", rusm_rs::whereis(name), Some(peer.0))?;
    }
    peer.end()?;
    same(
        "after the end",
        (rusm_rs::whereis(&one), rusm_rs::whereis(&two)),
        (None, None),
    )
}

fn own_name_again() -> Outcome {
    let name = unique("again");
    holds("first", rusm_rs::register(&name))?;
    holds("second", !rusm_rs::register(&name))?;
    holds("given back", rusm_rs::unregister(&name))?;
    holds("given back twice", !rusm_rs::unregister(&name))
}

fn unregister_foreign() -> Outcome {
    let (peer, name) = (Peer::start()?, unique("mine"));
    holds("register", rusm_rs::register(&name))?;
    same(
        "by another",
        peer.ask(json!({ "do": "unregister", "name": name }))?,
        json!(false),
    )?;
    same("still ours", rusm_rs::whereis(&name), Some(rusm_rs::me()))?;
    peer.end()
}

fn timer_fires() -> Outcome {
    let from = Instant::now();
    rusm_rs::send_after(rusm_rs::me(), 20, b"tick");
    same("message", next("tick")?.as_str(), "tick")?;
    let waited = from.elapsed().as_millis();
    holds(
        &format!("came after {waited} ms, at least 19"),
        waited >= 19,
    )
}

fn timer_cancelled() -> Outcome {
    let timer = rusm_rs::send_after(rusm_rs::me(), 30, b"tick");
    holds("first cancel", rusm_rs::cancel_timer(timer))?;
    holds("second cancel", !rusm_rs::cancel_timer(timer))?;
    nothing_comes("after cancelling", 60)
}

fn timer_fired_cannot_cancel() -> Outcome {
    let timer = rusm_rs::send_after(rusm_rs::me(), 1, b"tick");
    next("tick")?;
    holds("cancel after firing", !rusm_rs::cancel_timer(timer))
}

fn timer_unknown() -> Outcome {
    holds("cancel of what never was", !rusm_rs::cancel_timer(u64::MAX))
}

fn timer_outlives_setter() -> Outcome {
    let peer = Peer::start()?;
    let to = rusm_rs::me().to_string();
    peer.ask(json!({ "do": "send-after", "to": to, "ms": 60, "message": "left behind" }))?;
    peer.end()?;
    same("message", next("the timer")?.as_str(), "left behind")
}

fn timer_to_the_dead() -> Outcome {
    let peer = Peer::start()?;
    peer.end()?;
    rusm_rs::send_after(peer.0, 1, b"nobody hears");
    nothing_comes("a timer to the dead", 20)
}

fn tags() -> Outcome {
    let (peer, tag) = (Peer::start()?, unique("tag"));
    let members = || {
        let mut members = rusm_rs::whereis_tag(&tag);
        members.sort();
        members
    };
    same("nobody", members(), vec![])?;
    rusm_rs::register_tag(&tag);
    peer.ask(json!({ "do": "join", "tag": tag }))?;
    let mut both = vec![rusm_rs::me(), peer.0];
    both.sort();
    same("both", members(), both)?;
    peer.end()?;
    same("one", members(), vec![rusm_rs::me()])?;
    rusm_rs::unregister_tag(&tag);
    rusm_rs::unregister_tag(&tag);
    same("nobody again", members(), vec![])
}

fn tag_twice() -> Outcome {
    let tag = unique("twice");
    rusm_rs::register_tag(&tag);
    rusm_rs::register_tag(&tag);
    same("members", rusm_rs::whereis_tag(&tag).len(), 1)?;
    rusm_rs::unregister_tag(&tag);
    same("members", rusm_rs::whereis_tag(&tag).len(), 0)
}

fn kill_tag() -> Outcome {
    let (one, two, tag) = (Peer::start()?, Peer::start()?, unique("doomed"));
    for peer in [&one, &two] {
        peer.ask(json!({ "do": "join", "tag": tag }))?;
        rusm_rs::monitor(peer.0);
    }
    same("killed", rusm_rs::kill_tag(&tag), 2)?;
    let mut downs = [next("first")?, next("second")?];
    let mut wanted = [one.down("killed"), two.down("killed")];
    downs.sort();
    wanted.sort();
    same("downs", downs, wanted)?;
    same("nobody left", rusm_rs::whereis_tag(&tag).len(), 0)
}

fn kill_tag_unknown() -> Outcome {
    same("killed", rusm_rs::kill_tag("nobody has this tag"), 0)
}

fn message_of_1_mib() -> Outcome {
    let message: Vec<u8> = (0..1 << 20).map(|i: u32| (i ^ i >> 8) as u8).collect();
    rusm_rs::send_bytes(rusm_rs::me(), &message);
    holds("the same bytes", rusm_rs::receive_bytes() == message)
}

fn empty_message() -> Outcome {
    rusm_rs::send_bytes(rusm_rs::me(), b"");
    same(
        "message",
        rusm_rs::receive_bytes_timeout(1_000),
        Some(vec![]),
    )
}

fn many_messages() -> Outcome {
    for number in 0..500u32 {
        rusm_rs::send_bytes(rusm_rs::me(), &number.to_le_bytes());
    }
    for number in 0..500u32 {
        same(
            "order",
            rusm_rs::receive_bytes(),
            number.to_le_bytes().to_vec(),
        )?;
    }
    Ok(())
}
