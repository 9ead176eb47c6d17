//! The trail read again: a part of it at a time, which the trail itself then says.

use std::io;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{Checkpoint, Event, NAME, SigningKey, Trail};
use crate::access::PrincipalName;
use crate::journal::{JournalReader, Link, ReadError};

/// Records that are given at once.
pub const RECORDS_MAX: u32 = 10_000;

/// Bytes of records from which on no more are given at once.
const RECORDS_BYTES_MAX: usize = 8 << 20;

/// What may be asked of a trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum TrailCommand {
    /// Some records. Answer: [`TrailOutcome::AuditRecords`].
    AuditRead {
        /// The record before the first that is wanted; 0 for the first that is here.
        after: u64,
        /// How many are wanted, at most [`RECORDS_MAX`].
        limit: u32,
    },
    /// The last record, signed. Answer: [`TrailOutcome::AuditCheckpoint`].
    AuditCheckpoint,
}

impl TrailCommand {
    /// Whether a command of this name is one to a trail.
    pub fn is_named(name: &str) -> bool {
        matches!(name, "audit_read" | "audit_checkpoint")
    }
}

/// What a trail answers.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TrailOutcome {
    /// Some records, in order.
    AuditRecords {
        /// The records.
        records: Vec<Record>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// The last record, signed.
    AuditCheckpoint(Checkpoint),
}

/// One record of the trail.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = AuditRecord))]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// When it was written, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// What happened.
    pub record: serde_json::Value,
    /// Its link.
    pub link: Link,
}

impl Trail {
    /// Gives some records, and whether there are more behind them, to `by`, who is at `from`. That they were read is in
    /// the trail before they are given.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &self,
        by: &PrincipalName,
        from: String,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Record>, bool), ReadError> {
        let last = self.journal().last_seq();
        if after > last {
            return Err(ReadError::Ahead { after, last });
        }
        let mut reader = JournalReader::open(self.journal().folder(), NAME, after)?;
        let before = reader.head().seq;
        if after > 0 && before > after {
            return Err(ReadError::Gone { after, first: before + 1 });
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < limit.min(RECORDS_MAX) as usize && bytes < RECORDS_BYTES_MAX {
            let Some(line) = reader.next_of(self.journal())? else { break };
            bytes += line.record.len();
            let record = serde_json::from_str(&line.record).expect("a line that was checked holds JSON");
            records.push(Record { seq: line.seq, at: line.at_ms, record, link: line.link });
        }
        let more = reader.head().seq < self.journal().last_seq();
        self.note(&Event::Read { by, from, after, records: records.len() as u64 })?;
        Ok((records, more))
    }

    /// The last record at `at_ms`, signed. It survives a loss of power by then, so that the journal never contradicts
    /// what was signed.
    ///
    /// # Errors
    /// There is no key, and none can be made; or the journal cannot be made durable.
    pub fn checkpoint(&self, at_ms: u64) -> io::Result<Checkpoint> {
        // One at a time, so that two do not both make a key.
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match &mut *key {
            Some(key) => key,
            none => none.insert(SigningKey::load_or_create(self.journal().folder())?),
        };
        let head = self.journal().head();
        self.journal().sync().map_err(io::Error::other)?;
        Ok(key.sign(head, at_ms))
    }
}
