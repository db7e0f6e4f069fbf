//! Web sessions in DynamoDB that follow OWASP's advice by default.
//!
//! A [`SessionManager`] has five verbs for a session: [`create`](SessionManager::create), [`load`](SessionManager::load),
//! [`save`](SessionManager::save), [`renew`](SessionManager::renew) and [`clear`](SessionManager::clear). A session may have a
//! [`Subject`], such as a user's ID: [`log_in`](SessionManager::log_in) gives it one,
//! [`sessions_of`](SessionManager::sessions_of) lists the sessions of one, and [`revoke_all`](SessionManager::revoke_all) ends
//! them.
//!
//! - An ID is 32 random bytes from the operating system; a caller cannot choose one. The table holds only its
//!   SHA-512, and a [`SessionId`] cannot be printed.
//! - An idle and an absolute timeout are enforced on every call. An ended session never comes back,
//!   even if other requests run at that moment.
//! - One DynamoDB request for each call; a renewal, and a load that slides the idle deadline, take two. A call takes more if it
//!   meets another write, follows a renewed ID to clear it, or is about the sessions of a subject.
//!
//! Each call emits one [`tracing`] event ([`report`]).

mod call;
mod chain;
mod changes;
mod cipher;
mod clock;
mod config;
mod data;
mod device;
mod doubtful;
mod dynamodb;
mod error;
mod etag;
mod id;
mod label_key;
mod manager;
mod pauses;
pub mod report;
mod session;
mod subject;
mod time_limit;
mod time_limits;
mod timeouts;
mod variables;
mod verbs;
pub mod web;

pub use clock::{Clock, MalformedTimestamp, ManualClock, SystemClock, Timestamp};
pub use config::{AtMaxPerSubject, Config, SealMode};
pub use data::MAX_DATA_DEPTH;
pub use device::{Device, MAX_CONTEXT_BYTES, MAX_LABEL_BYTES, MalformedDevice};
pub use dynamodb::client::{aws_defaults, lambda_client};
pub use dynamodb::schema::{KEY, TTL_ATTRIBUTE, create_table};
pub use error::{Absence, BoxError, ConfigError, Error, ErrorCode, chain};
pub use etag::{ETag, ETags, MalformedETags, Preconditions};
pub use id::{AsSessionId, ID_BYTES, LoggableId, MalformedLoggableId, MalformedSessionId, SessionId};
pub use label_key::{LabelKey, MalformedLabelKey};
pub use manager::SessionManager;
pub use session::{CreateOptions, ListedSession, LogIn, LoggedIn, Renewal, Session, SubjectChange, Update};
pub use subject::{MAX_PER_SUBJECT, MalformedSubject, Subject};
pub use timeouts::Timeouts;
pub use variables::Variables;
pub use verbs::wait_for_endings;
