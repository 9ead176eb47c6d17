//! Zip archives with one list inside.
//!
//! The `zip` crate reads the directory; the member is then read by hand, so that its reader owns the file. Nothing is
//! ever written, so a member's name cannot lead anywhere, but an archive that tries is not trusted with the rest.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::error::{FormatError, Refusal, Refused};
use super::report::excerpt;

/// Members of an archive with a list. NSRL's have six.
const MAX_MEMBERS: usize = 1000;

/// Bytes that the directory and the members' headers may take.
const MAX_DIRECTORY_BYTES: u64 = 4 << 20;

/// What stands beside `NSRLFile.txt` in NSRL's archives and is no list.
const NSRL_COMPANIONS: [&str; 7] =
    ["nsrlprod.txt", "nsrlmfg.txt", "nsrlos.txt", "version.txt", "hashes.txt", "readme.txt", "read_me.txt"];

pub(super) fn refused(expected: impl Into<String>, found: impl Into<String>) -> Refused {
    Refused::new(Refusal::Archive, expected, found, "unpack it yourself, and give the list")
}

/// A member of an archive.
pub(super) struct Member {
    file: File,
    data_start: u64,
    compressed_bytes: u64,
    is_deflated: bool,
    crc: u32,
    bytes: u64,
}

/// The one member of `file` that is a list.
pub(super) fn single_list(file: File) -> Result<Member, FormatError> {
    let mut archive =
        ZipArchive::new(BufReader::new(Budget { file, left_bytes: MAX_DIRECTORY_BYTES })).map_err(broken)?;
    if archive.len() > MAX_MEMBERS || archive.has_duplicate_names() {
        return Err(refused("an archive of a few members with distinct names", "another").into());
    }
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(broken)?;
        let name = member.name_raw();
        if leads_elsewhere(name) || member.is_symlink() {
            return Err(refused("members that stay inside of the archive", format!("`{}`", excerpt(name))).into());
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let is_litter = name.starts_with("__MACOSX/") || name.ends_with(".DS_Store");
        if !member.is_dir() && !is_litter {
            members.push((index, name));
        }
    }
    let base = |name: &str| name.rsplit(['/', '\\']).next().unwrap_or(name).to_ascii_lowercase();
    if members.iter().any(|(_, name)| base(name) == "nsrlfile.txt") {
        members.retain(|(_, name)| !NSRL_COMPANIONS.contains(&&*base(name)));
    }
    let [(index, _)] = &members[..] else {
        let names: Vec<_> = members.iter().take(5).map(|(_, name)| excerpt(name.as_bytes())).collect();
        let found = format!("{}: {}", members.len(), if names.is_empty() { "none".into() } else { names.join(", ") });
        return Err(refused("an archive with one list", found).into());
    };
    let member = archive.by_index_raw(*index).map_err(broken)?;
    let is_deflated = match member.compression() {
        _ if member.encrypted() => return Err(refused("a member without a password", "an encrypted one").into()),
        CompressionMethod::Stored => false,
        CompressionMethod::Deflated => true,
        other => return Err(refused("a member that is stored or deflated", other.to_string()).into()),
    };
    let data_start = member.data_start().ok_or_else(|| broken(ZipError::FileNotFound))?;
    let (compressed_bytes, bytes, crc) = (member.compressed_size(), member.size(), member.crc32());
    drop(member);
    let file = archive.into_inner().into_inner().file;
    Ok(Member { file, data_start, compressed_bytes, is_deflated, crc, bytes })
}

impl Member {
    /// Its content. `counted` wraps the file, so that what is read from it is known.
    pub(super) fn read<R: io::BufRead + Send + 'static>(
        mut self,
        counted: impl FnOnce(File) -> R,
    ) -> Result<Box<dyn Read + Send>, FormatError> {
        self.file.seek(SeekFrom::Start(self.data_start))?;
        let data = counted(self.file).take(self.compressed_bytes);
        let content: Box<dyn Read + Send> =
            if self.is_deflated { Box::new(DeflateDecoder::new(data)) } else { Box::new(data) };
        Ok(Box::new(Checked { content, crc: Crc::new(), expected: self.crc, left_bytes: self.bytes }))
    }
}

/// Whether a member's name would lead out of the folder into which one unpacks it.
fn leads_elsewhere(name: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    name.first().is_some_and(is_separator)
        || name.get(1) == Some(&b':')
        || name.contains(&0)
        || name.split(is_separator).any(|part| part == b"..")
}

fn broken(error: ZipError) -> FormatError {
    match error {
        ZipError::Io(error) => FormatError::from(error),
        other => Refused::new(
            Refusal::Corrupt,
            "a sound zip archive",
            other.to_string(),
            "get the file again and compare its checksum with the issuer's",
        )
        .into(),
    }
}

/// Lets no more than a directory be read, whatever size it claims to have.
struct Budget {
    file: File,
    left_bytes: u64,
}

impl Read for Budget {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left_bytes = self.left_bytes.checked_sub(read as u64).ok_or_else(|| {
            io::Error::from(refused(format!("a directory within {MAX_DIRECTORY_BYTES} bytes"), "a larger one"))
        })?;
        Ok(read)
    }
}

impl Seek for Budget {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Compares length and checksum at the end.
struct Checked {
    content: Box<dyn Read + Send>,
    crc: Crc,
    expected: u32,
    left_bytes: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.crc.update(&buffer[..read]);
        let left = self.left_bytes.checked_sub(read as u64);
        let ended = read == 0 && !buffer.is_empty();
        match left {
            Some(left) if !ended => self.left_bytes = left,
            Some(0) if self.crc.sum() == self.expected => {}
            _ => {
                return Err(Refused::new(
                    Refusal::Corrupt,
                    "a member of the length and checksum that the archive states",
                    "another",
                    "get the file again and compare its checksum with the issuer's",
                )
                .into());
            }
        }
        Ok(read)
    }
}
