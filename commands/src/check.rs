//! What is right and wrong with a table, and with the permissions of the caller. Nothing is changed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, ContinuousBackupsStatus, KeyType, ScalarAttributeType, TableDescription, TimeToLiveStatus,
};
use dynamodb_web_session::{KEY, TTL_ATTRIBUTE, chain};
use serde_json::{Value, json};

use crate::{Answer, Connected};

/// A key that no session has: it is no SHA-512.
const NO_KEY: &str = "check";

/// It never holds, so a write with it changes nothing. DynamoDB asks for the permission all the same.
const NEVER: &str = "attribute_exists(id) AND attribute_not_exists(id)";

#[derive(Clone, Copy, PartialEq)]
enum State {
    Ok,
    Wrong,
    /// The caller may not ask.
    NotKnown,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::NotKnown => "not known",
        }
    }
}

pub(crate) struct Finding {
    name: &'static str,
    state: State,
    detail: String,
}

pub(crate) async fn findings(connected: &Connected) -> Vec<Finding> {
    let mut findings = properties(connected).await;
    if findings.iter().all(|finding| finding.name != "table" || finding.state != State::Wrong) {
        findings.extend(permissions(connected).await);
    }
    findings
}

pub(crate) fn json(findings: &[Finding]) -> Value {
    let object = |Finding { name, state, detail }: &Finding| json!({ "name": name, "state": state.text(), "detail": detail });
    findings.iter().map(object).collect()
}

pub(crate) fn wrong(name: &'static str, detail: String) -> Finding {
    finding(name, false, detail)
}

pub(crate) async fn check(connected: &Connected) -> Answer {
    let findings = findings(connected).await;
    let text: Vec<_> = findings
        .iter()
        .map(|Finding { name, state, detail }| format!("{:9} {name:12} {detail}", state.text()))
        .collect();
    Answer {
        text: text.join("\n"),
        json: json!({ "table": connected.name(), "checks": json(&findings) }),
        is_well: findings.iter().all(|finding| finding.state != State::Wrong),
    }
}

async fn properties(connected: &Connected) -> Vec<Finding> {
    let (client, name) = (&connected.client, connected.name());
    let table = match client.describe_table().table_name(name).send().await {
        Ok(output) => output.table,
        Err(error) => {
            let Finding { name: table, state, detail } = unasked("table", error);
            return vec![Finding { name: table, state, detail: format!("{name}: {detail}") }];
        }
    };
    let Some(table) = table else { return Vec::new() };
    let mut findings = vec![
        finding(
            "table",
            true,
            format!("{name}, {}", table.table_status().map_or("", |status| status.as_str())),
        ),
        key(&table),
    ];
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    let billing = billing.map_or("PROVISIONED", |mode| mode.as_str()).to_owned();
    findings.push(finding("billing", true, billing));
    let encryption = table.sse_description().and_then(|sse| sse.sse_type());
    let encryption = encryption.map_or("a key that AWS owns", |kind| kind.as_str()).to_owned();
    findings.push(finding("encryption", true, encryption));
    findings.push(match client.describe_time_to_live().table_name(name).send().await {
        Ok(output) => {
            let ttl = output.time_to_live_description();
            let attribute = ttl.and_then(|ttl| ttl.attribute_name()).unwrap_or_default();
            let is_on = ttl.and_then(|ttl| ttl.time_to_live_status()).is_some_and(|status| {
                matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            });
            match (is_on, attribute) {
                (true, TTL_ATTRIBUTE) => finding("TTL", true, format!("on, attribute {attribute}")),
                (true, other) => {
                    finding("TTL", false, format!("on, but its attribute is {other} and not {TTL_ATTRIBUTE}"))
                }
                (false, _) => finding(
                    "TTL",
                    false,
                    format!("off: ended sessions stay in the table; turn it on, attribute {TTL_ATTRIBUTE}"),
                ),
            }
        }
        Err(error) => unasked("TTL", error),
    });
    findings.push(match client.describe_continuous_backups().table_name(name).send().await {
        Ok(output) => {
            let status = output
                .continuous_backups_description()
                .and_then(|backups| backups.point_in_time_recovery_description())
                .and_then(|recovery| recovery.point_in_time_recovery_status())
                .is_some_and(|status| status.as_str() == ContinuousBackupsStatus::Enabled.as_str());
            finding(
                "backups",
                true,
                format!("point-in-time recovery is {}", if status { "on" } else { "off" }),
            )
        }
        Err(error) => Finding { state: State::NotKnown, ..unasked("backups", error) },
    });
    findings
}

/// The partition key is the string `id`, and there is no sort key.
fn key(table: &TableDescription) -> Finding {
    let elements = table.key_schema();
    let is_key = matches!(elements, [element] if element.attribute_name() == KEY && *element.key_type() == KeyType::Hash);
    let is_string = table.attribute_definitions().iter().any(|attribute| {
        attribute.attribute_name() == KEY && *attribute.attribute_type() == ScalarAttributeType::S
    });
    match is_key && is_string {
        true => finding("key", true, format!("{KEY}, a string")),
        false => finding("key", false, format!("it must be the string {KEY}, without a sort key")),
    }
}

/// For each action that the verbs need, a request that changes nothing.
async fn permissions(connected: &Connected) -> Vec<Finding> {
    let (client, name) = (&connected.client, connected.name());
    let no_key = || AttributeValue::S(NO_KEY.into());
    let get = client.get_item().table_name(name).key(KEY, no_key()).consistent_read(true).send().await;
    let put = client.put_item().table_name(name).item(KEY, no_key()).condition_expression(NEVER).send().await;
    let update = client
        .update_item()
        .table_name(name)
        .key(KEY, no_key())
        .update_expression("REMOVE nothing")
        .condition_expression(NEVER)
        .send()
        .await;
    vec![
        permission("GetItem", get.err().and_then(refused)),
        permission("PutItem", put.err().and_then(refused)),
        permission("UpdateItem", update.err().and_then(refused)),
    ]
}

fn permission(name: &'static str, refused: Option<String>) -> Finding {
    match refused {
        None => finding(name, true, "permitted".into()),
        Some(why) => finding(name, false, why),
    }
}

/// Why a request was refused, unless by its condition.
fn refused<E>(error: SdkError<E>) -> Option<String>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(&error) {
        Some("ConditionalCheckFailedException") => None,
        _ => Some(chain(&error)),
    }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn finding(name: &'static str, is_ok: bool, detail: String) -> Finding {
    Finding { name, state: if is_ok { State::Ok } else { State::Wrong }, detail }
}

/// A question that was not answered. An application needs no permission to ask it.
fn unasked<E>(name: &'static str, error: SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(&error) {
        Some("AccessDeniedException") => {
            Finding { name, state: State::NotKnown, detail: "these credentials may not ask".into() }
        }
        _ => finding(name, false, chain(&error)),
    }
}
