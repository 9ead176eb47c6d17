//! Journals: files that only ever grow, one JSON object a line, each line linked to all before it.
//!
//! ```text
//! {"journal":"audit","version":1,"first":1,"before":"0000…"}                     the head of a file
//! {"seq":1,"at":1764000000123,"record":{…},"link":"9f0c…"}                       one record, `at` in milliseconds
//! {"seq":2,"at":1764000000124,"record":{…},"link":"41aa…"}
//! ```
//!
//! A record's link is the BLAKE3 of the link before it and of its own line up to the link, so whoever edits, drops,
//! moves or inserts a line must write all later links anew; and whoever keeps one link elsewhere (a checkpoint)
//! notices that, and notices when the end was cut. Files are named by the number of their first record and begin with
//! the last link of the file before, so that old ones can be put away.
//!
//! What [`Journal::append`] has returned is with the kernel, and survives the end of the process however it ends. It
//! survives a loss of power once [`Journal::sync`] has returned. A line that a crash cut short was never acknowledged,
//! and is taken back when the journal is opened again, which says so.

mod line;
mod read;
#[cfg(test)]
mod tests;

pub use line::{JournalLine, Link};
pub use read::{JournalReader, ReadError, Verified, first_records, verify};

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::durable;
use line::{FileHead, LINE_BYTES_MAX, parse_head};

/// The end of the names of a journal's files.
const SUFFIX: &str = ".ndjson";

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system's error.
    #[error("{}: cannot {tried}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        tried: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A line is not what was written.
    #[error("{}: record {seq} is not what was written: {found}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The number that the first bad record should have.
        seq: u64,
        /// What was expected, and found.
        found: String,
    },
    /// A record longer than a line may be.
    #[error("expected a record of at most {LINE_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
}

impl JournalError {
    /// Whether a file or folder is not there.
    fn is_not_found(&self) -> bool {
        matches!(self, JournalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io<'p>(path: &'p Path, tried: &'static str) -> impl FnOnce(io::Error) -> JournalError + 'p {
        move |source| JournalError::Io { path: path.to_owned(), tried, source }
    }
}

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// A new file is begun when one has this many bytes.
    pub file_bytes: u64,
    /// So many files are kept, the one being written among them; `None` keeps all.
    pub files_kept: Option<usize>,
}

/// What becomes of questions while a journal that records them cannot be written, for want of room on the disk most
/// likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnwritable {
    /// They are refused: nothing is answered that the journal does not know of.
    #[default]
    Refuse,
    /// They are answered, and counted as missing in the journal.
    Answer,
}

/// How a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct JournalStatus {
    /// Records in it, those included that were put away.
    pub records: u64,
    /// Records that a loss of power would take.
    pub unsynced: u64,
    /// When it was last made to survive one, in seconds since 1970-01-01 UTC; before the first time, when it was opened.
    pub synced_at: u64,
    /// Questions that were answered and are missing in it, since the start.
    pub missing: u64,
    /// How often it could not be written or synced, or an old file not be put away, since the start.
    pub failed: u64,
}

/// The last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number, from 1; 0 if there is none.
    pub seq: u64,
    /// Its link.
    pub link: Link,
}

/// A journal open for writing. One process has one.
pub struct Journal {
    folder: PathBuf,
    name: &'static str,
    options: JournalOptions,
    writer: Mutex<Writer>,
    last_seq: AtomicU64,
    synced_seq: AtomicU64,
    /// In milliseconds since 1970-01-01 UTC.
    synced_at_ms: AtomicU64,
    /// Writes and syncs that failed.
    failed: AtomicU64,
    /// Questions that were answered and could not be recorded.
    missing: AtomicU64,
    /// Those of them of which the journal does not tell yet.
    untold: AtomicU64,
    recovered_bytes: u64,
}

