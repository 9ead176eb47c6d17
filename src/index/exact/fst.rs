//! The locator `fst`: a filter, a transducer from prefixes to ordinals, and the digests in order.
//!
//! The prefix is short on purpose: as long as tells most digests apart and no longer, since every byte more makes
//! the transducer larger and the walk longer. Digests that share a prefix stand side by side and are told apart by
//! a search that gallops, so a set in which very many share one is still searched in logarithmic time.

use super::bucket::{self, ones};
use super::filter::{Filter, FilterParameters, Probe};
use super::simd::prefetch;
use super::transducer::{END, Transducer, Walk};
use super::{GROUP, Locator};
use crate::index::sealed::{Found, Place};
use crate::segment::{LabelSetId, unpack};

/// See [`crate::segment::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) struct FstParameters {
    /// `None` if the file has no filter.
    pub(in crate::index) filter: Option<FilterParameters>,
    pub(in crate::index) prefix: usize,
}

/// The longest prefix that a transducer holds, in bytes.
pub(in crate::index) const PREFIX_MAX: usize = 8;

/// A segment's bytes, seen as ordinals.
pub(in crate::index) struct Fst<'a> {
    pub(in crate::index) digests: &'a [u8],
    pub(in crate::index) sets: &'a [u8],
    pub(in crate::index) transducer: Transducer<'a>,
    pub(in crate::index) filter: Filter<'a>,
    pub(in crate::index) prefix: usize,
    pub(in crate::index) width: usize,
    pub(in crate::index) set_bits: u8,
}

impl Fst<'_> {
    fn count(&self) -> u64 {
        (self.digests.len() / self.width) as u64
    }

    /// The digest with this ordinal, which is below the count.
    #[inline(always)]
    fn digest(&self, ordinal: u64) -> &[u8] {
        &self.digests[ordinal as usize * self.width..(ordinal as usize + 1) * self.width]
    }

    /// The ordinal of `value`, which is not below `first`, the first ordinal with its prefix.
    #[inline]
    fn search(&self, first: u64, value: &[u8]) -> Option<u64> {
        let count = self.count();
        if first >= count {
            return None;
        }
        // Gallop: everything below `low` is smaller than the value, and the value is not behind `high`.
        let (mut low, mut step) = (first, 1);
        let mut high = loop {
            let at = low + step - 1;
            if at >= count {
                break count;
            }
            match self.digest(at).cmp(value) {
                std::cmp::Ordering::Less => low = at + 1,
                std::cmp::Ordering::Equal => return Some(at),
                std::cmp::Ordering::Greater => break at,
            }
            step *= 2;
        };
        while low < high {
            let middle = low + (high - low) / 2;
            match self.digest(middle).cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    #[inline(always)]
    fn set(&self, ordinal: u64) -> LabelSetId {
        LabelSetId(unpack(self.sets, self.set_bits, ordinal))
    }
}

impl Locator for Fst<'_> {
    type Plan = [Probe; GROUP];

    #[inline]
    fn find(&self, digest: &[u8]) -> Option<(Place, LabelSetId)> {
        if !self.filter.may_hold(&self.filter.prepare(bucket::key(digest))) {
            return None;
        }
        let first = self.transducer.get(&digest[..self.prefix])?;
        let ordinal = self.search(first, digest)?;
        Some((Place(ordinal), self.set(ordinal)))
    }

    fn plan(&self, digests: &[u8]) -> [Probe; GROUP] {
        let mut probes = [Probe::default(); GROUP];
        for (probe, value) in probes.iter_mut().zip(digests.chunks_exact(self.width)) {
            *probe = self.filter.prepare(bucket::key(value));
        }
        probes
    }

    fn find_group(&self, digests: &[u8], probes: &[Probe; GROUP], first_row: u32, found: &mut Vec<Found>) {
        let value = |row: usize| &digests[row * self.width..(row + 1) * self.width];
        // Rows still in the running, in bits. Each stage reads what the one before it prefetched.
        let mut rows = 0u64;
        for (row, probe) in probes.iter().enumerate().take(digests.len() / self.width) {
            rows |= u64::from(self.filter.may_hold(probe)) << row;
        }
        if rows == 0 {
            return;
        }
        let mut walks = [Walk::default(); GROUP];
        ones(rows).for_each(|row| walks[row] = self.transducer.start());
        for level in 0..self.prefix {
            for row in ones(rows) {
                let value = value(row);
                match self.transducer.step(walks[row], value[level]) {
                    Some(walk) => {
                        walks[row] = walk;
                        if level + 1 < self.prefix {
                            self.transducer.prefetch(walk.node, value[level + 1]);
                        }
                    }
                    None => rows &= !(1 << row),
                }
            }
        }
        for row in ones(rows) {
            if walks[row].node != END {
                rows &= !(1 << row);
                continue;
            }
            let at = (walks[row].output as usize).wrapping_mul(self.width);
            prefetch(self.digests, at);
            prefetch(self.digests, at.wrapping_add(self.width));
        }
        let mut ordinals = [0u64; GROUP];
        for row in ones(rows) {
            match self.search(walks[row].output, value(row)) {
                Some(ordinal) => {
                    ordinals[row] = ordinal;
                    if self.set_bits > 0 {
                        prefetch(self.sets, (ordinal * u64::from(self.set_bits) / 8) as usize);
                    }
                }
                None => rows &= !(1 << row),
            }
        }
        for row in ones(rows) {
            let ordinal = ordinals[row];
            found.push(Found { row: first_row + row as u32, place: Place(ordinal), set: self.set(ordinal) });
        }
    }
}
