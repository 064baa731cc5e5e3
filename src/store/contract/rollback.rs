//! What nodes put back after the store lost writes it had acknowledged.

use std::sync::Arc;

use crate::ledger::samples::{MINUTE, begin_request, commit_request, put_request, sealed, tokens};
use crate::ledger::{
    AttemptId, BeginReply, Buried, Commit, CommitReply, Grant, NodeId, Origin, Reassert,
    ReassertReply, Tombstone,
};
use crate::model::{ProviderId, Timestamp};
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    a_lost_record_is_made_again_by_who_has_its_tokens(make().await).await;
    a_rolled_back_record_gets_a_version_readers_have_not_seen(make().await).await;
    an_exchange_in_flight_gets_its_slot_back(make().await).await;
    an_exchange_that_is_over_gets_no_slot(make().await).await;
    a_deletion_is_put_back_unless_somebody_logged_in_since(make().await).await;
    a_deletion_of_an_earlier_login_holds_nothing_back(make().await).await;
    what_a_repaired_record_had_beside_its_tokens_stays(make().await).await;
}

const ANSWERS: &str = "the store answers";

fn origin(version: u64) -> Origin {
    let provider = ProviderId::new("sample").expect("a plain short name");
    Origin { provider, grant: 1, version }
}

fn reassertion(attempt: u128, base: u64, sequence: u64) -> Reassert {
    Reassert {
        attempt: AttemptId(attempt),
        node: NodeId { name: "node".into(), incarnation: 1 },
        base,
        sequence,
        tries: 2,
        patience: MINUTE,
        tokens: tokens("base"),
        origin: origin(7),
    }
}

fn third_generation(grant: &Grant) -> Commit {
    Commit { base: 2, origin: Some(origin(7)), ..commit_request(1, grant, "third") }
}

async fn a_lost_record_is_made_again_by_who_has_its_tokens(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let grant = session.granted(begin_request(1, 1)).await;
    let lost = Session::named(&session.store, "lost");

    let without = Commit { origin: None, ..third_generation(&grant) };
    assert_eq!(lost.commit(without).await, CommitReply::Absent);
    let reply = lost.commit(third_generation(&grant)).await;

    assert!(matches!(reply, CommitReply::Installed(it) if (it.generation, it.version) == (3, 8)));
    let record = lost.record().await;
    assert_eq!((record.grant, record.provider), (1, origin(7).provider));
    assert_eq!(lost.commit(third_generation(&grant)).await, reply, "safe to repeat");
    lost.delete().await;
    assert_eq!(lost.commit(third_generation(&grant)).await, CommitReply::Gone);
}

async fn a_rolled_back_record_gets_a_version_readers_have_not_seen(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let grant = session.granted(begin_request(1, 1)).await;

    session.commit(third_generation(&grant)).await;

    let record = session.record().await;
    assert_eq!((record.generation, record.version), (3, 8));
}

async fn an_exchange_in_flight_gets_its_slot_back(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let lost = Session::named(&session.store, "lost");

    for session in [&session, &lost] {
        let held = session.store.reassert(&session.key, reassertion(5, 4, 9)).await;
        assert_eq!(held.expect(ANSWERS).reply, ReassertReply::Held);

        let record = session.record().await;
        assert_eq!((record.generation, record.version, record.last_sequence), (4, 8, 9));
        assert_eq!(record.tries, 2, "an earlier one may be on its way still");
        let reply = session.begin(begin_request(6, 4)).await;
        assert!(matches!(reply, BeginReply::Busy { attempt: AttemptId(5), .. }), "{reply:?}");
        assert_eq!(session.load().await.reply.due, record.slot.map(|slot| slot.until));
    }
}

