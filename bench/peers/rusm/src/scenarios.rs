// SPDX-License-Identifier: MIT
//! One function per scenario; see bench/core for what each one counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusm_otp::{Context, Pid, Received, Runtime, Strategy};
use tokio::task::{yield_now, JoinHandle};

use crate::settings::{memory, percentile_us, percentiles, Settings};

const BATCH: u64 = 256;

/// What one actor did.
#[derive(Default)]
struct Work {
    operations: u64,
    samples: Vec<u64>,
}

type Actor = Pin<Box<dyn Future<Output = Work> + Send>>;

pub async fn run(settings: &Settings) {
    let rt = Runtime::new();
    match settings.scenario.as_str() {
        "spawn-storm" => spawn_storm(settings, &rt).await,
        "ping-pong" => ping_pong(settings, &rt).await,
        "fanin" => fanin(settings, &rt).await,
        "idle-native" => idle_native(settings, &rt).await,
        "timer-storm" => timer_storm(settings, &rt).await,
        "spawn-scale" => spawn_scale(settings, &rt).await,
        "pubsub-fanout" => pubsub_fanout(settings, &rt).await,
        "mixed-latency" => mixed_latency(settings, &rt).await,
        "fault-recovery" => fault_recovery(settings, &rt).await,
        "stream-pipe" => stream_pipe(settings, &rt).await,
        other => {
            eprintln!("peer-rusm: no scenario {other}");
            std::process::exit(2);
        }
    }
}

// ---- phases ----

struct Stop(Arc<AtomicBool>);

impl Stop {
    fn after(time: Duration) -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let set = flag.clone();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            set.store(true, Relaxed);
        });
        Stop(flag)
    }

    fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Clone for Stop {
    fn clone(&self) -> Self {
        Stop(self.0.clone())
    }
}

