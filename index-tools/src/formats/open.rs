//! Opens a list file, whatever it is wrapped in, as a stream of UTF-8 (or at least ASCII-compatible) text.
//!
//! `.gz`, `.zst` and `.zip` are recognised by their content, unfolded while they are read, and held to [`Limits`].
//! Inside must be a list: another archive there is refused, as are archives of other sorts. A byte-order mark is
//! taken away, and UTF-16 that has one is turned into UTF-8.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flate2::bufread::MultiGzDecoder;

use super::archive;
use super::bounded::{Bounded, Counted};
use super::error::{FormatError, Refusal, Refused};
use super::limits::HEAD_BYTES;
use super::utf16::Utf16Reader;

/// How far a compressed list may unfold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub max_bytes: u64,
    /// Bytes after decompression for each compressed byte; small files may exceed it.
    pub max_ratio: u64,
}

impl Default for Limits {
    /// A tebibyte, and a ratio of 200: digests hardly shrink, so real lists stay below 50.
    fn default() -> Limits {
        Limits { max_bytes: 1 << 40, max_ratio: 200 }
    }
}

/// Opens a list file. The first [`BufRead::fill_buf`] gives enough for [`super::detect`].
///
/// # Errors
/// When it cannot be read, or is wrapped in something that is not taken apart. Damage and bombs inside a wrapping show
/// while it is read, as an [`std::io::Error`] from which [`FormatError`] takes the reason.
pub fn open(path: &Path, limits: &Limits) -> Result<Box<dyn BufRead + Send>, FormatError> {
    // Lists are read twice at times, and the directory of a zip archive stands at its end.
    if !std::fs::metadata(path)?.is_file() {
        let remedy = "name a file; save what comes through a pipe first";
        return Err(Refused::new(Refusal::NotAList, "a file", "a folder, a pipe or a device", remedy).into());
    }
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    let read_bytes = Arc::new(AtomicU64::new(0));
    let counted = |file| BufReader::with_capacity(HEAD_BYTES, Counted::new(file, Arc::clone(&read_bytes)));
    let bounded = |unfolded: Box<dyn Read + Send>| Bounded::new(unfolded, Arc::clone(&read_bytes), *limits);
    let unfolded: Box<dyn Read + Send> = match Wrapping::of(&head) {
        None => return text(Box::new(file), &head),
        Some(Wrapping::Gzip) => Box::new(bounded(Box::new(MultiGzDecoder::new(counted(file))))),
        Some(Wrapping::Zstd) => Box::new(bounded(Box::new(zstd::Decoder::with_buffer(counted(file))?))),
        Some(Wrapping::Zip) => {
            let member = archive::single_list(file)?;
            Box::new(bounded(member.read(counted)?))
        }
        Some(Wrapping::Other(name)) => {
            return Err(archive::refused("a list, plain or in .gz, .zst or .zip", format!("{name} data")).into());
        }
    };
    let mut unfolded = unfolded;
    let mut head = Vec::new();
    unfolded.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
    match Wrapping::of(&head) {
        None => text(Box::new(Cursor::new(head.clone()).chain(unfolded)), &head),
        Some(nested) => {
            let found = format!("{} data inside of it", nested.name());
            Err(archive::refused("an archive with a plain list inside", found).into())
        }
    }
}

/// Takes the byte-order mark away. `head` is what `input` starts with.
fn text(mut input: Box<dyn Read + Send>, head: &[u8]) -> Result<Box<dyn BufRead + Send>, FormatError> {
    let mut decoder = match head {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            return Err(Refused::new(
                Refusal::Encoding,
                "text in UTF-8, UTF-16 or an ASCII-compatible encoding",
                "UTF-32",
                "convert it, for example with `iconv -t UTF-8`",
            )
            .into());
        }
        [0xFF, 0xFE, ..] => Some(encoding_rs::UTF_16LE.new_decoder_with_bom_removal()),
        [0xFE, 0xFF, ..] => Some(encoding_rs::UTF_16BE.new_decoder_with_bom_removal()),
        [0xEF, 0xBB, 0xBF, ..] => {
            input.read_exact(&mut [0; 3])?;
            None
        }
        _ => None,
    };
    let mut input: Box<dyn Read + Send> = match decoder.take() {
        Some(decoder) => Box::new(Utf16Reader::new(input, decoder)),
        None => input,
    };
    // Decompressors hand out little at a time, and detection wants a good piece at once.
    let mut start = Vec::new();
    input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut start)?;
    Ok(Box::new(Cursor::new(start).chain(BufReader::with_capacity(HEAD_BYTES, input))))
}

/// What a file is wrapped in.
enum Wrapping {
    Gzip,
    Zstd,
    Zip,
    /// Not taken apart here.
    Other(&'static str),
}

/// Bytes that tell all of them apart: `ustar` stands furthest behind.
const MAGIC_BYTES: usize = 262;

impl Wrapping {
    /// The wrapping that a file's first [`MAGIC_BYTES`] show; `None` for a plain file.
    fn of(head: &[u8]) -> Option<Wrapping> {
        Some(match head {
            [0x1F, 0x8B, ..] => Wrapping::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Wrapping::Zstd,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Wrapping::Zip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Wrapping::Other("xz"),
            [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => Wrapping::Other("7z"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Wrapping::Other("bzip2"),
            [b'R', b'a', b'r', b'!', 0x1A, 7, ..] => Wrapping::Other("rar"),
            _ if head.get(257..262) == Some(b"ustar") => Wrapping::Other("tar"),
            _ => return None,
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Wrapping::Gzip => "gzip",
            Wrapping::Zstd => "zstd",
            Wrapping::Zip => "zip",
            Wrapping::Other(name) => name,
        }
    }
}
