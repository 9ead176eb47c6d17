//! Matching by distance: which codes lie within a radius of this one?
//!
//! A code is a perceptual hash of 64 or 256 bits, and the distance of two codes is the number of bits in which they
//! differ (Hamming). Three structures stand behind one trait, [`HammingIndex`], and always give the same answers:
//! all codes within the radius, none else. What no structure can promise is that a picture's copy stays within the
//! radius; that what does so is found is promised here, and proven by tests against a scan.
//!
//! * [`Flat`]: the scan. For small sets, and for whatever no directory helps with. It shares each code among all
//!   questions of a batch.
//! * [`Mih`]: multi-index hashing, over a section of a segment. If two codes differ in at most r bits, and their bits
//!   are dealt to chunks, then some chunk differs in few; so looking up what nearly agrees in one chunk finds
//!   everything. Hundreds of times faster than the scan where codes are many and the radius is moderate. Where it is
//!   not, it hands the question to the scan, so it is never much slower.
//! * [`BkTree`]: grows by insertion, for the live layer. Its leaves are blocks that are scanned, so that where
//!   the triangle inequality prunes nothing it still costs little more than a scan.
//!
//! Nothing here knows of files, labels or lists: codes are packed bytes, and a code is named by its [`Near::ordinal`].

mod bk_tree;
mod flat;
pub mod mih;
mod simd;
#[cfg(test)]
mod tests;

pub use bk_tree::BkTree;
pub use flat::Flat;
pub use mih::Mih;
pub use simd::Kernel;

use crate::fingerprint::Radius;

/// A code within the radius of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Near {
    /// The question's row in its batch, from 0.
    pub row: u32,
    /// The code's place in the structure, from 0.
    pub ordinal: u32,
    /// In how many bits they differ.
    pub distance: u16,
}

/// Finds the codes near a code.
pub trait HammingIndex {
    /// Appends a [`Near`] for every code within `radius` of each question, each once, and for no other code; in no
    /// particular order. `questions` are packed codes.
    ///
    /// # Panics
    /// If `questions` is not a whole number of codes: that is the caller's mistake.
    fn search(&self, questions: &[u8], radius: Radius, found: &mut Vec<Near>);
}

/// Up to so many codes the scan costs no more than looking into an index's chunks.
pub const FLAT_CODES_MAX: usize = 4_096;

/// The widest code, in bytes.
const WIDTH_MAX: usize = 32;

/// Packed codes of one width.
#[derive(Clone, Copy, Debug)]
struct Codes<'a> {
    /// Bytes of a code: 8 or 32.
    width: usize,
    bytes: &'a [u8],
}

impl<'a> Codes<'a> {
    /// # Panics
    /// If the width is none of the two, or the bytes are not a whole number of codes, or more than an ordinal can
    /// name.
    fn new(width: usize, bytes: &'a [u8]) -> Codes<'a> {
        assert!(width == 8 || width == 32, "codes of 8 or 32 bytes, not {width}");
        assert_eq!(bytes.len() % width, 0, "packed codes of {width} bytes");
        assert!(u32::try_from(bytes.len() / width).is_ok(), "fewer than 2³² codes");
        Codes { width, bytes }
    }

    fn len(self) -> usize {
        self.bytes.len() / self.width
    }

    fn iter(self) -> std::slice::ChunksExact<'a, u8> {
        self.bytes.chunks_exact(self.width)
    }

    /// The code with this ordinal, which is below [`Codes::len`].
    fn get(self, ordinal: u32) -> &'a [u8] {
        &self.bytes[ordinal as usize * self.width..][..self.width]
    }
}

/// In how many bits two codes of the same width differ.
#[inline(always)]
fn distance(one: &[u8], other: &[u8]) -> u16 {
    let words = one.as_chunks().0.iter().zip(other.as_chunks().0);
    words.map(|(one, other)| (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)).count_ones() as u16).sum()
}
