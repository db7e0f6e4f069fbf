//! What an operator has to do when DynamoDB cannot be used: the error names the table, the Region and the next command.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::BoxError;

/// Why a request was refused, or not even sent.
pub(super) enum Cause {
    /// The code that DynamoDB gave.
    Refused(String),
    /// There are no credentials, or they are configured wrongly: what the provider said.
    Credentials(String),
    Other,
}

impl Cause {
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Self {
        match error {
            SdkError::DispatchFailure(failure) => {
                let mut source = failure.as_connector_error().and_then(StdError::source);
                while let Some(error) = source {
                    if let Some(error) = error.downcast_ref::<CredentialsError>() {
                        return match has_to_be_configured(error) {
                            true => Self::Credentials(crate::error::chain(error)),
                            false => Self::Other,
                        };
                    }
                    source = error.source();
                }
                Self::Other
            }
            SdkError::ServiceError(answer) => {
                answer.err().code().map_or(Self::Other, |code| Self::Refused(code.to_owned()))
            }
            _ => Self::Other,
        }
    }
}

/// Whether a retry cannot help.
fn has_to_be_configured(error: &CredentialsError) -> bool {
    use CredentialsError::{CredentialsNotLoaded, InvalidConfiguration, ProviderError};
    match error {
        CredentialsNotLoaded(_) | InvalidConfiguration(_) => true,
        // A login with SSO that has run out is no failure of a server.
        ProviderError(_) => {
            let text = crate::error::chain(error).to_lowercase();
            text.contains("sso") || text.contains("expired")
        }
        _ => false,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Advice {
    text: String,
    source: BoxError,
}

/// The error, with what to do about it.
pub(super) fn on(cause: Cause, table: &str, region: Option<&str>, source: BoxError) -> Advice {
    let region = region.map_or_else(String::new, |region| format!(" in the Region {region}"));
    let text = match cause {
        Cause::Refused(code) => match code.as_str() {
            "ResourceNotFoundException" => format!(
                "there is no table `{table}`{region}: create it, or set SESSION_TABLE_NAME and AWS_REGION to those of yours"
            ),
            "ExpiredTokenException" | "ExpiredToken" => format!(
                "the AWS credentials for the table `{table}`{region} have expired: get new ones, for example with `aws sso login`"
            ),
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationTokenException" => format!(
                "AWS does not accept the credentials for the table `{table}`{region}: check AWS_PROFILE or AWS_ACCESS_KEY_ID, and \
                 the time of this machine, with `aws sts get-caller-identity`"
            ),
            "AccessDeniedException" => format!(
                "the credentials do not permit this call to the table `{table}`{region}: the page on deployment lists the actions"
            ),
            "ValidationException" => format!(
                "DynamoDB does not accept a request to the table `{table}`{region}: its key must be the string `id`, without a sort key"
            ),
            _ => format!("DynamoDB refuses the table `{table}`{region}: {code}"),
        },
        Cause::Credentials(said) if said.to_lowercase().contains("sso") => format!(
            "the login with AWS SSO for the table `{table}`{region} has run out, or was never made: run `aws sso login`, with \
             `--profile` if you use one"
        ),
        Cause::Credentials(_) => format!(
            "there are no valid AWS credentials for the table `{table}`{region}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or run `aws configure`; on AWS give the program a role"
        ),
        Cause::Other => format!("the table `{table}`{region} cannot be used"),
    };
    Advice { text, source }
}
