//! Why a provider could not be made, in words that say which setting to change.

use crate::model::{ProviderId, ProviderIdError};
use crate::oauth::provider::UrlProblem;

/// Why [`ProviderBuilder::build`](crate::oauth::ProviderBuilder::build) refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider's id is not one.
    #[error(transparent)]
    Id(#[from] ProviderIdError),
    /// A setting without which the provider cannot work was not given.
    #[error("provider {provider}: {field} is missing; {remedy}")]
    Missing {
        /// Which provider.
        provider: ProviderId,
        /// The builder method that sets it.
        field: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An address is not usable.
    #[error("provider {provider}: {field} is not usable: {problem}")]
    Url {
        /// Which provider.
        provider: ProviderId,
        /// The builder method that set it.
        field: &'static str,
        /// What is wrong with it, and what to write instead.
        problem: UrlProblem,
    },
    /// An authorization parameter would override one that the login itself sets.
    #[error("provider {provider}: {field} holds {name}, which the login sets itself; remove it")]
    ReservedParam {
        /// Which provider.
        provider: ProviderId,
        /// The builder method that set it.
        field: &'static str,
        /// The parameter's name.
        name: String,
    },
    /// Another setting is not usable.
    #[error("provider {provider}: {field} is not usable: {problem}")]
    Unusable {
        /// Which provider.
        provider: ProviderId,
        /// The builder method that set it.
        field: &'static str,
        /// What is wrong with it, and what to write instead.
        problem: &'static str,
    },
}
