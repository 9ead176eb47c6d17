//! The file hash of the eDonkey network: the MD4 of each part of 9,728,000 bytes, and the MD4 of all of these in a row. A file
//! shorter than one part has that part's MD4.
//!
//! Programs disagree at exact multiples of a part. eMule, aMule and RHash, and with them most of the links that are
//! about, add the MD4 of an empty part at the end; some other programs do not, and keep the plain MD4 of a file of exactly one
//! part. What is computed here is eMule's. A list may hold either, and which one cannot be seen: a file of such
//! a length, one in some ten million of those longer than a part, is not found by an ed2k of the other variant.

use md4::{Digest, Md4};

/// Bytes of a part.
pub(super) const PART_BYTES: usize = 9_728_000;

/// A hash under way.
pub(super) struct Ed2k {
    /// Of the part that is not yet full.
    part: Md4,
    /// Of the MD4s of all full parts.
    parts: Md4,
    /// Bytes in `part`, fewer than [`PART_BYTES`].
    part_bytes: usize,
    has_full_parts: bool,
}

impl Default for Ed2k {
    fn default() -> Ed2k {
        Ed2k { part: Md4::new(), parts: Md4::new(), part_bytes: 0, has_full_parts: false }
    }
}

impl Ed2k {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part_bytes));
            self.part.update(now);
            self.part_bytes += now.len();
            bytes = later;
            if self.part_bytes == PART_BYTES {
                self.parts.update(self.part.finalize_reset());
                self.part_bytes = 0;
                self.has_full_parts = true;
            }
        }
    }

    pub(super) fn finish(mut self) -> [u8; 16] {
        let part = self.part.finalize();
        if self.has_full_parts {
            // At a multiple of a part this is the MD4 of nothing, as eMule has it.
            self.parts.update(part);
            self.parts.finalize().into()
        } else {
            part.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn of_zeros(length: usize) -> String {
        let mut hasher = Ed2k::default();
        let zeros = vec![0; 1 << 20];
        (0..length / zeros.len()).for_each(|_| hasher.update(&zeros));
        hasher.update(&zeros[..length % zeros.len()]);
        HEXLOWER.encode(&hasher.finish())
    }

    #[test]
    fn the_empty_file_is_the_md4_of_nothing() {
        assert_eq!(of_zeros(0), "31d6cfe0d16ae931b73c59d7e0c089c0");
    }

    /// The table of runs of zeros in AniDB's wiki, whose "red" variant is eMule's.
    #[test]
    fn a_full_part_at_the_end_is_followed_by_an_empty_one() {
        assert_eq!(of_zeros(PART_BYTES - 1), "ac44b93fc9aff773ab0005c911f8396f");
        assert_eq!(of_zeros(PART_BYTES), "fc21d9af828f92a8df64beac3357425d");
        assert_eq!(of_zeros(PART_BYTES + 1), "06329e9dba1373512c06386fe29e3c65");
        assert_eq!(of_zeros(2 * PART_BYTES), "114b21c63a74b6ca922291a11177dd5c");
    }
}
