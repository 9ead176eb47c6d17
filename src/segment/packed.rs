//! Label-set ids, packed to the bit: most segments have few label sets, so an id is a few bits, or none.

use std::io;

use super::{Flaw, SectionReader, SectionWriter, SegmentError};

/// Zero bytes after packed ids, so that each can be read as eight bytes.
const PACKED_TAIL_BYTES: u64 = 8;

/// Bits of an id when there are `sets` label sets: the fewest that hold `sets - 1`.
pub(crate) fn bits_for(sets: usize) -> u8 {
    match sets {
        0 | 1 => 0,
        _ => (usize::BITS - (sets - 1).leading_zeros()) as u8,
    }
}

/// Bytes of `count` ids of `bits` bits. `count` is at most 2⁴³ and `bits` at most 32, so nothing overflows.
pub(crate) fn packed_bytes(count: u64, bits: u8) -> u64 {
    if bits == 0 { 0 } else { (count * u64::from(bits)).div_ceil(8) + PACKED_TAIL_BYTES }
}

/// The id at `index`; 0 beyond the end, which no checked caller reaches.
#[inline]
pub(crate) fn unpack(bytes: &[u8], bits: u8, index: u64) -> u32 {
    let bit = index * u64::from(bits);
    let at = (bit / 8) as usize;
    let Some(word) = bytes.get(at..at + 8) else { return 0 };
    let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
    ((word >> (bit % 8)) & ((1 << bits) - 1)) as u32
}

/// Packs ids into a section.
pub(crate) struct BitWriter<'f> {
    out: SectionWriter<'f>,
    bits: u8,
    word: u64,
    filled: u32,
}

impl<'f> BitWriter<'f> {
    /// `bits` is at most 32.
    pub(crate) fn new(out: SectionWriter<'f>, bits: u8) -> BitWriter<'f> {
        BitWriter { out, bits, word: 0, filled: 0 }
    }

    /// Appends an id that fits.
    #[inline]
    pub(crate) fn push(&mut self, id: u32) -> io::Result<()> {
        self.word |= u64::from(id) << self.filled;
        self.filled += u32::from(self.bits);
        if self.filled >= 32 {
            self.out.put(&(self.word as u32).to_le_bytes())?;
            self.word >>= 32;
            self.filled -= 32;
        }
        Ok(())
    }

    /// Appends `count` zeros.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..if self.bits == 0 { 0 } else { count } {
            self.push(0)?;
        }
        Ok(())
    }

    /// Flushes the last bits and the zero bytes behind them.
    pub(crate) fn finish(mut self) -> io::Result<SectionWriter<'f>> {
        if self.bits > 0 {
            let rest = (self.word as u32).to_le_bytes();
            self.out.put(&rest[..self.filled.div_ceil(8) as usize])?;
            self.out.put(&[0; PACKED_TAIL_BYTES as usize])?;
        }
        Ok(self.out)
    }
}

/// Reads packed ids in order.
pub(crate) struct BitReader<R> {
    input: SectionReader<R>,
    bits: u8,
    sets: usize,
    word: u64,
    filled: u32,
}

impl<R: io::Read> BitReader<R> {
    /// Ids of `bits` bits, each of which must be below `sets`.
    pub(crate) fn new(input: SectionReader<R>, bits: u8, sets: usize) -> BitReader<R> {
        BitReader { input, bits, sets, word: 0, filled: 0 }
    }

    /// The next id.
    pub(crate) fn next(&mut self) -> Result<u32, SegmentError> {
        let bits = u32::from(self.bits);
        if self.filled < bits {
            // The zero bytes at the end make reading ahead by four bytes harmless.
            let four = self.input.take(4)?;
            self.word |= u64::from(u32::from_le_bytes(four.try_into().expect("four bytes"))) << self.filled;
            self.filled += 32;
        }
        let id = (self.word & ((1 << bits) - 1)) as u32;
        self.word >>= bits;
        self.filled -= bits;
        if id as usize >= self.sets {
            return Err(self.input.damaged(Flaw::new(format_args!("a label set below {}", self.sets), id)));
        }
        Ok(id)
    }

    /// Reads what is left of the section and checks its BLAKE3 if asked to.
    pub(crate) fn finish(self) -> Result<(), SegmentError> {
        self.input.finish()
    }
}
