//! One block in memory: records put into its columns, packed, and taken out again.
//!
//! Digests do not compress and texts do, so they stand apart. That also lets a search look through a block's values
//! before any text is unfolded.

use super::layout::{BLOCK_RECORDS_MAX, PART_BYTES_MAX, PARTS, Part};
use super::{NewRecord, StoredRecord};
use crate::fingerprint::{Fingerprint, Kind};
use crate::index::exact::filter::{self, FilterParameters};
use crate::list::{Category, Flags, PackedAttributes};
use crate::segment::Flaw;

/// A block is full when one of its columns has this many bytes.
const BLOCK_BYTES: usize = 2 << 20;
/// Bytes of one record's values, and of its texts, at most.
const RECORD_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(BLOCK_BYTES + RECORD_BYTES_MAX <= PART_BYTES_MAX);

/// Zstandard's quickest level: records come a million a second.
const LEVEL: i32 = 1;

/// Set in a kind's code where another fingerprint of the same record follows.
const MORE: u8 = 1 << 7;

const _: () = assert!(Kind::ALL.len() < MORE as usize);

/// How a record's category is given; see [`super::layout`].
const AS_BEFORE: u8 = 0;
const UNCATEGORISED: u8 = 1;
const CODE: u8 = 2;
const SCHEME_AND_CODE: u8 = 3;

/// Records being gathered.
#[derive(Default)]
pub(super) struct Columns {
    values: Vec<u8>,
    texts: Vec<u8>,
    records: u32,
    /// The category and flags of the record at hand and of the one before, as they are written.
    said: Vec<u8>,
    said_before: Vec<u8>,
}

impl Columns {
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.records == BLOCK_RECORDS_MAX || self.values.len().max(self.texts.len()) >= BLOCK_BYTES
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Forgets the records and keeps the memory.
    pub(super) fn clear(&mut self) {
        let Columns { values, texts, records, said, said_before } = self;
        [values, texts, said, said_before].into_iter().for_each(Vec::clear);
        *records = 0;
    }

    /// Adds a record. The error says what of it does not fit into any block; then nothing was added.
    #[inline]
    pub(super) fn push(&mut self, record: &NewRecord<'_>) -> Result<(), Flaw> {
        let bytes: usize = record.fingerprints.iter().map(|(_, value)| 1 + value.len()).sum();
        if bytes == 0 || bytes > RECORD_BYTES_MAX {
            return Err(Flaw::new("fingerprints of at most 1 MiB, and at least one", format_args!("{bytes} bytes")));
        }
        if let Some((kind, value)) = record.fingerprints.iter().find(|(kind, value)| value.len() != kind.width()) {
            return Err(Flaw::new("values as wide as their kind", format_args!("{} bytes of {kind}", value.len())));
        }
        say(&mut self.said, record)?;
        let last = record.fingerprints.len() - 1;
        for (index, (kind, value)) in record.fingerprints.iter().enumerate() {
            self.values.push(kind.code() | if index < last { MORE } else { 0 });
            self.values.extend_from_slice(value);
        }
        if self.said == self.said_before {
            self.texts.push(AS_BEFORE);
        } else {
            self.texts.extend_from_slice(&self.said);
            std::mem::swap(&mut self.said, &mut self.said_before);
        }
        let attributes = record.attributes.as_bytes();
        self.texts.extend_from_slice(&(attributes.len() as u16).to_le_bytes());
        self.texts.extend_from_slice(attributes);
        self.records += 1;
        Ok(())
    }
}

/// Writes the category and flags of a record.
fn say(out: &mut Vec<u8>, record: &NewRecord<'_>) -> Result<(), Flaw> {
    let (how, texts) = match (record.scheme, record.category) {
        (_, None) => (UNCATEGORISED, [None, None]),
        (None, Some(code)) => (CODE, [None, Some(code)]),
        (Some(scheme), Some(code)) => (SCHEME_AND_CODE, [Some(scheme), Some(code)]),
    };
    out.clear();
    out.extend_from_slice(&[how, record.flags.0]);
    for text in texts.into_iter().flatten() {
        let length = u16::try_from(text.len());
        let length = length.map_err(|_| Flaw::new("a category of at most 65,535 bytes", text.len()))?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// A block as it is written.
pub(super) struct Packed<'c> {
    pub(super) filter: Option<FilterParameters>,
    pub(super) parts: [&'c [u8]; PARTS.len()],
    pub(super) unfolded: u32,
}

/// Packs blocks, one after the other, in memory that is used again.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    keys: Vec<u64>,
    filter: Box<[u8]>,
    texts: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Packer> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Packer { compressor, keys: Vec::new(), filter: Box::default(), texts: Vec::new() })
    }

    pub(super) fn pack<'c>(&'c mut self, columns: &'c Columns) -> std::io::Result<Packed<'c>> {
        self.keys.clear();
        let values = Values(&columns.values);
        self.keys.extend(values.map_while(Result::ok).map(|(_, value, _)| key(value)));
        self.keys.sort_unstable();
        self.keys.dedup();
        let (filter, fingerprints) = filter::build(&self.keys).unzip();
        self.filter = fingerprints.unwrap_or_default();
        self.texts.clear();
        self.texts.reserve(zstd::zstd_safe::compress_bound(columns.texts.len()));
        self.compressor.compress_to_buffer(&columns.texts, &mut self.texts)?;
        let parts = [&*self.filter, &*columns.values, &*self.texts];
        Ok(Packed { filter, parts, unfolded: columns.texts.len() as u32 })
    }
}

/// What the filter holds of a value.
pub(super) fn key(value: &[u8]) -> u64 {
    let (prefix, _) = value.split_first_chunk::<8>().expect("no kind is narrower");
    u64::from_be_bytes(*prefix)
}

