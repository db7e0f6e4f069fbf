//! Web sessions in DynamoDB that follow OWASP's advice by default.
//!
//! A [`SessionManager`] has five verbs: [`create`](SessionManager::create), [`load`](SessionManager::load),
//! [`save`](SessionManager::save), [`renew`](SessionManager::renew) and [`clear`](SessionManager::clear).
//!
//! - An ID is 32 random bytes from the operating system; a caller cannot choose one. The table holds only its
//!   SHA-512, and a [`SessionId`] cannot be printed.
//! - An idle and an absolute timeout are enforced on every call. A session that was cleared or has expired stays dead,
//!   whichever requests race with its end.
//! - One DynamoDB request for each call; a renewal, and a load that slides the idle deadline, take two. More only when a call
//!   meets another write, or a clear follows a renewed ID.
//!
//! Each call emits one [`tracing`] event ([`report`]).

mod clock;
mod config;
mod dynamodb;
mod error;
mod etag;
mod id;
mod manager;
pub mod report;
mod session;
mod timeouts;

pub use clock::{Clock, MalformedTimestamp, ManualClock, SystemClock, Timestamp};
pub use config::{Config, Variables};
pub use dynamodb::client::{aws_defaults, lambda_client};
pub use error::{Absence, BoxError, ConfigError, Error, chain};
pub use etag::{ETag, ETags, MalformedETags, Preconditions};
pub use id::{ID_BYTES, LoggableId, MalformedSessionId, SessionId};
pub use manager::{MAX_DATA_DEPTH, SessionManager};
pub use session::{Session, Update};
pub use timeouts::Timeouts;
