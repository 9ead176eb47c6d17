//! Copies of the store: made, and put in its place.

use serde::{Deserialize, Serialize};

/// Answer to [`super::Command::Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BackedUp {
    /// The name of the folder in `incoming/`. Whoever asked takes it over, copies what is in it, and removes it. Segments
    /// in it are the store's own, under a second name: they must not be written to.
    pub incoming: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The generation that it holds.
    pub generation: u64,
    /// The last batch that it holds.
    pub seq: u64,
    /// That batch's checksum, in hex.
    pub checksum: String,
    /// How long changes had to wait for it, in milliseconds. Questions never wait.
    pub changes_waited_ms: u64,
}

/// Answer to [`super::Command::Restore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Restored {
    /// When the backup was made, in seconds since 1970-01-01 UTC.
    pub made_at: u64,
    /// The generation that answers now.
    pub generation: u64,
    /// The last batch now.
    pub seq: u64,
    /// The generation that it takes the place of; 0 if none can be told.
    pub replaced_generation: u64,
}
