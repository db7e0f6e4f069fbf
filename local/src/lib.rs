//! The session service on one machine. The binary and the tests combine these parts.

mod cors;
mod event;
pub mod gateway;
pub mod page;
mod protected;
mod sam;
mod server;
pub mod template;

pub use gateway::Gateway;
pub use page::{Page, RecentLog};
pub use protected::ProtectedApi;
pub use template::Template;
