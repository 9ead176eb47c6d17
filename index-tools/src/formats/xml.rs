//! XML events from a list of any size, in bounded memory.
//!
//! What an event may hold is bounded by [`MAX_ELEMENT_BYTES`], and how deep elements nest by [`MAX_XML_DEPTH`].
//! Nothing is ever expanded: a document type that declares entities is refused, so is a reference to any but the five
//! that XML predefines, and nothing outside of the file is opened. A file that ends inside of its root is truncated.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use quick_xml::errors::IllFormedError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};

use super::error::{FormatError, Refusal, Refused};
use super::limits::{MAX_ELEMENT_BYTES, MAX_XML_DEPTH};
use super::report::excerpt;

/// What a parser hears of.
pub(crate) enum Piece<'a> {
    /// An element opens. An empty element is closed by the next piece.
    Open(BytesStart<'a>),
    /// Text of the element that is open, in the file's own encoding, references undone. It may come in parts.
    Text(Cow<'a, [u8]>),
    /// The innermost element closes.
    Close,
    /// A comment, a declaration, an instruction.
    Other,
    /// The file ends, behind its root; or there is nothing in it.
    End,
}

/// A well-formed file, piece by piece.
pub(crate) struct Pieces<'i> {
    reader: Reader<Guarded<'i>>,
    buffer: Vec<u8>,
    depth: u32,
    has_root: bool,
    is_blank: bool,
}

impl<'i> Pieces<'i> {
    pub(crate) fn new(input: &'i mut dyn BufRead) -> Pieces<'i> {
        let mut reader = Reader::from_reader(Guarded { input, left_bytes: MAX_ELEMENT_BYTES });
        reader.config_mut().expand_empty_elements = true;
        Pieces { reader, buffer: Vec::new(), depth: 0, has_root: false, is_blank: true }
    }

    /// Elements that are open, with what the last piece opened or closed taken into account.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether the root element has been opened.
    pub(crate) fn has_root(&self) -> bool {
        self.has_root
    }

    /// The next piece; the caller stops at [`Piece::End`].
    ///
    /// # Errors
    /// XML that is not well-formed, ends too early, or goes beyond a limit.
    pub(crate) fn next(&mut self) -> Result<Piece<'_>, FormatError> {
        self.reader.get_mut().left_bytes = MAX_ELEMENT_BYTES;
        let at = self.reader.buffer_position();
        self.buffer.clear();
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => return Err(refusal(error, &mut self.reader)),
        };
        let outside = self.depth == 0;
        Ok(match event {
            Event::Start(_) if outside && self.has_root => {
                return Err(corrupt("one root element", "a second one", at).into());
            }
            Event::Start(_) if self.depth == MAX_XML_DEPTH => {
                let expected = format!("at most {MAX_XML_DEPTH} nested elements");
                let remedy = "no list needs them: check that this is the right file";
                return Err(Refused::new(Refusal::Limit, expected, format!("more at byte {at}"), remedy).into());
            }
            Event::Start(element) => {
                self.depth += 1;
                self.has_root = true;
                Piece::Open(element)
            }
            Event::End(_) => {
                self.depth -= 1;
                Piece::Close
            }
            Event::Text(text) if outside && !text.trim_ascii().is_empty() => {
                let found = format!("`{}`", excerpt(text.trim_ascii()));
                return Err(corrupt("all text inside of one root element", found, at).into());
            }
            Event::CData(_) | Event::GeneralRef(_) if outside => {
                return Err(corrupt("all text inside of one root element", "some outside", at).into());
            }
            Event::Text(text) => Piece::Text(text.into_inner()),
            Event::CData(text) => Piece::Text(text.into_inner()),
            Event::GeneralRef(reference) => match character(&reference) {
                Some(text) => Piece::Text(Cow::Owned(text.into())),
                None => {
                    let found = format!("`&{};`", excerpt(&reference));
                    return Err(corrupt("no entities but lt, gt, amp, apos and quot", found, at).into());
                }
            },
            Event::DocType(declared) if memchr::memmem::find(&declared, b"<!ENTITY").is_some() => {
                return Err(Refused::new(
                    Refusal::Entities,
                    "XML that declares no entities",
                    format!("a document type at byte {at} that does"),
                    "lists need none, and they are a way to attack readers: ask where the file is from",
                )
                .into());
            }
            Event::Eof if !outside || (!self.has_root && !self.is_blank) => return Err(truncated(at).into()),
            Event::Eof => Piece::End,
            Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {
                self.is_blank = false;
                Piece::Other
            }
        })
    }
}

/// What a reference stands for; `None` for entities that a file would have to declare. Numbers that are no characters,
/// such as half a surrogate pair, which Windows file names may hold, become U+FFFD.
fn character(reference: &BytesRef<'_>) -> Option<String> {
    if reference.is_char_ref() {
        let character = reference.resolve_char_ref().ok().flatten();
        return Some(character.unwrap_or(char::REPLACEMENT_CHARACTER).into());
    }
    resolve_xml_entity(std::str::from_utf8(reference).ok()?).map(str::to_owned)
}

fn corrupt(expected: &str, found: impl Into<String>, at: u64) -> Refused {
    let found = format!("{} at byte {at}", found.into());
    Refused::new(Refusal::Corrupt, expected, found, "check that this is the right file, and get it again")
}

fn truncated(end: u64) -> Refused {
    Refused::truncated("the rest of the XML text", format!("the end of the file after {end} bytes"))
}

/// Why `reader` stopped. What is not closed is an error of its own only at the end of a file.
fn refusal(error: Error, reader: &mut Reader<Guarded<'_>>) -> FormatError {
    let at = reader.error_position();
    // A name may be as long as a tag, and a message may not.
    let found = match error {
        Error::Io(error) => {
            return match Arc::try_unwrap(error) {
                Ok(error) => error.into(),
                Err(shared) => io::Error::new(shared.kind(), shared.to_string()).into(),
            };
        }
        Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
            format!("`</{}>` where `{}` is to be closed", excerpt(found.as_bytes()), excerpt(expected.as_bytes()))
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(found)) => {
            format!("`</{}>`, which closes nothing,", excerpt(found.as_bytes()))
        }
        _ if reader.get_mut().is_at_end() => return truncated(reader.buffer_position()).into(),
        other => excerpt(other.to_string().as_bytes()),
    };
    corrupt("well-formed XML", found, at).into()
}

/// Hands out a limited number of bytes between two events, which bounds what the reader holds of one.
struct Guarded<'i> {
    input: &'i mut dyn BufRead,
    left_bytes: usize,
}

impl Guarded<'_> {
    fn is_at_end(&mut self) -> bool {
        self.input.fill_buf().is_ok_and(<[u8]>::is_empty)
    }
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Guarded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let arrived = self.input.fill_buf()?;
        if self.left_bytes == 0 && !arrived.is_empty() {
            let expected = format!("at most {MAX_ELEMENT_BYTES} bytes in a tag, a text or a comment");
            return Err(Refused::new(Refusal::Limit, expected, "more", "check that this is the right file").into());
        }
        Ok(&arrived[..arrived.len().min(self.left_bytes)])
    }

    fn consume(&mut self, count: usize) {
        self.left_bytes -= count;
        self.input.consume(count);
    }
}
