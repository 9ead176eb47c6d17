//! Journals read again: in order from any record on, each line held against the one before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::line::{self, LINE_BYTES_MAX};
use super::{Head, Journal, JournalError, JournalLine, Link, SUFFIX, read_head};

/// Why a journal cannot be read from where somebody wants to go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Some of what was asked for is no longer kept.
    #[error(
        "what comes after {after} is no longer kept up to {first}, the oldest that is here: what lies between is lost to \
         whoever has not read it; go on with after={before}", before = first - 1
    )]
    Gone {
        /// The last number that was dealt with.
        after: u64,
        /// The oldest that is kept.
        first: u64,
    },
    /// A number that nothing has had.
    #[error(
        "{after} was not recorded here yet, the last one is {last}: the number is from another data folder, or from before \
         this one's journal was put away; read from the beginning"
    )]
    Ahead {
        /// The last number that was dealt with, as the reader says.
        after: u64,
        /// The last there is.
        last: u64,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Reads the records of a journal in order, while it is being written or not.
pub struct JournalReader {
    folder: PathBuf,
    name: &'static str,
    file: Option<Open>,
    head: Head,
    /// All up to this record was acknowledged when [`JournalReader::next_of`] last looked.
    acknowledged: u64,
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
        loop {
            let files = files(folder)?;
            let at = files.iter().rposition(|(first, _)| *first <= after.saturating_add(1)).unwrap_or(0);
            let Some((first, path)) = files.get(at) else {
                let head = Head { seq: 0, link: Link::ROOT };
                return Ok(JournalReader { folder: folder.to_owned(), name, file: None, head, acknowledged: 0 });
            };
            let mut reader = match JournalReader::of_file(path, *first, name) {
                // It was put away after it was listed.
                Err(error) if error.is_not_found() && path.symlink_metadata().is_err() => continue,
                opened => opened?,
            };
            while reader.head.seq < after && reader.next_line()?.is_some() {}
            return Ok(reader);
        }
    }

    /// A reader of the file whose first record has number `first`.
    pub(super) fn of_file(path: &Path, first: u64, name: &'static str) -> Result<JournalReader, JournalError> {
        let file = File::open(path).map_err(JournalError::io(path, "open"))?;
        let mut open = Open { input: BufReader::new(file), path: path.to_owned(), whole_bytes: 0, partial: Vec::new() };
        let line = open.next(first)?.unwrap_or_default();
        let head = Head { seq: first - 1, link: read_head(&line, path, first, name)?.before };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(JournalReader { folder, name, file: Some(open), head, acknowledged: 0 })
    }

    /// The record that was read last.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The length of all whole lines of the file that is being read.
    pub(super) fn whole_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.whole_bytes)
    }

    /// Whether the record that was read last stands in the file at `path`.
    fn is_in(&self, path: &Path) -> bool {
        self.file.as_ref().is_some_and(|file| file.path == path)
    }

    /// The next record that `journal`, which is written in this process, has acknowledged; `None` if there is none yet.
    /// What a write that is under way or has failed left in the file may be taken back, and its number be another's then.
    ///
    /// # Errors
    /// As [`JournalReader::next_line`].
    pub fn next_of(&mut self, journal: &Journal) -> Result<Option<JournalLine>, JournalError> {
        if self.head.seq >= self.acknowledged {
            self.acknowledged = journal.last_seq();
            if let Some(open) = &mut self.file {
                open.read_anew()?;
            }
        }
        if self.head.seq >= self.acknowledged { Ok(None) } else { self.next_line() }
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
            let broken = |path: &Path, found| JournalError::Broken { path: path.to_owned(), seq: expected, found };
            let (mut line, mut next) = (open.next(expected)?, None);
            if line.is_none() {
                let path = self.folder.join(file_name(expected));
                if path == open.path {
                    return Ok(None);
                }
                match JournalReader::of_file(&path, expected, self.name) {
                    Err(error) if error.is_not_found() => return Ok(None),
                    opened => next = Some((opened?, path)),
                }
                // A file that was gone on from holds nothing more: what stands there now is all.
                open.read_anew()?;
                line = open.next(expected)?;
            }
            match (line, next) {
                (Some(line), _) => {
                    let line = line::read(&line, self.head).map_err(|found| broken(&open.path, found))?;
                    self.head = Head { seq: line.seq, link: line.link };
                    return Ok(Some(line));
                }
                (None, Some((next, path))) if open.partial.is_empty() => {
                    if next.head.link != self.head.link {
                        let found = "the file begins after another record than the one before".to_owned();
                        return Err(broken(&path, found));
                    }
                    self.file = next.file;
                }
                (None, _) => {
                    return Err(broken(&open.path, "expected a line, or the file's end, found other bytes".to_owned()));
                }
            }
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

    /// Forgets what was read behind the whole lines: the writer may have taken it back since.
    fn read_anew(&mut self) -> Result<(), JournalError> {
        self.partial.clear();
        let sought = self.input.seek(SeekFrom::Start(self.whole_bytes));
        sought.map(drop).map_err(JournalError::io(&self.path, "seek"))
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

/// The name of the file whose first record has number `first`.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:016}{SUFFIX}")
}

/// The files of a journal with the numbers of their first records, ascending.
pub(super) fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(JournalError::io(folder, "list"))? {
        let path = entry.map_err(JournalError::io(folder, "list"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_suffix(SUFFIX).and_then(|digits| digits.parse().ok());
        // A number has one way to be written: another file of the same would be read instead of the journal's.
        let first = first.filter(|first| *first > 0 && name == file_name(*first));
        found.extend(first.map(|first| (first, path)));
    }
    found.sort();
    Ok(found)
}

/// A journal that is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its last record.
    pub last: Head,
    /// Bytes behind it, without the end of a line: a record that is being written, or was cut short.
    pub rest_bytes: usize,
}

/// Reads all that is kept of the journal `name`, and holds it against heads that were noted elsewhere.
///
/// # Errors
/// [`JournalError`], which names the first record that is not what was written, is missing, or is another than the one
/// that was noted.
pub fn verify(folder: &Path, name: &'static str, noted: &[Head]) -> Result<Verified, JournalError> {
    let broken = |path: &Path, seq, found| JournalError::Broken { path: path.to_owned(), seq, found };
    let listed: BTreeMap<u64, PathBuf> = files(folder)?.into_iter().collect();
    if listed.is_empty() {
        return Err(broken(folder, 1, "expected the files of a journal, found none".to_owned()));
    }
    let mut reader = JournalReader::open(folder, name, 0)?;
    let start = reader.head;
    let is_other = |noted: &Head| noted.seq == start.seq && noted.link != start.link;
    if noted.iter().any(is_other) || (start.seq == 0 && start.link != Link::ROOT) {
        let found = "the first file begins after another record than the one that was noted".to_owned();
        return Err(broken(folder, start.seq + 1, found));
    }
    if let Some(gone) = noted.iter().filter(|noted| noted.seq < start.seq).min_by_key(|noted| noted.seq) {
        let found = format!("a checkpoint names record {}, and the oldest that is here is {}", gone.seq, start.seq + 1);
        return Err(broken(folder, gone.seq, found));
    }
    while reader.next_line()?.is_some() {
        let head = reader.head;
        if let Some(other) = noted.iter().find(|noted| noted.seq == head.seq && noted.link != head.link) {
            let found = format!("a checkpoint names another link for it: {:?}, found {:?}", other.link, head.link);
            return Err(broken(folder, head.seq, found));
        }
        // Whoever reads from there on would read it, and not the file that was held against the others here.
        if let Some(path) = listed.get(&head.seq).filter(|path| !reader.is_in(path)) {
            return Err(broken(path, head.seq, "it stands in the file before as well".to_owned()));
        }
    }
    let last = reader.head;
    let beyond = noted.iter().filter(|noted| noted.seq > last.seq).min_by_key(|h| h.seq);
    if let Some(noted) = beyond {
        let found = format!("a checkpoint names record {}, but the journal ends with {}", noted.seq, last.seq);
        return Err(broken(folder, last.seq + 1, found));
    }
    if let Some((first, path)) = listed.into_iter().find(|(first, _)| *first > last.seq + 1) {
        let found = format!("expected it before record {first} of {}", path.display());
        return Err(broken(folder, last.seq + 1, found));
    }
    Ok(Verified { last, rest_bytes: reader.file.map_or(0, |file| file.partial.len()) })
}

/// Checks that the file at `path`, whose first record has number `first`, goes on from the last record in the file at
/// `before`. What stands there otherwise is not read.
pub(super) fn check_follows(path: &Path, first: u64, name: &'static str, before: &Path) -> Result<(), JournalError> {
    let head = JournalReader::of_file(path, first, name)?.head;
    let read_end = || {
        let (mut file, mut end) = (File::open(before)?, Vec::new());
        let from = file.metadata()?.len().saturating_sub(line::END_BYTES as u64);
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read_end().map_err(JournalError::io(before, "read"))?;
    if line::link_in_end(&end) == Some(head.link) {
        return Ok(());
    }
    let found = "the file begins after another record than the last one before".to_owned();
    Err(JournalError::Broken { path: path.to_owned(), seq: first, found })
}
