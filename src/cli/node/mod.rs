//! `tokenhive node`: one node of a fleet, steered line by line. For tests of several processes.

mod answers;
mod args;
mod protocol;
mod readers;
mod start;
mod told;

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) use self::args::NodeArgs;

use self::answers::Node;
use self::protocol::{Ask, Line, Reply};
use crate::cli::Ending;
use crate::cli::interrupt::Interrupts;

/// Runs a node until its input ends, it is told to shut down, or it is interrupted.
///
/// # Errors
///
/// It could not be started. What goes wrong later is told in its replies.
pub(crate) async fn run(args: NodeArgs) -> anyhow::Result<Ending> {
    let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let node = Node::new(start::hive(&args).await?);
    tell(&Reply::ready());
    let mut lines = listen();
    let mut answering = JoinSet::new();
    let last = loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = interrupts.next() => None,
        };
        match line.as_deref().map(serde_json::from_str::<Line>) {
            None => break None,
            Some(Ok(Line { id, ask: Ask::Shutdown {} })) => break Some(id),
            Some(Ok(Line { id, ask })) => {
                let node = node.clone();
                answering.spawn(async move { tell(&Reply::to(id, node.answer(ask).await)) });
            }
            Some(Err(error)) => tell(&Reply::not_understood(&error)),
        }
        // Answers that were given are forgotten.
        while answering.try_join_next().is_some() {}
    };
    node.stop().await;
    answering.join_all().await;
    if let Some(id) = last {
        tell(&Reply::to(id, Ok(serde_json::Value::Null)));
    }
    Ok(Ending::Well)
}

/// Lines of the standard input, read on a thread of its own: reading blocks.
fn listen() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One line in one write. Whoever steers the node may be gone; there is nobody left to tell then.
fn tell(reply: &Reply) {
    let mut line = serde_json::to_string(reply).expect("replies have string keys only");
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}
