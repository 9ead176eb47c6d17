//! Match events given to whoever may read them, a page at a time, and waited for. That they were read is in the audit trail
//! before they are given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Shared;
use super::asker::{Asker, EVENTS, TRAIL, Work, unread, unwritten};
use super::content::NoAnswer;
use super::limits::{Limits, Taken};
use super::metrics::{Operation, Told};
use crate::access::{Principal, Right};
use crate::audit::Event;
use crate::events::{EventReader, EventsCommand, EventsOutcome, Page};
use crate::protocol::{ErrorCode, Failure};

/// How long a command waits for events that do not come; shorter than any time to drain.
const COMMAND_WAIT: Duration = Duration::from_secs(2);

/// Reads match events for somebody, and goes on where it was.
pub(super) struct Delivery {
    asker: Asker,
    after: Option<u64>,
    /// `None` before the first page.
    reader: Option<EventReader>,
    heard: watch::Receiver<u64>,
    _taken: Taken,
}

impl Delivery {
    /// Begins after event `after`, for whoever has the right.
    pub(super) fn new(mut asker: Asker, limits: &Limits, after: Option<u64>) -> Result<Delivery, NoAnswer> {
        let (heard, taken) = asker.begin_events(limits)?;
        Ok(Delivery { asker, after, reader: None, heard, _taken: taken })
    }

    /// The next events, at most `limit`; none if there are none yet.
    pub(super) async fn next_page(&mut self, limit: u32) -> Result<Page, Failure> {
        self.heard.mark_unchanged();
        let began = Instant::now();
        let (reader, after) = (self.reader.take(), self.after);
        let is_first = reader.is_none();
        // A reload may have taken the right away.
        let reading = self.asker.events_reading()?;
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => reading.open(after)?,
            };
            let page = reading.page(&mut reader, limit)?;
            Ok((reader, page))
        });
        let gone = |error| Failure::new(ErrorCode::Internal, format!("the reading was given up: {error}"));
        let (reader, page) = read.await.map_err(gone)??;
        self.reader = Some(reader);
        if is_first {
            self.asker.read_events_since(began);
        }
        Ok(page)
    }

    /// Counts what was told instead of a page, in a stream that had begun.
    pub(super) fn told(&self, failure: &Failure) {
        self.asker.told(Told::Failure(failure.code));
    }

    /// Waits for events beyond the last page.
    pub(super) async fn more(&mut self) {
        // The service outlives every connection.
        let _ = self.heard.changed().await;
    }
}

/// Who reads, and what of it.
struct Reading {
    shared: Arc<Shared>,
    principal: Arc<Principal>,
    from: String,
    detail: bool,
}

impl Reading {
    fn open(&self, after: Option<u64>) -> Result<EventReader, Failure> {
        let events = self.shared.service.events().expect("nobody reads before the store is open");
        EventReader::open(events, after).map_err(|error| unread(EVENTS, &error))
    }

    fn page(&self, reader: &mut EventReader, limit: u32) -> Result<Page, Failure> {
        let page = reader.next_page(limit, self.detail).map_err(|error| unread(EVENTS, &error))?;
        if !page.events.is_empty() {
            let trail = self.shared.service.trail().expect("nobody reads before the store is open");
            let (by, from) = (&self.principal.name, self.from.clone());
            let read = Event::EventsRead { by, from, after: page.before, events: page.events.len() as u64 };
            trail.note(&read).map_err(|error| unwritten(TRAIL, &error))?;
        }
        Ok(page)
    }
}

impl Asker {
    /// Room for one reader more, who hears of each event that comes.
    fn begin_events(&mut self, limits: &Limits) -> Result<(watch::Receiver<u64>, Taken), NoAnswer> {
        self.need(Right::Audit)?;
        let service = &self.shared.service;
        service.events().ok_or(NoAnswer::Busy("the store is still loading"))?;
        let taken = self.shared.event_readers.take(1, limits.event_readers);
        let taken = taken.ok_or(NoAnswer::Busy("too many readers of match events"))?;
        Ok((service.hear_events(), taken))
    }

    fn events_reading(&mut self) -> Result<Reading, Failure> {
        self.need(Right::Audit)?;
        let detail = self.rights().has(Right::Detail);
        let (principal, from) = (Arc::clone(self.principal()?), self.from());
        Ok(Reading { shared: Arc::clone(&self.shared), principal, from, detail })
    }

    /// The first events of a stream were read.
    fn read_events_since(&self, began: Instant) {
        self.shared.metrics.done(self.protocol(), Operation::Command, began.elapsed());
    }

    /// What carries out a command to the match events.
    pub(super) fn events_command(&mut self, limits: &Limits, command: EventsCommand) -> Result<Work, NoAnswer> {
        let EventsCommand::EventsRead { after, limit, wait } = command;
        let (mut heard, taken) = self.begin_events(limits)?;
        let (reading, runtime) = (self.events_reading()?, Handle::current());
        let (protocol, mut began) = (self.protocol(), Instant::now());
        Ok(Box::new(move || {
            let _taken = taken;
            let mut reader = reading.open(after)?;
            let mut page = reading.page(&mut reader, limit)?;
            if page.events.is_empty() && wait && limit > 0 {
                // Whether something came, or the time is over: the answer is what there is then.
                let _ = runtime.block_on(async { tokio::time::timeout(COMMAND_WAIT, heard.changed()).await });
                began = Instant::now();
                page = reading.page(&mut reader, limit)?;
            }
            reading.shared.metrics.done(protocol, Operation::Command, began.elapsed());
            let Page { events, after, more, .. } = page;
            let outcome = EventsOutcome::Events { events, after, more };
            serde_json::to_vec(&outcome).map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
        }))
    }
}
