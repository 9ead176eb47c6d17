//! The segment file, byte by byte. This page and the constants under it are the format's only specification.
//!
//! All numbers are little-endian. A file is a header, then up to five sections; between them lie zero bytes only,
//! and nothing follows the last.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "hwseg\r\n\0" (the line end shows a transfer in text mode)
//!      8      4  format version, 1
//!     12      1  kind code (crate::fingerprint::Kind)
//!     13      1  locator code: 1 fst, 2 bucket (exact kinds), 3 flat, 4 mih (perceptual kinds)
//!     14      1  w, the bits of one label-set id: the fewest that hold (label sets - 1); 0 with one set
//!     15      1  zero
//!     16      8  n, the number of digests
//!     24      8  applied_seq: withdrawals up to this batch were taken into account when the file was written
//!     32     24  the locator's parameters, below
//!     56      8  zero
//!     64    280  section table: 5 rows of 56 bytes, unused rows zero
//!                   0   8  tag, ASCII, padded with zeros
//!                   8   8  offset in the file
//!                  16   8  length
//!                  24  32  BLAKE3 of the section
//!    344     32  BLAKE3 of the 344 bytes before it. It stands for the whole file: it covers every section's BLAKE3.
//!    376
//! ```
//!
//! The first section, `labels`, starts at 384 (the next multiple of 64); its encoding is drawn at
//! [`LabelTable::encode`](super::LabelTable::encode). The others start at multiples of 4096.
//!
//! # Locator `bucket`: sections `labels heads tails sets`
//!
//! A value is split into a *head*, its first 16 bytes, and a *tail*, the rest (none for MD5). A *line* is 64 bytes
//! of `heads` and has four *slots*. With L home lines, a value's **home line** is `(first 8 bytes, big-endian) × L >> 64`.
//! That is monotonic, so values in ascending order fill the slots in ascending order: each takes the first slot of
//! its home line, or the slot after its predecessor's if that is later. A slot without a value is all zero, and
//! its first 8 bytes tell, so a value that starts with 8 zero bytes cannot be stored (the writer uses `fst` then).
//!
//! ```text
//! parameters   0  8  L, home lines
//!              8  4  room: lines after the last home line, for what spills out of it
//!             12  4  spill: the most lines that any value lies after its home line, at most `room`
//!             16  8  zero
//! heads   (L + room) × 64 bytes; slot s at s × 16
//! tails   (L + room) × 4 × tail width; slot s at s × tail width; zero where the slot is empty
//! sets    the label-set id of slot s in bits s×w .. s×w + w, lowest bit first; then 8 zero bytes, so that every
//!         id can be read as eight bytes. Nothing at all if w is 0.
//! ```
//!
//! # Locator `fst`: sections `labels digests sets fst filter`
//!
//! ```text
//! parameters   0  8  filter: seed
//!              8  4  filter: segment length, a power of two
//!             12  4  filter: segment count × segment length
//!             16  4  p, the bytes of a prefix
//!             20  4  zero
//! digests  n values in ascending order; ordinal i at i × width
//! sets     as above, by ordinal
//! fst      a map of the crate `fst`, format 3: each distinct prefix of p bytes → the first ordinal that has it
//! filter   the fingerprints of a binary fuse filter of 8 bits (crate `xorf`) over the distinct first 8 bytes of
//!          the values, taken as big-endian numbers; empty, with zero parameters, if there is no filter
//! ```
//!
//! # Locators `flat` and `mih`: sections `labels digests sets` and `labels digests sets mih`
//!
//! ```text
//! parameters  24 zero bytes
//! digests  n codes in ascending order; ordinal i at i × width
//! sets     as above, by ordinal
//! mih      drawn at crate::index::hamming::mih
//! ```

use std::ops::Range;
use std::path::Path;

use super::{Flaw, SegmentError};
use crate::fingerprint::Kind;

const MAGIC: [u8; 8] = *b"hwseg\r\n\0";
/// The format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

