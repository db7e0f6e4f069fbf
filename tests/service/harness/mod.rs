//! The test harness.

mod function;
mod local_server;
mod log;
mod proxy;
mod service;

pub use function::{Function, Outcome, published};
pub use local_server::{Ended, LocalServer, program};
pub use log::Log;
pub use proxy::{Action, Loss};
pub use service::{Answer, Call, Service, cookies, table_service};
