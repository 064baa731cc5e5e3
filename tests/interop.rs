//! tokenhive against Canaille, a provider written by others. `tests/interop/run.sh` starts it.

#[path = "interop/canaille.rs"]
mod canaille;

use std::time::Duration;

use canaille::{Canaille, apart, setting};
use tokenhive::{
    LoginError, LoginFault, Misconfigured, NeedsLogin, RestoreOptions, SessionKey, SessionState,
    TokenError, TokenHive,
};

#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_login_tells_the_user_and_works_once() {
    let canaille = Canaille::alone().await;
    let hive = canaille.hive().await;
    let key = key("once");
    let callback = canaille.callback(&hive, &key).await;

    let logged_in = hive.complete_login(&callback).await.unwrap();
    let again = hive.complete_login(&callback).await;

    let user = logged_in.user.expect("the user was asked for");
    let groups: Vec<&str> = user.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(logged_in.user_error, None);
    assert_eq!(user.id, setting("USER"));
    assert_eq!(groups, ["mathematicians"]);
    assert_eq!(again.unwrap_err(), login_fault(LoginFault::AlreadyFinished));
    assert!(canaille.accepts(logged_in.token.access_token()).await);
    hive.shutdown().await;
}

/// What a second callback would have met at the provider, had it been sent there: another error than
/// [`LoginFault::AlreadyFinished`].
#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_spent_code_is_the_providers_to_reject() {
    let canaille = Canaille::alone().await;
    let hive = canaille.hive().await;
    let key = key("spent-code");
    let first = canaille.callback(&hive, &key).await;
    hive.complete_login(&first).await.unwrap();
    let mut second = canaille.callback(&hive, &key).await;

    second.code = first.code;
    let error = hive.complete_login(&second).await.unwrap_err();

    let LoginError::BeginAgain { reason: LoginFault::CodeRejected { error, .. } } = error else {
        panic!("{error:?}");
    };
    assert_eq!(error, "invalid_grant");
    canaille.working_token(&hive, &key).await;
    hive.shutdown().await;
}

#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_session_outlives_its_access_tokens() {
    let canaille = Canaille::alone().await;
    let hive = canaille.hive().await;
    let key = key("fresh");
    canaille.log_in(&hive, &key).await;

    let mut last = canaille.working_token(&hive, &key).await;
    for _ in 0..4 {
        tokio::time::sleep(canaille.lifetime + Duration::from_secs(1)).await;
        let token = canaille.working_token(&hive, &key).await;

        assert!(token.version() > last.version(), "{token:?} after {last:?}");
        assert!(!canaille.accepts(last.access_token()).await);
        last = token;
    }

    let info = hive.describe(&key).await.unwrap().unwrap();
    assert_eq!((info.failures, info.last_error), (0, None));
    hive.shutdown().await;
}

/// Its refresh token works once, so only one hive may hold it: the first forgets the session before
/// the second learns of it.
#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_saved_session_is_handed_over_to_another_hive() {
    let canaille = Canaille::alone().await;
    let (before, after) = (canaille.hive().await, canaille.hive().await);
    let (old, new) = (key("old"), key("new"));
    canaille.log_in(&before, &old).await;

    let saved = hand_over(&before, &old).await;
    let options = RestoreOptions { fetch_groups: true, ..RestoreOptions::default() };
    let restored = after.restore(&new, "canaille", &saved, options).await.unwrap();

    assert_eq!(restored.user.unwrap().id, setting("USER"));
    assert_eq!(before.token(&old).await.unwrap_err(), needs_login(NeedsLogin::NoSession));
    tokio::time::sleep(canaille.lifetime + Duration::from_secs(1)).await;
    let token = canaille.working_token(&after, &new).await;
    assert!(token.version() > restored.token.version());
    before.shutdown().await;
    after.shutdown().await;
}

#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_wrong_client_secret_is_told_and_ends_no_session() {
    let canaille = Canaille::alone().await;
    let right = canaille.hive().await;
    let wrong = canaille.hive_with_secret("not-the-secret").await;
    let key = key("secret");

    let callback = canaille.callback(&wrong, &key).await;
    let login = wrong.complete_login(&callback).await.unwrap_err();
    canaille.log_in(&right, &key).await;
    let saved = hand_over(&right, &key).await;
    wrong.restore(&key, "canaille", &saved, RestoreOptions::default()).await.unwrap();
    let refresh = wrong.refresh(&key).await.unwrap_err();

    let invalid_client = |reason: &Misconfigured| matches!(reason, Misconfigured::Client { error, .. } if error == "invalid_client");
    assert!(matches!(&login, LoginError::Misconfigured { reason } if invalid_client(reason)));
    assert!(matches!(&refresh, TokenError::Misconfigured { reason } if invalid_client(reason)));
    assert_eq!(wrong.describe(&key).await.unwrap().unwrap().state, SessionState::Active);
    canaille.working_token(&wrong, &key).await;

    let saved = hand_over(&wrong, &key).await;
    right.restore(&key, "canaille", &saved, RestoreOptions::default()).await.unwrap();
    apart().await;
    let token = right.refresh(&key).await.unwrap();
    assert!(canaille.accepts(token.access_token()).await);
    wrong.shutdown().await;
    right.shutdown().await;
}

#[tokio::test]
#[ignore = "needs Canaille; run tests/interop/run.sh"]
async fn a_spent_refresh_token_needs_a_login_and_harms_no_other_session() {
    let canaille = Canaille::alone().await;
    let (hive, other) = (canaille.hive().await, canaille.hive().await);
    let key = key("spent");
    canaille.log_in(&hive, &key).await;
    let spent = hive.saved_token(&key).await.unwrap().to_json();
    apart().await;
    hive.refresh(&key).await.unwrap();

    other.restore(&key, "canaille", &spent, RestoreOptions::default()).await.unwrap();
    let error = other.refresh(&key).await.unwrap_err();

    let rejected = NeedsLogin::Rejected { error: "invalid_grant".to_owned(), description: None };
    assert_eq!(error, needs_login(rejected));
    assert_eq!(other.describe(&key).await.unwrap().unwrap().state, SessionState::NeedsLogin);
    apart().await;
    let token = hive.refresh(&key).await.unwrap();
    assert!(canaille.accepts(token.access_token()).await);
    other.shutdown().await;
    hive.shutdown().await;
}

fn key(session: &str) -> SessionKey {
    SessionKey::new("interop", session).unwrap()
}

/// Takes the session out of `hive`, as text for another one.
async fn hand_over(hive: &TokenHive, key: &SessionKey) -> String {
    let saved = hive.saved_token(key).await.unwrap().to_json();
    assert!(hive.delete(key).await.unwrap());
    saved
}

fn login_fault(reason: LoginFault) -> LoginError {
    LoginError::BeginAgain { reason }
}

fn needs_login(reason: NeedsLogin) -> TokenError {
    TokenError::NeedsLogin { reason }
}
