//! [`TokenHive`]: the handle everyone holds, its builder, and the seed's own surface.

mod authorization_service;
mod builder;
mod deletion;
mod describe;
mod error;
mod login;
mod profile;
mod readiness;
mod request;
mod restore;
#[cfg(test)]
mod tests;
mod token_hive;

pub use self::authorization_service::{AuthorizationService, ServiceOptions};
pub use self::builder::{BuildError, HiveBuilder};
pub use self::describe::{SessionInfo, SessionState};
pub use self::error::{LoginError, LoginFault, RestoreError};
pub use self::login::{LoggedIn, Login, LoginRequest};
pub use self::profile::FetchedUser;
pub use self::readiness::Readiness;
pub use self::request::TokenRequest;
pub use self::restore::{Origin, RestoreOptions, Restored};
pub use self::token_hive::TokenHive;
