//! The codes of a perceptual kind as they stand in a segment: in order, so that equality is a binary search, and
//! scanned or indexed for what lies near.

use super::Place;
use crate::fingerprint::Radius;
use crate::index::hamming::{Flat, HammingIndex, Mih, Near};
use crate::segment::{LabelSetId, unpack};

/// A segment's bytes, seen as ordinals of codes.
pub(super) struct Codes<'a> {
    pub(super) codes: &'a [u8],
    pub(super) sets: &'a [u8],
    pub(super) width: usize,
    pub(super) set_bits: u8,
    /// `None` with the locator `flat`.
    pub(super) mih: Option<Mih<'a>>,
}

impl Codes<'_> {
    /// The place and label set of the code that equals `code`.
    pub(super) fn find(&self, code: &[u8]) -> Option<(Place, LabelSetId)> {
        let (mut low, mut high) = (0, self.codes.len() / self.width);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.codes[middle * self.width..][..self.width].cmp(code) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some((Place(middle as u64), self.set(middle as u64))),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Appends every code within `radius` of each of the packed `questions`.
    pub(super) fn near(&self, questions: &[u8], radius: Radius, found: &mut Vec<Near>) {
        match &self.mih {
            Some(mih) => mih.search(questions, radius, found),
            None => Flat::new(self.width, self.codes).search(questions, radius, found),
        }
    }

    pub(super) fn set(&self, ordinal: u64) -> LabelSetId {
        LabelSetId(unpack(self.sets, self.set_bits, ordinal))
    }
}
