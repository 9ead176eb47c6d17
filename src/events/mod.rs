//! Match events: each file of which something is known, one by one and in order, for whoever reports or acts on it.
//!
//! An event is recorded before the answer that tells of it goes out, so that no match is told and then forgotten. Events
//! are numbered from 1 without gaps, and whoever reads them goes on after the last number they have dealt with: so each is
//! delivered at least once, whichever side stops and starts again. None is delivered that a loss of power would still
//! take, and one that is no longer kept is never passed over in silence: see [`ReadError::Gone`].
//!
//! They stand in a [`Journal`] of their own, a record a question, and are made one a file when they are read. Hashes that
//! no list knows are not in it.

mod matched;
mod read;
mod record;
#[cfg(test)]
mod tests;

pub use matched::{ListSaid, Matched, NearCode};
pub use read::{EVENTS_MAX, EventReader, EventsCommand, EventsOutcome, Page, ReadError};
pub use record::{Asked, MatchEvent};

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::journal::{Journal, JournalError, JournalOptions, JournalReader, WhenUnwritable};
use record::Record;

/// The events' folder in the data folder.
pub const FOLDER: &str = "events";

/// The journal's name.
pub const NAME: &str = "events";

/// `[events]` of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Whether matches are recorded.
    pub enabled: bool,
    /// What becomes of questions with a match while events cannot be written.
    pub when_unwritable: WhenUnwritable,
    /// A new file is begun when one has this many bytes.
    pub file_bytes: u64,
    /// So many files are kept, and older ones removed; at least 2.
    pub files_kept: usize,
}

impl Default for EventsConfig {
    fn default() -> EventsConfig {
        let (file_bytes, files_kept) = (64 << 20, 64);
        EventsConfig { enabled: true, when_unwritable: WhenUnwritable::Refuse, file_bytes, files_kept }
    }
}

/// A number of files with which events would be lost while they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events.files_kept: expected at least {min}, found {0}", min = EventsConfig::FILES_KEPT_MIN)]
pub struct BadEvents(usize);

impl EventsConfig {
    /// The file that was just begun may hold nothing yet, and the one before then says how events are numbered.
    const FILES_KEPT_MIN: usize = 2;

    /// Checks that it can work.
    ///
    /// # Errors
    /// [`BadEvents`].
    pub fn check(&self) -> Result<(), BadEvents> {
        if self.files_kept < EventsConfig::FILES_KEPT_MIN { Err(BadEvents(self.files_kept)) } else { Ok(()) }
    }
}

/// The events, open for writing.
pub struct Events {
    journal: Journal,
    /// The number of the last event. Whoever holds it writes.
    last: Mutex<u64>,
    /// Questions that were answered and whose events could not be recorded.
    missing: AtomicU64,
}

impl Events {
    /// Opens the events of a data folder, or begins them.
    ///
    /// # Errors
    /// [`JournalError`]; events that were changed are not gone on with.
    pub fn open(data: &Path, config: &EventsConfig) -> Result<Events, JournalError> {
        let folder = data.join(FOLDER);
        let options = JournalOptions { file_bytes: config.file_bytes, files_kept: Some(config.files_kept) };
        let journal = Journal::open(&folder, NAME, options)?;
        let last = match journal.last_seq() {
            0 => 0,
            seq => match JournalReader::open(&folder, NAME, seq - 1)?.next_line()? {
                Some(line) => Record::parse(&line, &folder)?.last(),
                None => {
                    let found = "expected the record that numbers the events, found none".to_owned();
                    return Err(JournalError::Broken { path: folder, seq, found });
                }
            },
        };
        Ok(Events { journal, last: Mutex::new(last), missing: AtomicU64::new(0) })
    }

    /// Records what matched in a question. From then on it survives the end of the process. Returns the number of the
    /// last event; `None` if they could not be recorded, and the question is to be answered all the same.
    ///
    /// # Errors
    /// [`JournalError`]; then the question must not be answered.
    pub fn note(
        &self,
        when_unwritable: WhenUnwritable,
        asked: &Asked<'_>,
        matched: Vec<Matched<'_>>,
    ) -> Result<Option<u64>, JournalError> {
        let parts = Matched::in_parts(matched);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first = *last + 1;
        let records: Vec<Record<'_>> = parts
            .into_iter()
            .map(|part| {
                let record = Record::new(first, asked, part);
                first = record.last() + 1;
                record
            })
            .collect();
        match self.journal.append_all(&records) {
            Ok(_) => {
                *last = first - 1;
                Ok(Some(*last))
            }
            Err(error @ JournalError::Io { .. }) if when_unwritable == WhenUnwritable::Answer => {
                if self.missing.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(%error, "match events cannot be written; questions are answered all the same");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The journal behind them.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The number of the last event; 0 if there is none.
    pub fn last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How they are.
    pub fn status(&self) -> EventsStatus {
        EventsStatus {
            events: self.last(),
            unsynced_records: self.journal.unsynced(),
            synced_at: self.journal.synced_at_ms() / 1_000,
            missing: self.missing.load(Ordering::Relaxed),
            failed: self.journal.failed(),
        }
    }
}

/// How the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsStatus {
    /// The number of the last event; so many there were.
    pub events: u64,
    /// Records, each of the events of one question, that a loss of power would take.
    pub unsynced_records: u64,
    /// When they were last made to survive one, in seconds since 1970-01-01 UTC.
    pub synced_at: u64,
    /// Questions that were answered and whose events are missing.
    pub missing: u64,
    /// How often they could not be written or synced since the start.
    pub failed: u64,
}
