//! Held versions: those that did not pass the gate. They are kept and told, and answer only once an operator accepts
//! them; a later version that passes, or is held in its turn, takes their place.

use std::collections::BTreeMap;
use std::path::Path;

use super::alarm;
use super::command::{Accepted, Alarm, Held, Outcome, Publish, REASON_MAX};
use super::gate::Findings;
use super::publish::{BuiltVersion, InForce};
use super::state::State;
use super::{Store, StoreError, now};
use crate::catalogue::{HoldRow, ListRow, RecordsFile, VersionRow, VersionState};
use crate::list::{ListId, ListName, VersionNumber};

impl Store {
    pub(super) fn accept(
        &self,
        list: &ListName,
        version: Option<VersionNumber>,
        reason: &str,
    ) -> Result<Outcome, StoreError> {
        let reason = reason.trim();
        check_reason(reason)?;
        let Some(version) = version else { return self.acknowledge(list, reason) };
        let choose = |state: &State, row: &ListRow| state.held_version(row, version);
        let note = format!("accepted version {version}: {reason}");
        let InForce { from, to, generation, changes } = self.put_into_force(list, choose, Some(&note))?;
        let replaced = Some(from).filter(|from| *from != VersionNumber::LIVE);
        Ok(Outcome::Accepted(Accepted { version: to, replaced, generation, changes }))
    }

    fn acknowledge(&self, list: &ListName, reason: &str) -> Result<Outcome, StoreError> {
        let mut state = self.state_to_change()?;
        let row = state.list(list)?;
        let mut batch = state.catalogue.batch()?;
        let alarms = batch.remove_alarms(row.id)?;
        if alarms > 0 {
            batch.commit(now(), Some(row.id), &format!("acknowledged {alarms} alarms: {reason}"))?;
        }
        Ok(Outcome::Acknowledged { alarms })
    }

    pub(super) fn tell_held(&self, list: &ListName) -> Result<Outcome, StoreError> {
        let state = self.state();
        let row = state.list(list)?;
        match state.held(row.id)? {
            Some((_, held)) => Ok(Outcome::Held(Box::new(held))),
            None => Err(StoreError::NothingHeld(list.clone())),
        }
    }
}

/// A reason stands in one line of the history, and says something.
fn check_reason(reason: &str) -> Result<(), StoreError> {
    let found = match reason {
        "" => "none".to_owned(),
        reason if reason.len() > REASON_MAX => format!("{} bytes", reason.len()),
        reason if reason.contains(char::is_control) => "a control character".to_owned(),
        _ => return Ok(()),
    };
    Err(StoreError::BadReason { found })
}

impl State {
    /// The held version of a list, with what the gate said of it.
    pub(super) fn held(&self, list: ListId) -> Result<Option<(VersionRow, Held)>, StoreError> {
        let read = self.catalogue.read();
        let Some(hold) = read.hold(list)? else { return Ok(None) };
        let Some(version) = read.version(list, hold.version)? else { return Ok(None) };
        // A report is told and never computed with: one of another hashward that cannot be read is told without reasons.
        let held = serde_json::from_str(&hold.report).unwrap_or(Held {
            version: hold.version,
            at: hold.at,
            already: false,
            in_force: None,
            reasons: Vec::new(),
            changes: BTreeMap::new(),
            overlap: Default::default(),
            dropped: None,
        });
        Ok(Some((version, held)))
    }

    /// The held version, if it has this number.
    fn held_version(&self, row: &ListRow, version: VersionNumber) -> Result<VersionRow, StoreError> {
        let held = self.held(row.id)?.map(|(held, _)| held);
        let found = match held {
            Some(held) if held.number == version => return Ok(held),
            Some(held) if held.number > version => format!("version {} came since and is held", held.number),
            Some(held) => format!("version {} is", held.number),
            None => {
                let versions = self.catalogue.read().versions_of(row.id)?;
                match versions.iter().rev().find(|published| published.number >= version) {
                    Some(published) if published.number == version => "it was published".to_owned(),
                    Some(published) => format!("version {} was published since", published.number),
                    None => "no version is".to_owned(),
                }
            }
        };
        Err(StoreError::NotHeld { list: row.name.clone(), version, found })
    }

    /// Takes the files of a version over and lets it wait. What was held before goes.
    pub(super) fn hold(
        &mut self,
        publish: &Publish,
        row: &ListRow,
        replaced: Option<&VersionRow>,
        findings: Findings,
        built: &BuiltVersion,
        incoming: &Path,
    ) -> Result<Held, StoreError> {
        let dropped = self.held(row.id)?.map(|(version, _)| version.number);
        let held = Held {
            version: publish.version,
            at: now(),
            already: false,
            in_force: replaced.map(|replaced| replaced.number),
            reasons: findings.reasons,
            changes: findings.changes,
            overlap: findings.overlap,
            dropped,
        };
        let (numbers, files) = self.take_over(publish, row, replaced, built, incoming);
        let noted = files.and_then(|files| {
            let version = publish.version_row(row, replaced, VersionState::Held, &files);
            self.note_held(publish, row, &version, &files.records, &held)
        });
        self.built(numbers);
        self.try_settle();
        noted.map(|()| held)
    }

    fn note_held(
        &mut self,
        publish: &Publish,
        row: &ListRow,
        version: &VersionRow,
        records: &[RecordsFile],
        held: &Held,
    ) -> Result<(), StoreError> {
        let report = serde_json::to_string(held).expect("reports are plain data with text keys");
        let mut batch = self.catalogue.batch()?;
        if let Some(dropped) = held.dropped {
            alarm::drop_version(&mut batch, row.id, dropped)?;
        }
        batch.put_version(version)?;
        batch.put_records(row.id, version.number, records)?;
        batch.stage_radii(row.id, version.number, &publish.radii)?;
        batch.put_hold(&HoldRow { list: row.id, version: version.number, at: held.at, report })?;
        alarm::raise(&mut batch, row.id, &row.name, &Alarm::Held { version: version.number })?;
        let reasons: Vec<_> = held.reasons.iter().map(ToString::to_string).collect();
        batch.commit(now(), Some(row.id), &format!("held version {}: {}", version.number, reasons.join("; ")))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
