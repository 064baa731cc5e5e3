//! GitHub: OAuth apps and GitHub Apps acting for a user.

use std::time::Duration;

use crate::model::{ReuseClass, Secret};
use crate::oauth::{ProviderBuilder, ScopeSeparator};

/// Six months, GitHub's lifetime of a refresh token.
const REFRESH_TOKEN_IDLE: Duration = Duration::from_secs(180 * 24 * 3600);

/// GitHub, with the endpoints and scopes of Flet's `GitHubOAuthProvider`.
///
/// OAuth apps get access tokens that never expire. GitHub Apps get 8-hour ones with a single-use
/// refresh token; a refresh ends the old access token at once
/// (docs.github.com, "Refreshing user access tokens"). Groups are the user's teams.
///
/// There is no revocation endpoint in the sense of RFC 7009: GitHub deletes tokens through an API of its
/// own, `DELETE /applications/{client_id}/token` (docs.github.com, "REST API endpoints for OAuth
/// authorizations").
pub fn github(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> ProviderBuilder {
    ProviderBuilder::new("github", client_id)
        .client_secret(client_secret)
        .authorization_endpoint("https://github.com/login/oauth/authorize")
        .token_endpoint("https://github.com/login/oauth/access_token")
        .api_base("https://api.github.com")
        .user_scopes(["read:user", "user:email"])
        .group_scopes(["read:org"])
        .scope_separator(ScopeSeparator::Comma)
        .reuse_class(ReuseClass::Revoking)
        .kills_old_access_token()
        .refresh_token_idle(REFRESH_TOKEN_IDLE)
}
