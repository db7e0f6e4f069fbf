//! The session service on one machine. The binary wires these parts together, and so do the tests.

pub mod dynamodb;
pub mod gateway;
pub mod template;

pub use gateway::Gateway;
pub use template::Template;
