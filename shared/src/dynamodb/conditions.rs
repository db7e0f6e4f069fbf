//! Preconditions on the entity tag as DynamoDB conditions (RFC 9110, section 13.1).

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, Update as UpdatePart};

use super::item::unbuildable;
use crate::error::Error;
use crate::etag::{ETag, ETags, Preconditions};

/// Adds a condition.
pub(super) fn and(request: UpdateItemFluentBuilder, condition: &str) -> UpdateItemFluentBuilder {
    let given = request.get_condition_expression().clone().unwrap_or_default();
    request.condition_expression(format!("{given} AND {condition}"))
}

/// The same update as a part of a transaction, which returns the record when the condition fails.
pub(super) fn to_part(request: UpdateItemFluentBuilder) -> Result<UpdatePart, Error> {
    let update = request.as_input();
    UpdatePart::builder()
        .set_table_name(update.get_table_name().clone())
        .set_key(update.get_key().clone())
        .set_update_expression(update.get_update_expression().clone())
        .set_condition_expression(update.get_condition_expression().clone())
        .set_expression_attribute_names(update.get_expression_attribute_names().clone())
        .set_expression_attribute_values(update.get_expression_attribute_values().clone())
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(unbuildable)
}

/// The preconditions as the end of a condition, and the values that it refers to.
pub(super) fn etag_condition(preconditions: &Preconditions) -> (String, Vec<(String, &str)>) {
    let (mut condition, mut values) = (String::new(), Vec::new());
    match &preconditions.if_match {
        None | Some(ETags::Any) => {}
        Some(ETags::OneOf(tags)) => {
            let tags = tags.iter().map(ETag::as_str);
            condition += &format!(" AND etag IN ({})", operands(":if_match", tags, &mut values));
        }
    }
    match &preconditions.if_none_match {
        None => {}
        Some(ETags::Any) => condition += " AND attribute_not_exists(id)",
        Some(ETags::OneOf(tags)) => {
            let tags = tags.iter().map(ETag::without_weakness);
            condition += &format!(" AND NOT etag IN ({})", operands(":if_none_match", tags, &mut values));
        }
    }
    (condition, values)
}

/// Names a value for each tag, and returns the names as a list.
fn operands<'a>(
    prefix: &str,
    tags: impl Iterator<Item = &'a str>,
    values: &mut Vec<(String, &'a str)>,
) -> String {
    let first = values.len();
    values.extend(tags.enumerate().map(|(i, tag)| (format!("{prefix}_{i}"), tag)));
    values[first..].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}
