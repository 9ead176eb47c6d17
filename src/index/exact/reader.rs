//! Reading a segment from its start to its end, and checking it on the way.
//!
//! Nothing here maps the file: a list keeper's tool that merges or checks large segments must not look as if it
//! used as much memory as they are long.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::open::{BucketParameters, FstParameters, Parameters, check_gaps, file_bytes, open};
use super::{Filter, Place, SegmentSummary, Transducer, bucket};
use crate::fingerprint::Kind;
use crate::list::Source;
use crate::segment::layout::{HEAD_BYTES, Header, LINE_SLOTS, LocatorKind, Section, SectionTag};
use crate::segment::{BitReader, Flaw, LabelSetId, LabelTable, SectionReader, SegmentError, check_hash, hex};

/// A digest, its place and its label set.
pub type Row<'a> = (&'a [u8], Place, LabelSetId);

/// A segment's digests in order, each with its place and label set, checked as they come.
struct Digests<R> {
    path: PathBuf,
    layout: Layout<R>,
    sets: BitReader<R>,
    value: Vec<u8>,
    read: u64,
    count: u64,
}

enum Layout<R> {
    Fst {
        digests: SectionReader<R>,
    },
    Bucket {
        heads: SectionReader<R>,
        tails: SectionReader<R>,
        parameters: BucketParameters,
        /// The next slot.
        slot: u64,
        /// The last line so far that has an empty slot.
        gap: Option<u64>,
    },
}

impl<R: Read> Digests<R> {
    /// With `hashing`, [`Digests::finish`] checks the BLAKE3 of the sections it read.
    fn new(
        path: &Path,
        header: &Header,
        labels: &LabelTable,
        parameters: &Parameters,
        hashing: bool,
        input: impl Fn(&Section) -> Result<R, SegmentError>,
    ) -> Result<Digests<R>, SegmentError> {
        let section = |tag| {
            let section = header.section(tag);
            Ok(SectionReader::new(input(section)?, path, section, hashing))
        };
        let layout = match parameters {
            Parameters::Fst(_) => Layout::Fst { digests: section(SectionTag::Digests)? },
            Parameters::Bucket(parameters) => Layout::Bucket {
                heads: section(SectionTag::Heads)?,
                tails: section(SectionTag::Tails)?,
                parameters: *parameters,
                slot: 0,
                gap: None,
            },
        };
        Ok(Digests {
            path: path.to_owned(),
            layout,
            sets: BitReader::new(section(SectionTag::Sets)?, header.set_bits, labels.set_count()),
            value: vec![0; header.kind.width()],
            read: 0,
            count: header.digests,
        })
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, SegmentError> {
        if self.read == self.count {
            return Ok(None);
        }
        let (place, set) = match &mut self.layout {
            Layout::Fst { digests } => {
                let value = digests.take(self.value.len())?;
                if self.read > 0 && value <= self.value.as_slice() {
                    let flaw = Flaw::new(format_args!("a digest above {}", hex(&self.value)), hex(value));
                    return Err(flaw.within(&self.path, SectionTag::Digests.name()));
                }
                self.value.copy_from_slice(value);
                (Place(self.read), self.sets.next()?)
            }
            Layout::Bucket { heads, tails, parameters, slot, gap } => loop {
                if *slot == parameters.slots() {
                    let flaw = Flaw::new(format_args!("{} digests", self.count), self.read);
                    return Err(flaw.within(&self.path, SectionTag::Heads.name()));
                }
                let here = *slot;
                *slot += 1;
                let line = here / LINE_SLOTS as u64;
                let head = heads.take(HEAD_BYTES)?;
                let tail = tails.take(self.value.len() - HEAD_BYTES)?;
                let set = self.sets.next()?;
                if bucket::is_unstorable(head) {
                    *gap = Some(line);
                    continue;
                }
                // What a lookup relies on: no empty slot between the home line's first and this one, and not
                // further from home than the header says.
                let home = parameters.home(head);
                let near = (home..=home + u64::from(parameters.spill)).contains(&line);
                let above = self.read == 0 || (&self.value[..HEAD_BYTES], &self.value[HEAD_BYTES..]) < (head, tail);
                if !near || gap.is_some_and(|gap| gap >= home) || !above {
                    let expected = if above { "a digest in or right after its home line" } else { "ascending digests" };
                    let found = format_args!("{}{} in slot {here}", hex(head), hex(tail)).to_string();
                    return Err(Flaw::new(expected, found).within(&self.path, SectionTag::Heads.name()));
                }
                self.value[..HEAD_BYTES].copy_from_slice(head);
                self.value[HEAD_BYTES..].copy_from_slice(tail);
                break (Place(here), set);
            },
        };
        self.read += 1;
        Ok(Some((&self.value, place, LabelSetId(set))))
    }

    /// After the last digest: no slot may hold another.
    fn finish(mut self) -> Result<(), SegmentError> {
        match self.layout {
            Layout::Fst { digests } => digests.finish()?,
            Layout::Bucket { mut heads, tails, parameters, slot, .. } => {
                for _ in slot..parameters.slots() {
                    if !bucket::is_unstorable(heads.take(HEAD_BYTES)?) {
                        return Err(heads.damaged(Flaw::new(format_args!("{} digests", self.count), "more")));
                    }
                }
                heads.finish()?;
                tails.finish()?;
            }
        }
        self.value.clear();
        self.sets.finish()
    }
}

/// The sections that `fst` reads at random, whole; empty with `bucket`.
#[derive(Default)]
pub(super) struct IndexBytes<'a> {
    pub(super) fst: &'a [u8],
    pub(super) filter: &'a [u8],
}

