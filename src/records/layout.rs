//! The records file, byte by byte. This page and the constants under it are the format's only specification.
//!
//! All numbers are little-endian. A file is a header, then the blocks, then their directory; nothing stands between
//! them and nothing follows.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "hwrec\r\n\0" (the line end shows a transfer in text mode)
//!      8      4  format version, 1
//!     12      4  zero
//!     16      8  n, the number of records
//!     24      8  b, the number of blocks
//!     32      8  offset of the directory
//!     40     32  BLAKE3 of the directory
//!     72     32  BLAKE3 of the 72 bytes before it. It stands for the whole file, for the directory has every part's.
//!    104
//! ```
//!
//! A block holds up to 16,384 records in three parts, one after the other:
//!
//! ```text
//! filter  the fingerprints of a binary fuse filter of 8 bits (crate `xorf`) over the distinct first 8 bytes of the
//!         block's values, taken as big-endian numbers; empty, with zero parameters, if there is no filter
//! values  of each record each fingerprint, in the list's order:
//!           1  kind code (crate::fingerprint::Kind), with bit 7 set unless it is the record's last
//!           …  the value, as wide as its kind
//! texts   one frame of Zstandard, which unfolds to, of each record:
//!           1  how its category is given: 0 as category and flags of the record before in this block, 1 none,
//!              2 a code, 3 a scheme and a code; unless it is 0 then
//!                1  flags (crate::list::Flags)
//!                …  each text as 2 bytes of length and UTF-8
//!           2  bytes of its attributes, then each of these as
//!                1  attribute code (crate::list::Attribute)
//!                2  length
//!                …  the value, as the list has it
//! ```
//!
//! The directory has a row of 136 bytes for each block:
//!
//! ```text
//!      0      8  filter: seed
//!      8      4  filter: segment length, a power of two
//!     12      4  filter: segment count × segment length
//!     16      4  records, at least 1
//!     20      4  bytes of `filter`, like the next three at most 4 MiB
//!     24      4  bytes of `values`
//!     28      4  bytes of `texts`
//!     32      4  bytes that `texts` unfolds to
//!     36      4  zero
//!     40     32  BLAKE3 of `filter`
//!     72     32  BLAKE3 of `values`
//!    104     32  BLAKE3 of `texts`
//!    136
//! ```

use std::path::Path;

use super::RecordsError;
use crate::index::exact::filter::FilterParameters;
use crate::segment::layout::{u32_at, u64_at};
use crate::segment::{Flaw, hex};

const MAGIC: [u8; 8] = *b"hwrec\r\n\0";
/// The format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of the header, its BLAKE3 included.
pub const HEADER_BYTES: usize = HASH_AT + blake3::OUT_LEN;
/// Bytes of a row of the directory.
pub const ROW_BYTES: usize = HASHES_AT + PARTS.len() * blake3::OUT_LEN;

/// Records of a block, at most.
pub const BLOCK_RECORDS_MAX: u32 = 1 << 14;
/// Bytes of a part of a block, at most, and bytes that its texts unfold to.
pub const PART_BYTES_MAX: usize = 4 << 20;

const VERSION_AT: usize = 8;
const RECORDS_AT: usize = 16;
const BLOCKS_AT: usize = 24;
const DIRECTORY_AT: usize = 32;
const DIRECTORY_HASH_AT: usize = 40;
const HASH_AT: usize = 72;
const HASHES_AT: usize = 40;

// The drawing above, held to the constants.
const _: () = assert!(HEADER_BYTES == 104 && ROW_BYTES == 136 && HASH_AT == DIRECTORY_HASH_AT + blake3::OUT_LEN);

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) records: u64,
    pub(super) blocks: u64,
    pub(super) directory_at: u64,
    pub(super) directory_hash: blake3::Hash,
}

