// SPDX-License-Identifier: MIT
//! Every function of `rusm:runtime`, in both spellings: arguments arrive, results go back.

use super::fake::*;
use super::wat::{Spelling, component_in};

const IMPORTS: &str = r#"
    (import "host" "own-pid" (func $own-pid (result i64)))
    (import "host" "spawn" (func $spawn (param i32 i32 i32)))
    (import "host" "spawn-from" (func $spawn-from (param i32 i32 i32 i32 i32)))
    (import "host" "supervise" (func $supervise (param i32 i32 i32 i32 i32 i32)))
    (import "host" "monitor" (func $monitor (param i64)))
    (import "host" "send" (func $send (param i64 i32 i32)))
    (import "host" "receive" (func $receive (param i32)))
    (import "host" "receive-timeout" (func $receive-timeout (param i64 i32)))
    (import "host" "stash" (func $stash (param i32 i32)))
    (import "host" "unstash" (func $unstash))
    (import "host" "list-processes" (func $list-processes (param i32)))
    (import "host" "info" (func $info (param i64 i32)))
    (import "host" "is-alive" (func $is-alive (param i64) (result i32)))
    (import "host" "kill" (func $kill (param i64) (result i32)))
    (import "host" "register" (func $register (param i32 i32) (result i32)))
    (import "host" "whereis" (func $whereis (param i32 i32 i32)))
    (import "host" "unregister" (func $unregister (param i32 i32) (result i32)))
    (import "host" "set-label" (func $set-label (param i32 i32)))
    (import "host" "send-after" (func $send-after (param i64 i64 i32 i32) (result i64)))
    (import "host" "cancel-timer" (func $cancel-timer (param i64) (result i32)))
    (import "host" "kv-get" (func $kv-get (param i32 i32 i32 i32 i32)))
    (import "host" "kv-set" (func $kv-set (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "kv-delete" (func $kv-delete (param i32 i32 i32 i32 i32)))
    (import "host" "kv-exists" (func $kv-exists (param i32 i32 i32 i32 i32)))
    (import "host" "kv-list" (func $kv-list (param i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "register-tag" (func $register-tag (param i32 i32)))
    (import "host" "unregister-tag" (func $unregister-tag (param i32 i32)))
    (import "host" "whereis-tag" (func $whereis-tag (param i32 i32 i32)))
    (import "host" "kill-tag" (func $kill-tag (param i32 i32) (result i32)))
    (import "host" "stream-open" (func $stream-open (param i64 i32)))
    (import "host" "stream-write" (func $stream-write (param i64 i32 i32) (result i32)))
    (import "host" "stream-close" (func $stream-close (param i64)))
    (import "host" "stream-accept" (func $stream-accept (result i64)))
    (import "host" "stream-read" (func $stream-read (param i64 i32)))
    (import "host" "connection" (func $connection (param i32)))
    (import "libc" "memory" (memory 1))
    (data (i32.const 0) "known")
    (data (i32.const 8) "stranger")
    (data (i32.const 16) "denied")
    (func $tell (param i32 i32) (call $send (i64.const 7) (local.get 0) (local.get 1)))
    ;; Send the list whose address and length are stored at the given place.
    (func $tell-list (param i32 i32)
      (call $tell
        (i32.load (local.get 0))
        (i32.mul (local.get 1) (i32.load offset=4 (local.get 0)))))
    (func $tell-number (param i32)
      (i32.store (i32.const 1000) (local.get 0)) (call $tell (i32.const 1000) (i32.const 4)))
    (func $tell-long (param i64)
      (i64.store (i32.const 1000) (local.get 0)) (call $tell (i32.const 1000) (i32.const 8)))"#;

/// Run `body` in both spellings and look at the guest afterwards. Waits are resumed.
fn in_both(prepare: impl Fn(&mut FakeGuest), body: &str, check: impl Fn(&mut FakeGuest)) {
    for spelling in [Spelling::Split, Spelling::Older] {
        let engine = TestEngine::new();
        let text = component_in(
            spelling,
            &format!(r#"{IMPORTS} (func (export "run") {body})"#),
        );
        let prepared = engine.prepare(text);
        let mut guest = prepared.start();
        prepare(guest.guest());
        let mut outcome = guest.resume();
        for _ in 0..10 {
            if outcome == PENDING {
                outcome = guest.resume();
            }
        }
        assert_eq!(outcome, DONE, "{:?}", guest.error());
        check(guest.guest());
    }
}

fn told(guest: &FakeGuest) -> Vec<&[u8]> {
    guest
        .sent
        .iter()
        .map(|(_, message)| message.as_slice())
        .collect()
}

#[test]
fn own_pid() {
    in_both(
        |_| {},
        "(call $tell-long (call $own-pid))",
        |guest| {
            assert_eq!(told(guest), [42u64.to_le_bytes()]);
        },
    );
}

#[test]
fn spawn_answers_a_pid_or_a_text() {
    let body = r#"
        (call $spawn (i32.const 0) (i32.const 5) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 16))
        (call $spawn (i32.const 8) (i32.const 8) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-list (i32.const 520) (i32.const 1))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let known = [0, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0];
            let told = told(guest);
            assert_eq!(told[0], known);
            assert_eq!(told[1], [1]);
            assert_eq!(told[2], b"unknown component `stranger`");
        },
    );
}

#[test]
fn messages_and_timeouts() {
    let body = r#"
        (call $receive (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 1))
        (call $receive-timeout (i64.const 250) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-list (i32.const 516) (i32.const 1))
        (call $receive-timeout (i64.const 0) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))"#;
    let prepare = |guest: &mut FakeGuest| {
        guest.mailbox.extend([b"first".to_vec(), Vec::new()]);
        guest.timed_out = true;
    };
    in_both(prepare, body, |guest| {
        let expected: [&[u8]; 4] = [b"first", &[1], b"", &[0]];
        assert_eq!(told(guest), expected);
        assert_eq!(guest.timeout, Some(0));
    });
}

#[test]
fn a_large_message_arrives_whole() {
    let body = r#"
        (call $receive (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 1))"#;
    let message: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let prepare = |guest: &mut FakeGuest| guest.mailbox.push_back(message.clone());
    in_both(prepare, body, |guest| {
        assert_eq!(told(guest), [message.as_slice()])
    });
}

#[test]
fn stash_and_unstash() {
    let body = r#"
        (call $stash (i32.const 0) (i32.const 5))
        (call $stash (i32.const 8) (i32.const 8))
        (call $unstash)
        (call $receive (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 1))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            assert_eq!(told(guest), [b"known"]);
            assert_eq!(guest.mailbox, [b"stranger"]);
        },
    );
}

