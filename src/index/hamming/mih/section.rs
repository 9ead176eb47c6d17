//! The section, byte by byte. This page and the constants under it are its only specification.
//!
//! All numbers are little-endian. The codes themselves stand elsewhere, ascending and distinct; the *ordinal* of a code
//! is its place among them.
//!
//! ```text
//! offset  bytes
//!      0      8  n, the number of codes
//!      8      4  c, the number of chunks, 0 to 32; with 0 every question is scanned
//!     12     52  zero
//!     64   c×64  a row for each chunk
//!                  0  32  the bits that it takes: bit b of byte i is set if it takes bit b, the lowest being 0, of a
//!                         code's byte i. No two chunks take the same bit.
//!                 32   1  g, the bits of a group, 0 to 28
//!                 33   1  k, the bits of a key, 0 to 8; g + k is the number of bits taken, 1 to 32
//!                 34  30  zero
//!          then for each chunk, starting at a multiple of 64:
//!    (2^g + 1)×4  the directory: where each group's entries start, counted in entries, and at last n
//!            n×5  the blocks: of each group, from 5 × its start on, the keys of its entries in a byte each, and then
//!                 their ordinals in four bytes each, ascending
//! ```
//!
//! What lies between is zero. A code's *value* in a chunk has the bits that the chunk takes: those of byte 0 are the
//! lowest, and in a byte the lower ones are lower. The highest g of it are its group and the lowest k its key.

use std::ops::Range;

use crate::index::hamming::{Kernel, WIDTH_MAX};
use crate::segment::Flaw;
use crate::segment::layout::{u32_at, u64_at};

pub(super) const HEAD_BYTES: usize = 64;
pub(super) const ROW_BYTES: usize = 64;
pub(super) const ALIGN_BYTES: usize = 64;
/// Chunks of a section, at most.
pub(super) const CHUNKS_MAX: usize = 32;
const GROUP_BITS_AT: usize = 32;
const KEY_BITS_AT: usize = GROUP_BITS_AT + 1;
/// Bits of a group, at most.
pub(super) const GROUP_BITS_MAX: u32 = 28;
/// Bits of a key, at most: it stands in a byte.
pub(super) const KEY_BITS_MAX: u32 = 8;
/// Bits of a value, at most.
pub(super) const VALUE_BITS_MAX: u32 = 32;
/// Bytes of a place in the directory.
pub(super) const START_BYTES: usize = 4;
/// Bytes of an ordinal.
pub(super) const ORDINAL_BYTES: usize = 4;
/// Bytes of an entry: a key and an ordinal.
pub(super) const ENTRY_BYTES: usize = 1 + ORDINAL_BYTES;

// The drawing above, held to the constants.
const _: () = assert!(GROUP_BITS_AT == WIDTH_MAX && KEY_BITS_AT == 33 && ENTRY_BYTES == 5);

/// The bits that a chunk takes, a word for each eight bytes of a code.
pub(super) type Mask = [u64; WIDTH_MAX / 8];

/// A chunk: which bits it takes and where its parts are in the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) mask: Mask,
    pub(super) group_bits: u32,
    pub(super) key_bits: u32,
    /// Offset of the directory in the section.
    pub(super) directory: usize,
    /// Offset of the blocks.
    pub(super) blocks: usize,
}

impl Chunk {
    /// The group and the key of a code.
    #[inline]
    pub(super) fn value(&self, kernel: Kernel, code: &[u8]) -> (u32, u8) {
        let value = u64::from(kernel.extract(code, &self.mask));
        ((value >> self.key_bits) as u32, (value & ((1 << self.key_bits) - 1)) as u8)
    }

    pub(super) fn groups(&self) -> usize {
        1 << self.group_bits
    }

    /// Bits of a value.
    pub(super) fn bits(&self) -> u32 {
        self.group_bits + self.key_bits
    }

    /// The entries of a group below [`Chunk::groups`], held against their number.
    #[inline]
    pub(super) fn entries(&self, section: &[u8], group: usize, count: usize) -> Range<usize> {
        let at = self.directory + group * START_BYTES;
        let (start, end) = (u32_at(section, at) as usize, u32_at(section, at + START_BYTES) as usize);
        start.min(count)..end.min(count).max(start.min(count))
    }

