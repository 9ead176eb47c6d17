//! How many chunks of which widths, and how many flips in each: by what work costs.
//!
//! Costs are those of a core of 2024 whose memory is far larger than its caches, in nanoseconds. Only their ratios
//! matter, and being wrong about them costs time and never a match.

use super::section::{CHUNKS_MAX, Chunk, GROUP_BITS_MAX, KEY_BITS_MAX, VALUE_BITS_MAX};
use crate::fingerprint::Radius;
use crate::index::hamming::{Codes, FLAT_CODES_MAX};

/// Looking up a group and comparing its first keys.
pub(super) const GROUP_NS: f64 = 12.0;
/// Comparing 64 more keys.
pub(super) const KEYS_NS: f64 = 5.0;
/// Fetching a candidate and comparing it.
pub(super) const CANDIDATE_NS: f64 = 8.0;
/// Reading 64 bytes of codes in a scan, from memory, and from a cache.
const READ_NS: (f64, f64) = (1.4, 0.8);
/// Comparing 64 bytes of codes that are in a register.
const COMPARE_NS: f64 = 0.35;
/// So many bytes stay in a cache.
const CACHED_BYTES: usize = 16 << 20;

/// What scanning the codes costs for each of so many questions at once.
pub(super) fn scan_ns(codes: Codes<'_>, questions: usize) -> f64 {
    let read = if codes.bytes.len() > CACHED_BYTES { READ_NS.0 } else { READ_NS.1 };
    codes.bytes.len() as f64 / 64.0 * (read / questions.max(1) as f64).max(COMPARE_NS)
}

/// The radius for which a section is planned: that of most questions for PDQ, and for 64 bits the largest that is still
/// sensible with lists of millions.
fn planned_radius(width: usize) -> u32 {
    if width == 32 { 31 } else { 8 }
}

/// The bits of a chunk's group and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) group_bits: u32,
    pub(super) key_bits: u32,
}

/// The flips that are looked at, at most; further ones make any chunk dearer than a scan.
const FLIPS_MAX: usize = 16;

/// `WITHIN[bits][t]`: numbers of so many bits with at most t ones.
const WITHIN: [[f64; FLIPS_MAX + 1]; VALUE_BITS_MAX as usize + 1] = {
    let mut within = [[1.0; FLIPS_MAX + 1]; VALUE_BITS_MAX as usize + 1];
    let mut bits = 1;
    while bits < within.len() {
        let mut flips = 1;
        while flips <= FLIPS_MAX {
            within[bits][flips] = within[bits - 1][flips] + within[bits - 1][flips - 1];
            flips += 1;
        }
        bits += 1;
    }
    within
};

/// What looking for all keys within `flips` flips in a block costs, if the keys of its entries are spread evenly.
#[inline]
pub(super) fn block_ns(key_bits: u32, flips: u8, entries: usize) -> f64 {
    let share = WITHIN[key_bits as usize][usize::from(flips).min(FLIPS_MAX)] / (1u64 << key_bits) as f64;
    GROUP_NS + entries as f64 * (KEYS_NS / 64.0 + CANDIDATE_NS * share)
}

/// A directory that is larger than the blocks is a waste, whatever it saves.
fn group_bits_max(count: f64) -> u32 {
    GROUP_BITS_MAX.min(count.max(1.0).log2() as u32)
}

impl Shape {
    /// What looking for all values within `flips` flips costs, if `count` codes are spread evenly.
    fn cost_ns(self, flips: usize, count: f64) -> f64 {
        let (groups, bits) = (self.group_bits as usize, (self.group_bits + self.key_bits) as usize);
        let a_group = GROUP_NS + KEYS_NS * count / (64u64 << groups) as f64;
        let candidates = WITHIN[bits][flips] * count / (1u64 << bits) as f64;
        WITHIN[groups][flips] * a_group + candidates * CANDIDATE_NS
    }

