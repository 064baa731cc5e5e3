//! Takes over what a Flet application saved: a token in the open, and one that `flet.security` encrypted.
//!
//! `cargo run --example flet_restore --features test-support,flet-encrypted`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use tokenhive::sealing::flet;
use tokenhive::simulator::{Simulator, SimulatorOptions};
use tokenhive::{OAuthToken, RestoreOptions, Secret, SessionKey, TokenHive, catalogue};

/// What Flet's `encrypt_aes_gcm_256` made of a token. What its `encrypt` makes is read just so.
const ENCRYPTED: &str = "\
FZmZv1fvph7nc_ZlEl1Yj_qM7YWfHPphglZiJ4I8H7zjVOpI_Dnpgg69nikhCCMZKSEzQ5Ar-i7A1FQx6L-SmifBJaeq45-T\
heKfFatlwr1PlDnGpShMZywvWwk3FxTGR5G7teGBF7mFYRitTwAKV9mUemLCKhohwgMZZhG4zu_iJFXfy4yVHTOO-L0-L37N\
GeYNqsgOe9thlDngCCtRfYq5zCOzFtLNoni9LkFCKBs7a9kQgy4vFTJGU-uMtA_7J5RPPJvBCb0pHkGvpP1VUnKgq9E=";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Deriving the key takes a tenth of a second of processor time: not on a thread that serves others.
    let passphrase = Secret::from("MY_APP_SECRET_KEY");
    let saved =
        tokio::task::spawn_blocking(move || flet::decrypt(ENCRYPTED, &passphrase)).await??;
    let token = OAuthToken::from_json(saved.expose())?;
    println!("decrypted a token for {}", token.scope_list().join(", "));

    // Stands for the provider that the Flet application used.
    let simulator = Simulator::start(SimulatorOptions::strict()).await?;
    let provider = catalogue::generic(
        "simulated",
        "tokenhive",
        simulator.authorization_endpoint(),
        simulator.token_endpoint(),
    )
    .client_secret("simulator-secret")
    .redirect_url("http://127.0.0.1:9/callback");
    let hive = TokenHive::builder().provider(provider).start().await?;

    // From here on only tokenhive may refresh it: the Flet application must have forgotten it.
    let key = SessionKey::new("acme", "user-42")?;
    let saved = saved_long_ago(&simulator);
    let restored =
        hive.restore(&key, "simulated", saved.expose(), RestoreOptions::default()).await?;
    println!("restored; refreshed, as it had expired: version {}", restored.token.version());
    println!("saved again: {} bytes in Flet's form", hive.saved_token(&key).await?.to_json().len());

    hive.shutdown().await;
    simulator.shutdown().await;
    Ok(())
}

/// What `OAuthToken.to_json()` gave in Flet, for a token that has expired since.
fn saved_long_ago(simulator: &Simulator) -> Secret {
    let minted = simulator.mint(1, Duration::ZERO).remove(0);
    let (access, refresh) = (minted.access_token, minted.refresh_token);
    Secret::from(format!(
        r#"{{"access_token":"{}","scope":["openid"],"token_type":"bearer","expires_in":3600,"expires_at":1700000000,"refresh_token":"{}"}}"#,
        access.expose(),
        refresh.expose(),
    ))
}
