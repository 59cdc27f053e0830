// SPDX-License-Identifier: MIT
//! The scenarios of bench/wasm for the reference's engine (crate rusm-wasm): the same guests, the
//! same number of them in flight, slots of 16 MiB as the reference has them by default.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusm_otp::{Context, Pid, ProcessHandle, Received, Runtime};
use rusm_wasm::{CapabilityProfile, PreparedComponent, PreparedModule, WasmRuntime};

use crate::settings::{memory, percentile_us, percentiles, Settings};

const SLOT_BYTES: usize = 16 << 20;
const BALLS: u64 = 40_000;
const PLAYERS: usize = 8;
const FOR_EVER: u64 = 1 << 30;

pub fn knows(scenario: &str) -> bool {
    matches!(
        scenario,
        "component-storm"
            | "module-storm"
            | "guest-storm"
            | "dynamic-wasm"
            | "wasm-ping-pong"
            | "fairness"
            | "idle-wasm"
            | "host-call"
    )
}

pub async fn run(settings: &Settings, rt: &Runtime) {
    match settings.scenario.as_str() {
        "guest-storm" => storm(settings, rt, settings.size.unwrap_or(64), true).await,
        "component-storm" | "module-storm" => {
            storm(settings, rt, settings.size.unwrap_or(256), false).await
        }
        "dynamic-wasm" => forks(settings, rt).await,
        "wasm-ping-pong" => ping_pong(settings, rt).await,
        "fairness" => fairness(settings, rt).await,
        "host-call" => host_call(settings, rt).await,
        _ => idle(settings, rt).await,
    }
}

/// What can be spawned.
enum Guest {
    Component(PreparedComponent),
    Module(PreparedModule),
}

struct Node {
    rt: Runtime,
    wasm: WasmRuntime,
    guests: Vec<Guest>,
}

impl Node {
    fn new(settings: &Settings, rt: &Runtime, room: usize) -> Arc<Node> {
        let wasm = WasmRuntime::with_limits(rt.clone(), room as u32, SLOT_BYTES)
            .expect("the engine starts");
        let guests = settings.guests.iter().map(|path| {
            let bytes = std::fs::read(path).expect("the guest can be read");
            if settings.scenario == "module-storm" {
                let module = wasm.compile(&bytes).expect("the module compiles");
                Guest::Module(wasm.prepare(&module, "run").expect("it has an entry"))
            } else {
                let component = wasm.compile_component(&bytes).expect("it compiles");
                Guest::Component(wasm.prepare_component(&component, "run").expect("an entry"))
            }
        });
        let guests = guests.collect();
        Arc::new(Node {
            rt: rt.clone(),
            wasm,
            guests,
        })
    }

    fn spawn(&self, which: usize) -> ProcessHandle {
        match &self.guests[which] {
            Guest::Component(component) => self.wasm.spawn_component(component),
            Guest::Module(module) => self.wasm.spawn(module),
        }
    }

    /// The order that guest `ball` begins with.
    fn order(&self, guest: Pid, other: Pid, rounds: u64, serves: u64) {
        let numbers = [other.raw(), rounds, serves];
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.rt.send(guest, bytes.collect());
    }
}

/// A flag that is set when the time is over.
fn alarm(time: Duration) -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let set = over.clone();
    std::thread::spawn(move || {
        std::thread::sleep(time);
        set.store(true, Relaxed);
    });
    over
}

// ---- component-storm, module-storm, guest-storm ----

async fn spawner(node: Arc<Node>, over: Arc<AtomicBool>, echo: bool, mut context: Context) -> u64 {
    let mut count = 0;
    while !over.load(Relaxed) {
        let guest = node.spawn(count as usize % node.guests.len());
        if echo {
            let me = context.pid().raw().to_le_bytes().to_vec();
            node.rt.send(guest.pid(), me);
            context.recv().await;
        }
        guest.join().await;
        count += 1;
    }
    count
}