/// Checks every rule that a lookup relies on, but no hashes.
pub(super) fn check<R: Read>(
    path: &Path,
    header: &Header,
    labels: &LabelTable,
    parameters: &Parameters,
    input: impl Fn(&Section) -> Result<R, SegmentError>,
    index: &IndexBytes<'_>,
) -> Result<(), SegmentError> {
    check_digests(path, Digests::new(path, header, labels, parameters, false, input)?, parameters, index)
}

fn check_digests<R: Read>(
    path: &Path,
    mut digests: Digests<R>,
    parameters: &Parameters,
    index: &IndexBytes<'_>,
) -> Result<(), SegmentError> {
    match parameters {
        Parameters::Bucket(_) => while digests.next()?.is_some() {},
        Parameters::Fst(FstParameters { filter, prefix }) => {
            let transducer = Transducer::new(index.fst).map_err(|flaw| flaw.within(path, SectionTag::Fst.name()))?;
            let filter = Filter::new(*filter, index.filter);
            let mut last_prefix = Vec::new();
            while let Some((digest, Place(ordinal), _)) = digests.next()? {
                if !filter.may_hold(&filter.prepare(bucket::key(digest))) {
                    let flaw = Flaw::new("a filter that lets every digest pass", format_args!("no {}", hex(digest)));
                    return Err(flaw.within(path, SectionTag::Filter.name()));
                }
                if last_prefix != digest[..*prefix] {
                    last_prefix.clear();
                    last_prefix.extend_from_slice(&digest[..*prefix]);
                    let found = transducer.get(&last_prefix);
                    if found != Some(ordinal) {
                        let expected = format_args!("{ordinal} for prefix {}", hex(&last_prefix)).to_string();
                        return Err(Flaw::new(expected, format_args!("{found:?}")).within(path, SectionTag::Fst.name()));
                    }
                }
            }
        }
    }
    digests.finish()
}

/// Reads a segment's digests in order, with buffers of a few megabytes and without mapping the file.
///
/// Order, places and label-set ids are checked on the way; the sections' BLAKE3 are not: that is [`verify_file`].
pub struct SegmentReader {
    summary: SegmentSummary,
    labels: LabelTable,
    sources: Vec<Source>,
    digests: Digests<FileFrom>,
}

