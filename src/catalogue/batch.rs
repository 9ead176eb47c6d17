//! One durable change: a transaction that keeps the checksum of all guarded rows up to date.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, params, params_from_iter};

use super::rows::{
    AlarmRow, EntryRow, FaultRow, FeedRow, HoldRow, ListRow, RecordsFile, Row, StoredEntry, TombstoneRow, VersionRow,
    WithdrawalRow,
};
use super::schema::{
    ALARMS, COUNTERS, ENTRIES, FEED_FAULTS, FEEDS, FINGERPRINTS, HOLDS, LISTS, NEXT_LIST, RADII, STAGED_RADII,
    SUPPRESSED, TOMBSTONES, Table, VERSION_RECORDS, VERSION_RECORDS_FILE, VERSIONS, WITHDRAWALS,
};
use super::sum::row_hash;
use super::{BatchHead, CatalogueError, Reader};
use crate::fingerprint::{Fingerprint, Kind, Radii, Radius};
use crate::list::{ListId, VersionNumber};

/// The batch being written. Dropped without [`Batch::commit`], nothing has happened.
pub(crate) struct Batch<'c> {
    transaction: Transaction<'c>,
    file: PathBuf,
    /// Where the head goes once this is committed.
    committed: &'c mut BatchHead,
    next: BatchHead,
    /// What suppressions cover since this batch began.
    covered: Vec<Fingerprint>,
    /// Whether there are suppressions, once that was asked: most stores have none, and entries come by the thousand.
    has_suppressions: Option<bool>,
}

