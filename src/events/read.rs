//! Events read again: in order, from any number on, a part at a time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::record::Record;
use super::{EventLine, Events, NAME};
use crate::journal::{JournalError, JournalReader, ReadError, first_records};

/// Events that are given at once.
pub const EVENTS_MAX: u32 = 10_000;

/// Bytes of events from which on no more are given at once.
const EVENTS_BYTES_MAX: usize = 1 << 20;

/// What may be asked of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum EventsCommand {
    /// Some events. Answer: [`EventsOutcome::Events`].
    EventsRead {
        /// The last event that was dealt with; without it, those are given that are kept.
        after: Option<u64>,
        /// How many are wanted, at most [`EVENTS_MAX`].
        limit: u32,
        /// Whether to wait for a moment if there is none yet.
        #[serde(default)]
        wait: bool,
    },
}

impl EventsCommand {
    /// Whether a command of this name is one to the events.
    pub fn is_named(name: &str) -> bool {
        name == "events_read"
    }
}

/// What the answer is. Who writes it has the events in JSON already.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EventsOutcome<E = EventLine<'static>> {
    /// Some events, in order.
    Events {
        /// The events.
        events: Vec<E>,
        /// The number after which to go on.
        after: u64,
        /// Whether there are more behind them.
        more: bool,
    },
}

/// Reads events in order.
pub struct EventReader {
    events: Arc<Events>,
    reader: JournalReader,
    /// The record whose events are being given, and when they happened.
    open: Option<(Record<'static>, u64)>,
    after: u64,
}

/// Some events.
pub struct Page {
    /// Each an [`EventLine`], in order.
    pub events: Vec<Box<RawValue>>,
    /// The number after which they come.
    pub before: u64,
    /// The number after which to go on.
    pub after: u64,
    /// Whether there are more behind them.
    pub more: bool,
}

impl EventReader {
    /// Reads what comes after event `after`; without it, from the oldest that is kept on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(events: &Arc<Events>, after: Option<u64>) -> Result<EventReader, ReadError> {
        let last = events.last();
        if let Some(after) = after.filter(|after| *after > last) {
            return Err(ReadError::Ahead { after, last });
        }
        let folder = events.journal().folder();
        let mut oldest = None;
        for start in first_records(folder)?.into_iter().rev() {
            let mut reader = JournalReader::open(folder, NAME, start - 1)?;
            // A file that was just begun holds nothing yet.
            let Some(line) = reader.next_of(events.journal())? else { continue };
            let record = Record::parse(&line, folder)?;
            let first = record.first();
            oldest = Some((first, reader, record, line.at_ms));
            if after.is_some_and(|after| first <= after + 1) {
                break;
            }
        }
        let Some((first, reader, record, at_ms)) = oldest else {
            let reader = JournalReader::open(folder, NAME, 0)?;
            return Ok(EventReader { events: Arc::clone(events), reader, open: None, after: 0 });
        };
        let after = after.unwrap_or(first - 1);
        if first > after + 1 {
            return Err(ReadError::Gone { after, first });
        }
        Ok(EventReader { events: Arc::clone(events), reader, open: Some((record, at_ms)), after })
    }

    /// The next events, at most `limit`; none if there are none yet. Codes of lists are in them where `detail` is true.
    /// What is given survives a loss of power: else its number could come again, for another event, which whoever has
    /// dealt with the first one would never ask for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_page(&mut self, limit: u32, detail: bool) -> Result<Page, ReadError> {
        let before = self.after;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < limit.min(EVENTS_MAX) as usize && bytes < EVENTS_BYTES_MAX {
            let next = self.after + 1;
            if let Some((record, at_ms)) = &self.open
                && record.last() >= next
            {
                let event = record.event(next, *at_ms, detail).ok_or_else(|| self.broken(next))?;
                let json = serde_json::value::to_raw_value(&event).expect("an event is plain data");
                bytes += json.get().len();
                events.push(json);
                self.after = next;
            } else {
                match self.next_record() {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What could still be read is given first; the next page tells.
                    Err(ReadError::Gone { .. }) if !events.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
        }
        if !events.is_empty() && self.events.journal().unsynced() > 0 {
            self.events.journal().sync()?;
        }
        let (after, more) = (self.after, self.after < self.events.last());
        Ok(Page { events, before, after, more })
    }

    /// Goes on to the next record. Returns whether there is one.
    fn next_record(&mut self) -> Result<bool, ReadError> {
        let journal = self.events.journal();
        let last_seq = journal.last_seq();
        let folder = journal.folder();
        let Some(line) = self.reader.next_of(journal)? else {
            if self.reader.head().seq >= last_seq {
                return Ok(false);
            }
            // It was there before it was looked for, so its file was put away while the one before was being read.
            return match self.first_after_gap()? {
                Some(first) => Err(ReadError::Gone { after: self.after, first }),
                None => Err(self.broken(self.after + 1).into()),
            };
        };
        let record = Record::parse(&line, folder)?;
        // Those before the one that is wanted are passed over.
        if record.first() > self.after + 1 {
            return Err(self.broken(self.after + 1).into());
        }
        self.open = Some((record, line.at_ms));
        Ok(true)
    }

    /// The oldest event that is kept, if files between the one that is being read and that one were put away.
    fn first_after_gap(&self) -> Result<Option<u64>, JournalError> {
        let (folder, next) = (self.events.journal().folder(), self.reader.head().seq + 1);
        let starts = first_records(folder)?;
        let Some(start) = starts.iter().find(|start| **start >= next).filter(|start| **start > next) else {
            return Ok(None);
        };
        let line = JournalReader::open(folder, NAME, start - 1)?.next_of(self.events.journal())?;
        line.map(|line| Ok(Record::parse(&line, folder)?.first())).transpose()
    }

    fn broken(&self, event: u64) -> JournalError {
        let found = format!("expected event {event}, found another");
        JournalError::Broken { path: self.events.journal().folder().to_owned(), seq: self.reader.head().seq, found }
    }
}
