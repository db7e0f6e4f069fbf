//! Metrics in a log line (CloudWatch User Guide, "Specification: Embedded metric format").

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The namespace of the metrics. Their one dimension is the table's name.
const NAMESPACE: &str = "dynamodb-web-session";

/// The member `_aws` of a line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EmbeddedMetrics {
    /// In milliseconds.
    timestamp: u64,
    cloud_watch_metrics: [MetricDirective; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDirective {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: Vec<MetricDefinition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDefinition {
    /// The name of the member that holds the value.
    name: Cow<'static, str>,
    unit: &'static str,
}

impl EmbeddedMetrics {
    /// Makes CloudWatch sum up the members of the line with these names.
    pub(crate) fn counting(names: impl Iterator<Item = Cow<'static, str>>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metrics = names.map(|name| MetricDefinition { name, unit: "Count" }).collect();
        Self {
            timestamp: u64::try_from(now.as_millis()).unwrap_or_default(),
            cloud_watch_metrics: [MetricDirective { namespace: NAMESPACE, dimensions: [["table"]], metrics }],
        }
    }
}