/// Start actors with `start`, wait for all, and for the count of processes to be what it was.
async fn phase(rt: &Runtime, time: Duration, start: impl Fn(Stop) -> Vec<Actor>) -> (Work, f64) {
    let kept = rt.process_count();
    let begin = Instant::now();
    let actors: Vec<JoinHandle<Work>> = start(Stop::after(time))
        .into_iter()
        .map(tokio::spawn)
        .collect();
    let mut total = Work::default();
    for actor in actors {
        let work = actor.await.expect("an actor ends well");
        total.operations += work.operations;
        total.samples.extend(work.samples);
    }
    while rt.process_count() > kept {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (total, begin.elapsed().as_secs_f64())
}

async fn measure(
    settings: &Settings,
    rt: &Runtime,
    start: impl Fn(Stop) -> Vec<Actor>,
) -> (Work, f64) {
    phase(rt, settings.time() / 4, &start).await;
    phase(rt, settings.time(), &start).await
}

/// The future of a process' body, run as a process, with its result handed out.
fn process<F, Fut>(rt: &Runtime, body: F) -> Actor
where
    F: FnOnce(Context) -> Fut + Send + 'static,
    Fut: Future<Output = Work> + Send + 'static,
{
    let (give, take) = tokio::sync::oneshot::channel();
    rt.spawn(move |context| async move {
        let _ = give.send(body(context).await);
    });
    Box::pin(async move { take.await.expect("the process gives its result") })
}

// ---- spawn-storm ----

async fn spawn_storm(settings: &Settings, rt: &Runtime) {
    let (work, took) = measure(settings, rt, |stop| spawners(settings, rt, stop)).await;
    settings.report("", work.operations as f64 / took, "spawns/s", "");
}

fn spawners(settings: &Settings, rt: &Runtime, stop: Stop) -> Vec<Actor> {
    (0..settings.threads)
        .map(|_| {
            let (rt, stop) = (rt.clone(), stop.clone());
            Box::pin(async move {
                let mut work = Work::default();
                while !stop.is_set() {
                    for _ in 0..BATCH {
                        rt.spawn(|_| async {});
                    }
                    work.operations += BATCH;
                    yield_now().await;
                }
                work
            }) as Actor
        })
        .collect()
}

// ---- ping-pong: an empty message ends a pong ----

async fn pong(rt: Runtime, mut context: Context) {
    while let Received::Message(message) = context.recv().await {
        if message.is_empty() {
            return;
        }
        let to = u64::from_le_bytes(message[..8].try_into().expect("eight bytes"));
        rt.send(Pid::from_raw(to), message);
    }
}

async fn ping(rt: Runtime, mut context: Context, stop: Stop, one_in: u64) -> Work {
    let own = rt.clone();
    let pong = rt.spawn(move |context| pong(own, context)).pid();
    let me = context.pid().raw().to_le_bytes();
    let mut work = Work::default();
    let mut rounds = 0;
    while !stop.is_set() {
        let begin = (rounds % one_in == 0).then(Instant::now);
        rt.send(pong, me.to_vec());
        context.recv().await;
        if let Some(begin) = begin {
            work.samples.push(begin.elapsed().as_nanos() as u64);
        }
        rounds += 1;
    }
    rt.send(pong, Vec::new());
    work.operations = 2 * rounds;
    work
}

fn pairs(rt: &Runtime, count: usize, stop: Stop, one_in: u64) -> Vec<Actor> {
    (0..count)
        .map(|_| {
            let (own, stop) = (rt.clone(), stop.clone());
            process(rt, move |context| ping(own, context, stop, one_in))
        })
        .collect()
}

async fn ping_pong(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(64);
    let (mut work, took) = measure(settings, rt, |stop| pairs(rt, count, stop, 64)).await;
    let extra = format!(" pairs={count}{}", percentiles(&mut work.samples));
    settings.report("", work.operations as f64 / took, "messages/s", &extra);
}

// ---- fanin: an empty message is a sender's last one ----

fn fanin_actors(rt: &Runtime, senders: usize, stop: Stop) -> Vec<Actor> {
    let (give, take) = tokio::sync::oneshot::channel();
    let receiver = rt
        .spawn(move |mut context| async move {
            let (mut received, mut left) = (0, senders);
            while left > 0 {
                match context.recv().await {
                    Received::Message(message) if message.is_empty() => left -= 1,
                    _ => received += 1,
                }
            }
            let _ = give.send(received);
        })
        .pid();
    for _ in 0..senders {
        let (own, stop) = (rt.clone(), stop.clone());
        rt.spawn(move |_| async move {
            while !stop.is_set() {
                for _ in 0..BATCH {
                    own.send(receiver, vec![1; 16]);
                }
                yield_now().await;
            }
            own.send(receiver, Vec::new());
        });
    }
    vec![Box::pin(async move {
        Work {
            operations: take.await.expect("the receiver counts"),
            samples: Vec::new(),
        }
    })]
}

async fn fanin(settings: &Settings, rt: &Runtime) {
    let senders = settings.size.unwrap_or(64);
    let (work, took) = measure(settings, rt, |stop| fanin_actors(rt, senders, stop)).await;
    let extra = format!(" senders={senders} rss_mb={:.1}", memory("VmHWM") / 1e6);
    settings.report("", work.operations as f64 / took, "messages/s", &extra);
}

// ---- processes that wait ----

async fn sleepers(rt: &Runtime, count: usize) -> Vec<Pid> {
    let up = Arc::new(AtomicU64::new(0));
    let mut pids = Vec::with_capacity(count);
    for index in 0..count as u64 {
        let up = up.clone();
        let handle = rt.spawn(move |mut context| async move {
            up.fetch_add(1, Relaxed);
            drop(up);
            loop {
                context.recv().await;
            }
        });
        pids.push(handle.pid());
        if index % BATCH == 0 {
            yield_now().await;
        }
    }
    while up.load(Relaxed) < count as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pids
}

async fn idle_native(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(200_000);
    sleepers(rt, 1000).await;
    let before = memory("VmRSS");
    drop(sleepers(rt, count).await);
    let after = memory("VmRSS");
    let extra = format!(" processes={count} rss_mb={:.1}", after / 1e6);
    settings.report("", (after - before) / count as f64, "bytes/process", &extra);
}

// ---- timer-storm ----

fn armers(settings: &Settings, rt: &Runtime, stop: Stop) -> Vec<Actor> {
    (0..settings.threads as u64)
        .map(|seed| {
            let (own, stop) = (rt.clone(), stop.clone());
            process(rt, move |context| async move {
                let mut work = Work::default();
                let mut random = seed;
                while !stop.is_set() {
                    let mut timers = Vec::with_capacity(BATCH as usize);
                    for _ in 0..BATCH {
                        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                        let delay = Duration::from_millis(1000 + (random >> 33) % 59000);
                        timers.push(own.send_after(context.pid(), delay, vec![1; 8]));
                    }
                    for timer in timers {
                        timer.cancel();
                    }
                    work.operations += BATCH;
                    yield_now().await;
                }
                work
            })
        })
        .collect()
}

async fn timer_storm(settings: &Settings, rt: &Runtime) {
    let armed = settings.size.unwrap_or(0);
    let target = sleepers(rt, 1).await[0];
    for index in 0..armed as u64 {
        rt.send_after(target, Duration::from_secs(3600 + index % 59), vec![1; 8]);
        if index % BATCH == 0 {
            yield_now().await;
        }
    }
    let (work, took) = measure(settings, rt, |stop| armers(settings, rt, stop)).await;
    let extra = format!(" armed={armed}");
    settings.report("", work.operations as f64 / took, "timers/s", &extra);
}

// ---- spawn-scale ----

fn visitors(settings: &Settings, rt: &Runtime, pids: &Arc<Vec<Pid>>, stop: Stop) -> Vec<Actor> {
    (0..settings.threads as u64)
        .map(|seed| {
            let (own, stop, pids) = (rt.clone(), stop.clone(), pids.clone());
            process(rt, move |_| async move {
                let mut work = Work::default();
                let mut random = seed;
                while !stop.is_set() {
                    for _ in 0..64 {
                        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                        let index = (random >> 32) as usize * pids.len() >> 32;
                        own.send(pids[index], vec![1; 8]);
                    }
                    work.operations += 64;
                    yield_now().await;
                }
                work
            })
        })
        .collect()
}

async fn spawn_scale(settings: &Settings, rt: &Runtime) {
    let live = settings.size.unwrap_or(1000);
    let pids = Arc::new(sleepers(rt, live).await);
    let extra = format!(" live={live}");
    let cost =
        |(work, took): (Work, f64)| took * 1e9 * settings.threads as f64 / work.operations as f64;
    let spawns = measure(settings, rt, |stop| spawners(settings, rt, stop)).await;
    settings.report("", cost(spawns), "ns/spawn", &extra);
    let messages = measure(settings, rt, |stop| {
        pairs(rt, settings.threads, stop, u64::MAX)
    });
    settings.report("-message", cost(messages.await), "ns/message", &extra);
    let visits = measure(settings, rt, |stop| visitors(settings, rt, &pids, stop)).await;
    settings.report("-visit", cost(visits), "ns/message", &extra);
}

// ---- pubsub-fanout: the last member that is sent to answers, which ends a round ----

async fn subscribe(rt: &Runtime, count: usize) {
    for _ in 0..count {
        let own = rt.clone();
        rt.spawn(move |mut context| async move {
            own.register_tag("topic", context.pid());
            loop {
                if let Received::Message(message) = context.recv().await {
                    if message[0] != 0 {
                        let to = u64::from_le_bytes(message[8..16].try_into().expect("8 bytes"));
                        own.send(Pid::from_raw(to), message);
                    }
                }
            }
        });
    }
    while rt.whereis_tag("topic").len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn publish(rt: Runtime, mut context: Context, stop: Stop) -> Work {
    let mut work = Work::default();
    while !stop.is_set() {
        let begin = Instant::now();
        let members = rt.whereis_tag("topic");
        for (index, &member) in members.iter().enumerate() {
            let mut message = vec![0; 16];
            message[0] = u8::from(index + 1 == members.len());
            message[8..].copy_from_slice(&context.pid().raw().to_le_bytes());
            rt.send(member, message);
        }
        context.recv().await;
        work.samples.push(begin.elapsed().as_nanos() as u64);
        work.operations += members.len() as u64;
    }
    work
}

async fn pubsub_fanout(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(10_000);
    subscribe(rt, count).await;
    let (mut work, took) = measure(settings, rt, |stop| {
        let own = rt.clone();
        vec![process(rt, move |context| publish(own, context, stop))]
    })
    .await;
    let extra = format!(" subscribers={count}{}", percentiles(&mut work.samples));
    settings.report("", work.operations as f64 / took, "deliveries/s", &extra);
}

// ---- mixed-latency ----

/// As bench/core/mixed_latency.c: pieces of work, and a turn given up after 256 of them, which a
/// task of this runtime has to do by itself.
fn start_hogs(settings: &Settings, rt: &Runtime, stop: &Stop) {
    for _ in 0..(settings.threads / 2).max(1) {
        let stop = stop.clone();
        rt.spawn(move |_| async move {
            let mut sum = 1u64;
            while !stop.is_set() {
                for _ in 0..256 * 256 {
                    sum = std::hint::black_box(sum)
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                }
                yield_now().await;
            }
        });
    }
}

async fn mixed_latency(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(8);
    let (mut work, _) = measure(settings, rt, |stop| {
        start_hogs(settings, rt, &stop);
        pairs(rt, count, stop, 1)
    })
    .await;
    let p99 = percentile_us(&mut work.samples, 0.99);
    let extra = format!(" pairs={count}{}", percentiles(&mut work.samples));
    settings.report("", p99, "us", &extra);
}

// ---- fault-recovery ----

/// The supervisor restarts a child however it ended, so the child simply returns: a panic would cost
/// this side more. A child that finds the time over waits, and its supervisor is killed.
fn forest(rt: &Runtime, trees: usize, stop: Stop) -> Vec<Actor> {
    (0..trees)
        .map(|_| {
            let starts = Arc::new(AtomicU64::new(0));
            let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
            let (count, stop) = (starts.clone(), stop.clone());
            let supervisor = rt
                .supervisor(Strategy::OneForOne)
                .max_restarts(0)
                .child(move |rt| {
                    count.fetch_add(1, Relaxed);
                    let (stop, give) = (stop.clone(), give.clone());
                    rt.spawn(move |mut context| async move {
                        if stop.is_set() {
                            let _ = give.send(context.pid());
                            context.recv().await;
                        }
                    })
                })
                .start();
            let own = rt.clone();
            Box::pin(async move {
                let last = take.recv().await.expect("a child finds the time over");
                own.kill(supervisor.pid());
                own.kill(last);
                Work {
                    operations: starts.load(Relaxed) - 1,
                    samples: Vec::new(),
                }
            }) as Actor
        })
        .collect()
}

async fn fault_recovery(settings: &Settings, rt: &Runtime) {
    let trees = settings.size.unwrap_or(64);
    let (work, took) = measure(settings, rt, |stop| forest(rt, trees, stop)).await;
    let extra = format!(" supervisors={trees}");
    settings.report("", work.operations as f64 / took, "restarts/s", &extra);
}

// ---- stream-pipe: as bench/core/stream_pipe.c; the bound is this runtime's own, 16 chunks ----

const CHUNK: usize = 4096;

fn pipes(rt: &Runtime, count: usize, stop: Stop) -> Vec<Actor> {
    (0..count as u64)
        .map(|pair| {
            let (own, stop) = (rt.clone(), stop.clone());
            process(rt, move |mut context| async move {
                let reader = context.pid();
                let giver = own.clone();
                own.spawn(move |_| async move {
                    let source: Vec<u8> = (0..CHUNK as u64 / 8)
                        .flat_map(|word| (pair + word).to_le_bytes())
                        .collect();
                    let (writer, handle) = rusm_otp::stream();
                    assert!(giver.send_stream(reader, handle));
                    while !stop.is_set() {
                        writer.write(source.clone()).await.expect("a reader");
                    }
                });
                let Received::Stream(mut handle) = context.recv().await else {
                    panic!("a stream comes first");
                };
                let (mut chunks, mut sum) = (0u64, 0u64);
                while let Some(chunk) = handle.read().await {
                    let words = chunk.chunks_exact(8);
                    sum = words.fold(sum, |sum, word| {
                        sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes")))
                    });
                    chunks += 1;
                }
                let words = CHUNK as u64 / 8;
                let each = pair * words + words * (words - 1) / 2;
                assert_eq!(sum, chunks.wrapping_mul(each), "the sum of a stream");
                Work {
                    operations: chunks,
                    samples: Vec::new(),
                }
            })
        })
        .collect()
}

async fn stream_pipe(settings: &Settings, rt: &Runtime) {
    let count = settings.size.unwrap_or(1);
    let (work, took) = measure(settings, rt, |stop| pipes(rt, count, stop)).await;
    let rate = (work.operations * CHUNK as u64) as f64 / took;
    settings.report("", rate, "bytes/s", &format!(" pairs={count}"));
}
