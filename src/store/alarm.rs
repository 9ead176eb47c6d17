//! Alarms: what an operator should look at, from the moment it happened until somebody has said so.
//!
//! An alarm is raised in the same batch as its cause, so that neither is there without the other.

use super::command::{Alarm, RaisedAlarm};
use super::gate::GateLimits;
use super::state::State;
use super::{StoreError, now};
use crate::catalogue::{AlarmRow, Batch, CatalogueError};
use crate::list::{ListId, ListName, VersionNumber};

/// The alarm of a version or a command that takes `removed` fingerprints away from a list that held `held_before`, if
/// those are many.
pub(super) fn mass_deletion(
    version: Option<VersionNumber>,
    held_before: u64,
    removed: u64,
    limits: &GateLimits,
) -> Option<Alarm> {
    let deletion = Alarm::MassDeletion { version, removed, of: held_before };
    limits.deletion.is_exceeded(removed, held_before).then_some(deletion)
}

/// What a feed has deleted in the window that is being read: pages are small, and together they may be all of a list.
#[derive(Clone, Default)]
pub(super) struct FeedDeletions {
    entries: u64,
    /// What the list held before; counted when it first matters.
    of: Option<u64>,
    raised: bool,
}

impl FeedDeletions {
    /// Notes `deleted` more entries, after which the list holds `held` of them. The alarm is raised once a window.
    pub(super) fn note(
        &mut self,
        deleted: u64,
        limits: &GateLimits,
        held: impl FnOnce() -> Result<u64, CatalogueError>,
    ) -> Result<Option<Alarm>, CatalogueError> {
        self.entries += deleted;
        if deleted == 0 || self.raised || self.entries <= limits.deletion.entries {
            return Ok(None);
        }
        let of = match self.of {
            Some(of) => of,
            None => *self.of.insert(held()? + self.entries),
        };
        self.raised = limits.deletion.is_exceeded(self.entries, of);
        Ok(self.raised.then_some(Alarm::MassDeletionByFeed { removed: self.entries, of }))
    }
}

/// Raises an alarm about a list with this batch, which has at most one.
pub(super) fn raise(batch: &mut Batch<'_>, list: ListId, name: &ListName, alarm: &Alarm) -> Result<(), CatalogueError> {
    tracing::warn!(list = %name, "alarm: {alarm}");
    let alarm = serde_json::to_string(alarm).expect("alarms are plain data");
    let seq = batch.seq();
    batch.put_alarm(&AlarmRow { seq, list: Some(list), at: now(), alarm })
}

/// Removes a version that never answered, and with it the alarms about it.
pub(super) fn drop_version(batch: &mut Batch<'_>, list: ListId, version: VersionNumber) -> Result<(), CatalogueError> {
    batch.remove_version(list, version)?;
    let alarms = batch.read().alarms()?.into_iter();
    for row in alarms.filter(|row| row.list == Some(list)) {
        if parse(&row).is_some_and(|alarm| alarm.version() == Some(version)) {
            batch.remove_alarm(row.seq)?;
        }
    }
    Ok(())
}

/// Alarms are told and never computed with: one that this program cannot read, it does not tell.
fn parse(row: &AlarmRow) -> Option<Alarm> {
    serde_json::from_str(&row.alarm).ok()
}

impl State {
    /// The alarms of one list, or of all.
    pub(super) fn alarms(&self, list: Option<ListId>) -> Result<Vec<RaisedAlarm>, StoreError> {
        let lists = self.catalogue.read().lists()?;
        let name = |id| lists.iter().find(|row| Some(row.id) == id).map(|row| row.name.clone());
        let rows = self.catalogue.read().alarms()?.into_iter().filter(|row| list.is_none() || row.list == list);
        let told = |row: AlarmRow| {
            let alarm = parse(&row)?;
            Some(RaisedAlarm { seq: row.seq, at: row.at, list: name(row.list), alarm })
        };
        Ok(rows.filter_map(told).collect())
    }
}
