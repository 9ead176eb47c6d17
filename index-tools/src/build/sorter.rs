//! Sorting more rows than memory holds: rows of all kinds gather in one batch; a full batch goes to a thread that
//! sorts and spills it while the next one fills.
//!
//! At most two batches exist at any moment, and [`SortLimits`] bounds each. What never fills a batch is never written
//! to disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use hashward::fingerprint::Kind;

use super::BuildError;
use super::merge::{FAN_IN_MAX, Merge, MergeLimits};
use super::rows::{LabelId, RowBuffer, row_bytes};
use super::run::RunFile;

/// What a sorter may use.
#[derive(Clone, Copy, Debug)]
pub struct SortLimits {
    /// One of the two batches.
    pub batch_bytes: usize,
    /// All blocks together in which runs are read while they are merged.
    pub merge_bytes: usize,
    /// Runs that are merged at once, at least 2.
    pub fan_in: usize,
}

impl SortLimits {
    /// Divides `budget_bytes`: three quarters for the two batches, so that parsing, the segment's writer and the
    /// program itself have the rest. While merging, one batch at most is still in memory, and the blocks take the
    /// place of the other.
    pub fn within(budget_bytes: u64) -> SortLimits {
        let budget = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
        SortLimits { batch_bytes: budget / 8 * 3, merge_bytes: budget / 8, fan_in: FAN_IN_MAX }
    }
}

/// Rows by kind; a kind's are found by its code.
type Batch = [Option<RowBuffer>; Kind::ALL.len() + 1];

/// Takes rows in any order and gives them back sorted, by kind.
pub struct EntrySorter {
    folder: PathBuf,
    limits: SortLimits,
    filling: Batch,
    filling_bytes: usize,
    worker: Option<Worker>,
    runs: BTreeMap<Kind, Vec<RunFile>>,
}

impl EntrySorter {
    /// A sorter that spills into `folder`, which exists.
    pub fn new(folder: &Path, limits: SortLimits) -> EntrySorter {
        EntrySorter {
            folder: folder.to_owned(),
            limits,
            filling: Batch::default(),
            filling_bytes: 0,
            worker: None,
            runs: BTreeMap::new(),
        }
    }

    /// Takes one row; `digest` has the width of its kind.
    ///
    /// # Errors
    /// When a batch that was handed over before could not be spilled.
    #[inline]
    pub fn push(&mut self, kind: Kind, digest: &[u8], label: LabelId) -> Result<(), BuildError> {
        if self.filling_bytes + row_bytes(kind) > self.limits.batch_bytes && self.filling_bytes > 0 {
            self.hand_over()?;
        }
        let rows = self.filling[usize::from(kind.code())].get_or_insert_with(|| RowBuffer::new(kind));
        rows.push(digest, label, self.limits.batch_bytes);
        self.filling_bytes += row_bytes(kind);
        Ok(())
    }

    /// Ends the input: what is still in memory is sorted there.
    ///
    /// # Errors
    /// When a batch could not be spilled.
    pub fn finish(mut self) -> Result<SortedRows, BuildError> {
        if let Some(mut worker) = self.worker.take() {
            for (kind, run) in worker.collect()?.runs {
                self.runs.entry(kind).or_default().push(run);
            }
        }
        let mut rest = BTreeMap::new();
        for mut rows in self.filling.into_iter().flatten().filter(|rows| !rows.is_empty()) {
            rows.sort_and_dedup();
            rest.insert(rows.kind(), rows);
        }
        Ok(SortedRows { folder: self.folder, limits: self.limits, runs: self.runs, rest })
    }

    /// Gives the full batch to the sorting thread, once that is done with the one before, and goes on with an empty
    /// one.
    fn hand_over(&mut self) -> Result<(), BuildError> {
        let worker = match &mut self.worker {
            Some(worker) => worker,
            None => self.worker.insert(Worker::start(self.folder.clone())?),
        };
        let Spilled { emptied, runs } = worker.swap(std::mem::take(&mut self.filling))?;
        (self.filling, self.filling_bytes) = (emptied, 0);
        for (kind, run) in runs {
            self.runs.entry(kind).or_default().push(run);
        }
        Ok(())
    }
}

/// All rows of a build, sorted.
pub struct SortedRows {
    folder: PathBuf,
    limits: SortLimits,
    runs: BTreeMap<Kind, Vec<RunFile>>,
    rest: BTreeMap<Kind, RowBuffer>,
}

