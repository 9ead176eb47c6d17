//! The locator `bucket`: a digest's leading bits name the line it stands in.
//!
//! [`crate::segment::layout`] says how the lines are filled. From it follows how to look: a value stands in its
//! home line, or in a line after it if all between are full and end below it; so a line that is not full, or whose
//! last head is above the value's, ends the search. The header bounds how far it can go.

use super::open::BucketParameters;
use super::simd::{equal_heads, prefetch};
use super::{Found, GROUP, Locator, Place};
use crate::segment::layout::{HEAD_BYTES, LINE_BYTES, LINE_SLOTS};
use crate::segment::{LabelSetId, unpack};

/// A segment's bytes, seen as lines.
pub(super) struct Bucket<'a> {
    pub(super) heads: &'a [u8],
    pub(super) tails: &'a [u8],
    pub(super) sets: &'a [u8],
    pub(super) parameters: BucketParameters,
    pub(super) width: usize,
    pub(super) set_bits: u8,
}

/// What one line says of a value.
enum Seen {
    /// The value's head stands in these slots of the line.
    Heads(u32),
    /// It is not in the segment.
    Absent,
    /// If anywhere, it stands after this line.
    Further,
}

impl Bucket<'_> {
    #[inline(always)]
    fn look(&self, line: u64, head: &[u8; HEAD_BYTES]) -> Seen {
        let at = line as usize * LINE_BYTES;
        // Beyond the end only if nothing is there: all lines that a search reaches are within the section.
        let Some(bytes) = self.heads.get(at..at + LINE_BYTES) else { return Seen::Absent };
        let bytes: &[u8; LINE_BYTES] = bytes.try_into().expect("a line");
        let heads = equal_heads(bytes, head);
        if heads != 0 {
            return Seen::Heads(heads);
        }
        let last = number(bytes[LINE_BYTES - HEAD_BYTES..].try_into().expect("a head"));
        if last != 0 && last < number(head) { Seen::Further } else { Seen::Absent }
    }

    /// The slot with this head's tail, from `line` on.
    fn search(&self, mut line: u64, value: &[u8]) -> Option<u64> {
        let (head, tail) = split(value);
        let last = self.parameters.home(value) + u64::from(self.parameters.spill);
        while line <= last {
            match self.look(line, head) {
                Seen::Absent => return None,
                Seen::Further => {}
                Seen::Heads(mut heads) => {
                    while heads != 0 {
                        let slot = line * LINE_SLOTS as u64 + u64::from(heads.trailing_zeros());
                        if self.tail(slot) == tail {
                            return Some(slot);
                        }
                        heads &= heads - 1;
                    }
                    // Values that share their head may go on in the next line.
                }
            }
            line += 1;
        }
        None
    }

    #[inline(always)]
    fn tail(&self, slot: u64) -> &[u8] {
        let width = self.width - HEAD_BYTES;
        self.tails.get(slot as usize * width..(slot as usize + 1) * width).unwrap_or_default()
    }

    #[inline(always)]
    fn set(&self, slot: u64) -> LabelSetId {
        LabelSetId(unpack(self.sets, self.set_bits, slot))
    }
}

impl Locator for Bucket<'_> {
    #[inline]
    fn find(&self, digest: &[u8]) -> Option<(Place, LabelSetId)> {
        if is_unstorable(digest) {
            return None;
        }
        let slot = self.search(self.parameters.home(digest), digest)?;
        Some((Place(slot), self.set(slot)))
    }

    fn find_group(&self, digests: &[u8], first_row: u32, found: &mut Vec<Found>) {
        let mut lines = [0u64; GROUP];
        for (line, value) in lines.iter_mut().zip(digests.chunks_exact(self.width)) {
            *line = self.parameters.home(value);
            prefetch(self.heads, *line as usize * LINE_BYTES);
        }
        // Rows whose head was seen, in bits; and for those, the first slot that has it.
        let mut hits = 0u64;
        let mut slots = [0u64; GROUP];
        let mut further = 0u64;
        for (row, value) in digests.chunks_exact(self.width).enumerate() {
            match self.look(lines[row], split(value).0) {
                Seen::Absent => {}
                Seen::Heads(heads) => {
                    hits |= 1 << row;
                    slots[row] = self.hit(lines[row], heads);
                }
                Seen::Further => {
                    further |= 1 << row;
                    prefetch(self.heads, (lines[row] as usize + 1) * LINE_BYTES);
                }
            }
        }
        for spilled in 1..=u64::from(self.parameters.spill) {
            if further == 0 {
                break;
            }
            for row in ones(further) {
                let line = lines[row] + spilled;
                match self.look(line, split(&digests[row * self.width..]).0) {
                    Seen::Absent => further &= !(1 << row),
                    Seen::Heads(heads) => {
                        further &= !(1 << row);
                        hits |= 1 << row;
                        slots[row] = self.hit(line, heads);
                    }
                    Seen::Further => prefetch(self.heads, (line as usize + 1) * LINE_BYTES),
                }
            }
        }
        for row in ones(hits) {
            let value = &digests[row * self.width..(row + 1) * self.width];
            let mut slot = slots[row];
            if self.tail(slot) != split(value).1 {
                // Another value with the same head came first.
                match self.search(slot / LINE_SLOTS as u64, value) {
                    Some(later) => slot = later,
                    None => continue,
                }
            }
            if is_unstorable(value) {
                continue;
            }
            found.push(Found { row: first_row + row as u32, place: Place(slot), set: self.set(slot) });
        }
    }
}

impl Bucket<'_> {
    /// The first slot of those seen, whose tail and label set will be wanted.
    #[inline(always)]
    fn hit(&self, line: u64, heads: u32) -> u64 {
        let slot = line * LINE_SLOTS as u64 + u64::from(heads.trailing_zeros());
        let tail = self.width - HEAD_BYTES;
        if tail > 0 {
            prefetch(self.tails, slot as usize * tail);
            // A tail of up to 64 bytes lies in at most two lines, a longer one in what the CPU prefetches itself.
            prefetch(self.tails, slot as usize * tail + tail - 1);
        }
        if self.set_bits > 0 {
            prefetch(self.sets, (slot * u64::from(self.set_bits) / 8) as usize);
        }
        slot
    }
}

/// A value's head and tail.
#[inline(always)]
fn split(value: &[u8]) -> (&[u8; HEAD_BYTES], &[u8]) {
    value.split_first_chunk().expect("values have at least 16 bytes")
}

#[inline(always)]
fn number(head: &[u8; HEAD_BYTES]) -> u128 {
    u128::from_be_bytes(*head)
}

/// Whether a value's head is what an empty slot holds.
#[inline(always)]
pub(super) fn is_unstorable(value: &[u8]) -> bool {
    number(split(value).0) == 0
}

/// The bits that are set, ascending.
#[inline(always)]
pub(super) fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (bits != 0).then(|| {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            bit
        })
    })
}
