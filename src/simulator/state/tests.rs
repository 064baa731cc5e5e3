//! Every reuse class, replayed: what is accepted, what is refused, and what dies with it.

use std::time::Duration;

use super::{Moment, Owner, Pair, Ruling, Sessions};
use crate::model::{BootTime, Timestamp};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::reuse::ReuseBehaviour;
use crate::simulator::truth::{Outcome, RevocationReason};

/// One provider with one login, and a hand on its clock.
struct Bench {
    sessions: Sessions,
    options: SimulatorOptions,
    now: Moment,
}

impl Bench {
    fn new(reuse: ReuseBehaviour) -> (Self, Pair) {
        let options =
            SimulatorOptions { reuse, kill_old_access_tokens: false, ..SimulatorOptions::strict() };
        Self::with(options)
    }

    fn with(options: SimulatorOptions) -> (Self, Pair) {
        let now =
            Moment { wall: Timestamp::from_millis(1), boot: BootTime::from_nanos(1_000_000_000) };
        let mut bench = Self { sessions: Sessions::new(), options, now };
        let owner = Owner { user: "user-1".into(), client_id: "app".into(), scope: "a b".into() };
        let first = bench.sessions.open(owner, &bench.options, now);
        (bench, first)
    }

    fn present(&mut self, pair: &Pair) -> Ruling {
        let token = self.sessions.recognise(&pair.refresh).expect("a token of this bench");
        self.sessions.present(token, "app", &self.options, self.now)
    }

    fn outcome(&mut self, pair: &Pair) -> Outcome {
        self.present(pair).outcome
    }

    /// Redeems and expects tokens.
    fn redeem(&mut self, pair: &Pair) -> Pair {
        let ruling = self.present(pair);
        ruling.pair.unwrap_or_else(|| panic!("refused: {:?}", ruling.outcome))
    }

    fn is_accepted(&self, pair: &Pair) -> bool {
        self.sessions.bearer(&pair.access, self.now.boot).is_some()
    }

    fn wait(&mut self, seconds: u64) {
        self.now.boot = self.now.boot + Duration::from_secs(seconds);
    }
}

#[test]
fn n_keeps_the_refresh_token_for_ever() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::NonRotating);

    let second = bench.redeem(&first);
    let third = bench.redeem(&first);

    assert_eq!((&second.refresh, &third.refresh), (&first.refresh, &first.refresh));
    assert_ne!(second.access, third.access);
    assert!(bench.is_accepted(&first) && bench.is_accepted(&second) && bench.is_accepted(&third));
}

#[test]
fn m_rotates_and_leaves_old_tokens_valid() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::Multiple);

    let second = bench.redeem(&first);

    assert_ne!(second.refresh, first.refresh);
    assert_eq!(bench.outcome(&second), Outcome::Redeemed);
    assert_eq!(bench.outcome(&first), Outcome::ReplayAllowed);
}

#[test]
fn i_repeats_the_same_pair_until_its_refresh_token_is_used() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::Idempotent);

    let second = bench.redeem(&first);
    bench.wait(600);
    let again = bench.present(&first);

    assert_eq!(again.outcome, Outcome::ReplaySamePair);
    let again = again.pair.unwrap();
    assert_eq!((&again.access, &again.refresh), (&second.access, &second.refresh));
    assert_eq!(again.expires_in, Duration::from_secs(3000));
    let third = bench.redeem(&second);
    assert_eq!(bench.outcome(&first), Outcome::ReplayRejected);
    assert_eq!(bench.outcome(&third), Outcome::Redeemed);
}

#[test]
fn g_all_mints_live_siblings_within_the_grace_period() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::GraceAll { seconds: 30 });

    let one = bench.redeem(&first);
    bench.wait(29);
    let replay = bench.present(&first);
    let two = replay.pair.unwrap();

    assert_eq!(replay.outcome, Outcome::ReplayInGrace);
    assert_ne!(one.refresh, two.refresh);
    assert!(bench.is_accepted(&one) && bench.is_accepted(&two));
    assert_eq!(bench.outcome(&one), Outcome::Redeemed);
    assert_eq!(bench.outcome(&two), Outcome::Redeemed);
}

#[test]
fn grace_is_counted_from_the_first_use_and_a_replay_after_it_revokes() {
    for reuse in
        [ReuseBehaviour::GraceAll { seconds: 30 }, ReuseBehaviour::GraceLast { seconds: 30 }]
    {
        let (mut bench, first) = Bench::new(reuse);
        bench.redeem(&first);
        bench.wait(20);
        let sibling = bench.redeem(&first);
        bench.wait(10);

        assert_eq!(bench.outcome(&first), Outcome::ReplayRevoked);
        assert_eq!(bench.outcome(&sibling), Outcome::FamilyRevoked);
        assert!(!bench.is_accepted(&sibling));
    }
}

