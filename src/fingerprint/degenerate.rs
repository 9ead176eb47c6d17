//! Degenerate content: files so small or so uniform that they occur everywhere and identify nothing.
//!
//! Lists carry their digests by accident (an empty file among the seized ones, a wiped sector), and every machine
//! on earth would then match. They are dropped from lists, counted, and known through one built-in ignorable list.

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

/// The digests of all degenerate contents, by kind.
pub struct DegenerateDigests(HashMap<Kind, HashSet<Box<[u8]>>>);

impl DegenerateDigests {
    /// Computes them: two milliseconds or three, for the contents make 260 KB and each kind reads them all.
    pub fn compute() -> DegenerateDigests {
        let contents: Vec<_> = degenerate_contents().collect();
        let of_kind = |kind: Kind| contents.iter().map(|content| hash_bytes(kind, content).value().into()).collect();
        DegenerateDigests(Kind::COMPUTED.into_iter().map(|kind| (kind, of_kind(kind))).collect())
    }

    /// Whether `value` is the digest of degenerate content.
    pub fn contains(&self, kind: Kind, value: &[u8]) -> bool {
        self.0.get(&kind).is_some_and(|digests| digests.contains(value))
    }

    /// All of them as (kind, value).
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        self.0.iter().flat_map(|(kind, digests)| digests.iter().map(|digest| (*kind, &**digest)))
    }
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
        assert_eq!(digests.iter().count(), Kind::COMPUTED.len() * degenerate_contents().count());
    }
}
