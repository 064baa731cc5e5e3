//! When to refresh, how long to wait, who is still interested. Pure functions: nothing here sleeps.

mod activity;
mod backoff;
mod doubt;
mod refresh;

pub use self::activity::{Activity, activity, keep_alive_in};
pub use self::backoff::{Backoff, Chance};
pub use self::doubt::{DEAD_AFTER, in_doubt_delay, patience, suspect_for};
pub use self::refresh::RefreshPolicy;