struct Writer {
    file: File,
    path: PathBuf,
    /// The number of the file's first record.
    first: u64,
    /// The length of all whole lines.
    bytes: u64,
    head: Head,
    /// A write failed, and what it left may still stand behind the whole lines.
    dirty: bool,
    line: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `folder`, or begins it there. Every line of its last file is checked, and that this one goes on
    /// from the one before.
    ///
    /// # Errors
    /// [`JournalError`]; a broken line is named, and nothing is changed.
    pub fn open(folder: &Path, name: &'static str, options: JournalOptions) -> Result<Journal, JournalError> {
        if !folder.is_dir() {
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let make = || fs::create_dir_all(folder).and_then(|()| File::open(parent)?.sync_all());
            make().map_err(JournalError::io(folder, "make"))?;
        }
        let mut files = read::files(folder)?;
        let (writer, recovered_bytes) = match files.pop() {
            Some((first, path)) => {
                if let Some((_, before)) = files.last() {
                    read::check_follows(&path, first, name, before)?;
                }
                resume(name, first, &path)?
            }
            None => (begin(folder, name, Head { seq: 0, link: Link::ROOT })?, 0),
        };
        if recovered_bytes > 0 {
            tracing::warn!(journal = name, bytes = recovered_bytes, "a line that a crash had cut short is taken back");
        }
        let seq = writer.head.seq;
        Ok(Journal {
            folder: folder.to_owned(),
            name,
            options,
            writer: Mutex::new(writer),
            last_seq: AtomicU64::new(seq),
            synced_seq: AtomicU64::new(seq),
            synced_at_ms: AtomicU64::new(now_ms()),
            failed: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            recovered_bytes,
        })
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes of a line that a crash had cut short, which were taken back when the journal was opened.
    pub fn recovered_bytes(&self) -> u64 {
        self.recovered_bytes
    }

    /// Appends a record. Returns its number; from then on it is with the kernel.
    ///
    /// # Errors
    /// [`JournalError`]; then the journal is as it was.
    pub fn append(&self, record: &impl Serialize) -> Result<u64, JournalError> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records in one write: all of them, or none. Returns the number of the last.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_all(&self, records: &[impl Serialize]) -> Result<u64, JournalError> {
        self.counting_failures(|| self.try_append_all(records))
    }

    fn try_append_all(&self, records: &[impl Serialize]) -> Result<u64, JournalError> {
        let mut writer = self.writer();
        // A file without a record is not begun anew: somebody may be reading it.
        if writer.bytes >= self.options.file_bytes && writer.head.seq >= writer.first {
            self.rotate(&mut writer)?;
        }
        writer.append(now_ms(), records)?;
        self.last_seq.store(writer.head.seq, Ordering::Release);
        Ok(writer.head.seq)
    }

    /// Makes all that was appended survive a loss of power.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.counting_failures(|| self.try_sync())
    }

    fn try_sync(&self) -> Result<(), JournalError> {
        let (file, path, seq) = {
            let writer = self.writer();
            let file = writer.file.try_clone().map_err(JournalError::io(&writer.path, "sync"))?;
            (file, writer.path.clone(), writer.head.seq)
        };
        file.sync_data().map_err(JournalError::io(&path, "sync"))?;
        self.synced_seq.fetch_max(seq, Ordering::AcqRel);
        self.synced_at_ms.store(now_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// What recording a question came to: `None` if it failed and the question is answered all the same, which is counted.
    ///
    /// # Errors
    /// [`JournalError`]; then the question must not be answered.
    pub fn or_missing<T>(
        &self,
        recorded: Result<T, JournalError>,
        when_unwritable: WhenUnwritable,
    ) -> Result<Option<T>, JournalError> {
        match recorded {
            Err(error @ JournalError::Io { .. }) if when_unwritable == WhenUnwritable::Answer => {
                self.missing.fetch_add(1, Ordering::Relaxed);
                if self.untold.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(journal = self.name, %error, "it cannot be written; questions are answered all the same");
                }
                Ok(None)
            }
            recorded => recorded.map(Some),
        }
    }

    /// Appends what `record` makes of the number of questions that are missing, if there are any of which no record tells
    /// yet. Returns whether there were.
    ///
    /// # Errors
    /// As [`Journal::append`]; it is told the next time.
    pub fn tell_missing<R: Serialize>(&self, record: impl FnOnce(u64) -> R) -> Result<bool, JournalError> {
        let untold = match self.untold.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.untold.swap(0, Ordering::Relaxed),
        };
        if untold == 0 {
            return Ok(false);
        }
        let told = self.append(&record(untold));
        if told.is_err() {
            self.untold.fetch_add(untold, Ordering::Relaxed);
        }
        told.map(|_| true)
    }

