//! Alertmanager's webhook form, version 4 (prometheus.io, "Alerting configuration", webhook_config).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::{Alert, Status};

/// What stands in `endsAt` while an alert fires: Go's zero time, as Alertmanager writes it.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// Beginnings of the firing alerts, Unix nanoseconds, by fingerprint.
pub(super) type Firing = HashMap<String, i64>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
    status: &'static str,
    receiver: &'a str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    alerts: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: String,
}

/// The body of one post, JSON. `firing` remembers up to `firing_max` beginnings between posts.
pub(super) fn of(alerts: &[Arc<Alert>], firing: &mut Firing, firing_max: usize, receiver: &str) -> Vec<u8> {
    let items: Vec<Item<'_>> = alerts.iter().map(|alert| item(alert, firing, firing_max)).collect();
    let any_firing = alerts.iter().any(|alert| alert.status == Status::Firing);
    let notification = Notification {
        version: "4",
        group_key: format!("{{}}/{receiver}"),
        truncated_alerts: 0,
        status: if any_firing { Status::Firing } else { Status::Resolved }.as_str(),
        receiver,
        group_labels: BTreeMap::new(),
        common_labels: common(items.iter().map(|item| &item.labels)),
        common_annotations: common(items.iter().map(|item| &item.annotations)),
        external_url: "",
        alerts: items,
    };
    // Maps with text keys and plain values: there is nothing in it that JSON can't say.
    serde_json::to_vec(&notification).unwrap_or_default()
}

fn item<'a>(alert: &'a Alert, firing: &mut Firing, firing_max: usize) -> Item<'a> {
    let labels = alert.labels_all();
    let fingerprint = fingerprint(&labels);
    let at_ns = alert.at.unix_ns;
    let (starts_ns, ends_at) = match alert.status {
        Status::Firing => {
            let known = firing.get(&fingerprint).copied();
            if known.is_none() && firing.len() < firing_max {
                firing.insert(fingerprint.clone(), at_ns);
            }
            (known.unwrap_or(at_ns), NOT_ENDED.to_owned())
        }
        Status::Resolved => (firing.remove(&fingerprint).unwrap_or(at_ns), rfc3339(at_ns)),
    };
    Item {
        status: alert.status.as_str(),
        labels,
        annotations: alert.annotations.iter().map(|(name, text)| (*name, text.as_str())).collect(),
        starts_at: rfc3339(starts_ns),
        ends_at,
        generator_url: "",
        fingerprint,
    }
}

/// What all of the maps agree on.
fn common<'a, 'b>(
    mut maps: impl Iterator<Item = &'b BTreeMap<&'a str, &'a str>>,
) -> BTreeMap<&'a str, &'a str>
where
    'a: 'b,
{
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// Sixteen hex digits of the labels' digest.
fn fingerprint(labels: &BTreeMap<&str, &str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in labels {
        for text in [name, value] {
            hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

/// RFC 3339 in UTC, of Unix nanoseconds.
fn rfc3339(unix_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
