//! Why a command was not carried out.

use serde::{Deserialize, Serialize};

/// Why a command was not carried out: [`crate::store::StoreError`] as plain data, for those who ask through a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of error it is, for programs.
    pub reason: RefusalReason,
    /// What was expected, what was found, and what to do, for people.
    pub message: String,
}

/// Sorts of [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// The command itself cannot be carried out: no such list, a wrong shape, a bad file.
    Rejected,
    /// Something else was changed meanwhile; trying again may help.
    Conflict,
    /// The store is damaged.
    Damaged,
    /// The machine failed: disk full, no permission.
    Failed,
}