#[test]
fn other_processes() {
    let body = r#"
        (call $monitor (i64.const 5))
        (call $tell-number (call $is-alive (i64.const 42)))
        (call $tell-number (call $is-alive (i64.const 43)))
        (call $tell-number (call $kill (i64.const 6)))
        (call $list-processes (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 8))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let told = told(guest);
            assert_eq!(
                told[..3],
                [1u32.to_le_bytes(), 0u32.to_le_bytes(), 1u32.to_le_bytes()]
            );
            let pids: Vec<u8> = [1u64, 2, 3]
                .iter()
                .flat_map(|pid| pid.to_le_bytes())
                .collect();
            assert_eq!(told[3], pids);
            assert_eq!(
                (guest.monitored.as_slice(), guest.killed.as_slice()),
                (&[5][..], &[6][..])
            );
        },
    );
}

#[test]
fn info_of_a_process() {
    // The option's tag, then: pid 8, links 16, monitors 20, names 24, label 32 (tag, text),
    // mailbox depth 44, trap exit 48.
    let body = r#"
        (call $info (i64.const 9) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $info (i64.const 42) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell (i32.const 520) (i32.const 16))
        (call $tell-list (i32.load (i32.const 536)) (i32.const 1))
        (call $tell-list (i32.add (i32.const 8) (i32.load (i32.const 536))) (i32.const 1))
        (call $tell-list (i32.const 548) (i32.const 1))
        (call $tell (i32.const 556) (i32.const 5))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let told = told(guest);
            assert_eq!(told[0], [0]);
            assert_eq!(told[1], [1]);
            assert_eq!(told[2], [42, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]);
            assert_eq!(told[3..6], [&b"one"[..], b"two", b"label"]);
            assert_eq!(told[6], [6, 0, 0, 0, 1]);
        },
    );
}

