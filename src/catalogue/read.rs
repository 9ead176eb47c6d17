//! Questions to the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::CatalogueError;
use super::rows::{
    AlarmRow, EntryRow, FaultRow, FeedRow, HoldRow, ListRow, RecordsFile, Row, TombstoneRow, VersionRow, WithdrawalRow,
    read_fingerprint, read_kind, read_radius, read_u64,
};
use super::schema::NEXT_LIST;
use super::schema::{self, VERSION_RECORDS};
use crate::fingerprint::{Fingerprint, Kind, Radii};
use crate::list::{Category, Entry, ListId, ListName, VersionNumber};

/// Reads what stands in the catalogue, within a batch or between two.
pub(crate) struct Reader<'c> {
    connection: &'c Connection,
    file: &'c Path,
}

/// One line of the history.
pub(crate) struct BatchRow {
    pub(crate) seq: u64,
    pub(crate) at: u64,
    pub(crate) action: String,
}

impl BatchRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<BatchRow> {
        Ok(BatchRow { seq: read_u64(row, 0)?, at: read_u64(row, 1)?, action: row.get(2)? })
    }
}

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection, file: &'c Path) -> Reader<'c> {
        Reader { connection, file }
    }

    fn fault(&self, source: rusqlite::Error) -> CatalogueError {
        CatalogueError::Sqlite { file: self.file.to_owned(), source }
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, CatalogueError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error))?;
        let rows = statement.query_map(params, read).and_then(Iterator::collect);
        rows.map_err(|error| self.fault(error))
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, CatalogueError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error))?;
        statement.query_row(params, read).optional().map_err(|error| self.fault(error))
    }

    /// All lists, those that only have a number reserved among them.
    pub(crate) fn lists(&self) -> Result<Vec<ListRow>, CatalogueError> {
        self.all("SELECT * FROM lists ORDER BY name", [], ListRow::read)
    }

    /// The number that the next list gets.
    pub(crate) fn next_list_id(&self) -> Result<ListId, CatalogueError> {
        let next = self.one("SELECT value FROM counters WHERE name = ?", [NEXT_LIST], |row| row.get(0))?;
        next.map(ListId).ok_or_else(|| CatalogueError::Damaged {
            file: self.file.to_owned(),
            found: "expected a counter of list numbers, found none".to_owned(),
        })
    }

    /// The list of this name.
    pub(crate) fn list(&self, name: &ListName) -> Result<Option<ListRow>, CatalogueError> {
        self.one("SELECT * FROM lists WHERE name = ?", [name.as_str()], ListRow::read)
    }

    /// The versions of all lists, ascending by list and number.
    pub(crate) fn versions(&self) -> Result<Vec<VersionRow>, CatalogueError> {
        self.all("SELECT * FROM versions ORDER BY list, number", [], VersionRow::read)
    }

    /// The versions of a list, ascending.
    pub(crate) fn versions_of(&self, list: ListId) -> Result<Vec<VersionRow>, CatalogueError> {
        self.all("SELECT * FROM versions WHERE list = ? ORDER BY number", [list.0], VersionRow::read)
    }

    /// One version.
    pub(crate) fn version(&self, list: ListId, number: VersionNumber) -> Result<Option<VersionRow>, CatalogueError> {
        let sql = "SELECT * FROM versions WHERE list = ? AND number = ?";
        self.one(sql, [list.0, number.0], VersionRow::read)
    }

    /// The records files of all versions, each once.
    pub(crate) fn records_files(&self) -> Result<Vec<RecordsFile>, CatalogueError> {
        let version = schema::version(self.connection).map_err(|error| self.fault(error))?;
        if version < VERSION_RECORDS.since {
            // A catalogue that is only read is not brought to the newest version.
            return Ok(Vec::new());
        }
        let sql = "SELECT DISTINCT file, records, bytes, blake3 FROM version_records ORDER BY file";
        self.all(sql, [], RecordsFile::read)
    }

    /// The records files of one version, in the order of its sources.
    pub(crate) fn records_files_of(
        &self,
        list: ListId,
        version: VersionNumber,
    ) -> Result<Vec<RecordsFile>, CatalogueError> {
        let sql = "SELECT file, records, bytes, blake3 FROM version_records
                   WHERE list = ? AND version = ? ORDER BY ordinal";
        self.all(sql, [list.0, version.0], RecordsFile::read)
    }

    /// Why a version of the list waits for an operator; the newest, where several do.
    pub(crate) fn hold(&self, list: ListId) -> Result<Option<HoldRow>, CatalogueError> {
        let sql = "SELECT * FROM holds WHERE list = ? ORDER BY version DESC LIMIT 1";
        self.one(sql, [list.0], HoldRow::read)
    }

    /// All alarms, oldest first.
    pub(crate) fn alarms(&self) -> Result<Vec<AlarmRow>, CatalogueError> {
        self.all("SELECT * FROM alarms ORDER BY seq", [], AlarmRow::read)
    }

    /// The radii of a list that are not its kinds' own.
    pub(crate) fn radii(&self, list: ListId) -> Result<Radii, CatalogueError> {
        self.radii_of("SELECT kind, radius FROM radii WHERE list = ?", [list.0])
    }

    /// Those that the list has as soon as this version of it is published.
    pub(crate) fn staged_radii(&self, list: ListId, version: VersionNumber) -> Result<Radii, CatalogueError> {
        self.radii_of("SELECT kind, radius FROM staged_radii WHERE list = ? AND version = ?", [list.0, version.0])
    }

    fn radii_of(&self, sql: &str, params: impl Params) -> Result<Radii, CatalogueError> {
        let mut radii = Radii::none();
        self.all(sql, params, |row| read_radius(row, &mut radii))?;
        Ok(radii)
    }

    /// The entries of a feed list that hold this fingerprint.
    pub(crate) fn entries_with(
        &self,
        list: ListId,
        fingerprint: &Fingerprint,
    ) -> Result<Vec<EntryRow>, CatalogueError> {
        // CROSS JOIN: from the few rows of the fingerprint to their entries, not through all entries of the list.
        let sql = "SELECT e.* FROM entry_fingerprints f CROSS JOIN feed_entries e USING (list, source_id)
                   WHERE f.kind = ? AND f.value = ? AND f.list = ? ORDER BY source_id";
        self.all(sql, params![fingerprint.kind().code(), fingerprint.value(), list.0], EntryRow::read)
    }

    /// The source ids of the entries of a feed list that hold this fingerprint.
    pub(crate) fn holders(&self, list: ListId, fingerprint: &Fingerprint) -> Result<Vec<String>, CatalogueError> {
        let sql = "SELECT source_id FROM entry_fingerprints WHERE kind = ? AND value = ? AND list = ?";
        self.all(sql, params![fingerprint.kind().code(), fingerprint.value(), list.0], |row| row.get(0))
    }

    /// The entries of all feed lists that hold this fingerprint.
    pub(crate) fn entries_holding(&self, fingerprint: &Fingerprint) -> Result<Vec<EntryRow>, CatalogueError> {
        let sql = "SELECT e.* FROM entry_fingerprints f CROSS JOIN feed_entries e USING (list, source_id)
                   WHERE f.kind = ? AND f.value = ? ORDER BY list, source_id";
        self.all(sql, params![fingerprint.kind().code(), fingerprint.value()], EntryRow::read)
    }

    /// Whether an entry of the list holds this fingerprint.
    pub(crate) fn holds(&self, list: ListId, fingerprint: &Fingerprint) -> Result<bool, CatalogueError> {
        let sql = "SELECT 1 FROM entry_fingerprints WHERE kind = ? AND value = ? AND list = ? LIMIT 1";
        let params = params![fingerprint.kind().code(), fingerprint.value(), list.0];
        Ok(self.one(sql, params, |_| Ok(()))?.is_some())
    }

    /// The (list, fingerprint) pairs of feed lists that any batch after `seq` changed, each once.
    pub(crate) fn pairs_after(&self, seq: u64) -> Result<BTreeSet<(ListId, Fingerprint)>, CatalogueError> {
        let entries = self.all("SELECT * FROM feed_entries WHERE seq > ?", [seq as i64], EntryRow::read)?;
        let stated = entries
            .into_iter()
            .flat_map(|row| row.entry.fingerprints.into_iter().map(move |fingerprint| (row.list, fingerprint)));
        let sql = "SELECT w.list, w.kind, w.value FROM withdrawals w JOIN lists l ON l.id = w.list
                   WHERE w.seq > ? AND l.shape = 'feed'";
        let withdrawn = self.all(sql, [seq as i64], |row| Ok((ListId(row.get(0)?), read_fingerprint(row, 1, 2)?)))?;
        Ok(stated.chain(withdrawn).collect())
    }

    /// The withdrawals of a kind by batches after `seq`.
    pub(crate) fn withdrawals_after(
        &self,
        list: ListId,
        kind: Kind,
        seq: u64,
    ) -> Result<Vec<WithdrawalRow>, CatalogueError> {
        // Not through all withdrawals of the kind: of a feed there may be millions, and few of them are later.
        let sql = "SELECT * FROM withdrawals INDEXED BY withdrawals_by_seq WHERE list = ? AND seq > ? AND kind = ?";
        self.all(sql, params![list.0, seq as i64, kind.code()], WithdrawalRow::read)
    }

    /// The last batch that withdrew this fingerprint from the list.
    pub(crate) fn withdrawn_at(&self, list: ListId, fingerprint: &Fingerprint) -> Result<Option<u64>, CatalogueError> {
        let sql = "SELECT seq FROM withdrawals WHERE list = ? AND kind = ? AND value = ?";
        let params = params![list.0, fingerprint.kind().code(), fingerprint.value()];
        self.one(sql, params, |row| read_u64(row, 0))
    }

    /// The withdrawals from a list by batches up to `seq`, at most so many.
    pub(crate) fn withdrawals_up_to(
        &self,
        list: ListId,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<WithdrawalRow>, CatalogueError> {
        let sql = "SELECT * FROM withdrawals WHERE list = ? AND seq <= ? LIMIT ?";
        self.all(sql, params![list.0, seq as i64, limit as i64], WithdrawalRow::read)
    }

    /// Source ids of a feed list, ascending, from the first one after `after`.
    pub(crate) fn source_ids(&self, list: ListId, after: &str, limit: usize) -> Result<Vec<String>, CatalogueError> {
        let sql = "SELECT source_id FROM feed_entries WHERE list = ? AND source_id > ? ORDER BY source_id LIMIT ?";
        self.all(sql, params![list.0, after, limit as i64], |row| row.get(0))
    }

    /// How far a feed has been read.
    pub(crate) fn feed(&self, list: ListId) -> Result<Option<FeedRow>, CatalogueError> {
        self.one("SELECT * FROM feeds WHERE list = ?", [list.0], FeedRow::read)
    }

    /// The items of a feed that cannot be read, ascending.
    pub(crate) fn faults(&self, list: ListId) -> Result<Vec<FaultRow>, CatalogueError> {
        self.all("SELECT * FROM feed_faults WHERE list = ? ORDER BY item", [list.0], FaultRow::read)
    }

    /// One of them.
    pub(crate) fn fault_of(&self, list: ListId, item: &str) -> Result<Option<FaultRow>, CatalogueError> {
        self.one("SELECT * FROM feed_faults WHERE list = ? AND item = ?", params![list.0, item], FaultRow::read)
    }

    /// How many there are.
    pub(crate) fn fault_count(&self, list: ListId) -> Result<u64, CatalogueError> {
        let sql = "SELECT count(*) FROM feed_faults WHERE list = ?";
        Ok(self.one(sql, [list.0], |row| read_u64(row, 0))?.unwrap_or(0))
    }

    /// Whether anything is known of entries of this list that are gone.
    pub(crate) fn has_tombstones(&self, list: ListId) -> Result<bool, CatalogueError> {
        Ok(self.one("SELECT 1 FROM feed_tombstones WHERE list = ? LIMIT 1", [list.0], |_| Ok(()))?.is_some())
    }

    /// What is known of an entry that is gone.
    pub(crate) fn tombstone(&self, list: ListId, source_id: &str) -> Result<Option<TombstoneRow>, CatalogueError> {
        let sql = "SELECT * FROM feed_tombstones WHERE list = ? AND source_id = ?";
        self.one(sql, params![list.0, source_id], TombstoneRow::read)
    }

    /// Distinct fingerprints in the entries of feed lists, by list and kind.
    pub(crate) fn fingerprint_counts(&self) -> Result<BTreeMap<(ListId, Kind), u64>, CatalogueError> {
        let sql = "SELECT list, kind, count(DISTINCT value) FROM entry_fingerprints GROUP BY list, kind";
        let read = |row: &rusqlite::Row<'_>| Ok(((ListId(row.get(0)?), read_kind(row, 1)?), read_u64(row, 2)?));
        Ok(self.all(sql, [], read)?.into_iter().collect())
    }

    /// Entries of each feed list.
    pub(crate) fn entry_counts(&self) -> Result<BTreeMap<ListId, u64>, CatalogueError> {
        let sql = "SELECT list, count(*) FROM feed_entries GROUP BY list";
        Ok(self.all(sql, [], |row| Ok((ListId(row.get(0)?), read_u64(row, 1)?)))?.into_iter().collect())
    }

    /// Distinct fingerprints in the entries of one feed list, by kind.
    pub(crate) fn fingerprint_counts_of(&self, list: ListId) -> Result<BTreeMap<Kind, u64>, CatalogueError> {
        let sql = "SELECT kind, count(DISTINCT value) FROM entry_fingerprints WHERE list = ? GROUP BY kind";
        Ok(self.all(sql, [list.0], |row| Ok((read_kind(row, 0)?, read_u64(row, 1)?)))?.into_iter().collect())
    }

    /// Of the next entries of a feed list behind the source id `after`, at most `limit`: each category, `None` standing
    /// for none, with its entries and the last source id among them.
    pub(crate) fn category_counts(
        &self,
        list: ListId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Option<Category>, u64, String)>, CatalogueError> {
        let behind = if after.is_some() { "source_id > ?" } else { "? IS NULL" };
        let sql = format!(
            "SELECT category, count(*), max(source_id) FROM (
                 SELECT entry ->> 'category' AS category, source_id FROM feed_entries
                 WHERE list = ? AND {behind} ORDER BY source_id LIMIT ?
             ) GROUP BY category"
        );
        let read = |row: &rusqlite::Row<'_>| {
            let category: Option<String> = row.get(0)?;
            Ok((category.map(Category::from), read_u64(row, 1)?, row.get(2)?))
        };
        self.all(&sql, params![list.0, after, limit as i64], read)
    }

    /// Entries of one feed list.
    pub(crate) fn entry_count(&self, list: ListId) -> Result<u64, CatalogueError> {
        let count = self.one("SELECT count(*) FROM feed_entries WHERE list = ?", [list.0], |row| read_u64(row, 0))?;
        Ok(count.unwrap_or(0))
    }

    /// The entries of a feed list behind the source id `after`, ascending, until `take` refuses the length of one's
    /// JSON; and whether it did.
    pub(crate) fn entries_after(
        &self,
        list: ListId,
        after: Option<&str>,
        take: impl FnMut(usize) -> bool,
    ) -> Result<(Vec<Entry>, bool), CatalogueError> {
        // Each finds its first row through the key.
        let sql = match after {
            Some(_) => "SELECT * FROM feed_entries WHERE list = ? AND source_id > ? ORDER BY source_id",
            None => "SELECT * FROM feed_entries WHERE list = ? AND ? IS NULL ORDER BY source_id",
        };
        self.until(sql, params![list.0, after], 3, take, |row| Ok(EntryRow::read(row)?.entry))
    }

    /// The withdrawals of a kind behind the value `after`, ascending, by batches after `seq`, until `take` refuses the
    /// length of one's value; and whether it did. Nothing stands before an empty `after`.
    pub(crate) fn withdrawals_page(
        &self,
        list: ListId,
        kind: Kind,
        seq: u64,
        after: &[u8],
        take: impl FnMut(usize) -> bool,
    ) -> Result<(Vec<Fingerprint>, bool), CatalogueError> {
        let sql = "SELECT * FROM withdrawals WHERE list = ? AND kind = ? AND value > ? AND seq > ? ORDER BY value";
        let params = params![list.0, kind.code(), after, seq as i64];
        self.until(sql, params, 2, take, |row| Ok(WithdrawalRow::read(row)?.fingerprint))
    }

    /// The first rows, as long as `take` accepts the length of their `column`; and whether there are others.
    fn until<T>(
        &self,
        sql: &str,
        params: impl Params,
        column: usize,
        mut take: impl FnMut(usize) -> bool,
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<(Vec<T>, bool), CatalogueError> {
        let collect = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut taken = Vec::new();
            while let Some(row) = rows.next()? {
                if !take(row.get_ref(column)?.as_bytes()?.len()) {
                    return Ok((taken, true));
                }
                taken.push(read(row)?);
            }
            Ok((taken, false))
        };
        collect().map_err(|error| self.fault(error))
    }

    /// When each list was last changed, in seconds since 1970-01-01 UTC.
    pub(crate) fn last_changes(&self) -> Result<BTreeMap<ListId, u64>, CatalogueError> {
        let sql = "SELECT list, max(at) FROM batches WHERE list IS NOT NULL GROUP BY list";
        Ok(self.all(sql, [], |row| Ok((ListId(row.get(0)?), read_u64(row, 1)?)))?.into_iter().collect())
    }

    /// What one batch did.
    pub(crate) fn batch(&self, seq: u64) -> Result<Option<BatchRow>, CatalogueError> {
        self.one("SELECT seq, at, action FROM batches WHERE seq = ?", [seq as i64], BatchRow::read)
    }

    /// The last changes of a list, newest first.
    pub(crate) fn history(&self, list: ListId, limit: usize) -> Result<Vec<BatchRow>, CatalogueError> {
        let sql = "SELECT seq, at, action FROM batches WHERE list = ? ORDER BY seq DESC LIMIT ?";
        self.all(sql, params![list.0, limit as i64], BatchRow::read)
    }

    /// The checksum of a batch, in hex.
    pub(crate) fn link(&self, seq: u64) -> Result<Option<String>, CatalogueError> {
        let sql = "SELECT lower(hex(link)) FROM batches WHERE seq = ?";
        self.one(sql, [seq as i64], |row| row.get(0))
    }
}
