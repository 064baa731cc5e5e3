//! The wire: one request in, one typed answer out, for any provider. Holds no session state.

mod answer;
mod authorize;
mod callback;
pub mod catalogue;
mod http;
mod provider;
mod revoke;
mod scrub;
mod token_endpoint;
mod userinfo;

#[cfg(test)]
mod scripted_server;

pub use self::answer::{RequestError, TokenAnswer};
pub use self::authorize::{AuthorizationRequest, AuthorizeError, ScopeRequest, authorize, scopes};
pub use self::callback::{CallbackError, CallbackQuery};
pub use self::http::{HttpClient, HttpOptions, HttpSetupError, Proxy, RawAnswer};
pub use self::provider::{
    ClientAuth, Provider, ProviderBuilder, ProviderError, ProviderUrl, RedirectUrl, ScopeSeparator,
    UrlProblem, UserId, UserIdFn, UserIdProblem,
};
pub use self::revoke::{RevokeError, TokenHint, revoke};
pub(crate) use self::token_endpoint::refresh_keeping;
pub use self::token_endpoint::{Granted, exchange_code, refresh};
pub use self::userinfo::{Profile, UserError, fetch_user};
