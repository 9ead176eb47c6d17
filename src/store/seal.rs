//! Seal and compaction: the live layer becomes segments, and segments become fewer.
//!
//! Both write their files without the mutex. What they are made from is fixed at the start, with the last batch at
//! that time as the new segment's `applied_seq`; a withdrawal that comes while they run has a later number, and so
//! counts in the new segment when it joins.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::checked::{Verified, verify};
use super::command::Outcome;
use super::manifest::{ManifestSegment, sync_folder};
use super::merge::{Keep, MergeInput, SEGMENT_DIGESTS_MAX, merge, open_reader};
use super::state::{Condition, State};
use super::{SEGMENTS, Store, StoreError, now};
use crate::catalogue::SegmentFile;
use crate::fingerprint::Kind;
use crate::index::live::LiveLayer;
use crate::index::sealed::{Segment, SegmentWriter, WriteOptions};
use crate::list::{ListId, Source, VersionNumber};
use crate::segment::LabelTable;

/// The most segments of a kind that are left alone.
const SEGMENTS_MAX: usize = 6;

/// Segments whose sizes are within a factor of four are similar; so many of them are merged.
const SIMILAR_MAX: usize = 4;

/// Below this many digests all segments are similar.
const SMALL_DIGESTS: u64 = 1 << 16;

/// Withdrawals that are forgotten in one batch: some ten milliseconds' worth.
const FORGOTTEN_MAX: usize = 10_000;

/// How often a compaction of everything starts again when a list was changed under it.
const ATTEMPTS_MAX: usize = 8;

impl Store {
    /// Seals the live layer if it holds at least this many fingerprints.
    pub(super) fn seal_if_due(&self, at_least: usize) -> Result<bool, StoreError> {
        let _turn = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        self.seal(at_least)
    }

    fn seal(&self, at_least: usize) -> Result<bool, StoreError> {
        let frozen = {
            let mut state = self.state_to_change()?;
            match state.freeze(at_least)? {
                Some(frozen) => frozen,
                None => return Ok(false),
            }
        };
        let written = self.write_frozen(&frozen);
        self.join_sealed(&frozen, written).map(|()| true)
    }

    /// Lets the sealed segments answer in place of what was frozen; if they could not be written, nothing has happened.
    fn join_sealed(&self, frozen: &Frozen, written: Result<Vec<NewSegment>, StoreError>) -> Result<(), StoreError> {
        let mut state = self.state();
        let sealed = written.and_then(|files| {
            state.ready_to_change()?;
            let mut manifest = state.manifest.clone();
            manifest.sealed_seq = frozen.seq;
            state.activate(manifest, files)
        });
        if let Some(served) = &mut state.served
            && let Some(since) = served.since_freeze.take()
            && sealed.is_ok()
        {
            served.live = since;
        }
        state.built(frozen.files.iter().map(|(_, number, _)| *number));
        self.show(&state);
        let swept = state.sweep_segments();
        sealed.and(swept)
    }

    fn write_frozen(&self, frozen: &Frozen) -> Result<Vec<NewSegment>, StoreError> {
        let mut files = Vec::new();
        for (kind, _, name) in &frozen.files {
            let path = self.folder.join(SEGMENTS).join(name);
            let options = WriteOptions { locator: None, applied_seq: frozen.seq };
            let mut writer = SegmentWriter::create(&path, *kind, options)?;
            let mut table = LabelTable::new();
            for (value, labels) in frozen.live.iter_kind(*kind) {
                let numbers: Vec<u32> = labels.iter().map(|label| table.intern_label(label.clone())).collect();
                writer.push(value, table.intern_set(&numbers))?;
            }
            writer.finish(&table)?;
            files.push(self.finished(path, name)?);
        }
        sync_folder(&self.folder.join(SEGMENTS))?;
        Ok(files)
    }

    /// A file that was just written, verified like any other before it answers.
    fn finished(&self, path: PathBuf, name: &str) -> Result<NewSegment, StoreError> {
        let Verified { kind, file, sources, mapped } = verify(&path, self.options.serve)?;
        let file = SegmentFile { file: name.to_owned(), ..file };
        Ok((ManifestSegment { kind, file, sources }, mapped))
    }

    /// Merges segments of one kind, if some are due.
    pub(super) fn merge_if_due(&self) -> Result<bool, StoreError> {
        let _turn = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = self.state().plan(false)?;
        match plan {
            None => Ok(false),
            Some(plan) => self.run(&plan).map(|()| true),
        }
    }

    pub(super) fn compact_all(&self) -> Result<Outcome, StoreError> {
        let _turn = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let segments = || self.state().manifest.segments.len() as u64;
        let before = segments();
        self.seal(1)?;
        for _ in 0..ATTEMPTS_MAX * Kind::ALL.len() {
            let plan = self.state().plan(true)?;
            match plan {
                None => break,
                Some(plan) => self.run(&plan)?,
            }
        }
        while self.forget_withdrawals()? {}
        Ok(Outcome::Compacted { before, after: segments() })
    }

