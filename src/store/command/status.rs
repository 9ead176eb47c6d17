//! How the store is: what answers, what waits, and what somebody should look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::feeds::FeedInfo;
use super::gate::RaisedAlarm;
use crate::fingerprint::Kind;
use crate::list::{ListName, VersionNumber};

/// Answer to [`super::Command::Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StoreStatus {
    /// The generation that answers.
    pub generation: u64,
    /// When it came into force, in seconds since 1970-01-01 UTC; `None` if the file system does not say.
    #[serde(default)]
    pub generation_at: Option<u64>,
    /// The last batch.
    pub seq: u64,
    /// The last batch whose feed changes stand in segments.
    pub sealed_seq: u64,
    /// Lists, built-in ones not counted.
    pub lists: u64,
    /// What answers, by kind.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Fingerprints in the live layer; `None` where the store does not serve.
    pub live_fingerprints: Option<u64>,
    /// Alarms that nobody has acknowledged yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<RaisedAlarm>,
    /// Of each list with a version that did not pass the gate: that version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<ListName, VersionNumber>,
    /// Of each list that a feed fills: how fresh it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feeds: BTreeMap<ListName, FeedInfo>,
}

impl StoreStatus {
    /// How many alarms of each sort each list has; those of no list have an empty name.
    pub fn alarm_counts(&self) -> BTreeMap<(&str, &'static str), u64> {
        let mut counts = BTreeMap::new();
        for raised in &self.alarms {
            let list = raised.list.as_ref().map_or("", ListName::as_str);
            *counts.entry((list, raised.alarm.name())).or_default() += 1;
        }
        counts
    }
}

/// One kind in [`StoreStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KindStatus {
    /// Segments.
    pub segments: u64,
    /// Digests in them; one that stands in two counts twice.
    pub digests: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// `ready`, `loading`, `failed: …`; `not served` where the store does not serve.
    pub state: String,
}
