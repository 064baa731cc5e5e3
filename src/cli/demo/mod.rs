//! `tokenhive demo`: keeps some hundred sessions alive at a provider simulator and checks every promise.

mod app;
mod args;
mod check;
mod histogram;
mod progress;
mod readers;
mod report;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub(crate) use self::args::DemoArgs;
use self::check::{Begun, FileSearch, Survey};
use self::histogram::Histogram;
use self::progress::Progress;
use self::readers::{Readers, Tally};
use self::report::Measured;
use self::world::World;
use crate::cli::Ending;
use crate::cli::interrupt::Interrupts;
use crate::model::{Clock, SessionKey, SystemClock};
use crate::simulator::Totals;

/// Users who are logging in at the same time.
const LOGINS_AT_ONCE: usize = 16;

/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Runs the demo.
///
/// # Errors
///
/// It could not be set up, a login failed, or it was interrupted. A broken promise is no error.
#[expect(clippy::print_stdout, reason = "the result is what the command is run for")]
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<Ending> {
    let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let progress = Progress::new();
    progress.phase("starting", 0);
    let world = World::start(&args).await?;
    let result = tokio::select! {
        result = play(&args, &world, &progress) => result,
        () = interrupts.next() => Err(anyhow!("interrupted")),
    };
    progress.finish();
    let measured = match result {
        Ok(measured) => measured,
        Err(error) => {
            world.stop().await?;
            return Err(error);
        }
    };
    println!("{}", if args.json { measured.json()? } else { measured.table() });
    if args.keep {
        keep(&world, &mut interrupts).await;
    }
    world.stop().await?;
    let held = measured.promises().iter().all(|promise| promise.held);
    Ok(if held { Ending::Well } else { Ending::BrokenPromise })
}

async fn play(args: &DemoArgs, world: &World, progress: &Progress) -> anyhow::Result<Measured> {
    let sessions = log_everybody_in(args, world, progress).await?;
    let tally = Arc::default();
    let kept = keep_fresh(args, world, &sessions, (&tally, progress)).await?;
    progress.phase("checking", u64::from(args.sessions));
    let survey =
        check::survey(&world.app, &sessions, &tally, |done| progress.at(done, String::new()));
    let survey = survey.await?;
    let tokens = check::sample(&world.app, &sessions).await;
    if !args.keep {
        // Whatever is in flight is finished and written before it is judged.
        world.app.hive.shutdown().await;
    }
    let file = check::search(&world.store_path, &sessions, &tokens)?;
    Ok(measured(args, &world.simulator.totals(), &kept, (survey, file), &tally))
}

async fn log_everybody_in(
    args: &DemoArgs,
    world: &World,
    progress: &Progress,
) -> anyhow::Result<Vec<Begun>> {
    let provider = world.simulator.base_url();
    let phase = format!("logging in {} users at {provider}", args.sessions);
    progress.phase(&phase, u64::from(args.sessions));
    let permits = Arc::new(Semaphore::new(LOGINS_AT_ONCE));
    let mut logins = JoinSet::new();
    for number in 1..=args.sessions {
        let (app, permits) = (world.app.clone(), Arc::clone(&permits));
        logins.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let user = format!("user-{number:05}");
            let login = app.log_in(&user).await;
            login.with_context(|| format!("{user} could not log in"))
        });
    }
    let mut sessions = Vec::new();
    while let Some(login) = logins.join_next().await {
        let login = login.context("a login panicked")??;
        sessions.push(Begun {
            generation: login.token.generation(),
            access_token: login.token.access_token().clone(),
            key: login.key,
        });
        progress.at(sessions.len() as u64, String::new());
    }
    Ok(sessions)
}

/// What was measured while the readers ran.
struct Kept {
    seconds: f64,
    reads: u64,
    refreshes: u64,
    spans: Histogram,
}

async fn keep_fresh(
    args: &DemoArgs,
    world: &World,
    sessions: &[Begun],
    (tally, progress): (&Arc<Tally>, &Progress),
) -> anyhow::Result<Kept> {
    let seconds = u64::from(args.seconds);
    progress.phase(&format!("keeping {} sessions fresh", args.sessions), seconds);
    let keys: Arc<[SessionKey]> = sessions.iter().map(|session| session.key.clone()).collect();
    let before = world.simulator.totals().redemptions;
    let refreshes = || world.simulator.totals().redemptions - before;
    let began = SystemClock.boot();
    let readers = Readers::start(args.readers, &world.app, &keys, tally);
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let passed = SystemClock.boot().since(began).as_secs();
        if passed >= seconds {
            break;
        }
        let news = format!(
            "seconds, {} million reads, {} refreshes, {} errors",
            tally.reads.load(Ordering::Relaxed) / 1_000_000,
            refreshes(),
            tally.errors.load(Ordering::Relaxed)
        );
        progress.at(passed, news);
    }
    let spans = readers.stop().await?;
    Ok(Kept {
        seconds: SystemClock.boot().since(began).as_secs_f64(),
        reads: tally.reads.load(Ordering::Relaxed),
        refreshes: refreshes(),
        spans,
    })
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown in a few digits")]
fn measured(
    args: &DemoArgs,
    totals: &Totals,
    kept: &Kept,
    (survey, file): (Survey, FileSearch),
    tally: &Tally,
) -> Measured {
    let nanos =
        |percent| u64::try_from(kept.spans.percentile(percent).as_nanos()).unwrap_or(u64::MAX);
    Measured {
        sessions: u64::from(args.sessions),
        seconds: kept.seconds,
        lifetime_seconds: args.lifetime.as_secs(),
        readers: args.readers,
        reads: kept.reads,
        reads_per_second: kept.reads as f64 / kept.seconds,
        refreshes: totals.redemptions,
        refreshes_per_second: kept.refreshes as f64 / kept.seconds,
        presentations: totals.presentations,
        redeemed: totals.redeemed_generations,
        calls_per_refresh: totals.calls_per_refresh,
        reuse_detected: totals.reuse_detected,
        errors: tally.errors.load(Ordering::Relaxed),
        first_error: tally.first_error(),
        read_p50_nanos: nanos(50),
        read_p99_nanos: nanos(99),
        read_slowest_nanos: nanos(100),
        tokens_accepted: tally.accepted.load(Ordering::Relaxed),
        tokens_overtaken: tally.overtaken.load(Ordering::Relaxed),
        sessions_alive: survey.alive,
        sessions_refreshed: survey.refreshed,
        file_bytes: file.bytes,
        tokens_searched: file.tokens,
        tokens_in_plain: file.plain,
        names_searched: file.names_wanted,
        names_found: file.names,
    }
}

/// Leaves everything running until the user has seen enough.
#[expect(clippy::print_stderr, reason = "directions for whoever looks on, not part of the result")]
async fn keep(world: &World, interrupts: &mut Interrupts) {
    let base = world.simulator.base_url();
    eprintln!(
        "
still running: the sessions are refreshed, nobody reads them

  provider   {base}
  its log    curl -s '{base}/_sim/log?summary=1'
  store      {}

Ctrl-C stops it and removes the folder",
        world.store_path.display()
    );
    interrupts.next().await;
}
