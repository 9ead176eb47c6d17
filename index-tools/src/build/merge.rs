//! The k-way merge: many runs of one kind become one ascending stream of digests, each once, with all its labels.
//!
//! A tournament tree of losers finds the next row with one comparison a level. How many runs are open at once is
//! bounded ([`FAN_IN_MAX`]); if there are more, groups of them are first merged into longer runs.

use std::path::Path;

use hashward::fingerprint::Kind;

use super::BuildError;
use super::rows::{LabelId, RowBuffer, row_bytes};
use super::run::{Cursor, RunFile, RunWriter};

/// Runs that are open at once. At the default budget a run of MD5s holds some 20 million rows, so one level merges
/// more than a billion.
pub(super) const FAN_IN_MAX: usize = 64;

/// Blocks in which run files are read: enough for the disk to stream, and for the sum over all runs to be small.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024..=1024 * 1024;

/// How a merge may use memory and files.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergeLimits {
    /// Runs that are open at once, at least 2.
    pub(super) fan_in: usize,
    /// The sum of all blocks.
    pub(super) memory_bytes: usize,
}

/// An ascending stream of digests, each once, with its labels.
pub(super) struct Merge {
    width: usize,
    cursors: Vec<Cursor>,
    /// `losers[1..]`: who lost at that inner node; `losers[0]`: who won it all.
    losers: Vec<usize>,
}

impl Merge {
    /// Opens `files` and `rest`, merging in levels through files in `folder` if there are too many.
    pub(super) fn open(
        kind: Kind,
        mut files: Vec<RunFile>,
        rest: Option<RowBuffer>,
        folder: &Path,
        limits: MergeLimits,
    ) -> Result<Merge, BuildError> {
        let fan_in = limits.fan_in.max(2);
        let mut next_number = 0;
        while files.len() > fan_in {
            let mut longer = Vec::new();
            let mut shorter = files.into_iter();
            loop {
                let group: Vec<_> = shorter.by_ref().take(fan_in).collect();
                if group.is_empty() {
                    break;
                }
                let path = folder.join(format!("{kind}-merged-{next_number}.run"));
                next_number += 1;
                let merge = Merge::over(kind, group, None, limits)?;
                longer.push(merge.into_run(kind, path)?);
            }
            files = longer;
        }
        Merge::over(kind, files, rest, limits)
    }

    fn over(
        kind: Kind,
        files: Vec<RunFile>,
        rest: Option<RowBuffer>,
        limits: MergeLimits,
    ) -> Result<Merge, BuildError> {
        let block_bytes = (limits.memory_bytes / files.len().max(1)).clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
        let mut cursors = Vec::with_capacity(files.len() + 1);
        for run in files {
            cursors.push(Cursor::in_file(kind, run, block_bytes)?);
        }
        cursors.extend(rest.map(Cursor::in_memory));
        let mut merge = Merge { width: kind.width(), losers: vec![0; cursors.len()], cursors };
        merge.play_all();
        Ok(merge)
    }

    /// Takes the next digest into `digest` and its labels, ascending and each once, into `labels`. `false` at the end.
    #[inline]
    pub(super) fn next(&mut self, digest: &mut [u8], labels: &mut Vec<LabelId>) -> Result<bool, BuildError> {
        labels.clear();
        let Some(row) = self.first() else { return Ok(false) };
        digest.copy_from_slice(&row[..self.width]);
        labels.push(LabelId::of_row(row));
        self.step()?;
        while let Some(row) = self.first().filter(|row| row[..self.width] == *digest) {
            let label = LabelId::of_row(row);
            if labels.last() != Some(&label) {
                labels.push(label);
            }
            self.step()?;
        }
        Ok(true)
    }

    fn into_run(mut self, kind: Kind, path: std::path::PathBuf) -> Result<RunFile, BuildError> {
        let mut writer = RunWriter::create(path)?;
        let mut block = Vec::with_capacity(*BLOCK_BYTES.end() + row_bytes(kind));
        let mut digest = vec![0; kind.width()];
        let mut labels = Vec::new();
        while self.next(&mut digest, &mut labels)? {
            for label in &labels {
                block.extend_from_slice(&digest);
                block.extend_from_slice(&label.0.to_be_bytes());
                if block.len() >= *BLOCK_BYTES.end() {
                    writer.write(&block)?;
                    block.clear();
                }
            }
        }
        writer.write(&block)?;
        Ok(writer.finish())
    }

    fn first(&self) -> Option<&[u8]> {
        self.cursors.get(*self.losers.first()?)?.row()
    }

    /// Moves the winner on and lets it play its way up again.
    #[inline]
    fn step(&mut self) -> Result<(), BuildError> {
        let mut winner = self.losers[0];
        self.cursors[winner].advance()?;
        let mut node = (winner + self.cursors.len()) / 2;
        while node > 0 {
            if self.goes_before(self.losers[node], winner) {
                std::mem::swap(&mut self.losers[node], &mut winner);
            }
            node /= 2;
        }
        self.losers[0] = winner;
        Ok(())
    }

    /// The first tournament: leaves are the cursors, the tree has `cursors.len()` of them and as many inner nodes
    /// (with node 0 above the root).
    fn play_all(&mut self) {
        let leaves = self.cursors.len();
        let mut winners = vec![0; 2 * leaves];
        for (leaf, winner) in winners[leaves..].iter_mut().enumerate() {
            *winner = leaf;
        }
        for node in (1..leaves).rev() {
            let (left, right) = (winners[2 * node], winners[2 * node + 1]);
            let left_first = self.goes_before(left, right);
            winners[node] = if left_first { left } else { right };
            self.losers[node] = if left_first { right } else { left };
        }
        if let Some(top) = self.losers.first_mut() {
            *top = winners[1];
        }
    }

    #[inline]
    fn goes_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.cursors[a], &self.cursors[b]);
        if a.prefix != b.prefix {
            return a.prefix < b.prefix;
        }
        match (a.row(), b.row()) {
            (Some(a), Some(b)) => a < b,
            (a, _) => a.is_some(),
        }
    }
}
