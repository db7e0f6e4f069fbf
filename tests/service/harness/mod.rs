//! The test harness.

mod function;
mod local_server;
mod log;
mod proxy;
mod service;

pub use function::{Function, Outcome, published};
pub use local_server::{Ended, LocalServer, cargo, program};
pub use log::Log;
pub use proxy::{Action, Loss, Proxy};
pub use service::{Answer, Call, Service, cookies, table_service};

/// How many rounds a long test has: what the environment variable says, as in CI, or a number that does not take long.
pub fn rounds(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
