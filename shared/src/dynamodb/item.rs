//! The attributes of an item, in DynamoDB's types.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::clock::Timestamp;
use crate::error::Error;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(super) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn binary(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn time(timestamp: Timestamp) -> AttributeValue {
    number(timestamp.epoch_seconds())
}

pub(super) fn whole_number(item: &Item, attribute: &'static str) -> Result<u64, Error> {
    match item.get(attribute) {
        Some(AttributeValue::N(number)) => number.parse().map_err(|_| Error::CorruptRecord(attribute)),
        _ => Err(Error::CorruptRecord(attribute)),
    }
}

pub(super) fn timestamp(item: &Item, attribute: &'static str) -> Result<Timestamp, Error> {
    whole_number(item, attribute).map(Timestamp::from_epoch_seconds)
}

/// The SDK would not build a request: an error of this crate.
pub(super) fn unbuildable(error: BuildError) -> Error {
    Error::Misconfigured(error.into())
}