impl<'c> Batch<'c> {
    pub(super) fn begin(
        connection: &'c mut Connection,
        file: &Path,
        head: &'c mut BatchHead,
    ) -> Result<Batch<'c>, CatalogueError> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        let transaction = connection.transaction().map_err(fault)?;
        // A commit that reported an error may have reached the disk all the same; then what is in memory is behind.
        let last: i64 =
            transaction.query_row("SELECT coalesce(max(seq), 0) FROM batches", [], |row| row.get(0)).map_err(fault)?;
        if last != head.seq as i64 {
            let found = format!("expected batch {} to be the last, found {last}; stop and start again", head.seq);
            return Err(CatalogueError::Damaged { file: file.to_owned(), found });
        }
        let mut batch = Batch::within(transaction, head);
        batch.file = file.to_owned();
        Ok(batch)
    }

    pub(super) fn within(transaction: Transaction<'c>, head: &'c mut BatchHead) -> Batch<'c> {
        let next = BatchHead { seq: head.seq + 1, ..*head };
        Batch { transaction, file: PathBuf::new(), committed: head, next, covered: Vec::new(), has_suppressions: None }
    }

    /// The number of this batch.
    pub(crate) fn seq(&self) -> u64 {
        self.next.seq
    }

    pub(super) fn has_suppressions(&mut self) -> Result<bool, CatalogueError> {
        if let Some(known) = self.has_suppressions {
            return Ok(known);
        }
        let found = self.read().has_suppressions()?;
        self.has_suppressions = Some(found);
        Ok(found)
    }

    pub(super) fn note_covered(&mut self, fingerprint: Fingerprint) {
        self.covered.push(fingerprint);
    }

    /// What suppressions cover because of this batch, and did not before. Whoever commits the batch must let the next
    /// snapshot know of it.
    pub(crate) fn take_covered(&mut self) -> Vec<Fingerprint> {
        std::mem::take(&mut self.covered)
    }

    /// What stands in the catalogue, this batch included.
    pub(crate) fn read(&self) -> Reader<'_> {
        Reader::new(&self.transaction, &self.file)
    }

    /// Commits; from then on the change is durable. `action` says what was done, in words, for the history.
    pub(crate) fn commit(self, at: u64, list: Option<ListId>, action: &str) -> Result<BatchHead, CatalogueError> {
        let file = self.file.clone();
        self.finish(at, list, action).map_err(|source| CatalogueError::Sqlite { file, source })
    }

    pub(super) fn finish(mut self, at: u64, list: Option<ListId>, action: &str) -> rusqlite::Result<BatchHead> {
        let BatchHead { seq, rows, sum, link } = self.next;
        self.next.link = link.next(seq, at, list.map(|list| list.0), action, rows, &sum);
        self.transaction.execute(
            "INSERT INTO batches (seq, at, list, action, rows, sum, link) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                seq as i64,
                at as i64,
                list.map(|list| list.0),
                action,
                rows as i64,
                sum.to_bytes(),
                self.next.link.0
            ],
        )?;
        self.transaction.commit()?;
        *self.committed = self.next;
        Ok(self.next)
    }

    /// Adds a row, or replaces the one of the same key.
    pub(super) fn insert(&mut self, table: &Table, values: &[Value]) -> rusqlite::Result<()> {
        self.remove(table, &table.columns[..table.key], &values[..table.key])?;
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.columns.join(", "));
        self.transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        self.count(table, &values.iter().map(ValueRef::from).collect::<Vec<_>>());
        Ok(())
    }

    /// Removes the rows whose `columns` have these values. Returns how many there were.
    fn remove(&mut self, table: &Table, columns: &[&str], values: &[Value]) -> rusqlite::Result<u64> {
        let condition = columns.iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(" AND ");
        self.remove_where(table, &condition, values)
    }

    /// Removes the rows of which `condition` holds with these values. Returns how many there were.
    fn remove_where(&mut self, table: &Table, condition: &str, values: &[Value]) -> rusqlite::Result<u64> {
        let sql = format!("SELECT {} FROM {} WHERE {condition}", table.columns.join(", "), table.name);
        let mut removed = 0;
        {
            let mut statement = self.transaction.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let values = (0..table.columns.len()).map(|column| row.get_ref(column));
                let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
                self.next.sum.subtract(&row_hash(table.name, values.into_iter()));
                removed += 1;
            }
        }
        if removed > 0 {
            let sql = format!("DELETE FROM {} WHERE {condition}", table.name);
            self.transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            // Fewer rows than the head counts would be damage, which the next audit reports.
            self.next.rows = self.next.rows.saturating_sub(removed);
        }
        Ok(removed)
    }

    /// A row that joins, in the checksum.
    fn count(&mut self, table: &Table, values: &[ValueRef<'_>]) {
        self.next.sum.add(&row_hash(table.name, values.iter().copied()));
        self.next.rows += 1;
    }

    /// A row that goes.
    fn uncount(&mut self, table: &Table, values: &[ValueRef<'_>]) {
        self.next.sum.subtract(&row_hash(table.name, values.iter().copied()));
        // Fewer rows than the head counts would be damage, which the next audit reports.
        self.next.rows = self.next.rows.saturating_sub(1);
    }

    /// Changes the one row that is known to be there, or known not to be.
    fn change_one(&self, sql: &str, params: impl Params) -> Result<(), CatalogueError> {
        let changed = self.transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        match changed.map_err(|error| self.fault(error))? {
            1 => Ok(()),
            found => {
                let found = format!("expected to change one row, found {found}");
                Err(CatalogueError::Damaged { file: self.file.clone(), found })
            }
        }
    }

    pub(super) fn fault(&self, source: rusqlite::Error) -> CatalogueError {
        CatalogueError::Sqlite { file: self.file.clone(), source }
    }

    pub(super) fn put<R: Row>(&mut self, table: &Table, row: &R) -> Result<(), CatalogueError> {
        self.insert(table, &row.values()).map_err(|error| self.fault(error))
    }

    pub(super) fn take(&mut self, table: &Table, columns: &[&str], values: &[Value]) -> Result<u64, CatalogueError> {
        self.remove(table, columns, values).map_err(|error| self.fault(error))
    }

    /// A list number that was never given before.
    pub(crate) fn new_list_id(&mut self) -> Result<ListId, CatalogueError> {
        let next = self.read().next_list_id()?;
        let after = next.0.checked_add(1).ok_or_else(|| CatalogueError::Damaged {
            file: self.file.clone(),
            found: "the counter of list numbers is at its end".to_owned(),
        })?;
        self.insert(&COUNTERS, &[NEXT_LIST.to_owned().into(), i64::from(after).into()])
            .map_err(|error| self.fault(error))?;
        Ok(next)
    }

    /// Gives no list number below this one any more.
    pub(crate) fn raise_next_list(&mut self, at_least: ListId) -> Result<(), CatalogueError> {
        if self.read().next_list_id()? >= at_least {
            return Ok(());
        }
        let row = [NEXT_LIST.to_owned().into(), i64::from(at_least.0).into()];
        self.insert(&COUNTERS, &row).map_err(|error| self.fault(error))
    }

    /// Gives the files of a list's versions the names that `names` has for theirs.
    pub(crate) fn rename_files(
        &mut self,
        list: ListId,
        names: &BTreeMap<String, String>,
    ) -> Result<(), CatalogueError> {
        for mut row in self.read().versions_of(list)? {
            for file in row.segments.values_mut() {
                names.get(&file.file).into_iter().for_each(|name| file.file.clone_from(name));
            }
            self.put_version(&row)?;
        }
        let records = self.version_records(list).map_err(|error| self.fault(error))?;
        for mut row in records {
            if let Value::Text(file) = &mut row[VERSION_RECORDS_FILE]
                && let Some(name) = names.get(file)
            {
                file.clone_from(name);
            }
            self.insert(&VERSION_RECORDS, &row).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    fn version_records(&self, list: ListId) -> rusqlite::Result<Vec<Vec<Value>>> {
        let columns = VERSION_RECORDS.columns;
        let sql = format!("SELECT {} FROM {} WHERE list = ?", columns.join(", "), VERSION_RECORDS.name);
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map([list.0], |row| (0..columns.len()).map(|column| row.get(column)).collect())?;
        rows.collect()
    }

    /// Adds or replaces a list.
    pub(crate) fn put_list(&mut self, row: &ListRow) -> Result<(), CatalogueError> {
        self.put(&LISTS, row)
    }

    /// Removes a list and everything of it. Returns how many (versions, entries) went with it.
    pub(crate) fn remove_list(&mut self, list: ListId) -> Result<(u64, u64), CatalogueError> {
        let key = [Value::from(i64::from(list.0))];
        self.take(&LISTS, &["id"], &key)?;
        let others = [&FINGERPRINTS, &WITHDRAWALS, &RADII, &STAGED_RADII, &VERSION_RECORDS, &HOLDS, &ALARMS];
        for table in others.into_iter().chain([&FEEDS, &FEED_FAULTS, &TOMBSTONES, &SUPPRESSED]) {
            self.take(table, &["list"], &key)?;
        }
        Ok((self.take(&VERSIONS, &["list"], &key)?, self.take(&ENTRIES, &["list"], &key)?))
    }

    /// Adds or replaces a version.
    pub(crate) fn put_version(&mut self, row: &VersionRow) -> Result<(), CatalogueError> {
        self.put(&VERSIONS, row)
    }

    /// Notes the records files of a version, in the order of its sources.
    pub(crate) fn put_records(
        &mut self,
        list: ListId,
        version: VersionNumber,
        files: &[RecordsFile],
    ) -> Result<(), CatalogueError> {
        for (ordinal, file) in (0i64..).zip(files) {
            let key: [Value; 3] = [i64::from(list.0).into(), i64::from(version.0).into(), ordinal.into()];
            let row: Vec<Value> = key.into_iter().chain(file.values()).collect();
            self.insert(&VERSION_RECORDS, &row).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    /// Removes a version, and all that was noted with it.
    pub(crate) fn remove_version(&mut self, list: ListId, number: VersionNumber) -> Result<(), CatalogueError> {
        let key = [i64::from(list.0).into(), i64::from(number.0).into()];
        self.take(&VERSIONS, &["list", "number"], &key)?;
        for table in [&STAGED_RADII, &VERSION_RECORDS, &HOLDS, &SUPPRESSED] {
            self.take(table, &["list", "version"], &key)?;
        }
        Ok(())
    }

    /// Notes why a version waits for an operator.
    pub(crate) fn put_hold(&mut self, row: &HoldRow) -> Result<(), CatalogueError> {
        self.put(&HOLDS, row)
    }

    /// The version waits no more.
    pub(crate) fn remove_hold(&mut self, list: ListId, version: VersionNumber) -> Result<(), CatalogueError> {
        self.take(&HOLDS, &["list", "version"], &[i64::from(list.0).into(), i64::from(version.0).into()]).map(drop)
    }

    /// Notes the alarm of a batch, which has at most one.
    pub(crate) fn put_alarm(&mut self, row: &AlarmRow) -> Result<(), CatalogueError> {
        self.put(&ALARMS, row)
    }

    /// Removes the alarms of a list. Returns how many there were.
    pub(crate) fn remove_alarms(&mut self, list: ListId) -> Result<u64, CatalogueError> {
        self.take(&ALARMS, &["list"], &[i64::from(list.0).into()])
    }

    /// Removes the alarm of a batch.
    pub(crate) fn remove_alarm(&mut self, seq: u64) -> Result<(), CatalogueError> {
        self.take(&ALARMS, &["seq"], &[(seq as i64).into()]).map(drop)
    }

    /// Gives a list a radius of its own, or takes it away.
    pub(crate) fn set_radius(
        &mut self,
        list: ListId,
        kind: Kind,
        radius: Option<Radius>,
    ) -> Result<(), CatalogueError> {
        let key: [Value; 2] = [i64::from(list.0).into(), i64::from(kind.code()).into()];
        let Some(radius) = radius else { return self.take(&RADII, &["list", "kind"], &key).map(|_| ()) };
        let [list, kind] = key;
        self.insert(&RADII, &[list, kind, i64::from(radius.0).into()]).map_err(|error| self.fault(error))
    }

    /// Notes the radii that the list shall have as soon as this version of it is published.
    pub(crate) fn stage_radii(
        &mut self,
        list: ListId,
        version: VersionNumber,
        radii: &Radii,
    ) -> Result<(), CatalogueError> {
        for (kind, radius) in radii.iter() {
            let numbers = [list.0, version.0, kind.code().into(), radius.0.into()];
            let row = numbers.map(|number| Value::from(i64::from(number)));
            self.insert(&STAGED_RADII, &row).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    /// Gives the list the radii that were staged with this version. Returns them.
    pub(crate) fn apply_staged_radii(&mut self, list: ListId, version: VersionNumber) -> Result<Radii, CatalogueError> {
        let radii = self.read().staged_radii(list, version)?;
        for (kind, radius) in radii.iter() {
            self.set_radius(list, kind, Some(radius))?;
        }
        self.take(&STAGED_RADII, &["list", "version"], &[i64::from(list.0).into(), i64::from(version.0).into()])?;
        Ok(radii)
    }

    /// The feed entry of this source id, as it stands.
    pub(crate) fn entry(&self, list: ListId, source_id: &str) -> Result<Option<StoredEntry>, CatalogueError> {
        let sql = "SELECT list, source_id, seq, entry FROM feed_entries WHERE list = ? AND source_id = ?";
        let read = || {
            let mut statement = self.transaction.prepare_cached(sql)?;
            statement.query_row(params![list.0, source_id], StoredEntry::read).optional()
        };
        read().map_err(|error| self.fault(error))
    }

    /// Puts an entry in the place of `old`, which is what stands under its source id, or takes it out. Its fingerprints
    /// are for the caller to bring in line. A suppression of entries that is given for one of them covers all of them in the
    /// same batch: see [`Batch::take_covered`].
    pub(crate) fn change_entry(
        &mut self,
        old: Option<&StoredEntry>,
        new: Option<&EntryRow>,
    ) -> Result<(), CatalogueError> {
        if let Some(old) = old {
            let EntryRow { list, seq, entry } = &old.row;
            let text = old.text.as_bytes();
            self.uncount(&ENTRIES, &[integer(list.0), of_text(&entry.source_id), integer(*seq), ValueRef::Text(text)]);
        }
        let text = new.map(EntryRow::text);
        if let (Some(EntryRow { list, seq, entry }), Some(text)) = (new, &text) {
            self.count(&ENTRIES, &[integer(list.0), of_text(&entry.source_id), integer(*seq), of_text(text)]);
        }
        match (old, new) {
            (None, Some(EntryRow { list, seq, entry })) => {
                let sql = "INSERT INTO feed_entries (list, source_id, seq, entry) VALUES (?, ?, ?, ?)";
                self.change_one(sql, params![list.0, entry.source_id, *seq as i64, text])
            }
            (Some(_), Some(EntryRow { list, seq, entry })) => {
                let sql = "UPDATE feed_entries SET seq = ?, entry = ? WHERE list = ? AND source_id = ?";
                self.change_one(sql, params![*seq as i64, text, list.0, entry.source_id])
            }
            (Some(old), None) => {
                let sql = "DELETE FROM feed_entries WHERE list = ? AND source_id = ?";
                self.change_one(sql, params![old.row.list.0, old.row.entry.source_id])
            }
            (None, None) => Ok(()),
        }?;
        new.map_or(Ok(()), |new| self.cover(&new.entry.fingerprints))
    }

    /// Notes that an entry holds a fingerprint which it did not hold before.
    pub(crate) fn add_holder(
        &mut self,
        list: ListId,
        fingerprint: &Fingerprint,
        source_id: &str,
    ) -> Result<(), CatalogueError> {
        let (kind, value) = (fingerprint.kind().code(), fingerprint.value());
        self.count(&FINGERPRINTS, &[integer(kind), ValueRef::Blob(value), integer(list.0), of_text(source_id)]);
        let sql = "INSERT INTO entry_fingerprints (kind, value, list, source_id) VALUES (?, ?, ?, ?)";
        self.change_one(sql, params![kind, value, list.0, source_id])
    }

    /// Notes that an entry does not hold a fingerprint any more.
    pub(crate) fn remove_holder(
        &mut self,
        list: ListId,
        fingerprint: &Fingerprint,
        source_id: &str,
    ) -> Result<(), CatalogueError> {
        let (kind, value) = (fingerprint.kind().code(), fingerprint.value());
        self.uncount(&FINGERPRINTS, &[integer(kind), ValueRef::Blob(value), integer(list.0), of_text(source_id)]);
        let sql = "DELETE FROM entry_fingerprints WHERE kind = ? AND value = ? AND list = ? AND source_id = ?";
        self.change_one(sql, params![kind, value, list.0, source_id])
    }

    /// Adds or replaces how far a feed has been read.
    pub(crate) fn put_feed(&mut self, row: &FeedRow) -> Result<(), CatalogueError> {
        self.put(&FEEDS, row)
    }

    /// Adds or replaces what is wrong with an item of a feed.
    pub(crate) fn put_fault(&mut self, row: &FaultRow) -> Result<(), CatalogueError> {
        self.put(&FEED_FAULTS, row)
    }

    /// Removes an item from those that cannot be read. Returns whether it was one.
    pub(crate) fn mend(&mut self, list: ListId, item: &str) -> Result<bool, CatalogueError> {
        let key = [i64::from(list.0).into(), item.to_owned().into()];
        self.take(&FEED_FAULTS, &["list", "item"], &key).map(|count| count > 0)
    }

    /// Adds or replaces a tombstone.
    pub(crate) fn put_tombstone(&mut self, row: &TombstoneRow) -> Result<(), CatalogueError> {
        self.put(&TOMBSTONES, row)
    }

    /// Removes a tombstone, if it is there.
    pub(crate) fn remove_tombstone(&mut self, list: ListId, source_id: &str) -> Result<(), CatalogueError> {
        let key = [i64::from(list.0).into(), source_id.to_owned().into()];
        self.take(&TOMBSTONES, &["list", "source_id"], &key).map(|_| ())
    }

    /// Removes a list's tombstones of batches up to `seq`.
    pub(crate) fn remove_tombstones(&mut self, list: ListId, seq: u64) -> Result<(), CatalogueError> {
        let sql = "list = ? AND seq <= ?";
        self.remove_where(&TOMBSTONES, sql, &[i64::from(list.0).into(), (seq as i64).into()])
            .map(|_| ())
            .map_err(|error| self.fault(error))
    }

    /// Notes that from this batch on the list does not say what older segments hold of the fingerprint.
    pub(crate) fn withdraw(&mut self, list: ListId, fingerprint: &Fingerprint) -> Result<(), CatalogueError> {
        let before = self.read().withdrawn_at(list, fingerprint)?;
        let (kind, value, seq) = (fingerprint.kind().code(), fingerprint.value(), self.next.seq);
        let row = |seq: u64| [integer(list.0), integer(kind), ValueRef::Blob(value), integer(seq)];
        self.count(&WITHDRAWALS, &row(seq));
        let sql = match before {
            None => "INSERT INTO withdrawals (seq, list, kind, value) VALUES (?, ?, ?, ?)",
            Some(before) => {
                self.uncount(&WITHDRAWALS, &row(before));
                "UPDATE withdrawals SET seq = ? WHERE list = ? AND kind = ? AND value = ?"
            }
        };
        self.change_one(sql, params![seq as i64, list.0, kind, value])
    }

    /// Removes a withdrawal that no segment is older than.
    pub(crate) fn forget_withdrawal(&mut self, row: &WithdrawalRow) -> Result<(), CatalogueError> {
        let WithdrawalRow { list, fingerprint, seq } = row;
        let (kind, value) = (fingerprint.kind().code(), fingerprint.value());
        self.uncount(&WITHDRAWALS, &[integer(list.0), integer(kind), ValueRef::Blob(value), integer(*seq)]);
        self.change_one(
            "DELETE FROM withdrawals WHERE list = ? AND kind = ? AND value = ?",
            params![list.0, kind, value],
        )
    }
}

/// A number as SQLite holds it.
fn integer<'v>(number: impl Into<u64>) -> ValueRef<'v> {
    ValueRef::Integer(number.into() as i64)
}

fn of_text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}
