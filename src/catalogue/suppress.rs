//! Suppressions and what they cover.
//!
//! A row of `suppressed` is in force if its list and version are 0. Others come into force with that version of that
//! list, like radii that are staged with a version.

use std::collections::BTreeMap;

use rusqlite::params;
use rusqlite::types::Value;

use super::rows::{Row, read_fingerprint, read_u64};
use super::schema::{SUPPRESSED, SUPPRESSIONS};
use super::{Batch, CatalogueError, Reader};
use crate::fingerprint::Fingerprint;
use crate::list::{ListId, Suppression, VersionNumber};

/// The list and version of what is in force: no list has this number.
const IN_FORCE: (ListId, VersionNumber) = (ListId(0), VersionNumber(0));

/// What is covered, and the version with which it comes into force; `None` if it is in force.
pub(crate) type Covered = (Fingerprint, Option<(ListId, VersionNumber)>);

impl Batch<'_> {
    /// Adds or replaces a suppression, which covers its own fingerprint from now on.
    pub(crate) fn suppress(&mut self, suppression: &Suppression) -> Result<(), CatalogueError> {
        self.put(&SUPPRESSIONS, suppression)?;
        self.cover_one(&suppression.fingerprint, suppression.id, IN_FORCE)
    }

    /// Notes that a suppression was lifted, and what it covered is not covered by it any more.
    pub(crate) fn lift(&mut self, lifted: &Suppression) -> Result<(), CatalogueError> {
        self.put(&SUPPRESSIONS, lifted)?;
        self.take(&SUPPRESSED, &["suppression"], &[(lifted.id as i64).into()])?;
        Ok(())
    }

    /// One entry holds these fingerprints together: if one of them is the hash of a suppression of entries, that covers
    /// all of them from now on.
    pub(crate) fn cover(&mut self, together: &[Fingerprint]) -> Result<(), CatalogueError> {
        self.cover_from(together, IN_FORCE)
    }

    /// The same, as soon as a version of a list answers.
    pub(crate) fn stage_cover(
        &mut self,
        together: &[Fingerprint],
        list: ListId,
        version: VersionNumber,
    ) -> Result<(), CatalogueError> {
        self.cover_from(together, (list, version))
    }

    fn cover_from(&mut self, together: &[Fingerprint], from: (ListId, VersionNumber)) -> Result<(), CatalogueError> {
        if !self.has_suppressions()? {
            return Ok(());
        }
        for root in together {
            for suppression in self.read().entry_suppressions(root)? {
                together.iter().try_for_each(|fingerprint| self.cover_one(fingerprint, suppression, from))?;
            }
        }
        Ok(())
    }

    /// Brings into force what was staged with a version.
    pub(crate) fn apply_staged_cover(&mut self, list: ListId, version: VersionNumber) -> Result<(), CatalogueError> {
        let sql = "SELECT kind, value, suppression FROM suppressed WHERE list = ? AND version = ?";
        let staged =
            self.read().all(sql, [list.0, version.0], |row| Ok((read_fingerprint(row, 0, 1)?, read_u64(row, 2)?)))?;
        for (fingerprint, suppression) in staged {
            self.cover_one(&fingerprint, suppression, IN_FORCE)?;
        }
        self.take(&SUPPRESSED, &["list", "version"], &[i64::from(list.0).into(), i64::from(version.0).into()])?;
        Ok(())
    }

    fn cover_one(
        &mut self,
        fingerprint: &Fingerprint,
        suppression: u64,
        (list, version): (ListId, VersionNumber),
    ) -> Result<(), CatalogueError> {
        let sql = "SELECT 1 FROM suppressed
                   WHERE kind = ? AND value = ? AND suppression = ? AND (list, version) IN ((0, 0), (?, ?))";
        let (kind, value) = (fingerprint.kind().code(), fingerprint.value());
        let key = params![kind, value, suppression as i64, list.0, version.0];
        if self.read().one(sql, key, |_| Ok(()))?.is_some() {
            return Ok(());
        }
        let row: [Value; 5] = [
            i64::from(kind).into(),
            value.to_vec().into(),
            (suppression as i64).into(),
            i64::from(list.0).into(),
            i64::from(version.0).into(),
        ];
        self.insert(&SUPPRESSED, &row).map_err(|error| self.fault(error))?;
        self.note_covered(fingerprint.clone());
        Ok(())
    }
}