const VERSION_AT: usize = MAGIC.len();
const KIND_AT: usize = VERSION_AT + 4;
const LOCATOR_AT: usize = KIND_AT + 1;
const SET_BITS_AT: usize = LOCATOR_AT + 1;
const COUNT_AT: usize = SET_BITS_AT + 2;
const APPLIED_SEQ_AT: usize = COUNT_AT + 8;
const PARAMETERS_AT: usize = APPLIED_SEQ_AT + 8;
/// Bytes of a locator's parameters.
pub const PARAMETERS_BYTES: usize = 24;
const TABLE_AT: usize = PARAMETERS_AT + PARAMETERS_BYTES + 8;
const ROW_BYTES: usize = TAG_BYTES + 8 + 8 + blake3::OUT_LEN;
const TAG_BYTES: usize = 8;
/// Sections of a file, at most.
pub const SECTIONS_MAX: usize = 5;
const HASH_AT: usize = TABLE_AT + SECTIONS_MAX * ROW_BYTES;
/// Bytes of the header, its BLAKE3 included.
pub const HEADER_BYTES: usize = HASH_AT + blake3::OUT_LEN;

// The drawing above, held to the constants.
const _: () = assert!(COUNT_AT == 16 && PARAMETERS_AT == 32 && TABLE_AT == 64 && HASH_AT == 344 && HEADER_BYTES == 376);

/// The most digests of a segment. Far above what a file can hold; it keeps arithmetic on stored counts from
/// overflowing.
pub const DIGESTS_MAX: u64 = 1 << 40;

/// Where `labels` starts.
pub const LABELS_AT: u64 = HEADER_BYTES.next_multiple_of(64) as u64;
/// What the offsets of all other sections are multiples of.
pub const PAGE_BYTES: u64 = 4096;

/// Bytes of a head.
pub const HEAD_BYTES: usize = 16;
/// Slots of a line.
pub const LINE_SLOTS: usize = 4;
/// Bytes of a line.
pub const LINE_BYTES: usize = HEAD_BYTES * LINE_SLOTS;

const _: () = assert!(LINE_BYTES == 64);

/// The structure that finds a digest's place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LocatorKind {
    /// A finite-state transducer over prefixes, with a binary-fuse filter in front.
    Fst = 1,
    /// No directory: the leading bits name a line.
    Bucket = 2,
    /// No directory: codes are scanned.
    Flat = 3,
    /// Multi-index hashing.
    Mih = 4,
}

impl LocatorKind {
    /// All, in the order of their codes.
    pub const ALL: [LocatorKind; 4] = [LocatorKind::Fst, LocatorKind::Bucket, LocatorKind::Flat, LocatorKind::Mih];

    /// Those of exact kinds.
    pub const EXACT: [LocatorKind; 2] = [LocatorKind::Fst, LocatorKind::Bucket];

    /// Those of perceptual kinds.
    pub const PERCEPTUAL: [LocatorKind; 2] = [LocatorKind::Flat, LocatorKind::Mih];

    /// Whether it finds what is to be found of `kind`.
    pub fn serves(self, kind: Kind) -> bool {
        if kind.is_exact() { LocatorKind::EXACT.contains(&self) } else { LocatorKind::PERCEPTUAL.contains(&self) }
    }

    /// The name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            LocatorKind::Fst => "fst",
            LocatorKind::Bucket => "bucket",
            LocatorKind::Flat => "flat",
            LocatorKind::Mih => "mih",
        }
    }

    /// The sections of a file with this locator, in the order of the file.
    pub(crate) const fn sections(self) -> &'static [SectionTag] {
        use SectionTag::{Digests, Filter, Fst, Heads, Labels, Mih, Sets, Tails};
        match self {
            LocatorKind::Fst => &[Labels, Digests, Sets, Fst, Filter],
            LocatorKind::Bucket => &[Labels, Heads, Tails, Sets],
            LocatorKind::Flat => &[Labels, Digests, Sets],
            LocatorKind::Mih => &[Labels, Digests, Sets, Mih],
        }
    }
}

