//! One durable change: a transaction that keeps the checksum of all guarded rows up to date.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};

use super::rows::{EntryRow, ListRow, RecordsFile, Row, VersionRow, WithdrawalRow};
use super::schema::{
    ALARMS, COUNTERS, ENTRIES, FEED_FAULTS, FEEDS, FINGERPRINTS, HOLDS, LISTS, NEXT_LIST, RADII, STAGED_RADII,
    TOMBSTONES, Table, VERSION_RECORDS, VERSIONS, WITHDRAWALS,
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
        Batch { transaction, file: PathBuf::new(), committed: head, next }
    }

    /// The number of this batch.
    pub(crate) fn seq(&self) -> u64 {
        self.next.seq
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
        self.next.sum.add(&row_hash(table.name, values.iter().map(ValueRef::from)));
        self.next.rows += 1;
        Ok(())
    }

    /// Removes the rows whose `columns` have these values. Returns how many there were.
    fn remove(&mut self, table: &Table, columns: &[&str], values: &[Value]) -> rusqlite::Result<u64> {
        let condition = columns.iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(" AND ");
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

    fn fault(&self, source: rusqlite::Error) -> CatalogueError {
        CatalogueError::Sqlite { file: self.file.clone(), source }
    }

    fn put<R: Row>(&mut self, table: &Table, row: &R) -> Result<(), CatalogueError> {
        self.insert(table, &row.values()).map_err(|error| self.fault(error))
    }

    fn take(&mut self, table: &Table, columns: &[&str], values: &[Value]) -> Result<u64, CatalogueError> {
        self.remove(table, columns, values).map_err(|error| self.fault(error))
    }

    /// A list number that was never given before.
    pub(crate) fn new_list_id(&mut self) -> Result<ListId, CatalogueError> {
        let next: Option<u32> = self
            .transaction
            .query_row("SELECT value FROM counters WHERE name = ?", [NEXT_LIST], |row| row.get(0))
            .optional()
            .map_err(|error| self.fault(error))?;
        let damaged = |found: &str| CatalogueError::Damaged { file: self.file.clone(), found: found.to_owned() };
        let next = next.ok_or_else(|| damaged("expected a counter of list numbers, found none"))?;
        let after = next.checked_add(1).ok_or_else(|| damaged("the counter of list numbers is at its end"))?;
        self.insert(&COUNTERS, &[NEXT_LIST.to_owned().into(), i64::from(after).into()])
            .map_err(|error| self.fault(error))?;
        Ok(ListId(next))
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
        for table in others.into_iter().chain([&FEEDS, &FEED_FAULTS, &TOMBSTONES]) {
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
        for table in [&STAGED_RADII, &VERSION_RECORDS, &HOLDS] {
            self.take(table, &["list", "version"], &key)?;
        }
        Ok(())
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

    /// Adds or replaces a feed entry with its fingerprints.
    pub(crate) fn put_entry(&mut self, row: &EntryRow) -> Result<(), CatalogueError> {
        self.remove_entry(row.list, &row.entry.source_id)?;
        self.put(&ENTRIES, row)?;
        for fingerprint in &row.entry.fingerprints {
            let row = [
                i64::from(fingerprint.kind().code()).into(),
                fingerprint.value().to_vec().into(),
                i64::from(row.list.0).into(),
                row.entry.source_id.clone().into(),
            ];
            self.insert(&FINGERPRINTS, &row).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    /// Removes a feed entry with its fingerprints, if it is there.
    pub(crate) fn remove_entry(&mut self, list: ListId, source_id: &str) -> Result<(), CatalogueError> {
        let Some(old) = self.read().entry(list, source_id)? else { return Ok(()) };
        self.take(&ENTRIES, &["list", "source_id"], &[i64::from(list.0).into(), source_id.to_owned().into()])?;
        for fingerprint in &old.entry.fingerprints {
            let key: [Value; 4] = [
                i64::from(fingerprint.kind().code()).into(),
                fingerprint.value().to_vec().into(),
                i64::from(list.0).into(),
                source_id.to_owned().into(),
            ];
            self.take(&FINGERPRINTS, FINGERPRINTS.columns, &key)?;
        }
        Ok(())
    }

    /// Notes that from this batch on the list does not say what older segments hold of the fingerprint.
    pub(crate) fn withdraw(&mut self, list: ListId, fingerprint: &Fingerprint) -> Result<(), CatalogueError> {
        let row = WithdrawalRow { list, fingerprint: fingerprint.clone(), seq: self.next.seq };
        self.put(&WITHDRAWALS, &row)
    }

    /// Removes a withdrawal that no segment is older than.
    pub(crate) fn forget_withdrawal(&mut self, row: &WithdrawalRow) -> Result<(), CatalogueError> {
        self.take(&WITHDRAWALS, &WITHDRAWALS.columns[..3], &row.values()[..3])?;
        Ok(())
    }
}