impl SegmentReader {
    /// Opens a segment and checks its structure, as [`super::ExactSegment::open`] does.
    ///
    /// # Errors
    /// [`SegmentError`], which names the file and the section.
    pub fn open(path: impl AsRef<Path>) -> Result<SegmentReader, SegmentError> {
        let opened = open(path.as_ref())?;
        let input = |section: &Section| FileFrom::new(&opened.path, &opened.file, section);
        let digests = Digests::new(&opened.path, &opened.header, &opened.labels, &opened.parameters, false, input)?;
        let summary = summary(&opened);
        Ok(SegmentReader { summary, sources: opened.labels.sources(), labels: opened.labels, digests })
    }

    /// What the header says.
    pub fn summary(&self) -> &SegmentSummary {
        &self.summary
    }

    /// What the label-set ids mean.
    pub fn labels(&self) -> &LabelTable {
        &self.labels
    }

    /// The sources whose labels stand in it: all of them, ascending.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The kind of all digests in it.
    pub fn kind(&self) -> Kind {
        self.summary.kind
    }

    /// How many digests are in it.
    pub fn len(&self) -> u64 {
        self.summary.digests
    }

    /// Whether no digest is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next digest, in ascending order, with its place and label set; `None` after the last.
    ///
    /// # Errors
    /// [`SegmentError`]: the file cannot be read, or is damaged.
    #[expect(clippy::should_implement_trait, reason = "the digest is borrowed from the reader's buffer")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, SegmentError> {
        self.digests.next()
    }
}

/// Checks a whole file as [`super::ExactSegment::verify`] does, without mapping it.
///
/// Memory: a few megabytes with `bucket`; with `fst` also its transducer and filter, about 5 bytes a digest.
///
/// # Errors
/// [`SegmentError`], which names the file and the section.
pub fn verify_file(path: impl AsRef<Path>) -> Result<SegmentSummary, SegmentError> {
    let opened = open(path.as_ref())?;
    let (path, file, header) = (&opened.path, &opened.file, &opened.header);
    let whole = |tag| {
        let section = header.section(tag);
        let mut bytes = vec![0; section.length as usize];
        file.read_exact_at(&mut bytes, section.offset).map_err(SegmentError::io(path, "read"))?;
        check_hash(path, section, blake3::Hasher::new().update_rayon(&bytes).finalize())?;
        Ok::<_, SegmentError>(bytes)
    };
    let (fst, filter) = match header.locator {
        LocatorKind::Bucket => Default::default(),
        LocatorKind::Fst => (whole(SectionTag::Fst)?, whole(SectionTag::Filter)?),
    };
    let input = |section: &Section| FileFrom::new(path, file, section);
    let digests = Digests::new(path, header, &opened.labels, &opened.parameters, true, input)?;
    check_digests(path, digests, &opened.parameters, &IndexBytes { fst: &fst, filter: &filter })?;
    check_gaps(path, header, |at, gap| file.read_exact_at(gap, at).map_err(SegmentError::io(path, "read")))?;
    Ok(summary(&opened))
}

fn summary(opened: &super::open::Opened) -> SegmentSummary {
    SegmentSummary {
        kind: opened.header.kind,
        digests: opened.header.digests,
        label_sets: opened.labels.set_count(),
        locator: opened.header.locator,
        applied_seq: opened.header.applied_seq,
        bytes: file_bytes(&opened.header),
        digest: opened.digest,
    }
}

/// A file from some place on; several can read the same file side by side.
struct FileFrom {
    file: File,
    at: u64,
}

impl FileFrom {
    fn new(path: &Path, file: &File, section: &Section) -> Result<FileFrom, SegmentError> {
        let file = file.try_clone().map_err(SegmentError::io(path, "read"))?;
        Ok(FileFrom { file, at: section.offset })
    }
}

impl Read for FileFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