impl std::fmt::Display for LocatorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no locator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown locator `{0}`; expected fst, bucket, flat or mih")]
pub struct UnknownLocator(pub String);

impl std::str::FromStr for LocatorKind {
    type Err = UnknownLocator;

    fn from_str(name: &str) -> Result<LocatorKind, UnknownLocator> {
        LocatorKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownLocator(name.to_owned()))
    }
}

/// A section's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionTag {
    Labels,
    Digests,
    Sets,
    Fst,
    Filter,
    Heads,
    Tails,
    Mih,
}

impl SectionTag {
    /// The tag as text, as errors name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            SectionTag::Labels => "labels",
            SectionTag::Digests => "digests",
            SectionTag::Sets => "sets",
            SectionTag::Fst => "fst",
            SectionTag::Filter => "filter",
            SectionTag::Heads => "heads",
            SectionTag::Tails => "tails",
            SectionTag::Mih => "mih",
        }
    }

    fn bytes(self) -> [u8; TAG_BYTES] {
        let mut bytes = [0; TAG_BYTES];
        bytes[..self.name().len()].copy_from_slice(self.name().as_bytes());
        bytes
    }
}

/// A row of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) tag: SectionTag,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) hash: blake3::Hash,
}

impl Section {
    /// The byte after the section.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The section's bytes in a mapping of the file, whose length was held against [`Header::decode`].
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset as usize..self.end() as usize
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) locator: LocatorKind,
    pub(crate) set_bits: u8,
    pub(crate) digests: u64,
    pub(crate) applied_seq: u64,
    pub(crate) parameters: [u8; PARAMETERS_BYTES],
    /// As many as [`LocatorKind::sections`], in that order.
    pub(crate) sections: Vec<Section>,
}

