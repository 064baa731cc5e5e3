//! Providers known by name: endpoints, scopes and quirks as data, one look for all.

mod auth0;
mod generic;
mod github;
mod google;
mod microsoft;

pub use self::auth0::auth0;
pub use self::generic::generic;
pub use self::github::github;
pub use self::google::google;
pub use self::microsoft::microsoft;

#[cfg(test)]
mod tests;
