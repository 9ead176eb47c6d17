//! What every way of reading a segment checks first: the header, the sections' sizes, the locator's parameters, the
//! label table. After it, every place that a lookup can compute lies within its section.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::SegmentSummary;
use crate::index::exact::bucket::BucketParameters;
use crate::index::exact::filter::FilterParameters;
use crate::index::exact::fst::{FstParameters, PREFIX_MAX};
use crate::segment::layout::HEAD_BYTES;
use crate::segment::layout::{
    HEADER_BYTES, Header, LABELS_AT, LINE_BYTES, LocatorKind, PARAMETERS_BYTES, SectionTag, u32_at, u64_at,
};
use crate::segment::{Flaw, LabelTable, SegmentError, bits_for, check_hash, packed_bytes};

/// A file whose structure is right.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) header: Header,
    pub(super) digest: blake3::Hash,
    pub(super) labels: LabelTable,
    pub(super) parameters: Parameters,
}

/// The most codes of a segment: their ordinals are 32-bit numbers.
pub(super) const CODES_MAX: u64 = u32::MAX as u64;

/// A locator's parameters, range-checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameters {
    Bucket(BucketParameters),
    Fst(FstParameters),
    /// Of `flat` and `mih`, which have none.
    Codes,
}

/// Opens a file and checks its structure.
pub(super) fn open(path: &Path) -> Result<Opened, SegmentError> {
    let file = File::open(path).map_err(SegmentError::io(path, "open"))?;
    let file_bytes = file.metadata().map_err(SegmentError::io(path, "examine"))?.len();
    let mut bytes = vec![0; file_bytes.min(HEADER_BYTES as u64) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(SegmentError::io(path, "read"))?;
    let (header, digest) = Header::decode(path, &bytes, file_bytes)?;
    let parameters = Parameters::decode(&header).map_err(|flaw| flaw.within(path, "header"))?;

    // The table is hashed before it is decoded: what follows reads only what the writer wrote.
    let section = *header.section(SectionTag::Labels);
    let mut bytes = vec![0; section.length as usize];
    file.read_exact_at(&mut bytes, section.offset).map_err(SegmentError::io(path, "read"))?;
    check_hash(path, &section, blake3::hash(&bytes))?;
    let labels = LabelTable::decode(&bytes).map_err(|flaw| flaw.within(path, section.tag.name()))?;
    let sets = labels.set_count();
    if bits_for(sets) != header.set_bits || (sets == 0 && header.digests > 0) {
        let expected = format_args!("label sets for ids of {} bits", header.set_bits).to_string();
        return Err(Flaw::new(expected, sets).within(path, section.tag.name()));
    }
    Ok(Opened { path: path.to_owned(), file, header, digest, labels, parameters })
}

/// The length of a file with this header.
pub(super) fn file_bytes(header: &Header) -> u64 {
    header.sections.last().map_or(LABELS_AT, |section| section.end())
}

/// Refuses anything but zeros between the sections. `read` fills a buffer from a place in the file.
pub(super) fn check_gaps(
    path: &Path,
    header: &Header,
    read: impl Fn(u64, &mut [u8]) -> Result<(), SegmentError>,
) -> Result<(), SegmentError> {
    let mut end = HEADER_BYTES as u64;
    for section in &header.sections {
        // Less than a page: the header's check has held each offset against the end before it.
        let mut gap = vec![0; (section.offset - end) as usize];
        read(end, &mut gap)?;
        if gap.iter().any(|byte| *byte != 0) {
            let expected = format_args!("zeros between {end} and {}", section.offset).to_string();
            return Err(Flaw::new(expected, "other bytes").within(path, section.tag.name()));
        }
        end = section.end();
    }
    Ok(())
}

impl Opened {
    /// Places are below it.
    pub(super) fn place_bound(&self) -> u64 {
        self.parameters.place_bound(&self.header)
    }

    /// What the header says.
    pub(super) fn summary(&self) -> SegmentSummary {
        SegmentSummary {
            kind: self.header.kind,
            digests: self.header.digests,
            label_sets: self.labels.set_count(),
            locator: self.header.locator,
            applied_seq: self.header.applied_seq,
            bytes: file_bytes(&self.header),
            digest: self.digest,
        }
    }
}

impl Parameters {
    /// Places are below it.
    pub(super) fn place_bound(&self, header: &Header) -> u64 {
        match self {
            Parameters::Bucket(bucket) => bucket.slots(),
            Parameters::Fst(_) | Parameters::Codes => header.digests,
        }
    }

    pub(super) fn encode(&self) -> [u8; PARAMETERS_BYTES] {
        let mut bytes = [0; PARAMETERS_BYTES];
        match self {
            Parameters::Bucket(bucket) => {
                bytes[0..8].copy_from_slice(&bucket.home_lines.to_le_bytes());
                bytes[8..12].copy_from_slice(&bucket.room.to_le_bytes());
                bytes[12..16].copy_from_slice(&bucket.spill.to_le_bytes());
            }
            Parameters::Fst(fst) => {
                if let Some(filter) = &fst.filter {
                    bytes[0..8].copy_from_slice(&filter.seed.to_le_bytes());
                    bytes[8..12].copy_from_slice(&filter.segment_length.to_le_bytes());
                    bytes[12..16].copy_from_slice(&filter.segment_count_length.to_le_bytes());
                }
                bytes[16..20].copy_from_slice(&(fst.prefix as u32).to_le_bytes());
            }
            Parameters::Codes => {}
        }
        bytes
    }

    /// Reads the parameters and holds the sections' lengths against them.
    fn decode(header: &Header) -> Result<Parameters, Flaw> {
        let bytes = &header.parameters;
        let width = header.kind.width() as u64;
        let parameters = match header.locator {
            LocatorKind::Bucket => {
                let home_lines = u64_at(bytes, 0);
                let bucket = BucketParameters { home_lines, room: u32_at(bytes, 8), spill: u32_at(bytes, 12) };
                let heads = home_lines
                    .checked_add(bucket.room.into())
                    .and_then(|lines| lines.checked_mul(LINE_BYTES as u64))
                    .ok_or_else(|| Flaw::new("a possible number of lines", home_lines))?;
                // The length of `heads` is at most the file's, so what follows does not overflow.
                check_length(header, SectionTag::Heads, heads)?;
                check_length(header, SectionTag::Tails, bucket.slots() * (width - HEAD_BYTES as u64))?;
                if (home_lines == 0) != (header.digests == 0) || header.digests > bucket.slots() {
                    return Err(Flaw::new(format_args!("lines for {} digests", header.digests), home_lines));
                }
                if bucket.spill > bucket.room {
                    return Err(Flaw::new(format_args!("a spill of at most {}", bucket.room), bucket.spill));
                }
                Parameters::Bucket(bucket)
            }
            LocatorKind::Fst => {
                check_length(header, SectionTag::Digests, header.digests * width)?;
                let filter = FilterParameters {
                    seed: u64_at(bytes, 0),
                    segment_length: u32_at(bytes, 8),
                    segment_count_length: u32_at(bytes, 12),
                };
                let filter = match header.section(SectionTag::Filter).length {
                    0 => None,
                    length => Some(filter.checked(length)?),
                };
                let prefix = u32_at(bytes, 16) as usize;
                if !(1..=PREFIX_MAX).contains(&prefix) {
                    return Err(Flaw::new(format_args!("a prefix of 1 to {PREFIX_MAX} bytes"), prefix));
                }
                Parameters::Fst(FstParameters { filter, prefix })
            }
            LocatorKind::Flat | LocatorKind::Mih => {
                check_length(header, SectionTag::Digests, header.digests * width)?;
                if header.digests > CODES_MAX {
                    return Err(Flaw::new(format_args!("at most {CODES_MAX} codes"), header.digests));
                }
                Parameters::Codes
            }
        };
        if header.set_bits > 32 {
            return Err(Flaw::new("label-set ids of at most 32 bits", header.set_bits));
        }
        check_length(header, SectionTag::Sets, packed_bytes(parameters.place_bound(header), header.set_bits))?;
        // Unused bytes must be zero, so that a file has exactly one header.
        if parameters.encode() != *bytes {
            return Err(Flaw::new("zero in unused parameters", "other bytes"));
        }
        Ok(parameters)
    }
}

fn check_length(header: &Header, tag: SectionTag, expected: u64) -> Result<(), Flaw> {
    match header.section(tag).length {
        found if found == expected => Ok(()),
        found => Err(Flaw::new(format_args!("{expected} bytes of `{}`", tag.name()), found)),
    }
}
