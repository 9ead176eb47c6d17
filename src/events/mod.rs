//! Match events: each file of which something is known, one by one and in order, for whoever reports or acts on it.
//!
//! An event is recorded before the answer that tells of it goes out, so that no match is told and then forgotten. Events
//! are numbered from 1 without gaps, and whoever reads them goes on after the last number they have dealt with: so each is
//! delivered at least once, whichever side stops and starts again. None is delivered that a loss of power would still
//! take, and one that is no longer kept is never passed over in silence: see [`ReadError::Gone`](crate::journal::ReadError).
//! Nor is one that could not be recorded: see [`MissingMatches`].
//!
//! They stand in a [`Journal`] of their own, a record a question, and are made one a file when they are read. Hashes that
//! no list knows are not in it.

mod matched;
mod read;
mod record;
#[cfg(test)]
mod tests;

pub use matched::{ListSaid, Matched, NearCode};
pub use read::{EVENTS_MAX, EventReader, EventsCommand, EventsOutcome, Page};
pub use record::{Asked, EventLine, MatchEvent, MissingMatches};

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::journal::{Journal, JournalError, JournalOptions, JournalReader, JournalStatus, WhenUnwritable};
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
        Ok(Events { journal, last: Mutex::new(last) })
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
        let mut last = self.lock();
        let recorded = self.tell_missing(&mut last).and_then(|()| self.record(&mut last, asked, parts));
        self.journal.or_missing(recorded, when_unwritable)
    }

    fn record(&self, last: &mut u64, asked: &Asked<'_>, parts: Vec<Vec<Matched<'_>>>) -> Result<u64, JournalError> {
        let mut first = *last + 1;
        let records: Vec<Record<'_>> = parts
            .into_iter()
            .map(|part| {
                let record = Record::new(first, asked, part);
                first = record.last() + 1;
                record
            })
            .collect();
        self.journal.append_all(&records)?;
        *last = first - 1;
        Ok(*last)
    }

    /// That events are missing has a number as events have, so that whoever reads them cannot miss it.
    fn tell_missing(&self, last: &mut u64) -> Result<(), JournalError> {
        let first = *last + 1;
        if self.journal.tell_missing(|missing| Record::missing(first, missing))? {
            *last = first;
        }
        Ok(())
    }

    /// Says among them what is missing, and makes them survive a loss of power: those there are, also where that cannot be
    /// said.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn keep(&self) -> Result<(), JournalError> {
        let told = self.tell_missing(&mut self.lock());
        self.journal.sync().and(told)
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal behind them.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The number of the last event; 0 if there is none.
    pub fn last(&self) -> u64 {
        *self.lock()
    }

    /// How they are.
    pub fn status(&self) -> EventsStatus {
        EventsStatus { events: self.last(), journal: self.journal.status() }
    }
}

/// How the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsStatus {
    /// The number of the last event; so many there were.
    pub events: u64,
    /// How their journal is; a record holds the events of a question.
    #[serde(flatten)]
    pub journal: JournalStatus,
}