    /// The cheapest split of `bits` bits into a group and a key.
    fn cheapest(bits: u32, flips: usize, count: f64) -> (Shape, f64) {
        (0..=KEY_BITS_MAX.min(bits))
            .map(|key_bits| Shape { group_bits: bits - key_bits, key_bits })
            .filter(|shape| shape.group_bits <= group_bits_max(count))
            .map(|shape| (shape, shape.cost_ns(flips, count)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .expect("no more bits than a group and a key can have")
    }
}

/// The shapes of a section's chunks: none if all questions are to be scanned.
pub(super) fn shapes(width: usize, count: usize) -> Vec<Shape> {
    if count <= FLAT_CODES_MAX { vec![] } else { shapes_for(width, count, planned_radius(width)) }
}

/// The cheapest shapes for questions of this radius.
pub(super) fn shapes_for(width: usize, count: usize, radius: u32) -> Vec<Shape> {
    let plans = (1..=CHUNKS_MAX.min(radius as usize + 1)).map(|chunks| shapes_of(width, count as f64, radius, chunks));
    plans.min_by(|one, other| one.0.total_cmp(&other.0)).map_or_else(Vec::new, |(_, shapes)| shapes)
}

/// So many shapes and what they cost. Flips are spread as evenly as the radius allows, and each bit goes where it saves
/// most: a chunk with one flip more gets some bits more.
fn shapes_of(width: usize, count: f64, radius: u32, chunks: usize) -> (f64, Vec<Shape>) {
    let flips = |chunk: usize| (radius as usize + 1 - chunk).div_ceil(chunks) - 1;
    let cheapest = |chunk: usize, bits: u32| Shape::cheapest(bits, flips(chunk).min(FLIPS_MAX), count);
    let bits_max = VALUE_BITS_MAX.min(group_bits_max(count) + KEY_BITS_MAX);
    // A first share for all, below what any of them ends with.
    let share = bits_max.min((width * 8 / chunks) as u32).saturating_sub(6).max(1);
    let mut bits = vec![share; chunks];
    // What one bit more saves.
    let saved = |chunk: usize, bits: u32| match bits < bits_max {
        true => cheapest(chunk, bits).1 - cheapest(chunk, bits + 1).1,
        false => f64::NEG_INFINITY,
    };
    let mut savings: Vec<f64> = (0..chunks).map(|chunk| saved(chunk, share)).collect();
    for _ in share as usize * chunks..width * 8 {
        let most = (0..chunks).max_by(|one, other| savings[*one].total_cmp(&savings[*other])).expect("a chunk");
        if bits[most] < bits_max {
            bits[most] += 1;
            savings[most] = saved(most, bits[most]);
        }
    }
    let (shapes, costs): (Vec<Shape>, Vec<f64>) = (0..chunks).map(|chunk| cheapest(chunk, bits[chunk])).unzip();
    let possible = flips(0) <= FLIPS_MAX && share as usize * chunks <= width * 8;
    (if possible { costs.iter().sum() } else { f64::INFINITY }, shapes)
}

/// Of each chunk, how many flips to look at so that nothing within the radius is missed; `None` for a chunk that is
/// left out. Σ(flips + 1) is the radius and one more. `None` at all if it would cost more than `budget_ns`.
pub(super) fn flips(chunks: &[Chunk], count: usize, radius: Radius, budget_ns: f64) -> Option<Vec<Option<u8>>> {
    let count = count as f64;
    // Of each chunk: the cost so far, and with one flip more. Costs grow ever faster, so that the cheapest next step is
    // always part of the cheapest way.
    let shape = |chunk: &Chunk| Shape { group_bits: chunk.group_bits, key_bits: chunk.key_bits };
    let mut flips = vec![None; chunks.len()];
    let mut costs: Vec<(f64, f64)> = chunks.iter().map(|chunk| (0.0, shape(chunk).cost_ns(0, count))).collect();
    let mut spent = 0.0;
    for _ in 0..=radius.0 {
        let steps = costs.iter().map(|(so_far, next)| next - so_far).enumerate();
        let (cheapest, step) = steps.min_by(|one, other| one.1.total_cmp(&other.1))?;
        spent += step;
        if step == f64::INFINITY || spent > budget_ns {
            return None;
        }
        let next = flips[cheapest].map_or(0, |flips: u8| flips + 1);
        flips[cheapest] = Some(next);
        let further = usize::from(next) + 1;
        let chunk = &chunks[cheapest];
        let possible = further <= FLIPS_MAX && further as u32 <= chunk.bits();
        let ns = if possible { shape(chunk).cost_ns(further, count) } else { f64::INFINITY };
        costs[cheapest] = (costs[cheapest].1, ns);
    }
    Some(flips)
}