    fn counting_failures<T>(&self, work: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        work().inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The last record.
    pub fn head(&self) -> Head {
        self.writer().head
    }

    /// The number of the last record.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// Records that would not survive a loss of power yet.
    pub fn unsynced(&self) -> u64 {
        self.last_seq().saturating_sub(self.synced_seq.load(Ordering::Acquire))
    }

    /// How it is.
    pub fn status(&self) -> JournalStatus {
        JournalStatus {
            records: self.last_seq(),
            unsynced: self.unsynced(),
            synced_at: self.synced_at_ms.load(Ordering::Relaxed) / 1_000,
            missing: self.missing.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next file, and puts away those beyond the number that is kept.
    fn rotate(&self, writer: &mut Writer) -> Result<(), JournalError> {
        writer.tidy()?;
        writer.file.sync_data().map_err(JournalError::io(&writer.path, "sync"))?;
        *writer = begin(&self.folder, self.name, writer.head)?;
        // What cannot be put away is there the next time, and keeps no record from being written.
        if let Err(error) = self.counting_failures(|| self.put_away()) {
            tracing::error!(journal = self.name, %error, "an old file stays");
        }
        Ok(())
    }

    fn put_away(&self) -> Result<(), JournalError> {
        let Some(kept) = self.options.files_kept else { return Ok(()) };
        let files = read::files(&self.folder)?;
        let old = files[..files.len().saturating_sub(kept.max(1))].iter();
        old.map(|(_, path)| fs::remove_file(path).map_err(JournalError::io(path, "remove"))).fold(Ok(()), Result::and)
    }
}

impl Writer {
    fn append(&mut self, at_ms: u64, records: &[impl Serialize]) -> Result<(), JournalError> {
        self.tidy()?;
        let mut head = self.head;
        self.line.clear();
        for record in records {
            head = line::write(&mut self.line, head, at_ms, record)?;
        }
        if let Err(source) = self.file.write_all(&self.line) {
            self.dirty = true;
            // If this fails too, it is tried again before the next line.
            let _ = self.tidy();
            return Err(JournalError::io(&self.path, "write")(source));
        }
        self.bytes += self.line.len() as u64;
        self.head = head;
        Ok(())
    }

    /// Takes back what a failed write may have left.
    fn tidy(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            let cut = self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            cut.map_err(JournalError::io(&self.path, "cut"))?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Begins a file whose first record comes after `head`.
fn begin(folder: &Path, name: &'static str, head: Head) -> Result<Writer, JournalError> {
    let first = head.seq + 1;
    let path = folder.join(read::file_name(first));
    let line = FileHead { journal: name.into(), version: line::VERSION, first, before: head.link };
    let mut text = serde_json::to_vec(&line).expect("a head is plain data");
    text.push(b'\n');
    // The head appears with the file, or not at all.
    let file = durable::put(&path, &text).map_err(JournalError::io(&path, "begin"))?;
    Ok(Writer { file, path, first, bytes: text.len() as u64, head, dirty: false, line: Vec::new() })
}

/// Goes on with a file, after the last of its whole lines.
fn resume(name: &'static str, first: u64, path: &Path) -> Result<(Writer, u64), JournalError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(JournalError::io(path, "open"))?;
    let mut reader = JournalReader::of_file(path, first, name)?;
    while reader.next_line()?.is_some() {}
    let (head, whole_bytes) = (reader.head(), reader.whole_bytes());
    let bytes = file.metadata().map_err(JournalError::io(path, "measure"))?.len();
    let recovered = bytes - whole_bytes;
    if recovered > 0 {
        refuse_whole_lines(&mut file, path, whole_bytes, head.seq + 1)?;
        file.set_len(whole_bytes).map_err(JournalError::io(path, "cut"))?;
    }
    // After a kill the last records are with the kernel alone.
    file.sync_all().map_err(JournalError::io(path, "sync"))?;
    file.seek(SeekFrom::Start(whole_bytes)).map_err(JournalError::io(path, "seek"))?;
    let (path, line) = (path.to_owned(), Vec::new());
    Ok((Writer { file, path, first, bytes: whole_bytes, head, dirty: false, line }, recovered))
}

/// What a crash leaves behind the whole lines is a line without its end, or zeros. Anything else was not left by one.
fn refuse_whole_lines(file: &mut File, path: &Path, from: u64, seq: u64) -> Result<(), JournalError> {
    file.seek(SeekFrom::Start(from)).map_err(JournalError::io(path, "seek"))?;
    let mut rest = Vec::new();
    let read = file.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut rest);
    read.map_err(JournalError::io(path, "read"))?;
    if rest.len() <= LINE_BYTES_MAX && !rest.contains(&b'\n') {
        return Ok(());
    }
    Err(JournalError::Broken { path: path.to_owned(), seq, found: "expected a line, found other bytes".to_owned() })
}

/// Milliseconds since 1970-01-01 UTC; 0 if the clock stands before.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The head in the first line of the file at `path`, which must be that of the journal `name` from record `first` on.
fn read_head(line: &[u8], path: &Path, first: u64, name: &str) -> Result<FileHead, JournalError> {
    let broken = |found: String| JournalError::Broken { path: path.to_owned(), seq: first, found };
    let head = parse_head(line).map_err(broken)?;
    if head.first != first || head.version != line::VERSION || head.journal != name {
        return Err(broken(format!(
            "expected the head of a journal {name} of version {} whose first record is {first}, found {} from {}",
            line::VERSION,
            head.journal,
            head.first
        )));
    }
    Ok(head)
}
