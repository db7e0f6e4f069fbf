//! The session service on one machine. The binary wires these parts together, and so do the tests.

mod cors;
pub mod dynamodb;
pub mod gateway;
pub mod page;
pub mod template;

pub use gateway::Gateway;
pub use page::{Page, RecentLog};
pub use template::Template;
