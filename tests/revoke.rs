//! What is revoked is dead at the provider, and nothing else is.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::sync::Arc;

use support::{HOUR, bounded, browser, provider, strict};
use tokenhive::model::{Secret, SystemClock};
use tokenhive::oauth::{
    HttpClient, HttpOptions, RequestError, RevokeError, TokenHint, refresh, revoke,
};
use tokenhive::simulator::{RevocationReason, Simulator};

fn client() -> HttpClient {
    HttpClient::new(&HttpOptions::default(), Arc::new(SystemClock)).unwrap()
}

/// Whether the provider accepts the access token right now.
async fn accepted(simulator: &Simulator, token: &Secret) -> bool {
    let url = format!("{}/api/echo", simulator.base_url());
    let answer = browser().get(url).bearer_auth(token.expose()).send().await.unwrap();
    answer.status().is_success()
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_session_at_the_provider_and_no_other() {
    bounded(async {
        let simulator = Simulator::start(strict(HOUR)).await.unwrap();
        let (http, sim) = (client(), provider(&simulator).build().unwrap());
        let minted = simulator.mint(2, HOUR);
        let (ended, other) = (&minted[0], &minted[1]);

        for _ in 0..2 {
            let again = revoke(&http, &sim, &ended.refresh_token, TokenHint::RefreshToken).await;
            assert_eq!(again, Ok(()));
        }

        let refused = refresh(&http, &sim, &ended.refresh_token).await.unwrap_err();
        assert!(matches!(refused, RequestError::Rejected { .. }), "{refused:?}");
        assert!(!accepted(&simulator, &ended.access_token).await);
        assert!(accepted(&simulator, &other.access_token).await);
        assert!(refresh(&http, &sim, &other.refresh_token).await.is_ok());
        let revoked = simulator.totals().families_revoked;
        assert_eq!(revoked.into_iter().collect::<Vec<_>>(), [(RevocationReason::Client, 1)]);
        simulator.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_proves_nothing_revokes_nothing() {
    bounded(async {
        let simulator = Simulator::start(strict(HOUR)).await.unwrap();
        let minted = simulator.mint(1, HOUR).remove(0);
        let impostor = provider(&simulator).client_secret("not the secret").build().unwrap();

        let refused =
            revoke(&client(), &impostor, &minted.refresh_token, TokenHint::RefreshToken).await;

        let Err(RevokeError::Refused { error, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(error, "invalid_client");
        assert!(accepted(&simulator, &minted.access_token).await);
        simulator.shutdown().await;
    })
    .await;
}