impl Header {
    /// The header's bytes and its BLAKE3.
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], blake3::Hash) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..KIND_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[KIND_AT] = self.kind.code();
        bytes[LOCATOR_AT] = self.locator as u8;
        bytes[SET_BITS_AT] = self.set_bits;
        bytes[COUNT_AT..APPLIED_SEQ_AT].copy_from_slice(&self.digests.to_le_bytes());
        bytes[APPLIED_SEQ_AT..PARAMETERS_AT].copy_from_slice(&self.applied_seq.to_le_bytes());
        bytes[PARAMETERS_AT..PARAMETERS_AT + PARAMETERS_BYTES].copy_from_slice(&self.parameters);
        for (section, row) in self.sections.iter().zip(bytes[TABLE_AT..HASH_AT].chunks_exact_mut(ROW_BYTES)) {
            row[..TAG_BYTES].copy_from_slice(&section.tag.bytes());
            row[TAG_BYTES..TAG_BYTES + 8].copy_from_slice(&section.offset.to_le_bytes());
            row[TAG_BYTES + 8..TAG_BYTES + 16].copy_from_slice(&section.length.to_le_bytes());
            row[TAG_BYTES + 16..].copy_from_slice(section.hash.as_bytes());
        }
        let hash = blake3::hash(&bytes[..HASH_AT]);
        bytes[HASH_AT..].copy_from_slice(hash.as_bytes());
        (bytes, hash)
    }

    /// Reads a header and holds it against the file's length. Every section then lies within the file, after the
    /// one before it and aligned; what the lengths must be is for the locator to say.
    pub(crate) fn decode(file: &Path, bytes: &[u8], file_bytes: u64) -> Result<(Header, blake3::Hash), SegmentError> {
        let damaged = |expected: &dyn ToString, found: &dyn ToString| {
            Flaw::new(expected.to_string(), found.to_string()).within(file, "header")
        };
        if bytes.len() < VERSION_AT || bytes[..VERSION_AT] != MAGIC {
            return Err(SegmentError::NotASegment { file: file.to_owned() });
        }
        if bytes.len() < HEADER_BYTES {
            return Err(damaged(&format_args!("{HEADER_BYTES} bytes"), &bytes.len()));
        }
        let version = u32_at(bytes, VERSION_AT);
        if version != FORMAT_VERSION {
            return Err(SegmentError::Version { file: file.to_owned(), expected: FORMAT_VERSION, found: version });
        }
        let hash = blake3::hash(&bytes[..HASH_AT]);
        let stored = &bytes[HASH_AT..HEADER_BYTES];
        if hash.as_bytes() != stored {
            return Err(damaged(&format_args!("BLAKE3 {}", super::hex(stored)), &hash.to_hex()));
        }
        let kind = Kind::from_code(bytes[KIND_AT]).ok_or_else(|| damaged(&"a known kind", &bytes[KIND_AT]))?;
        let locator = LocatorKind::ALL
            .into_iter()
            .find(|locator| *locator as u8 == bytes[LOCATOR_AT])
            .ok_or_else(|| damaged(&"a known locator", &bytes[LOCATOR_AT]))?;
        if !locator.serves(kind) {
            let found = format_args!("`{locator}` with kind {kind}").to_string();
            return Err(damaged(&"a locator that serves its kind", &found));
        }
        let digests = u64_at(bytes, COUNT_AT);
        if digests > DIGESTS_MAX {
            return Err(damaged(&format_args!("at most {DIGESTS_MAX} digests"), &digests));
        }
        let mut sections = Vec::with_capacity(SECTIONS_MAX);
        let mut end = LABELS_AT;
        for (tag, row) in locator.sections().iter().zip(bytes[TABLE_AT..HASH_AT].chunks_exact(ROW_BYTES)) {
            let (offset, length) = (u64_at(row, TAG_BYTES), u64_at(row, TAG_BYTES + 8));
            let aligned = if *tag == SectionTag::Labels { LABELS_AT } else { end.next_multiple_of(PAGE_BYTES) };
            if row[..TAG_BYTES] != tag.bytes() || offset != aligned {
                let expected = format_args!("section `{}` at {aligned}", tag.name());
                return Err(damaged(&expected, &format_args!("`{}` at {offset}", row[..TAG_BYTES].escape_ascii())));
            }
            // At most the file's length, so nothing that is derived from it overflows.
            end = match offset.checked_add(length) {
                Some(end) if end <= file_bytes => end,
                _ => {
                    let expected =
                        format_args!("section `{}` of {length} bytes at {offset} within the file", tag.name());
                    return Err(damaged(&expected, &format_args!("a file of {file_bytes} bytes")));
                }
            };
            let hash: [u8; blake3::OUT_LEN] = row[TAG_BYTES + 16..].try_into().expect("a row ends with a hash");
            sections.push(Section { tag: *tag, offset, length, hash: hash.into() });
        }
        if end != file_bytes {
            return Err(damaged(&format_args!("a file of {end} bytes"), &file_bytes));
        }
        let header = Header {
            kind,
            locator,
            set_bits: bytes[SET_BITS_AT],
            digests,
            applied_seq: u64_at(bytes, APPLIED_SEQ_AT),
            parameters: bytes[PARAMETERS_AT..PARAMETERS_AT + PARAMETERS_BYTES].try_into().expect("a fixed range"),
            sections,
        };
        // What is reserved must be zero, so that every header has exactly one encoding.
        if header.encode().0[..] != bytes[..HEADER_BYTES] {
            return Err(damaged(&"zero in reserved bytes", &"other bytes"));
        }
        Ok((header, hash))
    }

    /// The section with this tag; asked only for tags of the file's locator.
    pub(crate) fn section(&self, tag: SectionTag) -> &Section {
        self.sections.iter().find(|section| section.tag == tag).expect("a file has all sections of its locator")
    }
}

/// The number at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The number at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
