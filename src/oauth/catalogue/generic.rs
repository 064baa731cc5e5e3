//! Any other provider, with the safest assumptions about it.

use crate::model::ReuseClass;
use crate::oauth::ProviderBuilder;

/// A provider of which only the endpoints are known.
///
/// It is taken to revoke everything if a refresh token is used twice, and to end the old access
/// token at each refresh. Both are safe with every provider; say what you know with
/// [`ProviderBuilder::reuse_class`] and [`ProviderBuilder::keeps_old_access_token`]. Without
/// [`ProviderBuilder::client_secret`] it is a public client.
pub fn generic(
    id: impl Into<String>,
    client_id: impl Into<String>,
    authorization_endpoint: impl Into<String>,
    token_endpoint: impl Into<String>,
) -> ProviderBuilder {
    ProviderBuilder::new(id, client_id)
        .authorization_endpoint(authorization_endpoint)
        .token_endpoint(token_endpoint)
        .reuse_class(ReuseClass::Revoking)
        .kills_old_access_token()
}
