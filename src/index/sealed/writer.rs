//! Writing a segment from digests in ascending order.
//!
//! How a segment is laid out depends on how many digests there are, and nobody knows that before the last has
//! come. So they go through a *spool*, a temporary file without a name, and the segment is written from there in
//! one pass, under another name, made durable, and renamed into place: a segment that exists is whole. Memory is
//! bounded with `bucket` and `flat`; `fst` needs about 32 bytes a digest while the filter is built, and `mih` has the
//! codes mapped and needs what [`mih::build`] says.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::SegmentSummary;
use super::open::{CODES_MAX, Parameters, file_bytes};
use crate::fingerprint::Kind;
use crate::index::exact::bucket::{self, BucketParameters};
use crate::index::exact::filter;
use crate::index::exact::fst::{FstParameters, PREFIX_MAX};
use crate::index::hamming::{FLAT_CODES_MAX, mih};
use crate::segment::layout::{
    DIGESTS_MAX, HEAD_BYTES, Header, LABELS_AT, LINE_BYTES, LINE_SLOTS, LocatorKind, PAGE_BYTES, Section, SectionTag,
};
use crate::segment::{
    BitWriter, LabelSetId, LabelTable, Mapping, SectionWriter, SegmentError, bits_for, hex, packed_bytes,
};

/// Up to this many digests a segment is written with `fst` unless told otherwise, and with `bucket` above.
pub const FST_DIGESTS_MAX: u64 = 4_000_000;

/// Home lines of `bucket` are 5 for every 14 digests: 2.8 of the four that fit into each. A lookup then goes on to
/// a second line once in 6 times; with 3 digests a line it would be once in 4, for 1.5 bytes a digest less.
const HOME_LINES: (u64, u64) = (5, 14);

/// How many lines after its home line a digest may lie. Digests of real files stay far below it, whatever their
/// number; a set that does not is not spread evenly, and is written with `fst`.
const SPILL_MAX: u64 = 64;

/// Bytes of the spool that are written or read at once.
const SPOOL_BYTES: usize = 1 << 20;

/// How to write a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// The locator, if it serves the segment's kind. By default `fst` up to [`FST_DIGESTS_MAX`] digests of an exact
    /// kind, and `bucket` above; `flat` up to [`FLAT_CODES_MAX`] codes of a perceptual kind, and `mih` above. Where
    /// `bucket` cannot hold the digests, it is `fst` in any case: if one of them starts with 8 zero bytes, or if they
    /// are spread so unevenly that one would lie more than 64 lines after the line its leading bits name.
    pub locator: Option<LocatorKind>,
    /// Withdrawals up to this batch were taken into account.
    pub applied_seq: u64,
}

/// Writes a segment. Nothing stands at its path before [`SegmentWriter::finish`] has succeeded.
pub struct SegmentWriter {
    path: PathBuf,
    kind: Kind,
    options: WriteOptions,
    spool: File,
    buffer: Vec<u8>,
    last: Vec<u8>,
    digests: u64,
    /// The highest label-set id so far.
    set_max: LabelSetId,
}

impl SegmentWriter {
    /// Starts a segment for the file `path`, whose folder must exist. What stands there is replaced by
    /// [`SegmentWriter::finish`].
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the spool cannot be created beside it.
    pub fn create(path: impl AsRef<Path>, kind: Kind, options: WriteOptions) -> Result<SegmentWriter, SegmentError> {
        let path = path.as_ref().to_owned();
        let spool = tempfile::tempfile_in(folder(&path)).map_err(SegmentError::io(&path, "create a spool for"))?;
        Ok(SegmentWriter {
            path,
            kind,
            options,
            spool,
            buffer: Vec::new(),
            last: Vec::with_capacity(kind.width()),
            digests: 0,
            set_max: LabelSetId(0),
        })
    }

