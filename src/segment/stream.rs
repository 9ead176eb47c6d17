//! Sections written and read in order, through a buffer, hashed on the way: memory stays bounded whatever the size.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layout::{Section, SectionTag};
use super::{Flaw, SegmentError};

/// Bytes that are hashed and written, or read, at once. BLAKE3 uses several cores from about this size on.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes one section at its place in the file. Several can be written side by side.
pub(crate) struct SectionWriter<'f> {
    file: &'f File,
    tag: SectionTag,
    offset: u64,
    length: u64,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
}

impl<'f> SectionWriter<'f> {
    /// A section that starts at `offset`.
    pub(crate) fn new(file: &'f File, tag: SectionTag, offset: u64) -> SectionWriter<'f> {
        SectionWriter { file, tag, offset, length: 0, buffer: Vec::new(), hasher: blake3::Hasher::new() }
    }

    /// Where the section starts in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush_buffer()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends `count` zero bytes.
    #[inline]
    pub(crate) fn put_zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush_buffer()?;
            }
            let step = count.min((BUFFER_BYTES - self.buffer.len()) as u64);
            self.buffer.resize(self.buffer.len() + step as usize, 0);
            count -= step;
        }
        Ok(())
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        self.hasher.update_rayon(&self.buffer);
        self.file.write_all_at(&self.buffer, self.offset + self.length)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.reserve(BUFFER_BYTES);
        Ok(())
    }

    /// Writes what is left and returns the section's row.
    pub(crate) fn finish(mut self) -> io::Result<Section> {
        self.flush_buffer()?;
        let SectionWriter { tag, offset, length, hasher, .. } = self;
        Ok(Section { tag, offset, length, hash: hasher.finalize() })
    }
}

impl Write for SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one section from its start to its end.
pub(crate) struct SectionReader<R> {
    input: R,
    file: PathBuf,
    section: Section,
    /// Bytes not yet read from `input`.
    unread: u64,
    buffer: Vec<u8>,
    at: usize,
    /// `None` where the caller checks the hash by other means.
    hasher: Option<Box<blake3::Hasher>>,
}

impl<R: Read> SectionReader<R> {
    /// `input` stands at `offset` of the section, at most its length. With `hashing`, and from the start only,
    /// [`SectionReader::finish`] checks the section's BLAKE3.
    pub(crate) fn new(input: R, file: &Path, section: &Section, offset: u64, hashing: bool) -> SectionReader<R> {
        SectionReader {
            input,
            file: file.to_owned(),
            section: *section,
            unread: section.length - offset,
            buffer: Vec::new(),
            at: 0,
            hasher: hashing.then(Box::default),
        }
    }

    /// The next `count` bytes, at most a few thousand.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&[u8], SegmentError> {
        if self.buffer.len() - self.at < count {
            self.refill(count)?;
        }
        let taken = &self.buffer[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    #[cold]
    fn refill(&mut self, count: usize) -> Result<(), SegmentError> {
        let kept = self.buffer.len() - self.at;
        self.buffer.copy_within(self.at.., 0);
        self.at = 0;
        let step = self.unread.min((BUFFER_BYTES - kept) as u64) as usize;
        self.buffer.resize(kept + step, 0);
        let read = self.input.read_exact(&mut self.buffer[kept..]);
        read.map_err(SegmentError::io(&self.file, "read"))?;
        self.unread -= step as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update_rayon(&self.buffer[kept..]);
        }
        if self.buffer.len() < count {
            return Err(self.damaged(Flaw::new(format_args!("{count} more bytes"), self.buffer.len())));
        }
        Ok(())
    }

    /// A finding in this section.
    pub(crate) fn damaged(&self, flaw: Flaw) -> SegmentError {
        flaw.within(&self.file, self.section.tag.name())
    }

    /// With `hashing`, reads what is left and refuses a section that is not what the header says.
    pub(crate) fn finish(mut self) -> Result<(), SegmentError> {
        if self.hasher.is_none() {
            return Ok(());
        }
        while self.unread > 0 {
            self.at = self.buffer.len();
            self.refill(0)?;
        }
        self.hasher.map_or(Ok(()), |hasher| check_hash(&self.file, &self.section, hasher.finalize()))
    }
}

/// Holds a section's BLAKE3 against the header's word.
pub(crate) fn check_hash(file: &Path, section: &Section, found: blake3::Hash) -> Result<(), SegmentError> {
    if found == section.hash {
        return Ok(());
    }
    let expected = format_args!("BLAKE3 {}", section.hash.to_hex()).to_string();
    Err(Flaw::new(expected, found.to_hex()).within(file, section.tag.name()))
}