    /// The keys and the ordinals of a group.
    pub(super) fn block<'a>(&self, section: &'a [u8], entries: &Range<usize>) -> (&'a [u8], &'a [u8]) {
        let start = self.blocks + entries.start * ENTRY_BYTES;
        section[start..start + entries.len() * ENTRY_BYTES].split_at(entries.len())
    }

    /// The row, without offsets, which follow from all rows.
    fn encode(&self) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        row.as_chunks_mut().0.iter_mut().zip(self.mask).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
        row[GROUP_BITS_AT] = self.group_bits as u8;
        row[KEY_BITS_AT] = self.key_bits as u8;
        row
    }
}

/// Gives each chunk its offsets and returns the section's length.
pub(super) fn place(chunks: &mut [Chunk], count: usize) -> usize {
    let mut end = HEAD_BYTES + chunks.len() * ROW_BYTES;
    for chunk in chunks {
        chunk.directory = end;
        chunk.blocks = (end + (chunk.groups() + 1) * START_BYTES).next_multiple_of(ALIGN_BYTES);
        end = (chunk.blocks + count * ENTRY_BYTES).next_multiple_of(ALIGN_BYTES);
    }
    end
}

/// The head and the rows.
pub(super) fn encode(chunks: &[Chunk], count: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&(count as u64).to_le_bytes());
    bytes[8..12].copy_from_slice(&(chunks.len() as u32).to_le_bytes());
    chunks.iter().for_each(|chunk| bytes.extend(chunk.encode()));
    bytes
}

/// Reads the head and the rows, and holds them against the codes' width and number and the section's length: all that
/// [`Chunk`] can compute then lies within the section.
pub(super) fn decode(width: usize, count: usize, section: &[u8]) -> Result<Vec<Chunk>, Flaw> {
    if section.len() < HEAD_BYTES {
        return Err(Flaw::new(format_args!("at least {HEAD_BYTES} bytes"), section.len()));
    }
    if u64_at(section, 0) != count as u64 {
        return Err(Flaw::new(format_args!("{count} codes"), u64_at(section, 0)));
    }
    let rows = u32_at(section, 8) as usize;
    let Some(rows) = (rows <= CHUNKS_MAX).then(|| section.get(HEAD_BYTES..HEAD_BYTES + rows * ROW_BYTES)).flatten()
    else {
        return Err(Flaw::new(format_args!("the rows of at most {CHUNKS_MAX} chunks"), rows));
    };
    let mut taken = [0; WIDTH_MAX / 8];
    let mut chunks = Vec::with_capacity(rows.len() / ROW_BYTES);
    for row in rows.chunks_exact(ROW_BYTES) {
        let mask: Mask = std::array::from_fn(|word| u64_at(row, word * 8));
        let (group_bits, key_bits) = (u32::from(row[GROUP_BITS_AT]), u32::from(row[KEY_BITS_AT]));
        let bits: u32 = mask.iter().map(|word| word.count_ones()).sum();
        if group_bits > GROUP_BITS_MAX || key_bits > KEY_BITS_MAX || group_bits + key_bits != bits {
            let expected = format_args!("{bits} bits of group and key").to_string();
            return Err(Flaw::new(expected, format_args!("{group_bits} and {key_bits}")));
        }
        if !(1..=VALUE_BITS_MAX).contains(&bits) {
            return Err(Flaw::new(format_args!("a chunk of 1 to {VALUE_BITS_MAX} bits"), bits));
        }
        for (at, (taken, word)) in taken.iter_mut().zip(mask).enumerate() {
            if *taken & word != 0 || (word != 0 && at * 8 >= width) {
                return Err(Flaw::new("bits of the code that no other chunk takes", format_args!("{word:#018x}")));
            }
            *taken |= word;
        }
        chunks.push(Chunk { mask, group_bits, key_bits, directory: 0, blocks: 0 });
    }
    // At most 32 directories of 2^28 places and 32 times 2^32 entries: it does not overflow.
    let length = place(&mut chunks, count);
    if length != section.len() {
        return Err(Flaw::new(format_args!("{length} bytes"), section.len()));
    }
    // What is reserved must be zero, so that every section has exactly one encoding.
    if encode(&chunks, count) != section[..HEAD_BYTES + rows.len()] {
        return Err(Flaw::new("zero in reserved bytes", "other bytes"));
    }
    Ok(chunks)
}
