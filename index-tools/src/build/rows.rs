//! Packed rows: what an import sorts. A row is a digest with the number of one label beside it, nothing more, so that
//! a gigabyte of memory holds some fifty million of them.
//!
//! The label's number is big-endian, so that comparing whole rows as bytes orders them by digest, then by label, and
//! rows that say the same twice stand side by side.

use hashward::fingerprint::Kind;
use rayon::slice::ParallelSliceMut;

/// Bytes of a label's number in a row.
pub(super) const LABEL_BYTES: usize = 4;

/// A label's number within one build. The label table gives out final numbers at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub u32);

impl LabelId {
    /// The number at the end of `row`.
    pub(super) fn of_row(row: &[u8]) -> LabelId {
        let (_, label) = row.split_last_chunk::<LABEL_BYTES>().expect("a row ends with a label");
        LabelId(u32::from_be_bytes(*label))
    }
}

/// Bytes of one row of `kind`.
pub(super) const fn row_bytes(kind: Kind) -> usize {
    kind.width() + LABEL_BYTES
}

/// Rows of one kind in memory.
#[derive(Debug)]
pub(super) struct RowBuffer {
    kind: Kind,
    bytes: Vec<u8>,
}

impl RowBuffer {
    /// An empty buffer, which takes memory only as rows come.
    pub(super) fn new(kind: Kind) -> RowBuffer {
        RowBuffer { kind, bytes: Vec::new() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All rows, packed.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a row. Growth is bounded by `limit_bytes`, so that doubling never takes more than the batch may hold.
    #[inline]
    pub(super) fn push(&mut self, digest: &[u8], label: LabelId, limit_bytes: usize) {
        let row = row_bytes(self.kind);
        debug_assert_eq!(digest.len(), self.kind.width(), "a digest has its kind's width");
        if self.bytes.capacity() - self.bytes.len() < row {
            let wanted = (self.bytes.len() * 2).clamp(FIRST_GROWTH_BYTES, limit_bytes.max(FIRST_GROWTH_BYTES));
            self.bytes.reserve_exact(wanted.saturating_sub(self.bytes.len()).max(row));
        }
        self.bytes.extend_from_slice(digest);
        self.bytes.extend_from_slice(&label.0.to_be_bytes());
    }

    /// Forgets the rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Sorts the rows on all cores and drops those that say the same twice.
    pub(super) fn sort_and_dedup(&mut self) {
        match self.kind {
            Kind::Md5 | Kind::Ed2k => sort_and_dedup::<{ row_bytes(Kind::Md5) }>(&mut self.bytes),
            Kind::Sha1 | Kind::Btih => sort_and_dedup::<{ row_bytes(Kind::Sha1) }>(&mut self.bytes),
            Kind::Tth => sort_and_dedup::<{ row_bytes(Kind::Tth) }>(&mut self.bytes),
            Kind::Sha256 | Kind::Blake3 | Kind::Pdq => sort_and_dedup::<{ row_bytes(Kind::Sha256) }>(&mut self.bytes),
            Kind::Sha512 => sort_and_dedup::<{ row_bytes(Kind::Sha512) }>(&mut self.bytes),
            Kind::PhotoDna => sort_and_dedup::<{ row_bytes(Kind::PhotoDna) }>(&mut self.bytes),
            Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => {
                sort_and_dedup::<{ row_bytes(Kind::Phash64) }>(&mut self.bytes);
            }
        }
    }
}

/// The first allocation of a buffer.
const FIRST_GROWTH_BYTES: usize = 64 * 1024;

/// The first eight bytes as a number: nearly every comparison of two digests ends there.
#[inline]
pub(super) fn prefix(row: &[u8]) -> u64 {
    let (prefix, _) = row.split_first_chunk::<8>().expect("a row is wider than eight bytes");
    u64::from_be_bytes(*prefix)
}

fn sort_and_dedup<const ROW: usize>(bytes: &mut Vec<u8>) {
    let (rows, rest) = bytes.as_chunks_mut::<ROW>();
    debug_assert!(rest.is_empty(), "rows are pushed whole");
    rows.par_sort_unstable_by(|a, b| prefix(a).cmp(&prefix(b)).then_with(|| a.cmp(b)));
    let mut kept = rows.len().min(1);
    for at in 1..rows.len() {
        if rows[at] != rows[kept - 1] {
            if at != kept {
                rows[kept] = rows[at];
            }
            kept += 1;
        }
    }
    bytes.truncate(kept * ROW);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn sorting_agrees_with_a_tree_set(rows in proptest::collection::vec((0u8..6, 0u32..700), 0..400), kind in 0usize..7) {
            let kind = Kind::ALL[kind];
            let mut buffer = RowBuffer::new(kind);
            let mut model = BTreeSet::new();
            for (byte, label) in rows {
                // Digests that differ in the last byte only, so that the prefix does not decide.
                let mut digest = vec![7; kind.width()];
                digest[kind.width() - 1] = byte;
                buffer.push(&digest, LabelId(label), 1 << 20);
                model.insert((digest, label));
            }
            buffer.sort_and_dedup();
            let sorted: Vec<_> = buffer.as_bytes().chunks(row_bytes(kind))
                .map(|row| (row[..kind.width()].to_vec(), LabelId::of_row(row).0)).collect();
            prop_assert_eq!(sorted, model.into_iter().collect::<Vec<_>>());
        }
    }
}