impl SortedRows {
    /// The kinds that have rows, in the order of their codes.
    pub fn kinds(&self) -> Vec<Kind> {
        let kinds = self.runs.keys().chain(self.rest.keys()).copied();
        kinds.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// The rows of one kind as an ascending stream; they are gone from here afterwards.
    ///
    /// # Errors
    /// When run files cannot be read, or merged into longer ones.
    pub(super) fn take(&mut self, kind: Kind) -> Result<Merge, BuildError> {
        let files = self.runs.remove(&kind).unwrap_or_default();
        let rest = self.rest.remove(&kind);
        let limits = MergeLimits { fan_in: self.limits.fan_in, memory_bytes: self.limits.merge_bytes };
        Merge::open(kind, files, rest, &self.folder, limits)
    }
}

/// The sorting thread. Dropping this waits for it, so that no file appears in the folder afterwards.
struct Worker {
    full: Option<Sender<Batch>>,
    done: Receiver<Result<Spilled, BuildError>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

/// What has become of a batch.
#[derive(Default)]
struct Spilled {
    emptied: Batch,
    runs: Vec<(Kind, RunFile)>,
}

impl Worker {
    fn start(folder: PathBuf) -> Result<Worker, BuildError> {
        let (full, batches) = bounded::<Batch>(1);
        let (results, done) = bounded(1);
        let work = move || {
            for (number, batch) in batches.into_iter().enumerate() {
                if results.send(spill(batch, &folder, number)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sorter".to_owned()).spawn(work).map_err(BuildError::Thread)?;
        Ok(Worker { full: Some(full), done, thread: Some(thread), busy: false })
    }

    /// Hands over `batch` and returns what became of the one before.
    fn swap(&mut self, batch: Batch) -> Result<Spilled, BuildError> {
        let before = self.collect()?;
        let full = self.full.as_ref().ok_or(BuildError::SorterStopped)?;
        full.send(batch).map_err(|_| BuildError::SorterStopped)?;
        self.busy = true;
        Ok(before)
    }

    /// Waits for what became of the last batch.
    fn collect(&mut self) -> Result<Spilled, BuildError> {
        if !std::mem::take(&mut self.busy) {
            return Ok(Spilled::default());
        }
        self.done.recv().map_err(|_| BuildError::SorterStopped)?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.full = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has shown itself as `SorterStopped` already.
            let _ = thread.join();
        }
    }
}

fn spill(batch: Batch, folder: &Path, number: usize) -> Result<Spilled, BuildError> {
    let mut spilled = Spilled::default();
    let kinds = batch.iter().flatten().filter(|rows| !rows.is_empty()).count();
    for mut rows in batch.into_iter().flatten().filter(|rows| !rows.is_empty()) {
        rows.sort_and_dedup();
        let kind = rows.kind();
        spilled.runs.push((kind, RunFile::write(folder.join(format!("{kind}-{number}.run")), &rows)?));
        // Memory that was touched stays with the process. A batch of several kinds gives it back, lest the next one,
        // with other shares of kinds, needs more beside it.
        if kinds == 1 {
            rows.clear();
            spilled.emptied[usize::from(kind.code())] = Some(rows);
        }
    }
    Ok(spilled)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Kind, BTreeMap<Vec<u8>, BTreeSet<LabelId>>>;

    /// The sorter gives back what a tree says, and leaves no file behind.
    fn check(rows: &[(Kind, Vec<u8>, LabelId)], limits: SortLimits) {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = EntrySorter::new(folder.path(), limits);
        let mut model = Model::new();
        for (kind, digest, label) in rows {
            sorter.push(*kind, digest, *label).unwrap();
            model.entry(*kind).or_default().entry(digest.clone()).or_default().insert(*label);
        }
        let mut sorted = sorter.finish().unwrap();
        assert_eq!(sorted.kinds(), model.keys().copied().collect::<Vec<_>>());
        for (kind, expected) in model {
            let mut merge = sorted.take(kind).unwrap();
            let (mut digest, mut labels) = (vec![0; kind.width()], Vec::new());
            let mut expected = expected.into_iter();
            while merge.next(&mut digest, &mut labels).unwrap() {
                let (expected_digest, expected_labels) = expected.next().expect("no more digests than the model has");
                assert_eq!((&digest, &labels), (&expected_digest, &expected_labels.into_iter().collect()));
            }
            assert_eq!(expected.next(), None);
        }
        drop(sorted);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    fn digest(kind: Kind, seed: u16) -> Vec<u8> {
        // Few leading bytes and all ones now and then, so that prefixes tie and the greatest digest occurs.
        let fill = if seed.is_multiple_of(7) { 0xFF } else { (seed % 3) as u8 };
        let mut digest = vec![fill; kind.width()];
        if !seed.is_multiple_of(49) {
            digest[kind.width() - 2..].copy_from_slice(&seed.to_be_bytes());
        }
        digest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_budget_gives_what_a_tree_gives(
            rows in proptest::collection::vec((0usize..7, 0u16..600, 0u32..4), 0..1500),
            batch_bytes in 1usize..20_000,
            fan_in in 2usize..5,
        ) {
            let rows: Vec<_> = rows.into_iter()
                .map(|(kind, seed, label)| (Kind::ALL[kind], digest(Kind::ALL[kind], seed), LabelId(label))).collect();
            check(&rows, SortLimits { batch_bytes, merge_bytes: 1, fan_in });
        }
    }

    #[test]
    fn runs_beyond_the_fan_in_are_merged_in_levels() {
        let rows = (0..3_000u16).map(|i| (Kind::Md5, digest(Kind::Md5, i.wrapping_mul(40_503)), LabelId(0)));
        let rows: Vec<_> = rows.collect();
        check(&rows, SortLimits { batch_bytes: 400, merge_bytes: 1, fan_in: 3 });
    }

    #[test]
    fn an_unwritable_folder_is_an_error_that_names_it() {
        let limits = SortLimits { batch_bytes: 100, merge_bytes: 1, fan_in: 2 };
        let mut sorter = EntrySorter::new(Path::new("/nonexistent-folder"), limits);
        let pushed = (0..1_000).try_for_each(|i| sorter.push(Kind::Md5, &digest(Kind::Md5, i), LabelId(0)));
        let error = pushed.unwrap_err().to_string();
        assert!(error.contains("/nonexistent-folder/md5-0.run"), "{error}");
    }
}
