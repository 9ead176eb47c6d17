//! What a client hands over to be matched: exact digests of all of it, and its bytes where a picture is to be decoded.
//!
//! Exact digests come from here and never from a worker, so whatever a picture does to its decoder, a known file is known.
//! A descriptor of a client is a thing to be careful with: it may be a pipe that never ends, a file that changes while it
//! is read, or a file system that never answers. So it must be a regular file, or memory sealed against changes; it is read
//! by position, never mapped; on a thread that can be left behind; and digests are given only of a file that was the same
//! from beginning to end.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::fs::{FileType, OFlags, SealFlags};

use super::picture::{SNIFF_BYTES, sniff};
use crate::fingerprint::{Fingerprint, Hasher, Kind, NotComputed};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Files being read at once, those included whose file system does not answer.
const READERS_MAX: usize = 256;

/// File systems whose regular files are none: what they hold is made up while it is read, and may be without end. Their
/// numbers are those of `linux/magic.h`.
const PSEUDO_FILE_SYSTEMS: [u32; 13] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x1980_0202, // mqueue
    0x4249_4e4d, // binfmt_misc
];

/// Files being read now.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// What a client's file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimits {
    /// The largest file that is read, in bytes.
    pub file_bytes_max: u64,
    /// The largest picture that is kept to be decoded, in bytes.
    pub picture_bytes_max: u64,
    /// How long reading may take.
    pub deadline: Duration,
}

/// A file that has been read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The digests of the whole file, in the order of the kinds asked for.
    pub fingerprints: Vec<Fingerprint>,
    /// The file's length, in bytes.
    pub bytes: u64,
    /// Its content, as far as that is of use.
    pub content: Content,
}

/// What there is to decode.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: by its first bytes it is no picture.
    NotAPicture,
    /// A picture above the limit: undecided.
    TooLarge,
    /// All bytes of a picture.
    Picture(Vec<u8>),
}

