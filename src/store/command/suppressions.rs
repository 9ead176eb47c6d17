//! Suppressions: what one covers, and which are to end.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::list::ListName;

/// Which suppressions are to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lifting {
    /// The one of this number.
    Id(u64),
    /// All that were given for this hash. One that covers it because of another hash is not among them.
    Hash(Fingerprint),
}

/// Answer to [`super::Command::Suppress`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Suppressed {
    /// The suppression's number.
    pub id: u64,
    /// How many fingerprints it covers.
    pub covers: u64,
    /// The first of them, at most [`Suppressed::COVERED_MAX`]; none for those who may not see the hashes that lists hold.
    pub covered: Vec<Fingerprint>,
    /// The lists that hold the hash now.
    pub held_by: Vec<ListName>,
    /// Those of them whose entries are not known, or not all, so that other hashes of these may not be covered.
    pub without_records: Vec<ListName>,
}

impl Suppressed {
    /// How many fingerprints are told.
    pub const COVERED_MAX: usize = 100;
}