    /// Removes some of the withdrawals that count nowhere any more. Returns whether there were any.
    pub(super) fn forget_withdrawals(&self) -> Result<bool, StoreError> {
        let mut state = self.state_to_change()?;
        state.forget_withdrawals()
    }

    fn run(&self, plan: &Plan) -> Result<(), StoreError> {
        let written = self.write_merged(plan);
        self.join_merged(plan, written)
    }

    /// Lets the merged segment answer in place of what it was merged from. If a list was changed meanwhile so that
    /// something would be missing, it is thrown away, and the plan that is made next takes the change into account.
    fn join_merged(&self, plan: &Plan, written: Result<Option<NewSegment>, StoreError>) -> Result<(), StoreError> {
        let mut state = self.state();
        let merged = written.and_then(|file| {
            state.ready_to_change()?;
            let feeds = state.feeds()?;
            let mut manifest = state.manifest.clone();
            let sources = plan.inputs.iter().flat_map(|input| &input.sources);
            let revived = sources.into_iter().any(|s| manifest.counts(s, &feeds) && !plan.keep.sources.contains(s));
            let gone = plan.inputs.iter().any(|input| !manifest.segments.contains(input));
            if revived || gone {
                return Ok(());
            }
            manifest.segments.retain(|segment| !plan.inputs.contains(segment));
            state.activate(manifest, file.into_iter().collect())
        });
        state.built([plan.number]);
        self.show(&state);
        let swept = state.sweep_segments();
        merged.and(swept)
    }

    fn write_merged(&self, plan: &Plan) -> Result<Option<NewSegment>, StoreError> {
        let folder = self.folder.join(SEGMENTS);
        let mut inputs = Vec::new();
        for (input, mapped) in plan.inputs.iter().zip(&plan.mapped) {
            // What would be copied from a damaged file would carry a sound checksum.
            let path = folder.join(&input.file.file);
            match mapped {
                Some(segment) => segment.verify()?,
                None => drop(verify(&path, false)?),
            }
            inputs.push(MergeInput { reader: open_reader(&path)?, applied_seq: input.file.applied_seq });
        }
        let path = folder.join(&plan.file);
        if merge(&path, plan.kind, inputs, &plan.keep, plan.seq)? {
            sync_folder(&folder)?;
            return self.finished(path, &plan.file).map(Some);
        }
        Ok(None)
    }
}

/// A segment that is to join the generation.
type NewSegment = (ManifestSegment, Option<Arc<Segment>>);

/// The live layer that is being sealed.
struct Frozen {
    live: LiveLayer,
    /// The last batch whose changes are in it.
    seq: u64,
    /// Of each kind: the number and the name of its file.
    files: Vec<(Kind, u64, String)>,
}

/// A merge to carry out.
struct Plan {
    kind: Kind,
    inputs: Vec<ManifestSegment>,
    /// Of each input: where it is mapped.
    mapped: Vec<Option<Arc<Segment>>>,
    keep: Keep,
    /// The last batch whose withdrawals are in `keep`.
    seq: u64,
    number: u64,
    file: String,
}

impl State {
    fn freeze(&mut self, at_least: usize) -> Result<Option<Frozen>, StoreError> {
        let live = match &self.served {
            Some(served) => served.live.clone(),
            None => self.replay()?,
        };
        if live.is_empty() || live.len() < at_least {
            return Ok(None);
        }
        let files = live.kinds().map(|kind| {
            let (number, name) = self.new_file();
            (kind, number, name)
        });
        let files = files.collect();
        if let Some(served) = &mut self.served {
            served.since_freeze = Some(LiveLayer::empty());
        }
        Ok(Some(Frozen { live, seq: self.catalogue.head().seq, files }))
    }

    /// What to merge next: of any kind, or with `all` whatever can be merged.
    fn plan(&mut self, all: bool) -> Result<Option<Plan>, StoreError> {
        let feeds = self.feeds()?;
        for kind in Kind::ALL {
            let segments: Vec<_> = self.manifest.segments.iter().filter(|segment| segment.kind == kind).collect();
            let mapped: Option<Vec<_>> = segments.iter().map(|segment| self.mapped(segment)).collect();
            // A kind of which something is damaged or not yet verified is left as it is.
            let Some(mapped) = mapped else { continue };
            let mut chosen = match all {
                true => self.worth_merging(&segments, &feeds)?,
                false => self.due(&segments, &feeds),
            };
            chosen.sort_by_key(|index| segments[*index].file.digests);
            while chosen.iter().map(|index| segments[*index].file.digests).sum::<u64>() > SEGMENT_DIGESTS_MAX {
                chosen.pop();
            }
            if chosen.is_empty() {
                continue;
            }
            let inputs: Vec<ManifestSegment> = chosen.iter().map(|index| segments[*index].clone()).collect();
            let mapped = chosen.iter().map(|index| mapped[*index].clone()).collect();
            let keep = self.keep(kind, &inputs, &feeds)?;
            let (number, file) = self.new_file();
            return Ok(Some(Plan { kind, inputs, mapped, keep, seq: self.catalogue.head().seq, number, file }));
        }
        Ok(None)
    }