/// Why a client's file has no digests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not a file at all.
    #[error("expected a regular file or sealed memory, found {0}")]
    NotAFile(&'static str),
    /// Memory that may change while it is read.
    #[error("expected memory sealed against writing, shrinking and growing; add the seals before passing it")]
    NotSealed,
    /// Not open for reading.
    #[error("expected a descriptor that is open for reading")]
    NotReadable,
    /// Longer than may be read.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLarge {
        /// The file's length.
        found: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// It became another while it was read.
    #[error("the file was changed while it was read")]
    Changed,
    /// The file system did not deliver in time.
    #[error("the file could not be read in time")]
    TimedOut,
    /// Too many files are being read.
    #[error("{READERS_MAX} files are being read already")]
    Busy,
    /// The file system's error.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A kind that is not computed from bytes.
    #[error(transparent)]
    Kind(#[from] NotComputed),
}

/// Reads a descriptor that a client passed. Blocks for as long as `limits` allow and hardly longer.
///
/// # Errors
/// [`SourceError`]; there are no digests then, so that none can be wrong.
pub fn read_checked(fd: OwnedFd, limits: &SourceLimits, kinds: &[Kind]) -> Result<Source, SourceError> {
    let until = Instant::now() + limits.deadline;
    let mut intake = Intake::new(kinds, limits.picture_bytes_max)?;
    let chunks = Reader::start(fd, limits.file_bytes_max)?;
    loop {
        match chunks.recv_deadline(until) {
            Ok(Ok(Some(_))) if Instant::now() >= until => return Err(SourceError::TimedOut),
            Ok(Ok(Some(chunk))) => intake.update(&chunk),
            Ok(Ok(None)) => return Ok(intake.finish()),
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => return Err(SourceError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

/// Digests of bytes that come piece by piece, and the bytes themselves while they may be a picture within its limit.
pub struct Intake {
    hasher: Hasher,
    bytes: u64,
    head: Vec<u8>,
    kept: Vec<u8>,
    picture_bytes_max: u64,
}

impl Intake {
    /// Nothing taken in yet.
    ///
    /// # Errors
    /// A kind that is not computed from bytes.
    pub fn new(kinds: &[Kind], picture_bytes_max: u64) -> Result<Intake, NotComputed> {
        Ok(Intake { hasher: Hasher::new(kinds)?, bytes: 0, head: Vec::new(), kept: Vec::new(), picture_bytes_max })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        let head_rest = bytes.len().min(SNIFF_BYTES - self.head.len());
        self.head.extend_from_slice(&bytes[..head_rest]);
        let may_be_picture = self.head.len() < SNIFF_BYTES || sniff(&self.head).is_some();
        if may_be_picture && self.bytes <= self.picture_bytes_max {
            self.kept.extend_from_slice(bytes);
        } else {
            self.kept = Vec::new();
        }
    }

    /// Bytes that are kept, because they may be a picture within its limit.
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// What all bytes come to.
    pub fn finish(self) -> Source {
        let content = if sniff(&self.head).is_none() {
            Content::NotAPicture
        } else if self.bytes > self.picture_bytes_max {
            Content::TooLarge
        } else {
            Content::Picture(self.kept)
        };
        Source { fingerprints: self.hasher.finish(), bytes: self.bytes, content }
    }
}

/// The next bytes; `None` when the file is complete and was the same all along.
type Chunk = Result<Option<Vec<u8>>, SourceError>;

/// A file on a thread of its own, which is left behind when the file system does not answer.
struct Reader {
    file: File,
    chunks: Sender<Chunk>,
}

impl Reader {
    fn start(fd: OwnedFd, file_bytes_max: u64) -> Result<Receiver<Chunk>, SourceError> {
        let (chunks, received) = bounded(1);
        let within = |readers: usize| (readers < READERS_MAX).then_some(readers + 1);
        READERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).map_err(|_| SourceError::Busy)?;
        let reader = Reader { file: File::from(fd), chunks };
        let read = move || {
            let last = reader.read(file_bytes_max).map(|()| None);
            // Nobody may be waiting any more.
            let _ = reader.chunks.send(last);
        };
        thread::Builder::new().name("source".to_owned()).spawn(read)?;
        Ok(received)
    }

    fn read(&self, file_bytes_max: u64) -> Result<(), SourceError> {
        let before = self.check()?;
        let size = before.len();
        if size > file_bytes_max {
            return Err(SourceError::TooLarge { found: size, limit: file_bytes_max });
        }
        let mut at = 0;
        while at < size {
            let mut chunk = vec![0; CHUNK_BYTES.min((size - at) as usize)];
            match self.file.read_at(&mut chunk, at) {
                Ok(0) => return Err(SourceError::Changed),
                Ok(read) => {
                    chunk.truncate(read);
                    at += read as u64;
                    if self.chunks.send(Ok(Some(chunk))).is_err() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let after = self.file.metadata()?;
        let same = |of: &std::fs::Metadata| (of.len(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
        if same(&before) == same(&after) { Ok(()) } else { Err(SourceError::Changed) }
    }

    /// Refuses everything but files whose content stands still, as far as that can be seen.
    fn check(&self) -> Result<std::fs::Metadata, SourceError> {
        let fd = self.file.as_fd();
        let stat = rustix::fs::fstat(fd).map_err(io::Error::from)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(SourceError::NotAFile("a folder")),
            FileType::Fifo => return Err(SourceError::NotAFile("a pipe")),
            FileType::Socket => return Err(SourceError::NotAFile("a socket")),
            FileType::CharacterDevice | FileType::BlockDevice => return Err(SourceError::NotAFile("a device")),
            _ => return Err(SourceError::NotAFile("something else")),
        }
        let flags = rustix::fs::fcntl_getfl(fd).map_err(io::Error::from)?;
        if flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == OFlags::WRONLY {
            return Err(SourceError::NotReadable);
        }
        let file_system = rustix::fs::fstatfs(fd).map_err(io::Error::from)?.f_type;
        if PSEUDO_FILE_SYSTEMS.contains(&(file_system as u32)) {
            return Err(SourceError::NotAFile("a file that the kernel makes up"));
        }
        // Memory is a regular file too: one without a name, on a file system that knows seals.
        let enough = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
        match rustix::fs::fcntl_get_seals(fd) {
            Ok(seals) if stat.st_nlink == 0 && !seals.contains(enough) => Err(SourceError::NotSealed),
            _ => Ok(self.file.metadata()?),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::hash_bytes;
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, Mode};
    use std::io::Write;

    const LIMITS: SourceLimits =
        SourceLimits { file_bytes_max: 1 << 20, picture_bytes_max: 1 << 19, deadline: Duration::from_secs(30) };
    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n and so on";

    fn read(fd: impl Into<OwnedFd>) -> Result<Source, SourceError> {
        read_checked(fd.into(), &LIMITS, &Kind::COMPUTED)
    }

    /// A file with these bytes, and another descriptor to change it by.
    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, File) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let opened = File::open(file.path()).unwrap();
        (file, opened)
    }

    fn check(bytes: &[u8], source: &Source) {
        assert_eq!(source.bytes, bytes.len() as u64);
        assert_eq!(source.fingerprints, Kind::COMPUTED.map(|kind| hash_bytes(kind, bytes)));
    }

    fn memory(bytes: &[u8], seals: SealFlags) -> OwnedFd {
        let mut memory = File::from(rustix::fs::memfd_create("picture", MemfdFlags::ALLOW_SEALING).unwrap());
        memory.write_all(bytes).unwrap();
        rustix::fs::fcntl_add_seals(&memory, seals).unwrap();
        memory.into()
    }

    #[test]
    fn digests_are_of_the_whole_file_and_content_is_what_can_be_decoded() {
        let long_picture = [PNG, &vec![7; LIMITS.picture_bytes_max as usize]].concat();
        let long_text = vec![b'a'; LIMITS.file_bytes_max as usize];
        for (bytes, content) in [
            (PNG, Content::Picture(PNG.to_vec())),
            (&long_picture, Content::TooLarge),
            (&long_text, Content::NotAPicture),
            (b"", Content::NotAPicture),
        ] {
            let source = read(file(bytes).1).unwrap();
            check(bytes, &source);
            assert_eq!(source.content, content);
        }
        let one_more = [&long_text[..], b"a"].concat();
        assert!(matches!(read(file(&one_more).1), Err(SourceError::TooLarge { .. })));
    }

    #[test]
    fn memory_must_be_sealed() {
        let enough = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
        check(PNG, &read(memory(PNG, enough)).unwrap());
        for lacking in [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW] {
            assert!(matches!(read(memory(PNG, enough - lacking)), Err(SourceError::NotSealed)));
        }
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let (pipe, _writer) = io::pipe().unwrap();
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let fifo =
            std::os::unix::fs::OpenOptionsExt::custom_flags(File::options().read(true), OFlags::NONBLOCK.bits() as i32)
                .open(fifo)
                .unwrap();
        for (fd, expected) in [
            (pipe.into(), "a pipe"),
            (fifo.into(), "a pipe"),
            (socket.into(), "a socket"),
            (File::open(folder.path()).unwrap().into(), "a folder"),
            (File::open("/dev/zero").unwrap().into(), "a device"),
            (File::open("/proc/self/maps").unwrap().into(), "makes up"),
            (File::open("/sys/kernel/mm").unwrap().into(), "a folder"),
            (OwnedFd::from(file(PNG).0.into_file()), ""),
        ] {
            let found: Result<Source, SourceError> = read(fd);
            match found {
                Ok(_) => assert_eq!(expected, ""),
                Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
            }
        }
        let (held, _) = file(PNG);
        let write_only = File::options().write(true).open(held.path()).unwrap();
        assert!(matches!(read(write_only), Err(SourceError::NotReadable)));
        let path_only = rustix::fs::open(held.path(), OFlags::PATH, Mode::empty()).unwrap();
        assert!(matches!(read(path_only), Err(SourceError::NotReadable)));
    }

    #[test]
    fn a_file_that_changes_has_no_digest() {
        let bytes = vec![b'a'; LIMITS.file_bytes_max as usize];
        for change in [
            |file: &File| file.set_len(LIMITS.file_bytes_max - 1).unwrap(),
            |file: &File| file.set_len(LIMITS.file_bytes_max + 1).unwrap(),
            |file: &File| file.write_all_at(b"b", 5).unwrap(),
        ] {
            let (held, opened) = file(&bytes);
            let chunks = Reader::start(opened.into(), LIMITS.file_bytes_max).unwrap();
            // The first piece is on its way, and the last is not: the reader is at most two ahead.
            let first = chunks.recv().unwrap();
            assert!(matches!(first, Ok(Some(_))));
            // The clock of file systems may tick only every few milliseconds.
            thread::sleep(Duration::from_millis(20));
            change(held.as_file());
            let last = std::iter::from_fn(|| chunks.recv().ok()).last().unwrap();
            assert!(matches!(last, Err(SourceError::Changed)), "{last:?}");
        }
    }

    #[test]
    fn patience_has_an_end() {
        let limits = SourceLimits { deadline: Duration::ZERO, ..LIMITS };
        let (_held, opened) = file(&vec![b'a'; LIMITS.file_bytes_max as usize]);
        assert!(matches!(read_checked(opened.into(), &limits, &[Kind::Md5]), Err(SourceError::TimedOut)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            is_picture: bool,
            piece in 1..40usize,
        ) {
            let bytes = if is_picture { [PNG, &bytes].concat() } else { bytes };
            let mut intake = Intake::new(&Kind::COMPUTED, 100).unwrap();
            bytes.chunks(piece).for_each(|piece| intake.update(piece));
            let source = intake.finish();
            check(&bytes, &source);
            let expected = match (sniff(&bytes), bytes.len()) {
                (None, _) => Content::NotAPicture,
                (_, 0..=100) => Content::Picture(bytes.clone()),
                _ => Content::TooLarge,
            };
            prop_assert_eq!(source.content, expected);
        }
    }
}
