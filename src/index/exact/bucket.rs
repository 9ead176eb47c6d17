//! The locator `bucket`: a digest's leading bits name the line it stands in.
//!
//! [`crate::segment::layout`] says how the lines are filled. From it follows how to look: a value stands in its
//! home line, or in a line after it if all between are full and end below it; so a line that is not full, or whose
//! last head is above the value's, ends the search. The header bounds how far it can go.

use super::simd::{equal_heads, prefetch};
use super::{GROUP, Locator};
use crate::fingerprint::Kind;
use crate::index::sealed::{Found, Place};
use crate::segment::layout::{HEAD_BYTES, LINE_BYTES, LINE_SLOTS};
use crate::segment::{LabelSetId, unpack};

/// See [`crate::segment::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) struct BucketParameters {
    pub(in crate::index) home_lines: u64,
    pub(in crate::index) room: u32,
    pub(in crate::index) spill: u32,
}

impl BucketParameters {
    /// All lines of the file.
    pub(in crate::index) fn lines(&self) -> u64 {
        self.home_lines + u64::from(self.room)
    }

    /// All slots of the file.
    pub(in crate::index) fn slots(&self) -> u64 {
        self.lines() * LINE_SLOTS as u64
    }

    /// The home line of a value; monotonic, and below `home_lines` if there is any.
    #[inline]
    pub(in crate::index) fn home(&self, value: &[u8]) -> u64 {
        ((u128::from(key(value)) * u128::from(self.home_lines)) >> 64) as u64
    }
}

/// A segment's bytes, seen as lines.
pub(in crate::index) struct Bucket<'a> {
    pub(in crate::index) heads: &'a [u8],
    pub(in crate::index) tails: &'a [u8],
    pub(in crate::index) sets: &'a [u8],
    pub(in crate::index) parameters: BucketParameters,
    pub(in crate::index) width: usize,
    pub(in crate::index) set_bits: u8,
}

/// What one line says of a value.
struct Seen {
    /// The slots in which the value's head stands, in bits.
    heads: u32,
    /// Whether the value, or more values with its head, may stand after this line: it is full, and does not end
    /// above the value.
    further: bool,
}

