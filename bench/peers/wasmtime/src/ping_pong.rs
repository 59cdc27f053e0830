// SPDX-License-Identifier: MIT
//! Bench wasm-ping-pong: the same guest, with `send` and an asynchronous `receive` around it that
//! could hardly be smaller. A mailbox is a queue of its thread; who is woken stands in another queue
//! of the thread, which polls one guest after the other. No process that could be named, killed or
//! moved, no limits, no pre-emption, and no thread ever meets another: each has pairs of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Result, Store, StoreContextMut};

const ACTOR: &str = "rusm:runtime/actor@0.1.0";
/// Turns between two looks at the clock.
const TURNS: u64 = 1024;

#[derive(Default)]
struct Mailbox {
    messages: VecDeque<Vec<u8>>,
    waits: bool,
}

#[derive(Default)]
struct Board {
    mailboxes: Vec<Mailbox>,
    ready: VecDeque<usize>,
    received: u64,
}

thread_local! {
    static BOARD: RefCell<Board> = RefCell::default();
}

fn send(to: u64, message: Vec<u8>) {
    BOARD.with_borrow_mut(|board| {
        let to = to as usize;
        board.mailboxes[to].messages.push_back(message);
        if std::mem::take(&mut board.mailboxes[to].waits) {
            board.ready.push_back(to);
        }
    });
}

fn receive(own: usize) -> Poll<Vec<u8>> {
    BOARD.with_borrow_mut(|board| match board.mailboxes[own].messages.pop_front() {
        Some(message) => {
            board.received += 1;
            Poll::Ready(message)
        }
        None => {
            board.mailboxes[own].waits = true;
            Poll::Pending
        }
    })
}

fn linker_of(engine: &Engine, component: &Component) -> Result<Linker<usize>> {
    let mut linker = Linker::new(engine);
    let mut actor = linker.instance(ACTOR)?;
    actor.func_wrap("send", |_, (to, message): (u64, Vec<u8>)| {
        send(to, message);
        Ok(())
    })?;
    actor.func_wrap_async("receive", |store: StoreContextMut<'_, usize>, (): ()| {
        let own = *store.data();
        Box::new(async move { Ok((poll_fn(|_| receive(own)).await,)) })
    })?;
    linker.define_unknown_imports_as_traps(component)?;
    Ok(linker)
}

type Guest = Pin<Box<dyn Future<Output = Result<()>>>>;

/// The order that the guest's first message is: who is the other, how many balls, does it serve?
fn order(other: usize, serves: bool) -> Vec<u8> {
    let numbers = [other as u64, u64::MAX, u64::from(serves)];
    numbers.map(u64::to_le_bytes).concat()
}

fn start(linker: &Linker<usize>, component: &Component, own: usize) -> Result<Guest> {
    let pre = linker.instantiate_pre(component)?;
    BOARD.with_borrow_mut(|board| {
        board.mailboxes.push(Mailbox::default());
        board.mailboxes[own]
            .messages
            .push_back(order(own ^ 1, own % 2 == 0));
        board.ready.push_back(own);
    });
    Ok(Box::pin(async move {
        let mut store = Store::new(pre.engine(), own);
        let instance = pre.instantiate_async(&mut store).await?;
        let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
        run.call_async(&mut store, ()).await
    }))
}

fn turn(guests: &mut [Guest]) -> Result<()> {
    let next = BOARD.with_borrow_mut(|board| board.ready.pop_front());
    let guest = &mut guests[next.expect("a ball is always on its way")];
    match guest.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok(()),
        Poll::Ready(ended) => ended,
    }
}

/// Messages per second of one thread.
fn rate(engine: &Engine, component: &Component, pairs: usize, time: Duration) -> Result<f64> {
    let linker = linker_of(engine, component)?;
    let guests = (0..2 * pairs).map(|own| start(&linker, component, own));
    let mut guests = guests.collect::<Result<Vec<_>>>()?;
    let mut measure = |time: Duration| -> Result<f64> {
        let before = BOARD.with_borrow(|board| board.received);
        let begin = Instant::now();
        while begin.elapsed() < time {
            (0..TURNS).try_for_each(|_| turn(&mut guests))?;
        }
        let received = BOARD.with_borrow(|board| board.received) - before;
        Ok(received as f64 / begin.elapsed().as_secs_f64())
    };
    measure(time / 4)?;
    measure(time)
}

pub fn run(guest: &str, time: Duration, threads: usize, pairs: usize) -> Result<()> {
    let engine = Engine::default();
    let component = Component::from_file(&engine, guest)?;
    let busy = threads.min(pairs);
    let sum = std::thread::scope(|scope| {
        let start = |_| scope.spawn(|| rate(&engine, &component, pairs / busy, time));
        let threads: Vec<_> = (0..busy).map(start).collect();
        let rates = threads
            .into_iter()
            .map(|one| one.join().expect("a thread ends"));
        rates.sum::<Result<f64>>()
    })?;
    println!(
        "wasm-ping-pong peer=wasmtime value={sum:.2} unit=messages/s threads={threads} pairs={pairs}"
    );
    Ok(())
}
