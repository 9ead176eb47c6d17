//! The rows of the guarded tables as values, and how they are written and read.

use std::collections::BTreeMap;

use rusqlite::types::{Type, Value, ValueRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, Kind, Radii, Radius};
use crate::list::{Entry, ListId, ListName, ListShape, ListState, Roles, Suppression, VersionNumber};

/// A row of a guarded table; values in the order of the table's columns.
pub(super) trait Row: Sized {
    fn values(&self) -> Vec<Value>;
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self>;
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListRow {
    pub(crate) id: ListId,
    pub(crate) name: ListName,
    pub(crate) shape: ListShape,
    pub(crate) state: ListState,
    /// Of a feed list. The roles of a file list are those of its version.
    pub(crate) roles: Roles,
    /// The number that the list's next version gets.
    pub(crate) next_version: VersionNumber,
    /// The version that answers, as the manifest said when last seen; [`VersionNumber::LIVE`] for none.
    pub(crate) current: VersionNumber,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) created_at: u64,
}

/// Whether a version was ever published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VersionState {
    /// Its files are in place, and the manifest does not name it yet.
    Staged,
    /// The manifest has named it.
    Published,
    /// Its files are in place, and it waits for an operator.
    Held,
}

/// A segment file with what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentFile {
    /// Its name in `segments/`.
    pub(crate) file: String,
    /// Distinct digests in it.
    pub(crate) digests: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// The last batch whose withdrawals were taken into account while it was written.
    pub(crate) applied_seq: u64,
    /// BLAKE3 of its header, which holds those of its sections, in hex.
    pub(crate) blake3: String,
}

/// A records file with what it must be. Versions that were made by adding share those of their bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordsFile {
    /// Its name in `segments/`.
    pub(crate) file: String,
    /// Records in it.
    pub(crate) records: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// BLAKE3 of its header, which covers everything else, in hex.
    pub(crate) blake3: String,
}

/// One version of a file list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VersionRow {
    pub(crate) list: ListId,
    pub(crate) number: VersionNumber,
    pub(crate) state: VersionState,
    pub(crate) roles: Roles,
    /// What it was made from, oldest first.
    pub(crate) sources: Vec<String>,
    /// What the tool counted, as JSON; only the store reads it.
    pub(crate) counts: String,
    /// Its own files, kept as long as the version is.
    pub(crate) segments: BTreeMap<Kind, SegmentFile>,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) created_at: u64,
}

impl VersionRow {
    /// How many distinct fingerprints it holds, by kind.
    pub(crate) fn fingerprints(&self) -> BTreeMap<Kind, u64> {
        self.segments.iter().map(|(kind, file)| (*kind, file.digests)).collect()
    }
}

/// Why a version waits for an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HoldRow {
    pub(crate) list: ListId,
    pub(crate) version: VersionNumber,
    /// Since when, in seconds since 1970-01-01 UTC.
    pub(crate) at: u64,
    /// What the gate found, as JSON; only the store reads it.
    pub(crate) report: String,
}

/// An alarm that nobody has acknowledged yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlarmRow {
    /// The batch that raised it.
    pub(crate) seq: u64,
    pub(crate) list: Option<ListId>,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) at: u64,
    /// What happened, as JSON; only the store reads it.
    pub(crate) alarm: String,
}

/// One entry of a feed list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntryRow {
    pub(crate) list: ListId,
    /// The batch that last added or replaced it.
    pub(crate) seq: u64,
    pub(crate) entry: Entry,
}

/// One entry as the catalogue has it, with its text, which an earlier hashward may have written differently.
pub(crate) struct StoredEntry {
    pub(crate) row: EntryRow,
    pub(super) text: String,
}

/// From `seq` on the list does not say what older segments hold of the fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WithdrawalRow {
    pub(crate) list: ListId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) seq: u64,
}

/// How far a feed has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FeedRow {
    pub(crate) list: ListId,
    /// Where the next window begins, in the source's own words.
    pub(crate) checkpoint: Option<String>,
    /// The batch that closed the last window; 0 before the first.
    pub(crate) closed_seq: u64,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) synced_at: Option<u64>,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) attempted_at: Option<u64>,
    pub(crate) fault: Option<String>,
}