impl Bucket<'_> {
    #[inline(always)]
    fn look(&self, line: u64, head: &[u8; HEAD_BYTES]) -> Seen {
        let at = line as usize * LINE_BYTES;
        // Beyond the end only if nothing is there: all lines that a search reaches are within the section.
        let Some(bytes) = self.heads.get(at..at + LINE_BYTES) else { return Seen { heads: 0, further: false } };
        let bytes: &[u8; LINE_BYTES] = bytes.try_into().expect("a line");
        let last = key(&bytes[LINE_BYTES - HEAD_BYTES..]);
        // The first eight bytes decide, as equal ones merely lead one line too far. An empty slot is zero; less
        // one, it is above everything.
        Seen { heads: equal_heads(bytes, head), further: last.wrapping_sub(1) < key(head) }
    }

    /// The slot of a value, looked for from `line` on.
    fn search(&self, mut line: u64, value: &[u8]) -> Option<u64> {
        let (head, tail) = split(value);
        let last = self.parameters.home(value) + u64::from(self.parameters.spill);
        while line <= last {
            let seen = self.look(line, head);
            if let Some(slot) =
                ones(seen.heads.into()).map(|slot| slot_of(line, slot)).find(|slot| self.tail(*slot) == tail)
            {
                return Some(slot);
            }
            if !seen.further {
                break;
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

    /// Sends for the tail and the label set of a slot.
    #[inline(always)]
    fn prefetch_slot(&self, slot: u64) {
        let tail = self.width - HEAD_BYTES;
        if tail > 0 {
            prefetch(self.tails, slot as usize * tail);
            // A tail of up to 64 bytes lies in at most two lines; of a longer one the CPU guesses the rest.
            prefetch(self.tails, slot as usize * tail + tail - 1);
        }
        prefetch(self.sets, (slot * u64::from(self.set_bits) / 8) as usize);
    }

    /// [`Locator::plan`] with the width known when this is compiled.
    #[inline(always)]
    fn plan_width<const WIDTH: usize>(&self, digests: &[u8]) -> [u64; GROUP] {
        let mut lines = [0; GROUP];
        for (line, value) in lines.iter_mut().zip(digests.as_chunks::<WIDTH>().0) {
            *line = self.parameters.home(value);
            prefetch(self.heads, *line as usize * LINE_BYTES);
        }
        lines
    }

    /// [`Locator::find_group`] with the width known when this is compiled.
    #[inline(always)]
    fn find_width<const WIDTH: usize>(
        &self,
        digests: &[u8],
        homes: &[u64; GROUP],
        first_row: u32,
        found: &mut Vec<Found>,
    ) {
        let values = digests.as_chunks::<WIDTH>().0;
        // Rows whose head was seen, and rows that must be looked for in the next line, in bits. Which a row is in
        // is chance, so a branch for each would often be guessed wrong.
        let (mut hits, mut further) = (0u64, 0u64);
        let mut slots = [0u64; GROUP];
        for (row, (value, home)) in values.iter().zip(homes).enumerate() {
            let seen = self.look(*home, split(value).0);
            let hit = seen.heads != 0;
            hits |= u64::from(hit) << row;
            further |= u64::from(seen.further & !hit) << row;
            slots[row] = slot_of(*home, seen.heads.trailing_zeros() as usize);
        }
        ones(further).for_each(|row| prefetch(self.heads, (homes[row] as usize + 1) * LINE_BYTES));
        if WIDTH > HEAD_BYTES || self.set_bits > 0 {
            ones(hits).for_each(|row| self.prefetch_slot(slots[row]));
        }
        for spilled in 1..=u64::from(self.parameters.spill) {
            if further == 0 {
                break;
            }
            for row in ones(further) {
                let line = homes[row] + spilled;
                let seen = self.look(line, split(&values[row]).0);
                if seen.heads != 0 {
                    hits |= 1 << row;
                    slots[row] = slot_of(line, seen.heads.trailing_zeros() as usize);
                    self.prefetch_slot(slots[row]);
                } else if seen.further {
                    prefetch(self.heads, (line as usize + 1) * LINE_BYTES);
                    continue;
                }
                further &= !(1 << row);
            }
        }
        for row in ones(hits) {
            let value = &values[row];
            let mut slot = slots[row];
            if is_unstorable(value) {
                continue;
            }
            if WIDTH > HEAD_BYTES && self.tail(slot) != split(value).1 {
                // Another value with the same head came first.
                match self.search(slot / LINE_SLOTS as u64, value) {
                    Some(later) => slot = later,
                    None => continue,
                }
            }
            found.push(Found { row: first_row + row as u32, place: Place(slot), set: self.set(slot) });
        }
    }
}

/// Every exact kind's width has its arm in `for_width`: one that fell to the last would be searched with another width,
/// and missed.
const _: () = {
    let mut at = 0;
    while at < Kind::ALL.len() {
        let kind = Kind::ALL[at];
        assert!(!kind.is_exact() || matches!(kind.width(), 16 | 20 | 24 | 32 | 64 | Kind::MAX_WIDTH));
        at += 1;
    }
};

/// Calls a method for the width of the kind: one compiled form for each.
macro_rules! for_width {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.width {
            16 => $self.$method::<16>($($argument),*),
            20 => $self.$method::<20>($($argument),*),
            24 => $self.$method::<24>($($argument),*),
            32 => $self.$method::<32>($($argument),*),
            64 => $self.$method::<64>($($argument),*),
            width => {
                debug_assert_eq!(width, Kind::MAX_WIDTH);
                $self.$method::<{ Kind::MAX_WIDTH }>($($argument),*)
            }
        }
    };
}

impl Locator for Bucket<'_> {
    type Plan = [u64; GROUP];

    #[inline]
    fn find(&self, digest: &[u8]) -> Option<(Place, LabelSetId)> {
        if is_unstorable(digest) {
            return None;
        }
        let slot = self.search(self.parameters.home(digest), digest)?;
        Some((Place(slot), self.set(slot)))
    }

    fn plan(&self, digests: &[u8]) -> [u64; GROUP] {
        for_width!(self.plan_width(digests))
    }

    fn find_group(&self, digests: &[u8], homes: &[u64; GROUP], first_row: u32, found: &mut Vec<Found>) {
        for_width!(self.find_width(digests, homes, first_row, found))
    }
}

#[inline(always)]
fn slot_of(line: u64, slot: usize) -> u64 {
    line * LINE_SLOTS as u64 + slot as u64
}

/// A value's head and tail.
#[inline(always)]
fn split(value: &[u8]) -> (&[u8; HEAD_BYTES], &[u8]) {
    value.split_first_chunk().expect("values have at least 16 bytes")
}

/// The bytes that lead a value to its line, as a number in the values' order.
#[inline(always)]
pub(in crate::index) fn key(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().expect("values have at least 16 bytes"))
}

/// Whether a value starts like an empty slot.
#[inline(always)]
pub(in crate::index) fn is_unstorable(value: &[u8]) -> bool {
    key(value) == 0
}

/// The bits that are set, ascending.
#[inline(always)]
pub(in crate::index) fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (bits != 0).then(|| {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            bit
        })
    })
}
