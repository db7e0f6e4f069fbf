#![doc = include_str!("../README.md")]

pub use devices::Client;

pub use v0_15::*;

/// For tower-sessions 0.15.
#[path = "."]
pub mod v0_15 {
    use ::tower_sessions;

    #[path = "store.rs"]
    mod store;
    pub use store::{DEVICE, DynamoDbStore, SUBJECT, WrongIdLength, log_in, note_device, subject};
}

/// For tower-sessions 0.14, which axum-login 0.18 uses.
#[cfg(feature = "tower-sessions-0-14")]
#[path = "."]
pub mod v0_14 {
    use tower_sessions_0_14 as tower_sessions;

    #[path = "store.rs"]
    #[expect(
        clippy::duplicate_mod,
        reason = "the two releases have the same interface, and types of their own"
    )]
    mod store;
    pub use store::{DEVICE, DynamoDbStore, SUBJECT, WrongIdLength, log_in, note_device, subject};
}