#[test]
fn grace_covers_the_immediately_previous_token_only() {
    for reuse in
        [ReuseBehaviour::GraceAll { seconds: 30 }, ReuseBehaviour::GraceLast { seconds: 30 }]
    {
        let (mut bench, first) = Bench::new(reuse);
        let second = bench.redeem(&first);
        bench.redeem(&second);

        assert_eq!(bench.outcome(&first), Outcome::ReplayRevoked);
    }
}

#[test]
fn g_last_keeps_the_newest_sibling_only() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::GraceLast { seconds: 30 });

    let one = bench.redeem(&first);
    let two = bench.redeem(&first);

    assert_eq!(bench.outcome(&one), Outcome::Superseded);
    assert_eq!(bench.outcome(&two), Outcome::Redeemed);
}

#[test]
fn s_refuses_a_replay_and_leaves_the_family_alone() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::SingleUse);

    let second = bench.redeem(&first);

    assert_eq!(bench.outcome(&first), Outcome::ReplayRejected);
    assert!(bench.is_accepted(&second));
    assert_eq!(bench.outcome(&second), Outcome::Redeemed);
}

#[test]
fn r_revokes_the_family_on_a_replay() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::Revoking);

    let second = bench.redeem(&first);
    assert!(bench.is_accepted(&second));

    assert_eq!(bench.outcome(&first), Outcome::ReplayRevoked);
    assert!(!bench.is_accepted(&second) && !bench.is_accepted(&first));
    assert_eq!(bench.outcome(&second), Outcome::FamilyRevoked);
    let (families, _) = bench.sessions.histories(bench.now.boot);
    assert_eq!(families[0].revoked, Some(RevocationReason::RefreshTokenReplay));
}

#[test]
fn a_replay_is_recognised_after_its_record_was_forgotten() {
    let options = SimulatorOptions { tokens_per_family: 2, ..SimulatorOptions::strict() };
    let (mut bench, first) = Bench::with(options);
    let mut newest = first.clone();
    for _ in 0..5 {
        newest = bench.redeem(&newest);
    }

    let (_, tokens) = bench.sessions.histories(bench.now.boot);

    assert_eq!(tokens.len(), 2);
    assert_eq!(bench.outcome(&first), Outcome::ReplayRevoked);
}

#[test]
fn a_refresh_ends_older_access_tokens_where_it_should() {
    for (reuse, sibling_survives) in [
        (ReuseBehaviour::NonRotating, false),
        (ReuseBehaviour::Multiple, false),
        (ReuseBehaviour::GraceAll { seconds: 30 }, true),
        (ReuseBehaviour::GraceLast { seconds: 30 }, false),
    ] {
        let options = SimulatorOptions { reuse, ..SimulatorOptions::strict() };
        let (mut bench, first) = Bench::with(options);

        let one = bench.redeem(&first);
        assert!(!bench.is_accepted(&first), "{reuse}");
        assert!(bench.is_accepted(&one), "{reuse}");
        let two = bench.redeem(&first);

        assert!(bench.is_accepted(&two), "{reuse}");
        assert_eq!(bench.is_accepted(&one), sibling_survives, "{reuse}");
    }
}

#[test]
fn repeating_the_same_pair_ends_no_access_token() {
    let reuse = ReuseBehaviour::Idempotent;
    let (mut bench, first) = Bench::with(SimulatorOptions { reuse, ..SimulatorOptions::strict() });

    let second = bench.redeem(&first);
    bench.redeem(&first);

    assert!(bench.is_accepted(&second) && !bench.is_accepted(&first));
}

#[test]
fn tokens_expire_and_an_expired_refresh_token_is_refused() {
    let (mut bench, first) = Bench::with(SimulatorOptions {
        refresh_token_lifetime: Some(Duration::from_secs(7200)),
        ..SimulatorOptions::strict()
    });

    bench.wait(3599);
    assert!(bench.is_accepted(&first));
    bench.wait(1);
    assert!(!bench.is_accepted(&first));
    bench.wait(3600);

    assert_eq!(bench.outcome(&first), Outcome::Expired);
}

#[test]
fn another_client_cannot_use_or_harm_a_token() {
    let (mut bench, first) = Bench::new(ReuseBehaviour::Revoking);
    let token = bench.sessions.recognise(&first.refresh).unwrap();

    let stolen = bench.sessions.present(token, "other", &bench.options, bench.now);

    assert_eq!(stolen.outcome, Outcome::WrongClient);
    assert_eq!(bench.outcome(&first), Outcome::Redeemed);
}

#[test]
fn a_refresh_token_is_no_access_token() {
    let (bench, first) = Bench::new(ReuseBehaviour::Revoking);

    assert!(bench.sessions.bearer(&first.refresh, bench.now.boot).is_none());
    assert!(bench.sessions.recognise(&first.access).is_none());
}