#[test]
fn names_and_labels() {
    let body = r#"
        (call $tell-number (call $register (i32.const 0) (i32.const 5)))
        (call $tell-number (call $register (i32.const 0) (i32.const 5)))
        (call $whereis (i32.const 0) (i32.const 5) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 16))
        (call $tell-number (call $unregister (i32.const 0) (i32.const 5)))
        (call $whereis (i32.const 0) (i32.const 5) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $set-label (i32.const 8) (i32.const 8))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let found = [1, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0];
            let expected: [&[u8]; 5] = [&[1, 0, 0, 0], &[0; 4], &found, &[1, 0, 0, 0], &[0]];
            assert_eq!(told(guest), expected);
            assert_eq!(guest.label.as_deref(), Some("stranger"));
        },
    );
}

#[test]
fn timers() {
    let body = r#"
        (call $tell-long
          (call $send-after (i64.const 5) (i64.const 100) (i32.const 0) (i32.const 5)))
        (call $tell-number (call $cancel-timer (i64.const 9)))
        (call $tell-number (call $cancel-timer (i64.const 8)))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            assert_eq!(guest.sent[0], (105, b"known".to_vec()));
            let expected: [&[u8]; 3] = [&[9, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 0, 0], &[0; 4]];
            assert_eq!(told(guest)[1..], expected);
        },
    );
}

#[test]
fn log_lines() {
    let body = r#"
        (call $log (i32.const 0) (i32.const 0) (i32.const 5))
        (call $log (i32.const 3) (i32.const 8) (i32.const 8))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            assert_eq!(
                guest.logs,
                [(0, "known".to_owned()), (3, "stranger".to_owned())]
            );
        },
    );
}

#[test]
fn tags() {
    let body = r#"
        (call $register-tag (i32.const 0) (i32.const 5))
        (call $register-tag (i32.const 8) (i32.const 8))
        (call $unregister-tag (i32.const 8) (i32.const 8))
        (call $whereis-tag (i32.const 0) (i32.const 5) (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 8))
        (call $whereis-tag (i32.const 8) (i32.const 8) (i32.const 512))
        (call $tell-list (i32.const 512) (i32.const 8))
        (call $tell-number (call $kill-tag (i32.const 0) (i32.const 5)))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let expected: [&[u8]; 3] = [&42u64.to_le_bytes(), &[], &[1, 0, 0, 0]];
            assert_eq!(told(guest), expected);
        },
    );
}

