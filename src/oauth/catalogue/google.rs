//! Google accounts.

use std::time::Duration;

use crate::model::{ReuseClass, Secret};
use crate::oauth::{ProviderBuilder, UserId};

/// Six months, after which Google forgets an unused refresh token.
const REFRESH_TOKEN_IDLE: Duration = Duration::from_secs(180 * 24 * 3600);

/// Google, with the endpoints and scopes of Flet's `GoogleOAuthProvider`.
///
/// Unlike Flet it asks for `access_type=offline` and `prompt=consent`: without both, Google gives
/// a refresh token never, or only at a user's very first login (developers.google.com, "Using
/// OAuth 2.0 for Web Server Applications"). An application that needs no refresh tokens sets both
/// to the empty string with [`ProviderBuilder::authorization_param`].
///
/// A revoked access token takes its refresh token along, and all scopes of a combined authorization end
/// together (same page, "Revoking a token" and "Incremental authorization"): a user's other sessions of
/// the same project may end with it.
///
/// A callback's `iss`, where Google sends one, must be `https://accounts.google.com`.
pub fn google(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> ProviderBuilder {
    ProviderBuilder::new("google", client_id)
        .client_secret(client_secret)
        .authorization_endpoint("https://accounts.google.com/o/oauth2/auth")
        .token_endpoint("https://oauth2.googleapis.com/token")
        .revocation_endpoint("https://oauth2.googleapis.com/revoke")
        .user_endpoint("https://www.googleapis.com/oauth2/v3/userinfo", UserId::pointer("/sub"))
        .user_scopes([
            "https://www.googleapis.com/auth/userinfo.email",
            "https://www.googleapis.com/auth/userinfo.profile",
        ])
        .authorization_param("access_type", "offline")
        .authorization_param("prompt", "consent")
        .issuer("https://accounts.google.com")
        .reuse_class(ReuseClass::NonRotating)
        .keeps_old_access_token()
        .refresh_token_idle(REFRESH_TOKEN_IDLE)
}
