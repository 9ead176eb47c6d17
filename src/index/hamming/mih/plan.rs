//! How many chunks of which widths, and how many flips in each: by what work costs.
//!
//! Costs are those of a core of 2024 whose memory is far larger than its caches, in nanoseconds. Only their ratios
//! matter, and being wrong about them costs time and never a match.

use super::section::{CHUNKS_MAX, Chunk, GROUP_BITS_MAX, KEY_BITS_MAX, VALUE_BITS_MAX};
use crate::fingerprint::Radius;
use crate::index::hamming::Codes;

/// Looking up a group and comparing its first keys.
pub(super) const GROUP_NS: f64 = 7.0;
/// Comparing 64 more keys.
pub(super) const KEYS_NS: f64 = 2.5;
/// Fetching a candidate and comparing it.
pub(super) const CANDIDATE_NS: f64 = 10.0;
/// Comparing a code of 32 bytes, or of 8, in a scan.
const SCAN_NS: (f64, f64) = (0.8, 0.2);

/// Up to this many codes every question is scanned, which takes a microsecond or two.
pub(super) const SCANNED_MAX: usize = 4096;

/// What scanning the codes costs.
pub(super) fn scan_ns(codes: Codes<'_>) -> f64 {
    codes.len() as f64 * if codes.width == 32 { SCAN_NS.0 } else { SCAN_NS.1 }
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

impl Shape {
    /// What looking for all values within `flips` flips costs, if `count` codes are spread evenly.
    fn cost_ns(self, flips: usize, count: f64) -> f64 {
        let (groups, bits) = (self.group_bits as usize, (self.group_bits + self.key_bits) as usize);
        let a_group = GROUP_NS + KEYS_NS * count / (64 << groups) as f64;
        let candidates = WITHIN[bits][flips] * count / (1u64 << bits) as f64;
        WITHIN[groups][flips] * a_group + candidates * CANDIDATE_NS
    }

    /// The cheapest split of `bits` bits into a group and a key.
    fn cheapest(bits: u32, flips: usize, count: f64) -> (Shape, f64) {
        (0..=KEY_BITS_MAX.min(bits))
            .map(|key_bits| Shape { group_bits: bits - key_bits, key_bits })
            // A directory that is larger than the blocks is a waste, whatever it saves.
            .filter(|shape| shape.group_bits <= GROUP_BITS_MAX && (1u64 << shape.group_bits) as f64 <= count)
            .map(|shape| (shape, shape.cost_ns(flips, count)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .unwrap_or((Shape { group_bits: 0, key_bits: 0 }, f64::INFINITY))
    }
}

/// The shapes of a section's chunks: none if all questions are to be scanned.
pub(super) fn shapes(width: usize, count: usize) -> Vec<Shape> {
    if count <= SCANNED_MAX { vec![] } else { shapes_for(width, count, planned_radius(width)) }
}

/// The cheapest shapes for questions of this radius. With m chunks, as many as possible get equally many flips, and the
/// rest one more; those are wider, so that both sorts cost about as much.
pub(super) fn shapes_for(width: usize, count: usize, radius: u32) -> Vec<Shape> {
    let (all_bits, count) = (width as u32 * 8, count as f64);
    let mut best = (f64::INFINITY, vec![]);
    for chunks in 1..=(radius + 1).min(CHUNKS_MAX as u32) {
        let (flips, more) = ((radius + 1) / chunks - 1, (radius + 1) % chunks);
        for wide in 1..=VALUE_BITS_MAX {
            let Some(left) = all_bits.checked_sub(wide * more) else { break };
            let narrow = (left / (chunks - more)).min(VALUE_BITS_MAX);
            if narrow == 0 || (more > 0 && narrow > wide) {
                continue;
            }
            // Of the narrow ones, as many as there are bits left take one more.
            let wider = if narrow == VALUE_BITS_MAX { 0 } else { left - narrow * (chunks - more) };
            let sorts = [(more, wide, flips + 1), (wider, narrow + 1, flips), (chunks - more - wider, narrow, flips)];
            let (mut cost, mut shapes) = (0.0, vec![]);
            for (number, bits, flips) in sorts {
                if number > 0 && flips as usize <= FLIPS_MAX {
                    let (shape, ns) = Shape::cheapest(bits, flips as usize, count);
                    cost += ns * f64::from(number);
                    shapes.extend(std::iter::repeat_n(shape, number as usize));
                }
            }
            if shapes.len() == chunks as usize && cost < best.0 {
                best = (cost, shapes);
            }
        }
    }
    best.1
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