    /// Where a segment is mapped, if this store maps any; `None` if it does not answer.
    fn mapped(&self, segment: &ManifestSegment) -> Option<Option<Arc<Segment>>> {
        let Some(served) = &self.served else { return Some(None) };
        match &served.slots.get(&segment.file.file)?.condition {
            Condition::Ready { segment, .. } => Some(Some(segment.clone())),
            _ => None,
        }
    }

    /// All, if there are several, or if the one holds what no longer counts.
    fn worth_merging(&self, segments: &[&ManifestSegment], feeds: &BTreeSet<ListId>) -> Result<Vec<usize>, StoreError> {
        if let [segment] = segments
            && segment.sources.iter().all(|source| self.manifest.counts(source, feeds))
            && !self.has_withdrawn(segment)?
        {
            return Ok(Vec::new());
        }
        // Two segments may together be too large for one; merging them again and again would gain nothing.
        let total: u64 = segments.iter().map(|segment| segment.file.digests).sum();
        Ok(if total > SEGMENT_DIGESTS_MAX { Vec::new() } else { (0..segments.len()).collect() })
    }

    fn has_withdrawn(&self, segment: &ManifestSegment) -> Result<bool, StoreError> {
        for list in segment.sources.iter().map(|source| source.list) {
            if !self.catalogue.read().withdrawals_after(list, segment.kind, segment.file.applied_seq)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A segment with sources that no longer count; else several of similar size; else the smallest, if there are too
    /// many.
    fn due(&self, segments: &[&ManifestSegment], feeds: &BTreeSet<ListId>) -> Vec<usize> {
        let dead = |segment: &ManifestSegment| segment.sources.iter().any(|s| !self.manifest.counts(s, feeds));
        if let Some(index) = segments.iter().position(|segment| dead(segment)) {
            return vec![index];
        }
        let mut by_size: Vec<usize> = (0..segments.len()).collect();
        by_size.sort_by_key(|index| segments[*index].file.digests);
        let tier = |index: &usize| segments[*index].file.digests.max(SMALL_DIGESTS).ilog(SIMILAR_MAX as u64);
        for similar in by_size.chunk_by(|a, b| tier(a) == tier(b)) {
            if similar.len() >= SIMILAR_MAX {
                return similar.to_vec();
            }
        }
        let surplus = segments.len().saturating_sub(SEGMENTS_MAX);
        if surplus == 0 { Vec::new() } else { by_size[..=surplus].to_vec() }
    }

    fn keep(&self, kind: Kind, inputs: &[ManifestSegment], feeds: &BTreeSet<ListId>) -> Result<Keep, StoreError> {
        let sources = inputs.iter().flat_map(|input| &input.sources).copied();
        let sources: BTreeSet<Source> = sources.filter(|source| self.manifest.counts(source, feeds)).collect();
        let oldest = inputs.iter().map(|input| input.file.applied_seq).min().unwrap_or(0);
        let mut withdrawn = Vec::new();
        for list in sources.iter().map(|source| source.list).collect::<BTreeSet<_>>() {
            let later = self.catalogue.read().withdrawals_after(list, kind, oldest)?;
            withdrawn.extend(later.into_iter().map(|row| (row.fingerprint.value().into(), list, row.seq)));
        }
        withdrawn.sort();
        Ok(Keep { sources, withdrawn })
    }

    /// Removes withdrawals that no file is older than, those of kept versions and of the generation before among
    /// them: they count nowhere any more. Some at a time, since changes wait meanwhile; returns whether there were any.
    fn forget_withdrawals(&mut self) -> Result<bool, StoreError> {
        let versions = self.catalogue.read().versions()?;
        let manifests: Vec<_> = [Some(&self.manifest), self.previous.as_ref()].into_iter().flatten().collect();
        let mut forgotten = Vec::new();
        for list in self.catalogue.read().lists()? {
            let holds = |segment: &&ManifestSegment| segment.sources.iter().any(|source| source.list == list.id);
            let of_manifests = manifests.iter().flat_map(|manifest| &manifest.segments).filter(holds);
            let of_versions = versions.iter().filter(|version| version.list == list.id);
            let files = of_versions.flat_map(|version| version.segments.values());
            let oldest = files.chain(of_manifests.map(|segment| &segment.file)).map(|file| file.applied_seq).min();
            // What changed since the last seal is found by its withdrawals, too, when the live layer is made again.
            let sealed = manifests.iter().map(|manifest| manifest.sealed_seq).min();
            let is_feed = self.current_source(&list).version == VersionNumber::LIVE;
            let bound = oldest.into_iter().chain(sealed.filter(|_| is_feed)).min();
            let room = FORGOTTEN_MAX - forgotten.len();
            forgotten.extend(self.catalogue.read().withdrawals_up_to(list.id, bound.unwrap_or(0), room)?);
        }
        if forgotten.is_empty() {
            return Ok(false);
        }
        let mut batch = self.catalogue.batch()?;
        for row in &forgotten {
            batch.forget_withdrawal(row)?;
        }
        batch.commit(now(), None, &format!("forgot {} withdrawals that no segment is older than", forgotten.len()))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