impl Header {
    /// The header's bytes, and the BLAKE3 that stands for the whole file.
    pub(super) fn encode(&self) -> ([u8; HEADER_BYTES], blake3::Hash) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..VERSION_AT + 4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        for (at, number) in [(RECORDS_AT, self.records), (BLOCKS_AT, self.blocks), (DIRECTORY_AT, self.directory_at)] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[DIRECTORY_HASH_AT..HASH_AT].copy_from_slice(self.directory_hash.as_bytes());
        let hash = blake3::hash(&bytes[..HASH_AT]);
        bytes[HASH_AT..].copy_from_slice(hash.as_bytes());
        (bytes, hash)
    }

    /// Reads a header, of which `bytes` holds as much as the file has, and holds it against the file's length. Returns
    /// its BLAKE3 as well.
    pub(super) fn decode(file: &Path, bytes: &[u8], file_bytes: u64) -> Result<(Header, blake3::Hash), RecordsError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(RecordsError::NotRecords { file: file.to_owned() });
        }
        let damaged =
            |expected: String, found: String| Err(RecordsError::damaged(file, "header", Flaw { expected, found }));
        if bytes.len() < HEADER_BYTES {
            return damaged(format!("{HEADER_BYTES} bytes"), bytes.len().to_string());
        }
        let version = u32_at(bytes, VERSION_AT);
        if version != FORMAT_VERSION {
            return Err(RecordsError::Version { file: file.to_owned(), expected: FORMAT_VERSION, found: version });
        }
        let directory_hash: [u8; blake3::OUT_LEN] = bytes[DIRECTORY_HASH_AT..HASH_AT].try_into().expect("32 bytes");
        let header = Header {
            records: u64_at(bytes, RECORDS_AT),
            blocks: u64_at(bytes, BLOCKS_AT),
            directory_at: u64_at(bytes, DIRECTORY_AT),
            directory_hash: directory_hash.into(),
        };
        // What is reserved must be zero, so that every header has exactly one encoding.
        let (encoded, hash) = header.encode();
        if encoded[..] != bytes[..HEADER_BYTES] {
            return damaged(format!("a header with BLAKE3 {}", hash.to_hex()), hex(&bytes[HASH_AT..HEADER_BYTES]));
        }
        let directory_bytes = header.blocks.checked_mul(ROW_BYTES as u64);
        if directory_bytes.and_then(|bytes| bytes.checked_add(header.directory_at)) != Some(file_bytes) {
            let expected = format!("{} blocks, their directory at {}", header.blocks, header.directory_at);
            return damaged(expected, format!("a file of {file_bytes} bytes"));
        }
        Ok((header, hash))
    }
}

/// A part of a block; its discriminant is its place in [`PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Filter,
    Values,
    Texts,
}

/// The parts of a block, in the order of the file.
pub(super) const PARTS: [Part; 3] = [Part::Filter, Part::Values, Part::Texts];

impl Part {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Part::Filter => "filter",
            Part::Values => "values",
            Part::Texts => "texts",
        }
    }
}

/// A row of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRow {
    pub(super) filter: Option<FilterParameters>,
    pub(super) records: u32,
    /// Bytes of each of [`PARTS`].
    pub(super) lengths: [u32; PARTS.len()],
    /// Bytes that the texts unfold to.
    pub(super) unfolded: u32,
    pub(super) hashes: [blake3::Hash; PARTS.len()],
}

impl BlockRow {
    pub(super) fn encode(&self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        let mut numbers = vec![self.records];
        numbers.extend(self.lengths);
        numbers.push(self.unfolded);
        if let Some(FilterParameters { seed, segment_length, segment_count_length }) = self.filter {
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            bytes[8..12].copy_from_slice(&segment_length.to_le_bytes());
            bytes[12..16].copy_from_slice(&segment_count_length.to_le_bytes());
        }
        for (place, number) in bytes[16..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        for (place, hash) in bytes[HASHES_AT..].chunks_exact_mut(blake3::OUT_LEN).zip(&self.hashes) {
            place.copy_from_slice(hash.as_bytes());
        }
        bytes
    }

    /// Reads a row of [`ROW_BYTES`] bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<BlockRow, Flaw> {
        let hash = |part: usize| {
            let at = HASHES_AT + part * blake3::OUT_LEN;
            let hash: [u8; blake3::OUT_LEN] = bytes[at..at + blake3::OUT_LEN].try_into().expect("32 bytes");
            blake3::Hash::from(hash)
        };
        let lengths = [u32_at(bytes, 20), u32_at(bytes, 24), u32_at(bytes, 28)];
        let filter = FilterParameters {
            seed: u64_at(bytes, 0),
            segment_length: u32_at(bytes, 8),
            segment_count_length: u32_at(bytes, 12),
        };
        let filter = if lengths[0] == 0 { None } else { Some(filter.checked(lengths[0].into())?) };
        let (records, unfolded) = (u32_at(bytes, 16), u32_at(bytes, 32));
        if records == 0 || records > BLOCK_RECORDS_MAX {
            return Err(Flaw::new(format_args!("1 to {BLOCK_RECORDS_MAX} records in a block"), records));
        }
        if let Some(long) = lengths.into_iter().chain([unfolded]).find(|length| *length as usize > PART_BYTES_MAX) {
            return Err(Flaw::new(format_args!("at most {PART_BYTES_MAX} bytes in a part of a block"), long));
        }
        let row = BlockRow { filter, records, lengths, unfolded, hashes: [hash(0), hash(1), hash(2)] };
        // So that every row has exactly one encoding.
        if row.encode()[..] != *bytes { Err(Flaw::new("zero in reserved bytes", "other bytes")) } else { Ok(row) }
    }

    /// Bytes of the block.
    pub(super) fn bytes(&self) -> u64 {
        self.lengths.iter().map(|length| u64::from(*length)).sum()
    }
}