async fn an_exchange_that_is_over_gets_no_slot(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted(begin_request(1, 1)).await;
    let before = session.load().await.reply;

    let later = session.store.reassert(&session.key, reassertion(5, 1, 1)).await;
    assert_eq!(later.expect(ANSWERS).reply, ReassertReply::Passed, "a later one holds it");
    let past = Session::named(&session.store, "past");
    past.put(put_request(1, "login")).await;
    past.refresh(1, 1, "second").await;
    past.refresh(2, 2, "third").await;
    let passed = past.store.reassert(&past.key, reassertion(5, 1, 9)).await;

    assert_eq!(passed.expect(ANSWERS).reply, ReassertReply::Passed);
    assert_eq!(past.record().await.slot, None);
    assert_eq!(session.load().await.reply, before);
    past.delete().await;
    let gone = past.store.reassert(&past.key, reassertion(5, 3, 9)).await;
    assert_eq!(gone.expect(ANSWERS).reply, ReassertReply::Gone);
}

async fn a_deletion_is_put_back_unless_somebody_logged_in_since(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let stone = |generation| Tombstone {
        generation,
        version: 5,
        last_sequence: 6,
        until: Timestamp::default(),
    };

    let older = session.store.bury(&session.key, stone(0)).await.expect(ANSWERS);
    assert_eq!(older.reply, Buried::LoggedIn, "a later login is not touched");
    session.refresh(1, 1, "second").await;
    let again = session.store.bury(&session.key, stone(1)).await.expect(ANSWERS);
    let Buried::Again(deleted) = again.reply else { panic!("{again:?}") };
    assert_eq!(deleted.refresh, Some(sealed("second refresh")), "which was let pass since");
    let repeated = session.store.bury(&session.key, stone(1)).await.expect(ANSWERS);
    assert_eq!(repeated.reply, Buried::Gone);

    let lost = Session::named(&session.store, "lost");
    lost.store.bury(&lost.key, stone(3)).await.expect(ANSWERS);
    for buried in [&session, &lost] {
        assert_eq!(buried.begin(begin_request(1, 1)).await, BeginReply::Gone);
        assert_eq!(buried.load().await.reply.due, None);
    }
    assert_eq!(lost.load().await.reply.next_put_generation(), 5);
}

async fn a_deletion_of_an_earlier_login_holds_nothing_back(store: Arc<dyn SessionStore>) {
    let stone = |generation| Tombstone {
        generation,
        version: 1,
        last_sequence: 1,
        until: Timestamp::default(),
    };
    let session = Session::logged_in(store).await;
    let grant = session.granted(begin_request(1, 1)).await;
    let later = Origin { grant: 5, ..origin(7) };
    let commit = Commit { base: 5, origin: Some(later.clone()), ..third_generation(&grant) };
    let [answered, asking, ended] =
        ["answered", "asking", "ended"].map(|name| Session::named(&session.store, name));
    for session in [&answered, &asking, &ended] {
        session.store.bury(&session.key, stone(3)).await.expect(ANSWERS);
    }

    let installed = answered.commit(commit.clone()).await;
    assert!(matches!(installed, CommitReply::Installed(_)), "{installed:?}");
    let request = Reassert { origin: later, ..reassertion(5, 5, 9) };
    let held = asking.store.reassert(&asking.key, request.clone()).await.expect(ANSWERS);
    assert_eq!(held.reply, ReassertReply::Held);

    // The later login was ended as well.
    ended.store.bury(&ended.key, stone(8)).await.expect(ANSWERS);
    assert_eq!(ended.commit(commit).await, CommitReply::Gone);
    let gone = ended.store.reassert(&ended.key, request).await.expect(ANSWERS);
    assert_eq!(gone.reply, ReassertReply::Gone);
    ended.store.bury(&ended.key, stone(3)).await.expect(ANSWERS);
    assert_eq!(ended.load().await.reply.next_put_generation(), 10, "the later one counts");
}

async fn what_a_repaired_record_had_beside_its_tokens_stays(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let profile = sealed("profile");
    session.store.set_profile(&session.key, 1, profile.clone()).await.expect(ANSWERS);
    let before = session.record().await;

    session.store.reassert(&session.key, reassertion(5, 4, 9)).await.expect(ANSWERS);

    let record = session.record().await;
    assert_eq!((record.generation, record.profile), (4, Some(profile)));
    assert_eq!((record.extra, record.created), (before.extra, before.created));
}
