//! Degenerate content: files so small or so uniform that they occur everywhere and identify nothing.
//!
//! Lists carry their digests by accident (an empty file among the seized ones, a wiped sector), and every machine
//! on earth would then match. They are dropped from lists, counted, and known through one built-in ignorable list.
//!
//! The same goes for perceptual codes of pictures in which there is nothing to see: each lies near to those of a
//! thousand others. They are dropped and counted too, and no more than that: a list that called them ignorable would
//! call everything near to them ignorable.

use std::collections::{HashMap, HashSet};

use super::{Kind, hash_bytes};

/// Lengths of the uniform runs of 0x00 and 0xFF: sectors, pages and clusters up to 64 KiB.
const RUN_BYTES: [usize; 8] = [512, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16];

/// The contents that count as degenerate: the empty file, every single byte, a lone line end, and runs of 0x00 or
/// 0xFF in the sizes of sectors, pages and clusters.
pub fn degenerate_contents() -> impl Iterator<Item = Vec<u8>> {
    let small = std::iter::once(Vec::new()).chain((0..=u8::MAX).map(|byte| vec![byte])).chain([b"\r\n".to_vec()]);
    let runs = [0x00, 0xFF].into_iter().flat_map(|byte| RUN_BYTES.map(|length| vec![byte; length]));
    small.chain(runs)
}

/// A PDQ code with fewer bits set than this, or with fewer bits clear, is degenerate.
///
/// A bit of PDQ says whether a coefficient is above the median of all 256. So 128 are set, and fewer only where several
/// coefficients equal the median; in each of the reference's sample pictures it is 128 exactly. For 64 bits to be missing, 64
/// coefficients must equal it to the last digit, which takes a picture with nothing in most of its frequencies: a flat
/// one, or one of fewer than five rows, whose code is zero. What a copy changes moves bits from one side of the median to
/// the other, and leaves their count.
const PDQ_BITS_MIN: u32 = 64;

/// A PDQ code of whose 16 rows fewer are different is degenerate.
///
/// The coefficients of a picture that is flat, if only from top to bottom, are what rounding leaves of zero, the same in each
/// row but for a factor, so that the rows take few values: of flat pictures at most nine, whatever the grey, by the hasher
/// of this program. In each of the reference's sample pictures all 16 differ, in a thousand copies of photos at least 15.
const PDQ_ROWS_MIN: usize = 11;

/// Whether `code` is one of a picture in which there is nothing to see. Of PDQ by its bits and its rows; of the 64-bit
/// kinds only the codes without a bit, or with all of them, which are those of flat pictures. No other is dropped, for
/// that of a real picture must not be. Never true of exact kinds.
pub fn is_degenerate_code(kind: Kind, code: &[u8]) -> bool {
    let set: u32 = code.iter().map(|byte| byte.count_ones()).sum();
    let clear = 8 * code.len() as u32 - set;
    match kind {
        Kind::Pdq => set.min(clear) < PDQ_BITS_MIN || different_rows(code) < PDQ_ROWS_MIN,
        Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => set.min(clear) == 0,
        _ => false,
    }
}

/// How many of a PDQ code's rows are different: 16 bits each, of one vertical frequency.
fn different_rows(code: &[u8]) -> usize {
    let rows = code.as_chunks::<2>().0;
    rows.iter().enumerate().filter(|(at, row)| !rows[..*at].contains(row)).count()
}

/// The digests of all degenerate contents, by kind.
pub struct DegenerateDigests {
    digests: HashMap<Kind, HashSet<Box<[u8]>>>,
    /// A bit for each pair of bytes that a digest begins with: nearly every value that is asked about begins otherwise.
    first_bytes: Vec<u64>,
}

