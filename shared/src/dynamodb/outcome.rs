//! What DynamoDB's answer means: done, refused by which condition, perhaps done, to be tried again, or an operator's matter.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;

use super::advice::{self, Cause};
use super::item::Item;
use crate::call::Call;
use crate::error::{BoxError, Error};

/// How an update ended.
pub(crate) enum Updated {
    /// With the attributes that it was asked to return.
    Done(Item),
    /// Its condition failed. This is the item, if there is one. In doubt, an attempt whose response was lost may have been
    /// carried out, and the condition may have met its result.
    Refused { item: Option<Item>, in_doubt: bool },
}

/// How a transaction ended.
pub(crate) enum Transacted {
    Done,
    /// The condition of the action at this place failed. This is the item, if there is one.
    Refused {
        place: usize,
        item: Option<Item>,
    },
    /// Another write was in progress, or the transaction was throttled, which the SDK does not retry.
    Conflict,
    /// An earlier attempt of the same transaction is in progress.
    InProgress,
}

/// The item that the condition of an update met.
pub(super) fn refused_item(error: SdkError<UpdateItemError>) -> Option<Item> {
    match error.into_service_error() {
        UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
        _ => None,
    }
}

/// Whether an attempt of an operation may have been carried out though its response was lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    pub(crate) fn exists(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Doubt {
    fn name(&self) -> &'static str {
        "Doubt"
    }

    /// Only a whole response below 500 says what happened.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_known = match context.output_or_error() {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                error.is_operation_error()
                    && context.response().is_some_and(|response| !response.status().is_server_error())
            }
            None => false,
        };
        if !is_known {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub(super) fn is_failed_condition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    has_code(error, "ConditionalCheckFailedException")
}

/// Whether a transaction was in progress on the item.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    has_code(error, "TransactionConflictException")
}

fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}

/// How a transaction ended whose first `records` actions are on records.
///
/// # Errors
/// It was not cancelled by its conditions, another write or a throttle.
pub(super) fn transacted(
    call: &mut Call<'_>,
    sent: Result<TransactWriteItemsOutput, SdkError<TransactWriteItemsError>>,
    records: usize,
    classify: impl FnOnce(SdkError<TransactWriteItemsError>) -> Error,
) -> Result<Transacted, Error> {
    let error = match sent {
        Ok(output) => {
            output.consumed_capacity().iter().for_each(|consumed| call.add_write(Some(consumed)));
            return Ok(Transacted::Done);
        }
        Err(error) => error,
    };
    let cancelled = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled,
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
            return Ok(Transacted::InProgress);
        }
        _ => return Err(classify(error)),
    };
    let reasons = cancelled.cancellation_reasons();
    let is =
        |reason: &CancellationReason, codes: &[&str]| reason.code().is_some_and(|code| codes.contains(&code));
    // What the conditions have met may be half of the other transaction.
    if reasons.iter().take(records).any(|reason| is(reason, &["TransactionConflict"])) {
        return Ok(Transacted::Conflict);
    }
    let refused = reasons.iter().position(|reason| is(reason, &["ConditionalCheckFailed"]));
    if let Some((place, reason)) = refused.and_then(|place| Some((place, reasons.get(place)?))) {
        return Ok(Transacted::Refused { place, item: reason.item.clone() });
    }
    let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    if reasons.iter().any(|reason| is(reason, &passing)) {
        Ok(Transacted::Conflict)
    } else {
        Err(classify(error))
    }
}

/// Separates faults that may pass by themselves from those that need an operator.
pub(super) fn classify<E>(error: SdkError<E>, table: &str, region: Option<&str>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let may_pass = match &error {
        SdkError::DispatchFailure(_) => !matches!(Cause::of(&error), Cause::Credentials(_)),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(answer) => {
            answer.raw().status().is_server_error()
                || matches!(
                    answer.err().code(),
                    Some(
                        "ProvisionedThroughputExceededException"
                            | "RequestLimitExceeded"
                            | "ThrottlingException"
                            | "TransactionConflictException"
                            | "TransactionInProgressException"
                    )
                )
        }
        _ => false,
    };
    if may_pass {
        return Error::Unavailable(error.into());
    }
    let cause = Cause::of(&error);
    Error::Misconfigured(advice::on(cause, table, region, error.into()).into())
}
