//! Why a request was refused or failed.

use dynamodb_web_session::{Error, MalformedIfMatch, report};

/// Why a request was not carried out. [`response::refusal`](crate::response) makes the error response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request is wrong. The text says what it must be, and repeats nothing that the caller wrote.
    #[error("{0}")]
    BadRequest(&'static str),
    /// If-Match is malformed. To ignore it would overwrite what it protects.
    #[error(transparent)]
    IfMatch(#[from] MalformedIfMatch),
    /// There is a body, and its `Content-Type` is not `application/json`.
    #[error("the body must be sent as application/json")]
    NotJson,
    /// In cookie transport, a page of an origin that is not allowed may have sent it.
    #[error("the page that sent this is of another origin, and SESSION_ALLOWED_ORIGINS does not name it")]
    CrossSite,
    /// The request has no session ID. The caller gets the same response as for a dead session.
    #[error("there is no such session")]
    MissingId,
    /// The request has several session IDs, or one that is malformed. Likewise.
    #[error("there is no such session")]
    MalformedId,
    /// The session is dead or was never issued.
    #[error("there is no such session")]
    NoSession,
    /// The session crate would refuse the request whichever session it were for.
    #[error(transparent)]
    Invalid(Error),
    /// A verb of the session crate failed.
    #[error(transparent)]
    Session(#[from] Error),
}

impl Failure {
    /// Reports the refusal, unless a verb of the session crate was called: that has reported itself.
    pub fn report(&self) {
        match self {
            Self::BadRequest(_) | Self::IfMatch(_) | Self::NotJson | Self::Invalid(_) => {
                report::refused("invalid");
            }
            Self::CrossSite => report::refused("cross-site"),
            Self::MissingId => report::refused("missing"),
            Self::MalformedId => report::refused("malformed"),
            Self::NoSession | Self::Session(_) => {}
        }
    }
}