    /// Appends a digest with its label set, an id of the table that [`SegmentWriter::finish`] gets.
    ///
    /// # Errors
    /// [`SegmentError::Disorder`] unless the digest is above the one before, [`SegmentError::Width`] if it is none
    /// of the segment's kind, [`SegmentError::Io`] if the spool cannot be written.
    #[inline]
    pub fn push(&mut self, digest: &[u8], set: LabelSetId) -> Result<(), SegmentError> {
        if digest.len() != self.kind.width() {
            let (kind, expected) = (self.kind, self.kind.width());
            return Err(SegmentError::Width { kind, expected, found: digest.len() });
        }
        if digest <= self.last.as_slice() {
            return Err(SegmentError::Disorder { previous: hex(&self.last), found: hex(digest) });
        }
        if self.buffer.len() + digest.len() + SET_BYTES > SPOOL_BYTES {
            self.flush_buffer()?;
        }
        self.buffer.extend_from_slice(digest);
        self.buffer.extend_from_slice(&set.0.to_le_bytes());
        self.last.clear();
        self.last.extend_from_slice(digest);
        self.digests += 1;
        self.set_max = self.set_max.max(set);
        Ok(())
    }

    fn flush_buffer(&mut self) -> Result<(), SegmentError> {
        if self.digests > DIGESTS_MAX {
            return Err(SegmentError::TooMany { most: DIGESTS_MAX });
        }
        self.spool.write_all(&self.buffer).map_err(SegmentError::io(&self.path, "write the spool of"))?;
        self.buffer.clear();
        self.buffer.reserve(SPOOL_BYTES);
        Ok(())
    }

    /// Writes the segment and makes the file durable; its folder is for the caller to sync.
    ///
    /// # Errors
    /// [`SegmentError::UnknownSet`] if a digest was pushed with an id that `labels` has not, [`SegmentError::Io`]
    /// if something cannot be written. Nothing is left behind then.
    pub fn finish(mut self, labels: &LabelTable) -> Result<SegmentSummary, SegmentError> {
        if self.digests > 0 && self.set_max.0 as usize >= labels.set_count() {
            return Err(SegmentError::UnknownSet { set: self.set_max.0, sets: labels.set_count() });
        }
        self.flush_buffer()?;
        let by_size = |few_max, few, many| if self.digests <= few_max { few } else { many };
        let rule = match self.kind.is_exact() {
            true => by_size(FST_DIGESTS_MAX, LocatorKind::Fst, LocatorKind::Bucket),
            false => by_size(FLAT_CODES_MAX as u64, LocatorKind::Flat, LocatorKind::Mih),
        };
        if !self.kind.is_exact() && self.digests > CODES_MAX {
            return Err(SegmentError::TooMany { most: CODES_MAX });
        }
        let chosen = self.options.locator.filter(|locator| locator.serves(self.kind)).unwrap_or(rule);
        self.write(labels, chosen).map_err(SegmentError::io(&self.path, "write"))
    }

