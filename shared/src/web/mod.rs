//! What a web request does with its session, for the integrations of frameworks: they take the cookie, ask a [`RequestSession`],
//! and do what their framework does with the answer.
//!
//! The rules, which no integration has to write again:
//!
//! - A login happens wholly or not at all. After one that has failed, nothing of the request is stored.
//! - What did not change is not written. Of two requests that change different top-level keys both last; of one key the later
//!   save wins. A session that became empty ends only if nothing was stored meanwhile.
//! - A request sets the cookie only if it has made an ID, or has extended the life of the session at its end; it deletes the
//!   cookie only if it has ended the session itself. A late answer of an old request must not overwrite the cookie of a newer
//!   login.
//! - A request with an ID from before a renewal stores nothing.

mod finish;
mod lifetime;
mod log_in;
mod request;

pub use finish::{Cookie, CookieRefresh};
pub use lifetime::Lifetime;
pub use request::{RequestSession, Text};
