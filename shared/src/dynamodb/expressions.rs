//! Expressions that are put together from parts.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

/// Adds to the `SET` of an update, which comes before a `REMOVE`.
pub(super) fn set(request: UpdateItemFluentBuilder, more: &str) -> UpdateItemFluentBuilder {
    let given = request.get_update_expression().clone().unwrap_or_default();
    request.update_expression(match given.split_once(" REMOVE ") {
        Some((set, remove)) => format!("{set}, {more} REMOVE {remove}"),
        None => format!("{given}, {more}"),
    })
}

/// Adds to the `REMOVE` of an update.
pub(super) fn remove(request: UpdateItemFluentBuilder, more: &str) -> UpdateItemFluentBuilder {
    let given = request.get_update_expression().clone().unwrap_or_default();
    let comma = if given.contains(" REMOVE ") { "," } else { " REMOVE" };
    request.update_expression(format!("{given}{comma} {more}"))
}

/// Adds a condition.
pub(super) fn and(request: UpdateItemFluentBuilder, condition: &str) -> UpdateItemFluentBuilder {
    let given = request.get_condition_expression().clone().unwrap_or_default();
    request.condition_expression(format!("{given} AND {condition}"))
}