const KV: &str = r#"
    ;; Bucket and key are both "known".
    (call $kv-set (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5)
      (i32.const 8) (i32.const 8) (i32.const 512))
    (call $tell (i32.const 512) (i32.const 1))
    (call $kv-get (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell (i32.const 516) (i32.const 1))
    (call $tell-list (i32.const 520) (i32.const 1))
    (call $kv-exists (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell (i32.const 516) (i32.const 1))
    (call $kv-list (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell-list (i32.load (i32.const 516)) (i32.const 1))
    (call $kv-delete (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell (i32.const 516) (i32.const 1))
    (call $kv-get (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell (i32.const 516) (i32.const 1))
    (call $kv-get (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 5) (i32.const 512))
    (call $tell (i32.const 512) (i32.const 1))
    (call $tell-list (i32.const 516) (i32.const 1))"#;

#[test]
fn kv() {
    // The first operation waits twice.
    in_both(
        |guest| guest.kv_waits = 2,
        KV,
        |guest| {
            let denied: &[u8] = b"kv denied: missing the storage capability";
            let told = told(guest);
            assert_eq!(told[..3], [&[0][..], &[1], b"stranger"]);
            assert_eq!(told[3..5], [&[1][..], b"known"]);
            assert_eq!(told[5..], [&[1][..], &[0], &[1], denied]);
        },
    );
}

#[test]
fn kv_waits_end_with_a_stop() {
    let engine = TestEngine::new();
    let body = format!(r#"{IMPORTS} (func (export "run") {KV})"#);
    let prepared = engine.prepare(component_in(Spelling::Split, &body));
    let mut guest = prepared.start();
    guest.guest().kv_waits = 5;
    assert_eq!(guest.resume(), PENDING);
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_STOPPED);
    assert_eq!(guest.guest().kv_waits, 4);
}

#[test]
fn connections() {
    // method 4, path 12, query 20, params 28, headers 36, remote address 44, subprotocol 52 (tag)
    // and 56, after the option's tag at 0.
    let body = r#"
        (call $connection (i32.const 512))
        (call $tell-list (i32.const 516) (i32.const 1))
        (call $tell-list (i32.const 524) (i32.const 1))
        (call $tell-list (i32.const 532) (i32.const 1))
        (call $tell-list (i32.add (i32.const 8) (i32.load (i32.const 540))) (i32.const 1))
        (call $tell-list (i32.add (i32.const 16) (i32.load (i32.const 548))) (i32.const 1))
        (call $tell-list (i32.const 556) (i32.const 1))
        (call $tell-list (i32.const 568) (i32.const 1))"#;
    in_both(
        |guest| guest.has_connection = true,
        body,
        |guest| {
            let expected: [&[u8]; 7] = [
                b"GET",
                b"/a",
                b"",
                b"gold",
                b"accept",
                b"127.0.0.1:1",
                b"chat",
            ];
            assert_eq!(told(guest), expected);
        },
    );
    let body = r#"
        (call $connection (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))"#;
    in_both(|_| {}, body, |guest| assert_eq!(told(guest), [&[0]]));
}

#[test]
fn streams() {
    // An option of a number: tag at 0, number at 8. One of a list: tag at 0, list at 4.
    let body = r#"
        (call $stream-open (i64.const 404) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $stream-open (i64.const 5) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-long (i64.load (i32.const 520)))
        (call $tell-number (call $stream-write (i64.const 0) (i32.const 0) (i32.const 5)))
        (call $tell-number (call $stream-write (i64.const 9) (i32.const 0) (i32.const 5)))
        (call $stream-read (i64.const 0) (i32.const 512))
        (call $tell-list (i32.const 516) (i32.const 1))
        (call $tell-long (call $stream-accept))
        (call $stream-close (i64.const 0))
        (call $stream-read (i64.const 0) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))"#;
    for waits in [0, 3] {
        in_both(
            |guest| guest.stream_waits = waits,
            body,
            |guest| {
                let expected: [&[u8]; 8] = [
                    &[0],
                    &[1],
                    &[0; 8],
                    &[1, 0, 0, 0],
                    &[0; 4],
                    b"known",
                    &[0, 0, 0, 0, 0, 1, 0, 0],
                    &[0],
                ];
                assert_eq!(told(guest), expected);
                assert_eq!(guest.streams, [None]);
                assert_eq!(guest.open.load(std::sync::atomic::Ordering::SeqCst), 0);
            },
        );
    }
}

#[test]
fn spawn_from_waits_and_answers() {
    let body = r#"
        (call $spawn-from (i32.const 0) (i32.const 5) (i32.const 8) (i32.const 8) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-long (i64.load (i32.const 520)))
        (call $spawn-from (i32.const 0) (i32.const 5) (i32.const 16) (i32.const 6) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-list (i32.const 520) (i32.const 1))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let expected: [&[u8]; 6] = [
                b"known stranger",
                &[0],
                &[79, 0, 0, 0, 0, 0, 0, 0],
                b"known denied",
                &[1],
                b"nothing is there",
            ];
            assert_eq!(told(guest), expected);
        },
    );
}

#[test]
fn supervision() {
    // A list of two texts at 2000: "known" and "stranger".
    let body = r#"
        (i32.store (i32.const 2000) (i32.const 0)) (i32.store (i32.const 2004) (i32.const 5))
        (i32.store (i32.const 2008) (i32.const 8)) (i32.store (i32.const 2012) (i32.const 8))
        (call $supervise (i32.const 2) (i32.const 2000) (i32.const 2) (i32.const 3)
          (i32.const 5000) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-long (i64.load (i32.const 520)))
        (call $supervise (i32.const 0) (i32.const 2000) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 512))
        (call $tell (i32.const 512) (i32.const 1))
        (call $tell-list (i32.const 520) (i32.const 1))"#;
    in_both(
        |_| {},
        body,
        |guest| {
            let expected: [&[u8]; 5] = [
                b"2 3 5000 known,stranger",
                &[0],
                &[78, 0, 0, 0, 0, 0, 0, 0],
                &[1],
                b"nobody to supervise",
            ];
            assert_eq!(told(guest), expected);
        },
    );
}
