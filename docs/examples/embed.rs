//! The smallest embedding: one login, then a token that stays fresh, against a simulated provider.
//!
//! `cargo run --example embed --features test-support`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use tokenhive::oauth::UserId;
use tokenhive::simulator::{Simulator, SimulatorOptions};
use tokenhive::{CallbackQuery, LoginRequest, SessionKey, TokenHive, catalogue};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Stands for your provider. Its access tokens live for two seconds, so that something happens.
    let simulator = Simulator::start(SimulatorOptions {
        access_token_lifetime: Duration::from_secs(2),
        ..SimulatorOptions::strict()
    })
    .await?;
    let provider = catalogue::generic(
        "simulated",
        "tokenhive",
        simulator.authorization_endpoint(),
        simulator.token_endpoint(),
    )
    .client_secret("simulator-secret")
    .redirect_url("http://127.0.0.1:9/callback")
    .user_endpoint(simulator.user_endpoint(), UserId::pointer("/sub"));

    // In memory: with a store that outlives the process, give a keyring as well.
    let hive = TokenHive::builder().provider(provider).start().await?;

    let key = SessionKey::new("acme", "user-42")?;
    let login = hive.begin_login(&key, LoginRequest::provider("simulated").fetch_user()).await?;
    let callback = browse(&login.authorization_url).await?;
    let session = hive.complete_login(&callback).await?;
    println!("{} is logged in", session.user.ok_or("the user was asked for")?.id);

    for _ in 0..6 {
        let token = hive.token(&key).await?;
        println!("a valid access token, version {}", token.version());
        tokio::time::sleep(Duration::from_millis(700)).await;
    }

    hive.shutdown().await;
    let replays = simulator.totals().reuse_detected;
    println!("refresh tokens presented twice: {replays}");
    simulator.shutdown().await;
    Ok(())
}

/// Stands for the user's browser. The simulator consents at once and sends it back.
async fn browse(authorization_url: &str) -> Result<CallbackQuery, Box<dyn Error>> {
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let answer = browser.get(authorization_url).send().await?;
    let target = answer.headers().get("location").ok_or("the provider did not redirect")?;
    Ok(CallbackQuery::parse(target.to_str()?)?)
}
