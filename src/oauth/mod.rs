//! The wire: one request in, one typed answer out, for any provider. Holds no session state.

mod answer;
mod raw;

pub use self::answer::{RequestError, TokenAnswer};
pub use self::raw::{RawAnswer, ScopeSeparator, read_answer};
