//! Reads that are under way at the same time share commands.
//!
//! A `GET` costs client and server more than the record in it, most of it for the command itself. Who reads
//! alone sends one at once. Those who come while others read go together in one `MGET`, when a place is free or as
//! soon as there are enough of them (`docs/adr/0013-cold-reads-share-commands.md`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Cmd, Value};
use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::redis::error::not_understood;
use crate::store::redis::link::{Line, Link};

/// Reads under way that go by themselves.
const ALONE: usize = 1;
/// Commands under way that carry as many reads as there happen to be. Full ones are not counted: how many
/// reads are under way must not depend on how far away the server is.
const TOGETHER: usize = 2;
/// Reads in one command. The server does nothing else meanwhile.
const MOST: usize = 32;

type Outcome = Result<Value, StoreError>;

/// Who reads, and who waits to.
#[derive(Default)]
pub(super) struct Gather(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    alone: usize,
    together: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    line: Line,
    name: String,
    answer: oneshot::Sender<Outcome>,
}

enum Place<'a> {
    Alone(Alone<'a>, Line, String),
    /// `true`: somebody has to see to those who wait.
    Together(oneshot::Receiver<Outcome>, bool),
}

/// One place of [`ALONE`]; dropping it frees it.
struct Alone<'a>(&'a Gather);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.queue().alone -= 1;
    }
}

/// Sends commands until nobody waits; dropping it frees its place.
struct Together {
    link: Arc<Link>,
    is_left: bool,
}

impl Together {
    /// Those who have waited longest for one connection; leaves the place if nobody waits.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = self.link.gather.queue();
        let Some(serial) = queue.waiting.front().map(|first| first.line.serial()) else {
            queue.together -= 1;
            self.is_left = true;
            return None;
        };
        let fits = |it: &&Waiting| it.line.serial() == serial;
        let count = queue.waiting.iter().take(MOST).take_while(fits).count();
        Some(queue.waiting.drain(..count).filter(|it| !it.answer.is_closed()).collect())
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if !self.is_left {
            self.link.gather.queue().together -= 1;
        }
    }
}

impl Gather {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, line: Line, name: String) -> Place<'_> {
        let mut queue = self.queue();
        if queue.alone < ALONE && queue.waiting.is_empty() {
            queue.alone += 1;
            return Place::Alone(Alone(self), line, name);
        }
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push_back(Waiting { line, name, answer });
        let is_short = queue.together < TOGETHER || queue.waiting.len() >= MOST;
        if is_short {
            queue.together += 1;
        }
        Place::Together(receiver, is_short)
    }
}

/// What is kept under `name`. A value that is no string is either an error or nothing.
pub(super) async fn get(link: &Arc<Link>, line: Line, name: String) -> Outcome {
    match link.gather.enter(line, name) {
        Place::Alone(_place, line, name) => link.send(line, &command("GET", [name])).await,
        Place::Together(answer, is_short) => {
            if is_short {
                let mut place = Together { link: Arc::clone(link), is_left: false };
                tokio::spawn(async move {
                    while let Some(some) = place.next() {
                        read(&place.link, some).await;
                    }
                });
            }
            answer.await.unwrap_or_else(|_| Err(not_understood()))
        }
    }
}

/// Reads for all of them at once.
async fn read(link: &Link, some: Vec<Waiting>) {
    let Some(line) = some.first().map(|first| first.line.clone()) else { return };
    let (names, answers): (Vec<_>, Vec<_>) =
        some.into_iter().map(|it| (it.name, it.answer)).unzip();
    let values = match link.send(line, &command("MGET", names)).await {
        Ok(Value::Array(values)) if values.len() == answers.len() => Ok(values),
        Ok(_) => Err(not_understood()),
        Err(error) => Err(error),
    };
    match values {
        Ok(values) => answers.into_iter().zip(values).for_each(|(answer, value)| {
            // Who gave up needs no answer.
            let _ = answer.send(Ok(value));
        }),
        Err(error) => answers.into_iter().for_each(|answer| {
            let _ = answer.send(Err(error.clone()));
        }),
    }
}

fn command(name: &str, names: impl IntoIterator<Item = String>) -> Cmd {
    let mut command = redis::cmd(name);
    for name in names {
        command.arg(name);
    }
    command
}
