//! Checksums of rows: over a multiset, so that one row's change costs one hash and not a pass over all rows.
//!
//! A row is hashed with BLAKE3; the hashes are added up in four lanes of 64 bits. The sum does not depend on the
//! order of rows, and a row is taken out by subtracting its hash. This finds faults, not forgers.

use rusqlite::types::ValueRef;

/// The sum of the hashes of all guarded rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(super) fn add(&mut self, row: &blake3::Hash) {
        for (lane, part) in self.0.iter_mut().zip(lanes(row.as_bytes())) {
            *lane = lane.wrapping_add(part);
        }
    }

    pub(super) fn subtract(&mut self, row: &blake3::Hash) {
        for (lane, part) in self.0.iter_mut().zip(lanes(row.as_bytes())) {
            *lane = lane.wrapping_sub(part);
        }
    }

    /// The lanes, each in little-endian order.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (eight, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            eight.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Sum {
        Sum(lanes(bytes))
    }
}

fn lanes(bytes: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, eight) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        *lane = u64::from_le_bytes(eight.try_into().expect("chunks of eight"));
    }
    lanes
}

/// The hash of a row of `table`: every value with its type and its length, so that no two rows read alike.
pub(super) fn row_hash<'v>(table: &str, values: impl Iterator<Item = ValueRef<'v>>) -> blake3::Hash {
    let mut row = Vec::with_capacity(512);
    let mut text = |tag: u8, bytes: &[u8]| {
        row.push(tag);
        row.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        row.extend_from_slice(bytes);
    };
    text(b't', table.as_bytes());
    for value in values {
        match value {
            ValueRef::Null => text(b'n', &[]),
            ValueRef::Integer(integer) => text(b'i', &integer.to_le_bytes()),
            ValueRef::Real(real) => text(b'r', &real.to_le_bytes()),
            ValueRef::Text(bytes) => text(b's', bytes),
            ValueRef::Blob(bytes) => text(b'b', bytes),
        }
    }
    blake3::hash(&row)
}

/// The checksum of a batch and all batches before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(pub(super) [u8; 32]);

impl Link {
    /// What the first batch is linked to.
    pub(super) const ROOT: Link = Link([0; 32]);

    /// In lower-case hex.
    pub(crate) fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    pub(super) fn next(self, seq: u64, at: u64, list: Option<u32>, action: &str, rows: u64, sum: &Sum) -> Link {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        for number in [seq, at, list.map_or(u64::MAX, u64::from), rows] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&sum.to_bytes());
        hasher.update(action.as_bytes());
        Link(*hasher.finalize().as_bytes())
    }
}