impl FeedRow {
    /// Of a feed that was never read.
    pub(crate) fn unread(list: ListId) -> FeedRow {
        FeedRow { list, checkpoint: None, closed_seq: 0, synced_at: None, attempted_at: None, fault: None }
    }
}

/// An item of a feed that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FaultRow {
    pub(crate) list: ListId,
    pub(crate) item: String,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) at: u64,
    pub(crate) tries: u64,
    pub(crate) fault: String,
}

/// An entry that is gone, as long as an older state of it may still come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TombstoneRow {
    pub(crate) list: ListId,
    pub(crate) source_id: String,
    /// By the source's clock, as [`Entry::changed_at`].
    pub(crate) changed_at: i64,
    /// The batch that last wrote it.
    pub(crate) seq: u64,
}

impl Row for ListRow {
    fn values(&self) -> Vec<Value> {
        vec![
            i64::from(self.id.0).into(),
            self.name.as_str().to_owned().into(),
            word(&self.shape),
            word(&self.state),
            json(&self.roles),
            i64::from(self.next_version.0).into(),
            i64::from(self.current.0).into(),
            (self.created_at as i64).into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ListRow> {
        Ok(ListRow {
            id: ListId(row.get(0)?),
            name: read_word(row, 1)?,
            shape: read_word(row, 2)?,
            state: read_word(row, 3)?,
            roles: read_json(row, 4)?,
            next_version: VersionNumber(row.get(5)?),
            current: VersionNumber(row.get(6)?),
            created_at: read_u64(row, 7)?,
        })
    }
}

impl Row for VersionRow {
    fn values(&self) -> Vec<Value> {
        vec![
            i64::from(self.list.0).into(),
            i64::from(self.number.0).into(),
            word(&self.state),
            json(&self.roles),
            json(&self.sources),
            self.counts.clone().into(),
            json(&self.segments),
            (self.created_at as i64).into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<VersionRow> {
        Ok(VersionRow {
            list: ListId(row.get(0)?),
            number: VersionNumber(row.get(1)?),
            state: read_word(row, 2)?,
            roles: read_json(row, 3)?,
            sources: read_json(row, 4)?,
            counts: row.get(5)?,
            segments: read_json(row, 6)?,
            created_at: read_u64(row, 7)?,
        })
    }
}

impl Row for HoldRow {
    fn values(&self) -> Vec<Value> {
        vec![
            i64::from(self.list.0).into(),
            i64::from(self.version.0).into(),
            (self.at as i64).into(),
            self.report.clone().into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<HoldRow> {
        Ok(HoldRow {
            list: ListId(row.get(0)?),
            version: VersionNumber(row.get(1)?),
            at: read_u64(row, 2)?,
            report: row.get(3)?,
        })
    }
}

impl Row for AlarmRow {
    fn values(&self) -> Vec<Value> {
        vec![
            (self.seq as i64).into(),
            self.list.map_or(Value::Null, |list| i64::from(list.0).into()),
            (self.at as i64).into(),
            self.alarm.clone().into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<AlarmRow> {
        Ok(AlarmRow {
            seq: read_u64(row, 0)?,
            list: row.get::<_, Option<u32>>(1)?.map(ListId),
            at: read_u64(row, 2)?,
            alarm: row.get(3)?,
        })
    }
}

impl EntryRow {
    /// What stands in the column `entry`.
    pub(super) fn text(&self) -> String {
        json_text(&self.entry)
    }

    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<EntryRow> {
        Ok(EntryRow { list: ListId(row.get(0)?), seq: read_u64(row, 2)?, entry: read_json(row, 3)? })
    }
}

impl StoredEntry {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEntry> {
        Ok(StoredEntry { row: EntryRow::read(row)?, text: row.get(3)? })
    }
}

impl WithdrawalRow {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<WithdrawalRow> {
        Ok(WithdrawalRow {
            list: ListId(row.get(0)?),
            fingerprint: read_fingerprint(row, 1, 2)?,
            seq: read_u64(row, 3)?,
        })
    }
}

impl Row for FeedRow {
    fn values(&self) -> Vec<Value> {
        let number = |number: Option<u64>| number.map_or(Value::Null, |number| (number as i64).into());
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        vec![
            i64::from(self.list.0).into(),
            text(&self.checkpoint),
            (self.closed_seq as i64).into(),
            number(self.synced_at),
            number(self.attempted_at),
            text(&self.fault),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<FeedRow> {
        Ok(FeedRow {
            list: ListId(row.get(0)?),
            checkpoint: row.get(1)?,
            closed_seq: read_u64(row, 2)?,
            synced_at: row.get::<_, Option<i64>>(3)?.map(|_| read_u64(row, 3)).transpose()?,
            attempted_at: row.get::<_, Option<i64>>(4)?.map(|_| read_u64(row, 4)).transpose()?,
            fault: row.get(5)?,
        })
    }
}

impl Row for FaultRow {
    fn values(&self) -> Vec<Value> {
        vec![
            i64::from(self.list.0).into(),
            self.item.clone().into(),
            (self.at as i64).into(),
            (self.tries as i64).into(),
            self.fault.clone().into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<FaultRow> {
        Ok(FaultRow {
            list: ListId(row.get(0)?),
            item: row.get(1)?,
            at: read_u64(row, 2)?,
            tries: read_u64(row, 3)?,
            fault: row.get(4)?,
        })
    }
}

impl Row for TombstoneRow {
    fn values(&self) -> Vec<Value> {
        vec![
            i64::from(self.list.0).into(),
            self.source_id.clone().into(),
            self.changed_at.into(),
            (self.seq as i64).into(),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<TombstoneRow> {
        Ok(TombstoneRow {
            list: ListId(row.get(0)?),
            source_id: row.get(1)?,
            changed_at: row.get(2)?,
            seq: read_u64(row, 3)?,
        })
    }
}

impl Row for Suppression {
    fn values(&self) -> Vec<Value> {
        vec![
            (self.id as i64).into(),
            i64::from(self.fingerprint.kind().code()).into(),
            self.fingerprint.value().to_vec().into(),
            word(&self.scope),
            self.author.clone().into(),
            self.reason.clone().into(),
            (self.at as i64).into(),
            self.lifted.as_ref().map_or(Value::Null, json),
        ]
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Suppression> {
        Ok(Suppression {
            id: read_u64(row, 0)?,
            fingerprint: read_fingerprint(row, 1, 2)?,
            scope: read_word(row, 3)?,
            author: row.get(4)?,
            reason: row.get(5)?,
            at: read_u64(row, 6)?,
            lifted: match row.get_ref(7)? {
                ValueRef::Null => None,
                _ => Some(read_json(row, 7)?),
            },
        })
    }
}

impl RecordsFile {
    /// The row's last columns, after list, version and ordinal.
    pub(super) fn values(&self) -> [Value; 4] {
        let numbers = [self.records, self.bytes].map(|number| Value::from(number as i64));
        let [records, bytes] = numbers;
        [self.file.clone().into(), records, bytes, self.blake3.clone().into()]
    }

    /// Reads `file, records, bytes, blake3`.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<RecordsFile> {
        Ok(RecordsFile { file: row.get(0)?, records: read_u64(row, 1)?, bytes: read_u64(row, 2)?, blake3: row.get(3)? })
    }
}

/// A number that SQLite holds as a signed one.
pub(super) fn read_u64(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A kind's code.
pub(super) fn read_kind(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Kind> {
    let code: u8 = row.get(column)?;
    Kind::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code.into()))
}

/// A kind's code and a value beside each other.
pub(super) fn read_fingerprint(row: &rusqlite::Row<'_>, kind: usize, value: usize) -> rusqlite::Result<Fingerprint> {
    let bytes = row.get_ref(value)?.as_blob()?;
    Fingerprint::new(read_kind(row, kind)?, bytes).map_err(|error| conversion(value, error))
}

/// A kind's code and a radius, as the first columns, into `radii`.
pub(super) fn read_radius(row: &rusqlite::Row<'_>, radii: &mut Radii) -> rusqlite::Result<()> {
    radii.set(read_kind(row, 0)?, Radius(row.get(1)?)).map_err(|error| conversion(1, error))
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn json(value: &impl Serialize) -> Value {
    Value::Text(json_text(value))
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are plain data with text keys")
}

fn read_json<T: DeserializeOwned>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| conversion(column, error))
}

/// A word of a fixed vocabulary, as serde names it, without the quotes.
fn word(value: &impl Serialize) -> Value {
    match json(value) {
        Value::Text(quoted) => Value::Text(quoted.trim_matches('"').to_owned()),
        other => other,
    }
}

fn read_word<T: DeserializeOwned>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| conversion(column, error))
}