impl DegenerateDigests {
    /// Computes them: two milliseconds or three, for the contents make 260 KB and each kind reads them all.
    pub fn compute() -> DegenerateDigests {
        let contents: Vec<_> = degenerate_contents().collect();
        let of_kind = |kind: Kind| contents.iter().map(|content| hash_bytes(kind, content).value().into()).collect();
        let digests: HashMap<Kind, HashSet<Box<[u8]>>> =
            Kind::COMPUTED.into_iter().map(|kind| (kind, of_kind(kind))).collect();
        let mut first_bytes = vec![0; (1 << 16) / 64];
        for digest in digests.values().flatten() {
            let bit = first_bit(digest);
            first_bytes[bit / 64] |= 1 << (bit % 64);
        }
        DegenerateDigests { digests, first_bytes }
    }

    /// Whether no list may hold `value`: the digest of degenerate content, or a code for which [`is_degenerate_code`].
    #[inline]
    pub fn contains(&self, kind: Kind, value: &[u8]) -> bool {
        if !kind.is_exact() {
            return is_degenerate_code(kind, value);
        }
        let bit = first_bit(value);
        self.first_bytes[bit / 64] & 1 << (bit % 64) != 0
            && self.digests.get(&kind).is_some_and(|digests| digests.contains(value))
    }

    /// The digests as (kind, value); of perceptual kinds there are none.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        self.digests.iter().flat_map(|(kind, digests)| digests.iter().map(|digest| (*kind, &**digest)))
    }
}

#[inline]
fn first_bit(value: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([value[0], value[1]]))
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, Fingerprint};
    use super::*;

    #[test]
    fn the_empty_file_is_degenerate_in_every_computed_kind() {
        let digests = DegenerateDigests::compute();
        let empty = Fingerprint::parse(Kind::Md5, "d41d8cd98f00b204e9800998ecf8427e", Encoding::Hex).unwrap();
        assert!(digests.contains(Kind::Md5, empty.value()));
        for kind in Kind::COMPUTED {
            assert!(digests.contains(kind, hash_bytes(kind, b"").value()));
            assert!(!digests.contains(kind, hash_bytes(kind, b"hashward").value()));
        }
        assert!(digests.iter().all(|(kind, value)| digests.contains(kind, value)));
        assert_eq!(digests.iter().count(), Kind::COMPUTED.len() * degenerate_contents().count());
    }

    #[test]
    fn codes_are_degenerate_by_their_bits_and_their_rows() {
        // Rows that all differ, with so many bits in all.
        let code = |bits: usize| {
            let mut code: [u8; 32] = std::array::from_fn(|at| if at % 2 == 0 { 0 } else { at as u8 / 2 });
            let mut set = code.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
            for bit in (0..256).filter(|bit| bit / 8 % 2 == 0).chain((0..256).filter(|bit| bit % 8 >= 4)) {
                if set < bits && code[bit / 8] & 1 << (bit % 8) == 0 {
                    code[bit / 8] |= 1 << (bit % 8);
                    set += 1;
                }
            }
            assert_eq!((set, different_rows(&code)), (bits, 16));
            code
        };
        for (bits, expected) in
            [(32, true), (63, true), (64, false), (128, false), (192, false), (193, true), (210, true)]
        {
            assert_eq!(is_degenerate_code(Kind::Pdq, &code(bits)), expected, "{bits}");
            assert!(!is_degenerate_code(Kind::Sha256, &code(bits)));
        }
        for different in [1, 10, 11, 16] {
            let code: [u8; 32] =
                std::array::from_fn(|at| if at % 2 == 0 { 0x5A } else { (at / 2 % different) as u8 ^ 0x3C });
            assert_eq!(is_degenerate_code(Kind::Pdq, &code), different < 11, "{different}");
        }
        for kind in [Kind::Phash64, Kind::Dhash64, Kind::Blockhash64] {
            let found = [[0; 8], [0xFF; 8], [0, 0, 0, 1, 0, 0, 0, 0]].map(|code| is_degenerate_code(kind, &code));
            assert_eq!(found, [true, true, false], "{kind}");
        }
    }
}
