//! Answering questions from the chunks.
//!
//! Four stages, each over all of a question's work: which *blocks* to look at, from the directories; which of their
//! *entries* have a key within the flips that are left; the *ordinals* of those; and the codes, compared. Each stage
//! sends for what it reads some steps ahead, so that the memory is busy all the time and nobody waits for it.

use super::section::{Chunk, ENTRY_BYTES, ORDINAL_BYTES, START_BYTES};
use super::{Mih, plan};
use crate::fingerprint::Radius;
use crate::index::exact::prefetch;
use crate::index::hamming::{Codes, Near};
use crate::segment::layout::u32_at;

/// Steps that a stage sends ahead: about as many cache misses as a core keeps under way.
const AHEAD: usize = 64;

/// Keys that are compared at once.
const KEYS: usize = 64;

/// A group's entries to be looked through.
struct Block {
    /// Offset of the keys in the section; the ordinals follow.
    at: usize,
    entries: u32,
    key: u8,
    /// Bits in which a key may differ.
    flips: u8,
}

/// What the stages hand on.
#[derive(Default)]
struct Stages {
    blocks: Vec<Block>,
    /// Offsets of ordinals in the section.
    entries: Vec<usize>,
    ordinals: Vec<u32>,
}

/// Looks for every question in each chunk with the flips that `flips` allows it, and appends what is near. Rows of
/// questions that turn out to cost more than `budget_ns` are appended to `unanswered`, and nothing to `found` for them.
pub(super) fn search(
    mih: &Mih<'_>,
    questions: Codes<'_>,
    radius: Radius,
    flips: &[Option<u8>],
    budget_ns: f64,
    unanswered: &mut Vec<u32>,
    found: &mut Vec<Near>,
) {
    let masks = Masks::new(&mih.chunks, flips);
    let mut stages = Stages::default();
    for (row, question) in questions.iter().enumerate() {
        // Where codes crowd near the question, the sizes of its groups tell before any of them is read.
        let expected_ns = stages.find_blocks(mih, &masks, flips, question);
        if expected_ns > budget_ns || !stages.find_entries(mih, budget_ns) {
            unanswered.push(row as u32);
            continue;
        }
        stages.read_ordinals(mih);
        let first = found.len();
        mih.kernel.compare(mih.codes, &stages.ordinals, (row as u32, question), radius, found);
        drop_repeated(found, first);
    }
}

/// Several chunks may have given the same code. Keeps one of each from `first` on.
fn drop_repeated(found: &mut Vec<Near>, first: usize) {
    found[first..].sort_unstable();
    let mut kept = first;
    for at in first..found.len() {
        if kept == first || found[kept - 1] != found[at] {
            found[kept] = found[at];
            kept += 1;
        }
    }
    found.truncate(kept);
}

/// Which bits of a group to flip: at `[k]` all numbers with k ones, ascending. So those for a smaller group come first,
/// and one table serves all chunks.
struct Masks(Vec<Vec<u32>>);

impl Masks {
    fn new(chunks: &[Chunk], flips: &[Option<u8>]) -> Masks {
        let end = 1u64 << chunks.iter().map(|chunk| chunk.group_bits).max().unwrap_or(0);
        let most = flips.iter().flatten().max().copied().unwrap_or(0);
        let with_ones = |ones: u8| {
            let mut masks = vec![];
            let mut mask = (1u64 << ones) - 1;
            while mask < end {
                masks.push(mask as u32);
                // The next number with as many ones (Gosper); there is none after 0.
                let lowest = mask & mask.wrapping_neg();
                let carried = mask + lowest;
                mask = if mask == 0 { end } else { carried | ((carried ^ mask) >> 2) >> lowest.trailing_zeros() };
            }
            masks
        };
        Masks((0..=most).map(with_ones).collect())
    }

    /// Those for a chunk, with the flips that each leaves for the key.
    fn of(&self, chunk: &Chunk, flips: u8) -> impl Iterator<Item = (u32, u8)> {
        let end = 1u32 << chunk.group_bits;
        self.0.iter().zip((0..=flips).rev()).flat_map(move |(masks, left)| {
            masks[..masks.partition_point(|mask| *mask < end)].iter().map(move |mask| (*mask, left))
        })
    }
}

impl Stages {
    /// Which blocks to look at. Returns what looking at them costs if their keys are spread evenly.
    fn find_blocks(&mut self, mih: &Mih<'_>, masks: &Masks, flips: &[Option<u8>], question: &[u8]) -> f64 {
        self.blocks.clear();
        let mut expected_ns = 0.0;
        let chunks = mih.chunks.iter().zip(flips).filter_map(|(chunk, flips)| Some((chunk, (*flips)?)));
        let mut places = chunks.map(|(chunk, flips)| (chunk, flips, chunk.value(mih.kernel, question)));
        let send_for = |(chunk, flips, (group, _)): &(&Chunk, u8, (u32, u8))| {
            let masks = masks.of(chunk, *flips);
            masks.for_each(|(mask, _)| prefetch(mih.section, chunk.directory + (group ^ mask) as usize * START_BYTES));
        };
        let mut next = places.next();
        next.iter().for_each(send_for);
        while let Some((chunk, flips, (group, key))) = next {
            // While this chunk's places are read, those of the next are on their way.
            next = places.next();
            next.iter().for_each(send_for);
            for (mask, flips) in masks.of(chunk, flips) {
                let entries = chunk.entries(mih.section, (group ^ mask) as usize, mih.codes.len());
                let at = chunk.blocks + entries.start * ENTRY_BYTES;
                self.blocks.push(Block { at, entries: entries.len() as u32, key, flips });
                expected_ns += plan::block_ns(chunk.key_bits, flips, entries.len());
            }
        }
        expected_ns
    }

    /// Which entries of the blocks to look at; `false` if that, or what follows from it, costs more than the budget.
    fn find_entries(&mut self, mih: &Mih<'_>, budget_ns: f64) -> bool {
        self.entries.clear();
        let send_for = |block: &Block| {
            // 64 bytes are loaded at once, however few of them are keys, and seldom lie in one line.
            prefetch(mih.section, block.at);
            prefetch(mih.section, block.at + KEYS - 1);
        };
        self.blocks.iter().take(AHEAD).for_each(send_for);
        let mut budget_ns = budget_ns - self.blocks.len() as f64 * plan::GROUP_NS;
        for (at, block) in self.blocks.iter().enumerate() {
            self.blocks.get(at + AHEAD).into_iter().for_each(send_for);
            let ordinals = block.at + block.entries as usize;
            let keys = &mih.section[block.at..ordinals];
            for (part, keys) in keys.chunks(KEYS).enumerate() {
                let mut near = mih.kernel.keys_within(keys, block.key, block.flips);
                budget_ns -= f64::from(near.count_ones()) * plan::CANDIDATE_NS + plan::KEYS_NS;
                while near != 0 {
                    let entry = ordinals + (part * KEYS + near.trailing_zeros() as usize) * ORDINAL_BYTES;
                    prefetch(mih.section, entry);
                    self.entries.push(entry);
                    near &= near - 1;
                }
                if budget_ns < 0.0 {
                    return false;
                }
            }
        }
        true
    }

    fn read_ordinals(&mut self, mih: &Mih<'_>) {
        self.ordinals.clear();
        self.ordinals.extend(self.entries.iter().map(|entry| u32_at(mih.section, *entry)));
    }
}
