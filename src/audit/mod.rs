//! The audit trail: who asked, how much, what matched, who changed what, and who read the trail.
//!
//! It is a [`Journal`] of its own, so whatever is edited, cut, moved or written anew in it is noticed by
//! [`crate::journal::verify`]; cutting its end, or writing all of it anew, by holding it against a [`Checkpoint`] that
//! was kept elsewhere. Checkpoints are signed, so that they need no safe place, only another one.
//!
//! Hashes that no list knows are not kept, and neither are tokens.

mod checkpoint;
mod event;
mod permit;
mod read;
#[cfg(test)]
mod tests;

pub use checkpoint::{BadCheckpoint, Checkpoint, SigningKey};
pub use event::{Event, Recorded, Tally, told_in_parts};
pub use permit::Permit;
pub use read::{RECORDS_MAX, Record, TrailCommand, TrailOutcome};

use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError, JournalOptions, WhenUnwritable};

/// The trail's folder in the data folder.
pub const FOLDER: &str = "audit";

/// The journal's name.
pub const NAME: &str = "audit";

/// `[audit]` of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Whether questions are recorded; changes of lists always are.
    pub questions: bool,
    /// What becomes of questions while the trail cannot be written. Changes are refused then in any case.
    pub when_unwritable: WhenUnwritable,
    /// A new file is begun when one has this many bytes.
    pub file_bytes: u64,
}

impl Default for AuditConfig {
    fn default() -> AuditConfig {
        AuditConfig { questions: true, when_unwritable: WhenUnwritable::Refuse, file_bytes: 64 << 20 }
    }
}

/// The trail, open for writing.
pub struct Trail {
    journal: Journal,
    /// What signs checkpoints, once there was one to sign.
    key: Mutex<Option<SigningKey>>,
}

impl Trail {
    /// Opens the trail of a data folder, or begins it. What a crash cut short is said in the trail itself.
    ///
    /// # Errors
    /// [`JournalError`]; a trail that was changed is not gone on with.
    pub fn open(data: &Path, config: &AuditConfig) -> Result<Trail, JournalError> {
        let options = JournalOptions { file_bytes: config.file_bytes, files_kept: None };
        let journal = Journal::open(&data.join(FOLDER), NAME, options)?;
        let trail = Trail { journal, key: Mutex::default() };
        let bytes = trail.journal.recovered_bytes();
        if bytes > 0
            && let Err(error) = trail.note(&Event::Recovered { bytes })
        {
            if config.when_unwritable == WhenUnwritable::Refuse {
                return Err(error);
            }
            tracing::error!(%error, "the audit trail does not say what a crash had cut short");
        }
        Ok(trail)
    }

    /// Records what happened. From then on it survives the end of the process. Returns the record's number.
    ///
    /// # Errors
    /// [`JournalError`]; nothing was recorded.
    pub fn note(&self, event: &Event<'_>) -> Result<u64, JournalError> {
        self.note_all(std::slice::from_ref(event))
    }

    /// Records several things, all of them or none. Returns the number of the last record.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn note_all(&self, events: &[Event<'_>]) -> Result<u64, JournalError> {
        self.tell_missing()?;
        self.journal.append_all(events)
    }

    fn tell_missing(&self) -> Result<(), JournalError> {
        self.journal.tell_missing(|questions| Event::Missing { questions }).map(drop)
    }

    /// Records a question, all of it or nothing.
    ///
    /// # Errors
    /// [`JournalError`]; then the question must not be answered.
    pub fn note_question(&self, when_unwritable: WhenUnwritable, events: &[Event<'_>]) -> Result<(), JournalError> {
        self.journal.or_missing(self.note_all(events), when_unwritable).map(drop)
    }

    /// Says what is missing in it, and makes it survive a loss of power: what stands there, also where that cannot be said.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn keep(&self) -> Result<(), JournalError> {
        let told = self.tell_missing();
        self.journal.sync().and(told)
    }

    /// The journal behind it.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}
