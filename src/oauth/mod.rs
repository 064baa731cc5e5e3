//! The wire: one request in, one typed answer out, for any provider. Holds no session state.

mod answer;

pub use self::answer::{RequestError, TokenAnswer};
