//! Journals read again: in order from any record on, each line held against the one before.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::{self, LINE_BYTES_MAX};
use super::{Head, JournalError, JournalLine, Link, SUFFIX, read_head};

/// Reads the records of a journal in order, while it is being written or not.
pub struct JournalReader {
    folder: PathBuf,
    name: &'static str,
    file: Option<Open>,
    head: Head,
}

struct Open {
    input: BufReader<File>,
    path: PathBuf,
    whole_bytes: u64,
    /// The part of a line that had come when the file was last read.
    partial: Vec<u8>,
}

impl JournalReader {
    /// A reader of the journal `name`, whose first record is the one after `after`; the oldest that is kept, if that one
    /// was put away.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path, name: &'static str, after: u64) -> Result<JournalReader, JournalError> {
        let files = files(folder)?;
        let at = files.iter().rposition(|(first, _)| *first <= after.saturating_add(1)).unwrap_or(0);
        let Some((first, path)) = files.get(at) else {
            let head = Head { seq: 0, link: Link::ROOT };
            return Ok(JournalReader { folder: folder.to_owned(), name, file: None, head });
        };
        let mut reader = JournalReader::of_file(path, *first, name)?;
        while reader.head.seq < after && reader.next_line()?.is_some() {}
        Ok(reader)
    }

    /// A reader of the file whose first record has number `first`.
    pub(super) fn of_file(path: &Path, first: u64, name: &'static str) -> Result<JournalReader, JournalError> {
        let file = File::open(path).map_err(JournalError::io(path, "open"))?;
        let mut open = Open { input: BufReader::new(file), path: path.to_owned(), whole_bytes: 0, partial: Vec::new() };
        let line = open.next(first)?.unwrap_or_default();
        let head = read_head(&line, path, first, name)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(JournalReader { folder, name, file: Some(open), head: Head { seq: first - 1, link: head.before } })
    }

    /// The record that was read last.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The length of all whole lines of the file that is being read.
    pub(super) fn whole_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.whole_bytes)
    }

    /// The next record; `None` if there is none yet. It may be asked again later.
    ///
    /// # Errors
    /// [`JournalError`]; the first record that is not what was written is named.
    pub fn next_line(&mut self) -> Result<Option<JournalLine>, JournalError> {
        loop {
            let expected = self.head.seq + 1;
            let Some(open) = &mut self.file else {
                match files(&self.folder)?.into_iter().find(|(first, _)| *first == expected) {
                    None => return Ok(None),
                    Some((first, path)) => *self = JournalReader::of_file(&path, first, self.name)?,
                }
                continue;
            };
            if let Some(line) = open.next(expected)? {
                let broken = |found| JournalError::Broken { path: open.path.clone(), seq: expected, found };
                let line = line::read(&line, self.head).map_err(broken)?;
                self.head = Head { seq: line.seq, link: line.link };
                return Ok(Some(line));
            }
            // A file that was gone on from holds nothing more, also if this is seen only now.
            let next = self.folder.join(format!("{expected:016}{SUFFIX}"));
            if next == open.path || !next.exists() {
                return Ok(None);
            }
            if open.next_is_ready()? {
                continue;
            }
            let link = self.head.link;
            let reader = JournalReader::of_file(&next, expected, self.name)?;
            if reader.head.link != link {
                let found = "the file begins after another record than the one before".to_owned();
                return Err(JournalError::Broken { path: next, seq: expected, found });
            }
            *self = reader;
        }
    }
}

impl Open {
    /// The next whole line, without its end.
    fn next(&mut self, seq: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let left = (LINE_BYTES_MAX + 1 - self.partial.len()) as u64;
        let read = (&mut self.input).take(left).read_until(b'\n', &mut self.partial);
        read.map_err(JournalError::io(&self.path, "read"))?;
        match self.partial.last() {
            Some(b'\n') => {
                self.whole_bytes += self.partial.len() as u64;
                self.partial.pop();
                Ok(Some(std::mem::take(&mut self.partial)))
            }
            _ if self.partial.len() > LINE_BYTES_MAX => {
                let found = format!("expected a line of at most {LINE_BYTES_MAX} bytes, found more");
                Err(JournalError::Broken { path: self.path.clone(), seq, found })
            }
            _ => Ok(None),
        }
    }

    /// Whether more has come since [`Open::next`] found no whole line.
    fn next_is_ready(&mut self) -> Result<bool, JournalError> {
        let more = self.input.fill_buf().map_err(JournalError::io(&self.path, "read"))?;
        Ok(!more.is_empty())
    }
}

/// The numbers of the first records of the files of a journal that are kept, ascending. A file that was just begun holds
/// no record yet.
///
/// # Errors
/// The folder cannot be read.
pub fn first_records(folder: &Path) -> Result<Vec<u64>, JournalError> {
    Ok(files(folder)?.into_iter().map(|(first, _)| first).collect())
}

/// The files of a journal with the numbers of their first records, ascending.
pub(super) fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(JournalError::io(folder, "list"))? {
        let path = entry.map_err(JournalError::io(folder, "list"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_suffix(SUFFIX).and_then(|digits| digits.parse().ok());
        found.extend(first.filter(|first| *first > 0).map(|first| (first, path)));
    }
    found.sort();
    Ok(found)
}

/// Reads all that is kept of the journal `name`, and holds it against heads that were noted elsewhere. Returns the last record.
///
/// # Errors
/// [`JournalError`], which names the first record that is not what was written, is missing, or is another than the one
/// that was noted.
pub fn verify(folder: &Path, name: &'static str, noted: &[Head]) -> Result<Head, JournalError> {
    let mut reader = JournalReader::open(folder, name, 0)?;
    let start = reader.head;
    let is_other = |noted: &Head| noted.seq == start.seq && noted.link != start.link;
    if noted.iter().any(is_other) || (start.seq == 0 && start.link != Link::ROOT) {
        let found = "the first file begins after another record than the one that was noted".to_owned();
        return Err(JournalError::Broken { path: folder.to_owned(), seq: start.seq + 1, found });
    }
    if let Some(gone) = noted.iter().filter(|noted| noted.seq < start.seq).min_by_key(|noted| noted.seq) {
        let found = format!("a checkpoint names record {}, and the oldest that is here is {}", gone.seq, start.seq + 1);
        return Err(JournalError::Broken { path: folder.to_owned(), seq: gone.seq, found });
    }
    while reader.next_line()?.is_some() {
        let head = reader.head;
        if let Some(other) = noted.iter().find(|noted| noted.seq == head.seq && noted.link != head.link) {
            let found = format!("a checkpoint names another link for it: {:?}, found {:?}", other.link, head.link);
            return Err(JournalError::Broken { path: folder.to_owned(), seq: head.seq, found });
        }
    }
    let last = reader.head;
    let beyond = noted.iter().filter(|noted| noted.seq > last.seq).min_by_key(|h| h.seq);
    if let Some(noted) = beyond {
        let found = format!("a checkpoint names record {}, but the journal ends with {}", noted.seq, last.seq);
        return Err(JournalError::Broken { path: folder.to_owned(), seq: last.seq + 1, found });
    }
    if let Some((first, path)) = files(folder)?.into_iter().find(|(first, _)| *first > last.seq + 1) {
        let found = format!("expected it before record {first} of {}", path.display());
        return Err(JournalError::Broken { path: folder.to_owned(), seq: last.seq + 1, found });
    }
    Ok(last)
}