/// The values of a block: kind, value, and whether another of the same record follows.
pub(super) struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Result<(Kind, &'a [u8], bool), Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        let (code, rest) = self.0.split_first()?;
        let found = match Kind::from_code(code & !MORE) {
            None => Err(Flaw::new("a kind's code", code)),
            Some(kind) => match rest.split_at_checked(kind.width()) {
                Some((value, rest)) => {
                    self.0 = rest;
                    return Some(Ok((kind, value, code & MORE != 0)));
                }
                None => Err(Flaw::new(format_args!("a value of {kind}"), format_args!("{} bytes", rest.len()))),
            },
        };
        self.0 = &[];
        Some(found)
    }
}

/// A block being read, at one of its records.
pub(super) struct Cursor {
    values: Vec<u8>,
    texts: Vec<u8>,
    values_at: usize,
    texts_at: usize,
    /// Records that are still to come.
    left: u32,
    category: Option<Category>,
    flags: Flags,
    /// The record at hand, within the columns.
    fingerprints: std::ops::Range<usize>,
    attributes: std::ops::Range<usize>,
}

/// A finding in a part of a block.
pub(super) type Fault = (Part, Flaw);

impl Cursor {
    /// Stands before the first of `records` records. `texts` must unfold to exactly `unfolded` bytes.
    pub(super) fn new(records: u32, values: Vec<u8>, texts: &[u8], unfolded: usize) -> Result<Cursor, Fault> {
        let unfold = zstd::bulk::decompress(texts, unfolded).map_err(|error| Flaw::new("a frame of Zstandard", error));
        let texts = unfold.map_err(|flaw| (Part::Texts, flaw))?;
        if texts.len() != unfolded {
            let found = format_args!("{}", texts.len());
            return Err((Part::Texts, Flaw::new(format_args!("{unfolded} bytes of texts"), found)));
        }
        Ok(Cursor {
            values,
            texts,
            values_at: 0,
            texts_at: 0,
            left: records,
            category: None,
            flags: Flags::NONE,
            fingerprints: 0..0,
            attributes: 0..0,
        })
    }

    /// Goes on to the next record; `false` at the end, where nothing may be left over.
    pub(super) fn advance(&mut self) -> Result<bool, Fault> {
        if self.left == 0 {
            let rest =
                [(Part::Values, self.values.len() - self.values_at), (Part::Texts, self.texts.len() - self.texts_at)];
            return match rest.into_iter().find(|(_, rest)| *rest > 0) {
                Some((part, rest)) => Err((part, Flaw::new("the end of the block", format_args!("{rest} bytes more")))),
                None => Ok(false),
            };
        }
        self.advance_values().map_err(|flaw| (Part::Values, flaw))?;
        self.advance_texts().map_err(|flaw| (Part::Texts, flaw))?;
        self.left -= 1;
        Ok(true)
    }

    fn advance_values(&mut self) -> Result<(), Flaw> {
        let mut rest = Values(&self.values[self.values_at..]);
        loop {
            let (.., more) = rest.next().unwrap_or_else(|| Err(Flaw::new("a fingerprint", "the end of the block")))?;
            if !more {
                break;
            }
        }
        let end = self.values.len() - rest.0.len();
        self.fingerprints = self.values_at..end;
        self.values_at = end;
        Ok(())
    }

    fn advance_texts(&mut self) -> Result<(), Flaw> {
        let mut input = Input(&self.texts[self.texts_at..]);
        let how = input.take(1)?[0];
        let is_first = self.texts_at == 0;
        if how == AS_BEFORE && is_first || how > SCHEME_AND_CODE {
            return Err(Flaw::new("how a category is given", how));
        }
        if how != AS_BEFORE {
            self.flags = Flags(input.take(1)?[0]);
            self.category = match how {
                UNCATEGORISED => None,
                CODE => Some(Category::new(None, input.text()?)),
                _ => Some(Category::new(Some(input.text()?), input.text()?)),
            };
        }
        let length = input.length()?;
        let attributes = input.take(length)?;
        PackedAttributes::check(attributes).map_err(|_| Flaw::new("attributes", "other bytes"))?;
        let end = self.texts.len() - input.0.len();
        self.attributes = end - length..end;
        self.texts_at = end;
        Ok(())
    }

    /// The fingerprints of the record at hand.
    fn fingerprints(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        let values = Values(&self.values[self.fingerprints.clone()]);
        values.map_while(Result::ok).map(|(kind, value, _)| (kind, value))
    }

    /// Whether the record at hand has this fingerprint.
    pub(super) fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprints().any(|(kind, value)| kind == fingerprint.kind() && value == fingerprint.value())
    }

    /// The record at hand.
    pub(super) fn record(&self) -> StoredRecord {
        let fingerprints = self.fingerprints();
        let owned = |(kind, value)| Fingerprint::new(kind, value).expect("values have their kind's width");
        StoredRecord {
            fingerprints: fingerprints.map(owned).collect(),
            category: self.category.clone(),
            flags: self.flags,
            attributes: PackedAttributes::unpack(&self.texts[self.attributes.clone()]),
        }
    }
}

/// What is left of the texts.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let split = self.0.split_at_checked(count);
        let (taken, rest) = split
            .ok_or_else(|| Flaw::new(format_args!("{count} bytes more"), format_args!("{} bytes", self.0.len())))?;
        self.0 = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, Flaw> {
        let two = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([two[0], two[1]])))
    }

    fn text(&mut self) -> Result<&'a str, Flaw> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|error| Flaw::new("UTF-8", error))
    }
}