    fn write(&mut self, labels: &LabelTable, locator: LocatorKind) -> io::Result<SegmentSummary> {
        let name = self.path.file_name().unwrap_or_default();
        let partial = tempfile::Builder::new()
            .prefix(name)
            .suffix(".partial")
            .permissions(std::fs::Permissions::from_mode(0o640))
            .tempfile_in(folder(&self.path))?;
        let file = partial.as_file();

        let mut section = SectionWriter::new(file, SectionTag::Labels, LABELS_AT);
        section.put(&labels.encode())?;
        let labels_section = section.finish()?;
        let set_bits = bits_for(labels.set_count());
        let mut body =
            Body { file, start: labels_section.end(), width: self.kind.width(), count: self.digests, set_bits };
        let spooled = Spooled::new(&mut self.spool, body.width)?;
        let (locator, (parameters, sections)) = match locator {
            LocatorKind::Flat | LocatorKind::Mih => (locator, body.write_codes(spooled, locator)?),
            LocatorKind::Fst => (locator, body.write_fst(spooled)?),
            LocatorKind::Bucket => match body.write_bucket(spooled)? {
                Some(written) => (locator, written),
                None => {
                    file.set_len(body.start)?;
                    (LocatorKind::Fst, body.write_fst(Spooled::new(&mut self.spool, body.width)?)?)
                }
            },
        };
        let header = Header {
            kind: self.kind,
            locator,
            set_bits,
            digests: self.digests,
            applied_seq: self.options.applied_seq,
            parameters: parameters.encode(),
            sections: std::iter::once(labels_section).chain(sections).collect(),
        };
        let (bytes, digest) = header.encode();
        file.write_all_at(&bytes, 0)?;
        // The last section may be empty and start behind everything that was written.
        file.set_len(file_bytes(&header))?;
        file.sync_all()?;
        partial.persist(&self.path).map_err(|error| error.error)?;
        Ok(SegmentSummary {
            kind: self.kind,
            digests: self.digests,
            label_sets: labels.set_count(),
            locator: header.locator,
            applied_seq: self.options.applied_seq,
            bytes: file_bytes(&header),
            digest,
        })
    }
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Bytes of a label-set id in the spool, after its digest.
const SET_BYTES: usize = 4;

/// The spool, read from its start.
struct Spooled<'s> {
    spool: &'s File,
    record: usize,
    buffer: Vec<u8>,
}

impl<'s> Spooled<'s> {
    fn new(spool: &'s mut File, width: usize) -> io::Result<Spooled<'s>> {
        spool.rewind()?;
        Ok(Spooled { spool, record: width + SET_BYTES, buffer: Vec::new() })
    }

    /// Calls `take` with each digest and its label-set id, until it answers `false`.
    fn each(&mut self, mut take: impl FnMut(&[u8], u32) -> io::Result<bool>) -> io::Result<bool> {
        let whole = SPOOL_BYTES - SPOOL_BYTES % self.record;
        loop {
            self.buffer.clear();
            self.spool.take(whole as u64).read_to_end(&mut self.buffer)?;
            for record in self.buffer.chunks_exact(self.record) {
                let (digest, set) = record.split_at(self.record - SET_BYTES);
                if !take(digest, u32::from_le_bytes(set.try_into().expect("four bytes")))? {
                    return Ok(false);
                }
            }
            if self.buffer.len() < whole {
                return Ok(true);
            }
        }
    }
}

/// What stands behind the labels.
struct Body<'f> {
    file: &'f File,
    start: u64,
    width: usize,
    count: u64,
    set_bits: u8,
}

type Written = (Parameters, Vec<Section>);