async fn storm_for(node: &Arc<Node>, time: Duration, flying: usize, echo: bool) -> f64 {
    let (begin, over) = (Instant::now(), alarm(time));
    let spawners = (0..flying).map(|_| {
        let (give, take) = tokio::sync::oneshot::channel();
        let (own, over) = (node.clone(), over.clone());
        node.rt.spawn(move |context| async move {
            let _ = give.send(spawner(own, over, echo, context).await);
        });
        take
    });
    let mut count = 0;
    for spawner in spawners.collect::<Vec<_>>() {
        count += spawner.await.expect("a spawner counts");
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

async fn storm(settings: &Settings, rt: &Runtime, flying: usize, echo: bool) {
    let node = Node::new(settings, rt, 1024);
    storm_for(&node, settings.time() / 4, flying, echo).await;
    let rate = storm_for(&node, settings.time(), flying, echo).await;
    settings.report("", rate, "spawns/s", &format!(" flying={flying}"));
}

// ---- dynamic-wasm ----

const FORKS: f64 = 200.0;

impl Node {
    fn spawn_trusted(&self) -> ProcessHandle {
        let caps = CapabilityProfile::Trusted.capabilities();
        match &self.guests[0] {
            Guest::Component(component) => self.wasm.spawn_component_with(component, caps),
            Guest::Module(_) => unreachable!("forkers are components"),
        }
    }
}

async fn forkers_for(node: &Arc<Node>, time: Duration, flying: usize) -> f64 {
    let (begin, over) = (Instant::now(), alarm(time));
    let tasks = (0..flying).map(|_| {
        let (node, over) = (node.clone(), over.clone());
        tokio::spawn(async move {
            let mut count = 0.0;
            while !over.load(Relaxed) {
                node.spawn_trusted().join().await;
                count += FORKS;
            }
            count
        })
    });
    let mut count = 0.0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.expect("a forker is counted");
    }
    count / begin.elapsed().as_secs_f64()
}

async fn forks(settings: &Settings, rt: &Runtime) {
    let flying = settings.size.unwrap_or(16);
    let node = Node::new(settings, rt, 1024);
    let caps = CapabilityProfile::Sandboxed.capabilities();
    node.wasm.register_wasm_template("tpl", caps, None);
    forkers_for(&node, settings.time() / 4, flying).await;
    let rate = forkers_for(&node, settings.time(), flying).await;
    settings.report("", rate, "spawns/s", &format!(" flying={flying}"));
}

// ---- wasm-ping-pong ----

async fn games(node: Arc<Node>, over: Arc<AtomicBool>) -> u64 {
    let mut balls = 0;
    while !over.load(Relaxed) {
        let (one, two) = (node.spawn(0), node.spawn(0));
        node.order(two.pid(), one.pid(), BALLS / 2, 0);
        node.order(one.pid(), two.pid(), BALLS / 2, 1);
        one.join().await;
        two.join().await;
        balls += BALLS;
    }
    balls
}

async fn games_for(node: &Arc<Node>, time: Duration, pairs: usize) -> f64 {
    let (begin, over) = (Instant::now(), alarm(time));
    let tasks = (0..pairs).map(|_| tokio::spawn(games(node.clone(), over.clone())));
    let mut balls = 0;
    for task in tasks.collect::<Vec<_>>() {
        balls += task.await.expect("a game counts");
    }
    balls as f64 / begin.elapsed().as_secs_f64()
}

async fn ping_pong(settings: &Settings, rt: &Runtime) {
    let pairs = settings.size.unwrap_or(1);
    let node = Node::new(settings, rt, 1024);
    games_for(&node, settings.time() / 4, pairs).await;
    let rate = games_for(&node, settings.time(), pairs).await;
    settings.report("", rate, "messages/s", &format!(" pairs={pairs}"));
}

// ---- fairness ----

async fn player(node: Arc<Node>, over: Arc<AtomicBool>, mut context: Context) -> Vec<u64> {
    let guest = node.spawn(0);
    node.order(guest.pid(), context.pid(), FOR_EVER, 0);
    let mut samples = Vec::new();
    while !over.load(Relaxed) {
        let due = Instant::now() + Duration::from_millis(1);
        tokio::time::sleep_until(due.into()).await;
        node.rt.send(guest.pid(), b"the ball".to_vec());
        let Received::Message(_) = context.recv().await else {
            continue;
        };
        samples.push(due.elapsed().as_nanos() as u64);
    }
    guest.kill();
    samples
}

async fn play(node: &Arc<Node>, time: Duration) -> (Vec<u64>, f64) {
    let (begin, over) = (Instant::now(), alarm(time));
    let players = (0..PLAYERS).map(|_| {
        let (give, take) = tokio::sync::oneshot::channel();
        let (own, over) = (node.clone(), over.clone());
        node.rt.spawn(move |context| async move {
            let _ = give.send(player(own, over, context).await);
        });
        take
    });
    let mut samples = Vec::new();
    for player in players.collect::<Vec<_>>() {
        samples.extend(player.await.expect("a player counts"));
    }
    (samples, begin.elapsed().as_secs_f64())
}

async fn fairness(settings: &Settings, rt: &Runtime) {
    let loops = settings.size.unwrap_or(1);
    let node = Node::new(settings, rt, 1024);
    let loopers: Vec<_> = (0..loops * settings.threads)
        .map(|_| node.spawn(1))
        .collect();
    play(&node, settings.time() / 4).await;
    let (mut samples, took) = play(&node, settings.time()).await;
    let extra = format!(" loops={loops}{}", percentiles(&mut samples));
    let p99 = percentile_us(&mut samples, 0.99);
    settings.report("-p99", p99, "us", &extra);
    let rate = samples.len() as f64 / took;
    settings.report("", rate, "trips/s", &format!(" loops={loops}"));
    loopers.iter().for_each(ProcessHandle::kill);
}

// ---- idle-wasm ----

async fn park(node: &Arc<Node>, count: usize) {
    let (give, take) = tokio::sync::oneshot::channel();
    let own = node.clone();
    node.rt.spawn(move |mut context| async move {
        for _ in 0..count {
            let guest = own.spawn(0);
            own.order(guest.pid(), context.pid(), 1, 1);
            context.recv().await;
        }
        let _ = give.send(());
    });
    take.await.expect("all are parked");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn idle(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(3000);
    let node = Node::new(settings, rt, count + 200);
    park(&node, 100).await;
    let before = memory("VmRSS");
    park(&node, count).await;
    let value = (memory("VmRSS") - before) / count as f64;
    settings.report("", value, "bytes/guest", &format!(" guests={count}"));
}

// ---- host-call ----

/// Calls of guests that have ended.
static CALLS: AtomicU64 = AtomicU64::new(0);
static CALLS_OVER: AtomicBool = AtomicBool::new(false);

fn next_call(number: u64) -> u64 {
    if !CALLS_OVER.load(Relaxed) {
        return number + 1;
    }
    CALLS.fetch_add(number + 1, Relaxed);
    0
}

/// A bridge as the reference's own are: asynchronous. `plain`: a function of its engine that cannot
/// wait, which its tools never make.
fn node_with_bridge(settings: &Settings, rt: &Runtime, plain: bool) -> Arc<Node> {
    let wasm = WasmRuntime::with_bridges(rt.clone(), move |linker| {
        let mut interface = linker.instance("bench:host/calls@0.1.0")?;
        if plain {
            interface.func_wrap("next", |_, (number,): (u64,)| Ok((next_call(number),)))
        } else {
            interface.func_wrap_async("next", |_, (number,): (u64,)| {
                Box::new(async move { Ok((next_call(number),)) })
            })
        }
    });
    let wasm = wasm.expect("the engine starts");
    let bytes = std::fs::read(&settings.guests[0]).expect("the guest can be read");
    let component = wasm.compile_component(&bytes).expect("it compiles");
    let guest = Guest::Component(wasm.prepare_component(&component, "run").expect("an entry"));
    Arc::new(Node {
        rt: rt.clone(),
        wasm,
        guests: vec![guest],
    })
}

async fn calls_for(node: &Arc<Node>, time: Duration, guests: usize) -> f64 {
    CALLS.store(0, Relaxed);
    CALLS_OVER.store(false, Relaxed);
    let begin = Instant::now();
    let handles: Vec<_> = (0..guests).map(|_| node.spawn(0)).collect();
    tokio::time::sleep(time).await;
    CALLS_OVER.store(true, Relaxed);
    for handle in handles {
        handle.join().await;
    }
    CALLS.load(Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

async fn host_call(settings: &Settings, rt: &Runtime) {
    let guests = settings.size.unwrap_or(1);
    for (plain, suffix) in [(false, ""), (true, "-plain")] {
        let node = node_with_bridge(settings, rt, plain);
        calls_for(&node, settings.time() / 4, guests).await;
        let rate = calls_for(&node, settings.time(), guests).await;
        println!(
            "host-call peer=rusm{suffix} value={rate:.2} unit=calls/s threads={} guests={guests}",
            settings.threads
        );
    }
}
