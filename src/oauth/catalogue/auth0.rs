//! Auth0.

use crate::model::{ReuseClass, Secret};
use crate::oauth::{ProviderBuilder, ProviderUrl, UserId};

/// Auth0, with the endpoints and scopes of Flet's `Auth0OAuthProvider`.
///
/// `domain` is the tenant's, without `https://`, such as `example.us.auth0.com`. To get access
/// tokens for an API of yours, add [`ProviderBuilder::audience`].
///
/// Where refresh token rotation is on, a token used twice ends the whole family, unless a leeway
/// is set (auth0.com/docs, "Refresh token rotation"): then say
/// `reuse_class(ReuseClass::Grace(leeway))`. Where rotation is off, say `ReuseClass::NonRotating`.
///
/// Only refresh tokens are revoked (auth0.com/docs, "Revoke refresh tokens"): an access token lives out
/// its time.
pub fn auth0(
    domain: &str,
    client_id: impl Into<String>,
    client_secret: impl Into<Secret>,
) -> ProviderBuilder {
    let builder = ProviderBuilder::new("auth0", client_id)
        .client_secret(client_secret)
        .authorization_endpoint(format!("https://{domain}/authorize"))
        .token_endpoint(format!("https://{domain}/oauth/token"))
        .revocation_endpoint(format!("https://{domain}/oauth/revoke"))
        .user_endpoint(format!("https://{domain}/userinfo"), UserId::pointer("/sub"))
        .scopes(["offline_access"])
        .user_scopes(["openid", "profile", "email"])
        .reuse_class(ReuseClass::Revoking)
        .keeps_old_access_token();
    if is_domain(domain) {
        builder
    } else {
        builder.defect("domain", "write the tenant's domain alone, as example.us.auth0.com")
    }
}

fn is_domain(text: &str) -> bool {
    ProviderUrl::parse(&format!("https://{text}"))
        .is_ok_and(|url| url.as_url().path() == "/" && !text.contains(['/', '?', '\\']))
}