impl<'f> Body<'f> {
    fn section(&self, tag: SectionTag, after: u64) -> SectionWriter<'f> {
        SectionWriter::new(self.file, tag, after.next_multiple_of(PAGE_BYTES))
    }

    /// `None` if the digests are not for `bucket`.
    fn write_bucket(&mut self, mut spooled: Spooled<'_>) -> io::Result<Option<Written>> {
        let home_lines = (self.count * HOME_LINES.0).div_ceil(HOME_LINES.1);
        // Few digests cannot spill far, and small segments should be small.
        let room = SPILL_MAX.min(self.count.div_ceil(LINE_SLOTS as u64)) as u32;
        let mut parameters = BucketParameters { home_lines, room, spill: 0 };
        let tail_bytes = self.width as u64 - HEAD_BYTES as u64;

        // All lengths are known, so the sections are written side by side in one pass.
        let mut heads = self.section(SectionTag::Heads, self.start);
        let heads_end = heads.offset() + parameters.lines() * LINE_BYTES as u64;
        let mut tails = self.section(SectionTag::Tails, heads_end);
        let sets = self.section(SectionTag::Sets, tails.offset() + parameters.slots() * tail_bytes);
        let mut sets = BitWriter::new(sets, self.set_bits);

        // The first slot that is not taken.
        let mut free = 0;
        let fits = spooled.each(|digest, set| {
            let home = parameters.home(digest);
            let slot = free.max(home * LINE_SLOTS as u64);
            let spill = slot / LINE_SLOTS as u64 - home;
            if spill > u64::from(room) || bucket::is_unstorable(digest) {
                return Ok(false);
            }
            parameters.spill = parameters.spill.max(spill as u32);
            let empty = slot - free;
            free = slot + 1;
            heads.put_zeros(empty * HEAD_BYTES as u64)?;
            heads.put(&digest[..HEAD_BYTES])?;
            if tail_bytes > 0 {
                tails.put_zeros(empty * tail_bytes)?;
                tails.put(&digest[HEAD_BYTES..])?;
            }
            sets.skip(empty)?;
            sets.push(set)?;
            Ok(true)
        })?;
        if !fits {
            return Ok(None);
        }
        let empty = parameters.slots() - free;
        heads.put_zeros(empty * HEAD_BYTES as u64)?;
        tails.put_zeros(empty * tail_bytes)?;
        sets.skip(empty)?;
        let sections = vec![heads.finish()?, tails.finish()?, sets.finish()?.finish()?];
        Ok(Some((Parameters::Bucket(parameters), sections)))
    }

    fn write_codes(&mut self, mut spooled: Spooled<'_>, locator: LocatorKind) -> io::Result<Written> {
        let mut digests = self.section(SectionTag::Digests, self.start);
        let sets = self.section(SectionTag::Sets, digests.offset() + self.count * self.width as u64);
        let mut sets = BitWriter::new(sets, self.set_bits);
        spooled.each(|code, set| {
            digests.put(code)?;
            sets.push(set)?;
            Ok(true)
        })?;
        let mut sections = vec![digests.finish()?, sets.finish()?.finish()?];
        if locator == LocatorKind::Mih {
            let mut section = self.section(SectionTag::Mih, sections[1].end());
            // What is mapped has been written for good; the index goes behind it.
            self.file.set_len(sections[1].end())?;
            let map = Mapping::of(self.file)?;
            mih::build(self.width, &map[sections[0].range()], &mut section)?;
            sections.push(section.finish()?);
        }
        Ok((Parameters::Codes, sections))
    }

    fn write_fst(&mut self, mut spooled: Spooled<'_>) -> io::Result<Written> {
        let prefix = prefix_for(self.count);
        let mut digests = self.section(SectionTag::Digests, self.start);
        let sets = self.section(SectionTag::Sets, digests.offset() + self.count * self.width as u64);
        let sets_end = sets.offset() + packed_bytes(self.count, self.set_bits);
        let mut sets = BitWriter::new(sets, self.set_bits);
        let mut map = fst::MapBuilder::new(self.section(SectionTag::Fst, sets_end)).map_err(io::Error::other)?;
        let mut keys: Vec<u64> = Vec::new();

        let mut ordinal = 0;
        let mut last_prefix = Vec::new();
        spooled.each(|digest, set| {
            digests.put(digest)?;
            sets.push(set)?;
            if last_prefix != digest[..prefix] {
                last_prefix.clear();
                last_prefix.extend_from_slice(&digest[..prefix]);
                map.insert(&last_prefix, ordinal).map_err(io::Error::other)?;
            }
            let key = bucket::key(digest);
            if keys.last() != Some(&key) {
                keys.push(key);
            }
            ordinal += 1;
            Ok(true)
        })?;
        let mut sections = vec![digests.finish()?, sets.finish()?.finish()?];
        sections.push(map.into_inner().map_err(io::Error::other)?.finish()?);
        let (filter, fingerprints) = filter::build(&keys).unzip();
        let mut section = self.section(SectionTag::Filter, sections[2].end());
        section.put(&fingerprints.unwrap_or_default())?;
        sections.push(section.finish()?);
        Ok((Parameters::Fst(FstParameters { filter, prefix }), sections))
    }
}

/// The fewest bytes of a prefix that can tell `count` digests apart.
fn prefix_for(count: u64) -> usize {
    (1..PREFIX_MAX).find(|bytes| 1 << (8 * bytes) >= count).unwrap_or(PREFIX_MAX)
}
