//! Reading a segment from its start to its end, and checking it on the way.
//!
//! Nothing here maps the file: a list keeper's tool that merges or checks large segments must not look as if it
//! used as much memory as they are long.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::open::{Opened, check_gaps, open};
use super::walk::{IndexBytes, Row, Walk, check, check_count};
use super::{Segment, SegmentSummary};
use crate::fingerprint::Kind;
use crate::list::Source;
use crate::segment::layout::{LocatorKind, Section, SectionTag};
use crate::segment::{LabelTable, SegmentError, check_hash};

/// Reads a segment's digests in order, with buffers of a few megabytes and without mapping the file.
///
/// Order, places and label-set ids are checked on the way; the sections' BLAKE3 are not: that is [`verify_file`].
pub struct SegmentReader {
    opened: Opened,
    summary: SegmentSummary,
    sources: Vec<Source>,
    walk: Walk<FileFrom>,
    read: u64,
}

impl SegmentReader {
    /// Opens a segment and checks its structure, as [`super::Segment::open`] does.
    ///
    /// # Errors
    /// [`SegmentError`], which names the file and the section.
    pub fn open(path: impl AsRef<Path>) -> Result<SegmentReader, SegmentError> {
        let opened = open(path.as_ref())?;
        let walk = Walk::new(&opened, 0..opened.place_bound(), false, FileFrom::of(&opened))?;
        Ok(SegmentReader { summary: opened.summary(), sources: opened.labels.sources(), opened, walk, read: 0 })
    }

    /// What the header says.
    pub fn summary(&self) -> &SegmentSummary {
        &self.summary
    }

    /// What the label-set ids mean.
    pub fn labels(&self) -> &LabelTable {
        &self.opened.labels
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
        let Some(row) = self.walk.next()? else {
            check_count(&self.opened, self.read)?;
            return Ok(None);
        };
        self.read += 1;
        Ok(Some(row))
    }
}

/// Checks a whole file as [`super::Segment::verify`] does, without mapping it.
///
/// Memory: a few megabytes with `bucket` and `flat`; with `fst` also its transducer and filter, about 5 bytes a digest.
/// A file with `mih` is mapped after all: that it leads to every code can only be checked with all codes at hand.
///
/// # Errors
/// [`SegmentError`], which names the file and the section.
pub fn verify_file(path: impl AsRef<Path>) -> Result<SegmentSummary, SegmentError> {
    let opened = open(path.as_ref())?;
    if opened.header.locator == LocatorKind::Mih {
        Segment::open(&opened.path)?.verify()?;
        return Ok(opened.summary());
    }
    let Opened { path, file, header, .. } = &opened;
    let whole = |tag| {
        let section = header.section(tag);
        let mut bytes = vec![0; section.length as usize];
        file.read_exact_at(&mut bytes, section.offset).map_err(SegmentError::io(path, "read"))?;
        check_hash(path, section, blake3::Hasher::new().update_rayon(&bytes).finalize())?;
        Ok::<_, SegmentError>(bytes)
    };
    let (fst, filter) = match header.locator {
        LocatorKind::Bucket | LocatorKind::Flat | LocatorKind::Mih => Default::default(),
        LocatorKind::Fst => (whole(SectionTag::Fst)?, whole(SectionTag::Filter)?),
    };
    let walk = Walk::new(&opened, 0..opened.place_bound(), true, FileFrom::of(&opened))?;
    check_count(&opened, check(&opened, walk, IndexBytes { fst: &fst, filter: &filter })?)?;
    check_gaps(path, header, |at, gap| file.read_exact_at(gap, at).map_err(SegmentError::io(path, "read")))?;
    Ok(opened.summary())
}

/// A file from some place on; several can read the same file side by side.
struct FileFrom {
    file: File,
    at: u64,
}

impl FileFrom {
    /// What gives a walk its sections.
    fn of(opened: &Opened) -> impl Fn(&Section, u64) -> Result<FileFrom, SegmentError> {
        |section, offset| {
            let file = opened.file.try_clone().map_err(SegmentError::io(&opened.path, "read"))?;
            Ok(FileFrom { file, at: section.offset + offset })
        }
    }
}

impl Read for FileFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
