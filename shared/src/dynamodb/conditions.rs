//! Preconditions on the entity tag as DynamoDB conditions (RFC 9110, section 13.1).

use crate::etag::{ETag, ETags, Preconditions};

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
