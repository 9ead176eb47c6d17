//! The operator's veto: whatever lists say of a fingerprint, it decides nothing until the veto is lifted.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;

/// What a suppression covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SuppressionScope {
    /// The hash and every fingerprint of the entries that hold it, now or later: the file by whatever kind it is asked.
    Entry,
    /// The hash alone.
    Hash,
}

impl SuppressionScope {
    /// The scope's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            SuppressionScope::Entry => "entry",
            SuppressionScope::Hash => "hash",
        }
    }
}

/// One veto. It is kept when it is lifted, for those who must tell later why something did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Suppression {
    /// Its number: that of the batch that brought it.
    pub id: u64,
    /// The hash that was suppressed.
    pub fingerprint: Fingerprint,
    /// What it covers.
    pub scope: SuppressionScope,
    /// Who suppressed it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// `None` while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<Lifted>,
}

/// The end of a [`Suppression`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Lifted {
    /// The batch that lifted it.
    pub seq: u64,
    /// Who lifted it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
}
