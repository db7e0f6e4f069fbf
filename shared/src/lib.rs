//! Web sessions in DynamoDB, following OWASP's advice by default.
//!
//! A [`SessionManager`] has five verbs: [`create`](SessionManager::create), [`load`](SessionManager::load),
//! [`save`](SessionManager::save), [`renew`](SessionManager::renew) and [`clear`](SessionManager::clear).
//!
//! - An ID is 32 random bytes from the operating system, and never chosen by a caller. The table holds only its
//!   SHA-512, and a [`SessionId`] cannot be printed.
//! - An idle and an absolute timeout are enforced on every call. What was cleared or has expired stays dead,
//!   whichever requests race with its end.
//! - One DynamoDB request for each call; a renewal, and a load that slides the idle deadline, take two.
//!
//! The README shows the verbs in use.

#[cfg(feature = "http")]
mod browser;
mod client;
mod clock;
mod compression;
mod config;
mod connector;
mod error;
mod etag;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod life;
#[cfg(feature = "http")]
pub mod logging;
mod manager;
mod session;
mod table;
mod timeouts;

pub use client::aws_defaults;
pub use clock::{Clock, MalformedTimestamp, ManualClock, SystemClock, Timestamp};
pub use config::{Config, IdTransport, MalformedOrigin, Origin, SameSite};
pub use error::{BoxError, ConfigError, Error, chain};
pub use etag::{ETag, IfMatch, MalformedIfMatch};
pub use id::{ID_BYTES, LoggableId, MalformedSessionId, SessionId};
pub use life::Absence;
pub use manager::{MAX_DATA_DEPTH, SessionManager, Update};
pub use session::Session;
pub use timeouts::Timeouts;
