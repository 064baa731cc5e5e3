//! What a login brings besides tokens: user and groups, and the scopes that were asked for.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::sync::Arc;

use support::{HOUR, World, bounded, eager, key, sim, strict};
use tokenhive::oauth::{UserError, UserId};
use tokenhive::simulator::Answer;
use tokenhive::{FileStore, Keyring, ServiceOptions, TokenHive};
use url::Url;

#[tokio::test]
async fn a_failed_user_fetch_never_loses_tokens() {
    bounded(async {
        let world = World::at(
            strict(HOUR),
            |p| p.user_endpoint("http://127.0.0.1:9/nobody", UserId::pointer("/sub")),
            |b| b,
        )
        .await;

        let logged_in = world.log_in_as(&key("ann"), sim().fetch_user()).await;

        assert_eq!(logged_in.user, None);
        let error = logged_in.user_error.unwrap();
        assert!(matches!(error, UserError::Unavailable { .. }), "{error:?}");
        let token = world.hive.token(&key("ann")).await.unwrap();
        assert!(world.accepted(&token).await);
        assert_eq!(world.hive.user(&key("ann")).await, Ok(None));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_user_is_fetched_again_on_request_and_kept() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        assert_eq!(world.hive.user(&ann).await, Ok(None));

        let fetched = world.hive.fetch_user(&ann, true).await.unwrap();

        let user = fetched.user.unwrap();
        assert_eq!((user.id.as_str(), user.groups.len(), fetched.error), ("ann", 2, None));
        assert_eq!(world.hive.user(&ann).await, Ok(Some(user)));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn user_and_groups_are_kept_across_a_restart() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let keyring = Keyring::generate();
        let store = FileStore::open(&path).unwrap();
        let world = World::with(strict(HOUR), |b| b.store(store).keyring(keyring.clone())).await;
        let request = sim().param("user", "ann").fetch_groups();
        let told = world.log_in_as(&key("ann"), request).await.user.unwrap();

        world.hive.shutdown().await;
        let restarted = TokenHive::builder()
            .provider(support::provider(&world.simulator))
            .store(FileStore::open(&path).unwrap())
            .keyring(keyring)
            .start()
            .await
            .unwrap();

        assert_eq!(told.id, "ann");
        let groups: Vec<_> = told.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(groups, ["group-1", "group-2"]);
        assert_eq!(restarted.user(&key("ann")).await.unwrap(), Some(told));
        restarted.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn scopes_are_asked_for_once_each_and_never_pile_up() {
    bounded(async {
        let adjust = |p: tokenhive::ProviderBuilder| {
            p.scopes(["base"]).user_scopes(["profile"]).group_scopes(["groups"])
        };
        let world = World::at(strict(HOUR), adjust, |b| b).await;
        let scope = vec!["mine".to_owned(), "base".to_owned()];
        let options = ServiceOptions { fetch_user: true, fetch_groups: true, scope: scope.clone() };

        for _ in 0..3 {
            let service =
                world.hive.authorization_service(&key("ann"), "sim", options.clone()).unwrap();
            let (url, _) = service.get_authorization_data().await.unwrap();
            let (again, _) = service.get_authorization_data().await.unwrap();

            let asked = |url: &str| {
                let url = Url::parse(url).unwrap();
                url.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned()
            };
            assert_eq!(asked(&url), asked(&again));
            assert_eq!(asked(&url), service.scope().join(" "));
            let mut asked: Vec<_> = service.scope().to_vec();
            asked.sort();
            assert_eq!(asked, ["base", "groups", "mine", "profile"]);
        }

        assert_eq!(options.scope, scope);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn each_flag_of_the_service_asks_for_its_own_scopes_and_what_it_tells_is_what_it_asks_for() {
    bounded(async {
        let world =
            World::at(strict(HOUR), |p| p.user_scopes(["profile"]).group_scopes(["groups"]), |b| b)
                .await;
        let cases = [
            (false, false, "mine yours"),
            (true, false, "mine yours profile"),
            (false, true, "mine yours groups"),
            (true, true, "mine yours profile groups"),
        ];
        for (fetch_user, fetch_groups, wanted) in cases {
            let scope = vec!["mine yours".to_owned(), "mine".to_owned()];
            let options = ServiceOptions { fetch_user, fetch_groups, scope };
            let service = world.hive.authorization_service(&key("ann"), "sim", options).unwrap();

            let (url, _) = service.get_authorization_data().await.unwrap();

            let url = Url::parse(&url).unwrap();
            let asked = url.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned();
            assert_eq!((asked.as_str(), service.scope().join(" ").as_str()), (wanted, wanted));
        }
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn logins_of_many_sessions_at_once_do_not_mix() {
    bounded(async {
        let world = Arc::new(World::with(strict(HOUR), eager).await);

        let logins: Vec<_> = (0..24)
            .map(|number| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let name = format!("user-{number}");
                    let request = sim().param("user", &name).fetch_user();
                    let logged_in = world.log_in_as(&key(&name), request).await;
                    (name, logged_in)
                })
            })
            .collect();

        for login in logins {
            let (name, logged_in) = login.await.unwrap();
            assert_eq!(logged_in.key, key(&name));
            assert_eq!(logged_in.user.unwrap().id, name);
        }
        let truth = world.simulator.ledger();
        assert!(truth.events.iter().all(|event| event.answer.is_none_or(|a| a == Answer::Sent)));
        world.hive.shutdown().await;
    })
    .await;
}
