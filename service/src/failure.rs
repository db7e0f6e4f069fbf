//! Why a request was refused or failed.

use dynamodb_web_session::{Error, MalformedETags, report};
use lambda_http::http::Method;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request is wrong. The text says what it must be, and repeats nothing that the caller wrote.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A precondition is malformed. If it were ignored, a save could overwrite newer data.
    #[error(transparent)]
    Precondition(#[from] MalformedETags),
    /// There is a body, and its `Content-Type` is not `application/json`.
    #[error("the body must be sent as application/json")]
    NotJson,
    /// The function serves another method, which is this one.
    #[error("this function serves {0} requests only")]
    MethodNotAllowed(Method),
    /// In cookie transport, a page of an origin that is not allowed may have sent it. The text says why.
    #[error("{0}")]
    CrossSite(&'static str),
    /// The request has no session ID. The caller gets the same response as for a dead session.
    #[error("there is no such session")]
    MissingId,
    /// The request has several session IDs, or a malformed one. The caller gets the same response as for a dead session.
    #[error("there is no such session")]
    MalformedId,
    /// The session is dead or was never issued.
    #[error("there is no such session")]
    NoSession,
    /// A load's `If-Match` does not hold. The load itself has succeeded.
    #[error("the session's data does not have the tag that the precondition asks for")]
    PreconditionFailed,
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
            Self::BadRequest(_) | Self::Precondition(_) | Self::NotJson | Self::Invalid(_) => {
                report::refused("invalid");
            }
            Self::MethodNotAllowed(_) => report::refused("method"),
            Self::CrossSite(_) => report::refused("cross-site"),
            Self::MissingId => report::refused("missing"),
            Self::MalformedId => report::refused("malformed"),
            Self::NoSession | Self::PreconditionFailed | Self::Session(_) => {}
        }
    }
}
