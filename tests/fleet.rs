//! A fleet of real node processes on one Redis, judged by the providers' own logs.
//!
//! Every random choice follows from a seed that is printed; `TOKENHIVE_SEED` repeats a run.
//! `TOKENHIVE_CAMPAIGN=full` makes runs as large as the promises speak of.

#![cfg(all(unix, feature = "cli", feature = "redis"))]

#[path = "fleet/mod.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod fleet;

use std::time::Duration;

use fleet::cell::Cell;
use fleet::class::Class;
use fleet::dice::seed;
use fleet::met::Met;
use fleet::nemesis::Fault;
use fleet::node::Node;
use fleet::{Fleet, IMPATIENT, Setup, a_few_at_once, eventually, scaled};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokenhive::simulator::{FaultAction, Outcome, RevocationReason};

/// Says what a cell of the campaign tries.
const CELL: &str = "TOKENHIVE_CELL";

/// How long after its leave a request may be sent.
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// How long a logout on one node may be unknown to the others.
const LOGOUT_KNOWN: Duration = Duration::from_secs(1);

/// How long after its return Redis may not have what was answered meanwhile.
const CAUGHT_UP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_every_refresh_token_is_presented_once_and_no_reader_meets_an_error() {
    let (sessions, callers) = scaled((150, 25), (1000, 250));
    let mut setup = Setup::of(Class::R).tell("poll-ms", 500);
    setup.nodes = 4;
    setup.lifetime = Duration::from_secs(5);
    setup.latency = Duration::from_millis(20);
    setup.seed = seed("no faults");
    let mut fleet = Fleet::start(setup).await;
    fleet.fill(sessions).await;
    for node in &fleet.nodes {
        fleet.read_on(node, callers, Duration::from_millis(20)).await;
    }
    // By then every reader has met every node's first look at a session.
    until_generation(&fleet, 2).await;
    count_anew(&fleet).await;

    until_generation(&fleet, 7).await;

    let met = everything_met(&fleet, Class::R).await;
    fleet.shut_down().await;
    let totals = fleet.simulator().totals();
    println!("{} generations, {} calls; {met}", totals.redeemed_generations, totals.presentations);
    println!(
        "ROW | R | none | {sessions} | {} | {} | {:.3} | 0 | {} | 0 | 0 |",
        totals.redeemed_generations / sessions as u64,
        totals.presentations,
        totals.calls_per_refresh,
        totals.reuse_detected
    );
    assert_eq!(totals.presentations, totals.redeemed_generations);
    let once = totals.presentations_per_generation.iter().collect::<Vec<_>>();
    assert_eq!(once, [(&1, &totals.redeemed_generations)]);
    assert_eq!((totals.reuse_detected, totals.families_revoked.len()), (0, 0));
    assert!(met.errors.is_empty(), "{:?}", met.errors);
    assert_eq!((met.expired, met.regressed), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_no_session_is_lost_that_the_promise_does_not_name() {
    let (sessions, callers, seconds) = scaled((20, 5, 60), (100, 20, 300));
    let cell = Cell {
        classes: Class::ALL.to_vec(),
        faults: Fault::ALL.to_vec(),
        nodes: 4,
        sessions,
        callers,
        lasts: Duration::from_secs(seconds),
        seed: seed("faults"),
    };

    let rows = cell.run().await;

    rows.iter().for_each(|row| println!("{row}"));
    rows.iter().for_each(fleet::cell::Row::assert_promises);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "one cell of the campaign, which tests/campaign.sh runs"]
async fn campaign_cell() {
    let words = std::env::var(CELL).unwrap_or_else(|_| panic!("{CELL} says what to try"));
    let cell = Cell::parse(&words, seed(&words));

    let rows = cell.run().await;

    let faults = words.split_whitespace().find_map(|word| word.strip_prefix("faults=")).unwrap();
    rows.iter().for_each(|row| println!("{row}\nROW {}", row.markdown(faults)));
    rows.iter().for_each(fleet::cell::Row::assert_promises);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_valid_tokens_are_served_and_on_its_return_it_has_every_answer() {
    const ANSWERED: usize = 3;
    let (gone, lifetime) = scaled((20, 45), (300, 520));
    let mut setup = Setup::of(Class::R).tell("poll-ms", 500).tell("settle-ms", 500);
    setup.classes = Class::ALL.to_vec();
    setup.nodes = 3;
    // Due at 0.6 of it or later: while Redis is gone, or just after.
    setup.lifetime = Duration::from_secs(lifetime);
    setup.seed = seed("outage");
    let mut fleet = Fleet::start(setup).await;
    fleet.fill(10).await;
    read_everything_everywhere(&fleet).await;
    for node in &fleet.nodes {
        fleet.read_on(node, 4, Duration::from_millis(10)).await;
    }
    count_anew(&fleet).await;
    // Some exchanges are under way when Redis goes, and are answered while it is gone.
    let under_way = begin_some(&fleet, ANSWERED, Duration::from_secs(3)).await;
    fleet.redis.kill().await;

    tokio::time::sleep(Duration::from_secs(gone)).await;

    for (class, session) in &under_way {
        let served = fleet.nodes[0].token(session).await.expect("a valid token is served");
        assert_eq!(served["generation"], 2, "{class:?}: what was answered is served meanwhile");
    }
    fleet.redis.restart().await;
    let back = tokio::time::Instant::now();
    for (class, session) in &under_way {
        let what = format!("Redis has what was answered to {session} ({class:?})");
        let written = async || generation(&fleet.nodes[1], session).await.filter(|it| *it >= 2);
        eventually(&what, written).await;
    }
    assert!(back.elapsed() < CAUGHT_UP, "it took {:?}", back.elapsed());
    println!("everything was written {:?} after the return", back.elapsed());
    for class in Class::ALL {
        for session in fleet.sessions(class) {
            let described = async || fleet.nodes[2].describe(&session).await.ok();
            let (known, _) = eventually("the node is connected again", described).await;
            assert_eq!(known["state"], "active", "{session}: nothing is deleted or ended: {known}");
            refreshes(&fleet.nodes[2], &session).await;
        }
        let met = everything_met(&fleet, class).await;
        assert!(met.errors.is_empty(), "{class:?}: {:?}", met.errors);
        assert_eq!((met.expired, met.regressed), (0, 0), "{class:?}");
        let totals = fleet.truth(class).totals;
        assert_eq!(totals.presentations, totals.redeemed_generations, "{class:?}");
        assert_eq!(totals.reuse_detected, 0, "{class:?}");
        println!(
            "ROW | {} | redis gone for {gone} s | {} | | {} | {:.3} | 0 | 0 | 0 | 0 |",
            class.letter(),
            fleet.sessions(class).len(),
            totals.presentations,
            totals.calls_per_refresh
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_begun_on_one_node_is_completed_on_another() {
    let fleet = Fleet::start(Setup { nodes: 3, ..Setup::of(Class::R) }).await;
    let [a, b, c] = &fleet.nodes[..] else { panic!("three nodes") };
    let begin = json!({"op": "begin_login", "session": "R-1", "provider": Class::R.id()});

    let url = a.ask(begin).await.unwrap();
    let callback = visit(url.as_str().unwrap()).await;
    let complete = json!({"op": "complete", "query": callback});
    let logged_in = b.ask(complete.clone()).await.unwrap();

    assert_eq!(logged_in["session"], "R-1");
    assert_eq!(c.token("R-1").await.unwrap()["fingerprint"], logged_in["fingerprint"]);
    assert_eq!(a.ask(complete).await.unwrap_err().kind, "login.already_finished");
    assert_eq!(fleet.simulator().totals().codes_replayed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_on_one_node_stops_the_others_within_a_second_and_ends_the_tokens() {
    let mut fleet = Fleet::start(Setup { nodes: 3, ..Setup::of(Class::R) }).await;
    fleet.fill(5).await;
    read_everything_everywhere(&fleet).await;

    for (session, node) in fleet.sessions(Class::R).iter().zip([0, 1, 2, 0, 1]) {
        let delete = json!({"op": "delete", "session": session});
        assert_eq!(fleet.nodes[node].ask(delete).await.unwrap(), true);
        let stops = fleet.nodes.iter().map(|node| {
            eventually("the node stops serving", async || {
                node.token(session).await.err().filter(|it| it.kind == "needs_login.no_session")
            })
        });
        for (_, took) in join_all(stops).await {
            assert!(took < LOGOUT_KNOWN, "it took {took:?}");
        }
    }

    let revoked = async || {
        let revoked = fleet.simulator().totals().families_revoked;
        (revoked.get(&RevocationReason::Client) == Some(&5)).then_some(())
    };
    eventually("the provider has revoked every session", revoked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_holders_late_answer_never_replaces_a_newer_generation() {
    a_few_at_once([Class::M, Class::G, Class::S].map(late_answer)).await;
}

/// Node a is halted between the provider's commit and its answer for longer than the patience, and node b
/// takes over meanwhile.
async fn late_answer(class: Class) {
    let mut fleet = Fleet::start(Setup::of(class).impatient()).await;
    let session = fleet.restore_one(class, 0, Duration::from_secs(3600)).await;
    let late = FaultAction::DelayAfterCommit { ms: 700 };
    fleet.spoil_next(class, std::slice::from_ref(&session), late);
    let (a, b) = (&fleet.nodes[0], &fleet.nodes[1]);

    let first = a.refresh(&session);
    let taken_over = async {
        fleet.until_presented(class, &session, 1).await;
        a.halt();
        take_over(b, &session).await;
        tokio::time::sleep(IMPATIENT.dead_after / 3).await;
        let meanwhile = b.token(&session).await.unwrap();
        a.resume();
        meanwhile
    };
    let (_, meanwhile) = tokio::join!(first, taken_over);

    let told_apart = async || a.tail().contains("late answer").then_some(());
    if class == Class::S {
        // b's try was refused: what a brings late is the only pair there is.
        let heals = async || generation(b, &session).await.filter(|it| *it == 2);
        eventually("the late answer heals the session", heals).await;
    } else {
        eventually("the late answer is told apart", told_apart).await;
        let known = b.describe(&session).await.unwrap();
        assert_eq!((&known["generation"], &known["version"]), (&json!(2), &meanwhile["version"]));
        assert_eq!(b.token(&session).await.unwrap()["fingerprint"], meanwhile["fingerprint"]);
    }
    // Both nodes agree, and the session goes on on either.
    let agreed = async || {
        let (one, other) = tokio::join!(a.token(&session), b.token(&session));
        (one.ok()?["fingerprint"] == other.ok()?["fingerprint"]).then_some(())
    };
    eventually("both nodes serve the same token", agreed).await;
    for node in [a, b] {
        refreshes(node, &session).await;
    }
    let truth = fleet.truth(class);
    assert_eq!(truth.totals.families_revoked.len(), 0, "{class:?}");
    let replays = fleet.presented(class, &session).into_iter().map(|event| event.outcome.unwrap());
    let replays = replays.filter(|outcome| *outcome != Outcome::Redeemed).count();
    assert_eq!(replays, 1, "{class:?}: the one of the takeover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_held_up_before_it_sent_sends_nothing() {
    let each = async |class: Class| {
        let mut fleet = Fleet::without_nodes(Setup::of(class).impatient()).await;
        let held_up = [("TOKENHIVE_FAULT", "t1:stop")];
        fleet.nodes.push(Node::start_with(fleet.recipe("a"), &held_up).await);
        fleet.nodes.push(Node::start(fleet.recipe("b")).await);
        // A shorter life keeps the patience of class R short.
        let session = fleet.restore_one(class, 1, Duration::from_secs(8)).await;
        let (a, b) = (&fleet.nodes[0], &fleet.nodes[1]);

        let asked = tokio::time::Instant::now();
        let first = a.refresh(&session);
        let second = async {
            let begun = async || (state(b, &session).await? == "refreshing").then_some(());
            eventually("the first node has its leave", begun).await;
            let newer = take_over(b, &session).await;
            // By then it is too late to send, whatever the class.
            tokio::time::sleep_until(asked + SEND_WITHIN + Duration::from_millis(100)).await;
            a.resume();
            newer
        };
        let (first, second) = tokio::join!(first, second);

        assert_eq!(second.unwrap()["generation"], 2, "{class:?}");
        assert_eq!(first.unwrap()["generation"], 2, "{class:?}: it learns of the newer one");
        let senders = fleet.presented(class, &session);
        let senders: Vec<_> = senders.iter().map(|event| event.from.as_deref()).collect();
        assert_eq!(senders, [Some("b")], "{class:?}");
    };
    a_few_at_once(Class::ALL.map(each)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_on_one_node_brings_the_token_that_another_has_fetched() {
    let mut fleet = Fleet::start(Setup::of(Class::R)).await;
    let session = fleet.restore_one(Class::R, 0, Duration::from_secs(3600)).await;
    let (a, b) = (&fleet.nodes[0], &fleet.nodes[1]);
    let old = b.token(&session).await.unwrap();
    let report = json!({"op": "report", "session": session, "version": old["version"]});

    // b does not hear of it: it is halted meanwhile.
    b.halt();
    let new = a.refresh(&session).await.unwrap();
    b.resume();
    let reported = b.ask(report.clone()).await.unwrap();

    assert_eq!(reported["fingerprint"], new["fingerprint"]);
    assert_eq!(fleet.presented(Class::R, &session).len(), 1);

    // Both meet a 401 with the newest token, which a refresh has just brought: none follows for it.
    let newest = json!({"op": "report", "session": session, "version": new["version"]});
    let (one, other) = tokio::join!(a.ask(newest.clone()), b.ask(newest));
    assert!(fleet.presented(Class::R, &session).len() <= 2, "{one:?} {other:?}");
}

/// Until every family of the only provider has come to a generation.
async fn until_generation(fleet: &Fleet, wanted: u64) {
    let reached = async || {
        let mut families = fleet.simulator().ledger().families.into_iter();
        tokio::time::sleep(Duration::from_millis(300)).await;
        families.all(|family| family.newest_generation >= wanted).then_some(())
    };
    eventually(&format!("every session is in generation {wanted}"), reached).await;
}

/// Readers count from here on.
async fn count_anew(fleet: &Fleet) {
    for node in &fleet.nodes {
        Met::default().add(node).await;
    }
}

async fn everything_met(fleet: &Fleet, class: Class) -> fleet::met::Counts {
    let mut met = Met::default();
    for node in &fleet.nodes {
        met.add_without_reset(node).await;
    }
    met.of(class)
}

async fn read_everything_everywhere(fleet: &Fleet) {
    for provider in &fleet.providers {
        for session in fleet.sessions(provider.class) {
            let reading = fleet.nodes.iter().map(|node| node.token(&session));
            for token in join_all(reading).await {
                token.expect("a valid token is served");
            }
        }
    }
}

/// Begins to refresh some sessions of each class on the first node, and returns when the provider has
/// committed and not yet answered.
async fn begin_some(fleet: &Fleet, count: usize, answers: Duration) -> Vec<(Class, String)> {
    let ms = u64::try_from(answers.as_millis()).unwrap();
    let mut begun = Vec::new();
    for class in Class::ALL {
        let sessions = fleet.sessions(class)[..count].to_vec();
        fleet.spoil_next(class, &sessions, FaultAction::DelayAfterCommit { ms });
        begun.extend(sessions.into_iter().map(|session| (class, session)));
    }
    let beginning =
        begun.iter().map(|(class, session)| fleet.begin_exchange(*class, session, &fleet.nodes[0]));
    join_all(beginning).await;
    begun
}

/// Asks for a newer token until the node has tried: it succeeds, or the provider refuses what was spent.
async fn take_over(node: &Node, session: &str) -> Option<Value> {
    let tried = async || match node.refresh(session).await {
        Ok(token) => Some(Some(token)),
        Err(refusal) if refusal.kind == "unavailable.suspect" => Some(None),
        Err(refusal) => {
            assert!(refusal.kind.starts_with("unavailable"), "{refusal:?}");
            None
        }
    };
    eventually(&format!("{session} is taken over"), tried).await.0
}

async fn refreshes(node: &Node, session: &str) {
    let refreshed = async || node.refresh(session).await.ok();
    eventually(&format!("{session} is refreshed on {}", node.name()), refreshed).await;
}

async fn state(node: &Node, session: &str) -> Option<String> {
    Some(node.describe(session).await.ok()?["state"].as_str()?.to_owned())
}

async fn generation(node: &Node, session: &str) -> Option<u64> {
    node.describe(session).await.ok()?["generation"].as_u64()
}

/// Opens an authorization URL as a browser would; returns where the provider sends it back to.
async fn visit(url: &str) -> String {
    let none = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder().redirect(none).no_proxy().build().unwrap();
    let answer = browser.get(url).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}