impl Reader<'_> {
    /// All that is covered, by whichever suppression.
    pub(crate) fn covered(&self) -> Result<Vec<Covered>, CatalogueError> {
        self.all("SELECT DISTINCT kind, value, list, version FROM suppressed", [], |row| {
            let from = (ListId(row.get(2)?), VersionNumber(row.get(3)?));
            Ok((read_fingerprint(row, 0, 1)?, Some(from).filter(|from| *from != IN_FORCE)))
        })
    }

    /// One suppression, in force or lifted.
    pub(crate) fn suppression(&self, id: u64) -> Result<Option<Suppression>, CatalogueError> {
        self.one("SELECT * FROM suppressions WHERE seq = ?", [id as i64], Suppression::read)
    }

    /// Suppressions of numbers below `before`, newest first: those in force, or all.
    pub(crate) fn suppressions(
        &self,
        before: Option<u64>,
        lifted: bool,
        limit: usize,
    ) -> Result<Vec<Suppression>, CatalogueError> {
        let before = before.map_or(i64::MAX, |before| before as i64);
        let sql = "SELECT * FROM suppressions WHERE seq < ? AND (lifted IS NULL OR ?) ORDER BY seq DESC LIMIT ?";
        self.all(sql, params![before, lifted, limit as i64], Suppression::read)
    }

    /// The suppressions that this hash was given for, in force and lifted, newest first.
    pub(crate) fn suppressions_of(&self, hash: &Fingerprint) -> Result<Vec<Suppression>, CatalogueError> {
        let sql = "SELECT * FROM suppressions WHERE kind = ? AND value = ? ORDER BY seq DESC";
        self.all(sql, params![hash.kind().code(), hash.value()], Suppression::read)
    }

    /// The suppressions in force that cover this fingerprint, newest first.
    pub(crate) fn suppressions_over(&self, fingerprint: &Fingerprint) -> Result<Vec<Suppression>, CatalogueError> {
        let sql = "SELECT s.* FROM suppressed d CROSS JOIN suppressions s ON s.seq = d.suppression
                   WHERE d.kind = ? AND d.value = ? AND d.list = 0 ORDER BY s.seq DESC";
        self.all(sql, params![fingerprint.kind().code(), fingerprint.value()], Suppression::read)
    }

    /// The suppressions in force of the entries that hold this fingerprint, given for just that.
    fn entry_suppressions(&self, root: &Fingerprint) -> Result<Vec<u64>, CatalogueError> {
        let of_entries = self.suppressions_over(root)?.into_iter();
        let of_entries =
            of_entries.filter(|s| s.scope == crate::list::SuppressionScope::Entry && s.fingerprint == *root);
        Ok(of_entries.map(|suppression| suppression.id).collect())
    }

    /// Whether any suppression is in force.
    pub(crate) fn has_suppressions(&self) -> Result<bool, CatalogueError> {
        Ok(self.one("SELECT 1 FROM suppressions WHERE lifted IS NULL LIMIT 1", [], |_| Ok(()))?.is_some())
    }

    /// What a suppression covers: how much, and the first of it.
    pub(crate) fn covered_by(&self, id: u64, limit: usize) -> Result<(u64, Vec<Fingerprint>), CatalogueError> {
        let sql = "SELECT kind, value FROM suppressed WHERE suppression = ? AND list = 0 ORDER BY kind, value";
        let mut all = self.all(sql, [id as i64], |row| read_fingerprint(row, 0, 1))?;
        let count = all.len() as u64;
        all.truncate(limit);
        Ok((count, all))
    }

    /// How much each suppression in force covers.
    pub(crate) fn covered_counts(&self) -> Result<BTreeMap<u64, u64>, CatalogueError> {
        let sql = "SELECT suppression, count(*) FROM suppressed WHERE list = 0 GROUP BY suppression";
        Ok(self.all(sql, [], |row| Ok((read_u64(row, 0)?, read_u64(row, 1)?)))?.into_iter().collect())
    }

    /// The hashes of the suppressions in force that cover whole entries, each once.
    pub(crate) fn entry_roots(&self) -> Result<Vec<Fingerprint>, CatalogueError> {
        let sql = "SELECT DISTINCT kind, value FROM suppressions WHERE scope = 'entry' AND lifted IS NULL";
        self.all(sql, [], |row| read_fingerprint(row, 0, 1))
    }
}
