//! Microsoft Entra ID, formerly Azure Active Directory.

use std::time::Duration;

use crate::model::{ReuseClass, Secret};
use crate::oauth::{ProviderBuilder, UserId};

/// Ninety days, after which an unused refresh token ends.
const REFRESH_TOKEN_IDLE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Microsoft, with the endpoints and scopes of Flet's `AzureOAuthProvider`.
///
/// `tenant` is a directory's id or domain, or `common` (Flet's default), `organizations` or
/// `consumers`. Unlike Flet it asks for `offline_access`: without it Microsoft gives no refresh
/// token (learn.microsoft.com, "Scopes and permissions in the Microsoft identity platform").
///
/// There is no revocation endpoint: what Microsoft Graph offers instead, `revokeSignInSessions`, signs
/// the user out of every application (learn.microsoft.com, "user: revokeSignInSessions").
pub fn microsoft(
    client_id: impl Into<String>,
    client_secret: impl Into<Secret>,
    tenant: &str,
) -> ProviderBuilder {
    let base = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0");
    let builder = ProviderBuilder::new("microsoft", client_id)
        .client_secret(client_secret)
        .authorization_endpoint(format!("{base}/authorize"))
        .token_endpoint(format!("{base}/token"))
        .user_endpoint("https://graph.microsoft.com/v1.0/me", UserId::pointer("/id"))
        .scopes(["offline_access"])
        .user_scopes(["user.read"])
        .reuse_class(ReuseClass::Multiple)
        .keeps_old_access_token()
        .refresh_token_idle(REFRESH_TOKEN_IDLE);
    if is_tenant(tenant) {
        builder
    } else {
        builder.defect("tenant", "write a directory's id or domain, or common")
    }
}

fn is_tenant(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain)
}
