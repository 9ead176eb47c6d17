//! DFXML, Digital Forensics XML: what `fiwalk`, `hashdeep -d` and their like say of the files they have seen.
//!
//! ```text
//! <dfxml xmlns="http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML">
//!   <fileobject>
//!     <filename>a &amp; b.jpg</filename>
//!     <byte_runs><byte_run len='512'><hashdigest type='MD5'>…of a block…</hashdigest></byte_run></byte_runs>
//!     <hashdigest type='md5'>…of the file…</hashdigest>
//!   </fileobject>
//! </dfxml>
//! ```
//!
//! Only what stands directly in a `fileobject` is of the file. Digests further inside are of blocks (`byte_run`) or of
//! what the file was before (`original_fileobject`), and not read. Prefixes and the case of names vary, so local names
//! are compared in any case. Before version 1.0 digests were elements named after their kind: `<md5>…</md5>`.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};
use quick_xml::events::BytesStart;

use super::error::{FormatError, Refused};
use super::limits::{MAX_RECORD_BYTES, MAX_VALUES};
use super::report::{Problem, Report, excerpt};
use super::text;
use super::values::Values;
use super::xml::{Piece, Pieces};
use super::{Format, Parsed, Record};

/// Names of the root element; the second is that of versions before 1.0.
const ROOTS: [&[u8]; 2] = [b"dfxml", b"fiwalk"];

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut pieces = Pieces::new(input);
    let mut object = FileObject::default();
    let mut number = 0;
    // How deep the open file object stands.
    let mut object_depth = None;
    loop {
        let (depth, has_root) = (pieces.depth(), pieces.has_root());
        // Text and ends are of the element at `depth`; what opens is inside of it.
        let is_field = object_depth.is_some_and(|object| depth == object + 1);
        match pieces.next()? {
            Piece::Open(root) if depth == 0 => {
                let name = root.local_name();
                if !ROOTS.iter().any(|known| known.eq_ignore_ascii_case(name.as_ref())) {
                    let found = format!("a root element `{}`", excerpt(name.as_ref()));
                    return Err(Refused::not_a_list(Format::Dfxml, Format::Dfxml.shape(), found).into());
                }
            }
            Piece::Open(element) if element.local_name().as_ref().eq_ignore_ascii_case(b"fileobject") => {
                number += 1;
                if object_depth.is_some() {
                    let detail = "expected each file object on its own, found one inside of another";
                    report.reject(number, None, Problem::new("nested", detail))?;
                } else {
                    object_depth = Some(depth + 1);
                    object.start(number);
                }
            }
            Piece::Open(element) if object_depth == Some(depth) => object.open_field(&element),
            Piece::Text(text) if is_field => object.text(&text),
            Piece::Close if is_field => object.close_field(),
            Piece::Close if object_depth == Some(depth) => {
                object_depth = None;
                object.pass_on(&mut report)?;
            }
            Piece::End if !has_root => {
                return Err(Refused::not_a_list(Format::Dfxml, Format::Dfxml.shape(), "an empty file").into());
            }
            Piece::End => return report.finish(),
            Piece::Open(_) | Piece::Text(_) | Piece::Close | Piece::Other => {}
        }
    }
}

/// An element whose text is read.
#[derive(Clone, Copy)]
enum Field {
    Attribute(Attribute),
    Digest(Kind),
    /// A digest of a kind that hashward lacks, named in [`FileObject::foreign_kind`].
    Foreign,
}

/// What is kept of one file object, in buffers that are used again.
#[derive(Default)]
struct FileObject {
    number: u64,
    values: Values,
    attributes: PackedAttributes,
    /// Names of the digests of kinds that hashward lacks.
    foreign: Vec<String>,
    /// The first thing that is wrong with it.
    problem: Option<Problem>,
    field: Option<Field>,
    foreign_kind: String,
    text: Vec<u8>,
}

impl FileObject {
    fn start(&mut self, number: u64) {
        self.number = number;
        self.values.clear();
        self.attributes.clear();
        self.foreign.clear();
        self.problem = None;
        self.field = None;
    }

    fn spoil(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    fn open_field(&mut self, element: &BytesStart<'_>) {
        self.text.clear();
        let name = element.local_name();
        self.field = match name.as_ref() {
            name if name.eq_ignore_ascii_case(b"filename") => Some(Field::Attribute(Attribute::Name)),
            name if name.eq_ignore_ascii_case(b"filesize") => Some(Field::Attribute(Attribute::Size)),
            name if name.eq_ignore_ascii_case(b"hashdigest") => self.digest(element),
            name => text::kind(name).map(Field::Digest),
        };
    }

    /// What a `hashdigest` says that it holds.
    fn digest(&mut self, element: &BytesStart<'_>) -> Option<Field> {
        // Looking for repeated names takes quadratic time; the first counts.
        let mut attributes = element.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        let is_type = |name: &[u8]| name.eq_ignore_ascii_case(b"type");
        let Some(kind) = attributes.find(|attribute| is_type(attribute.key.local_name().as_ref())) else {
            self.spoil(Problem::new("missing-kind", "expected a type of the digest, found none"));
            return None;
        };
        let kind = kind.value.trim_ascii();
        Some(match text::kind(kind) {
            Some(kind) => Field::Digest(kind),
            None => {
                self.foreign_kind = excerpt(kind);
                Field::Foreign
            }
        })
    }

    fn text(&mut self, text: &[u8]) {
        if self.field.is_none() {
            return;
        }
        if self.text.len() + text.len() > MAX_RECORD_BYTES {
            self.spoil(Problem::too_long());
            self.field = None;
        } else {
            self.text.extend_from_slice(text);
        }
    }

    fn close_field(&mut self) {
        let digest = self.text.trim_ascii();
        match self.field.take() {
            Some(Field::Attribute(Attribute::Name)) => self.attributes.push(Attribute::Name, &self.text),
            Some(Field::Attribute(attribute)) => self.attributes.push(attribute, self.text.trim_ascii()),
            Some(Field::Digest(kind)) if !digest.is_empty() => {
                if let Err(problem) = self.values.push_text(kind, digest) {
                    self.spoil(problem);
                }
            }
            Some(Field::Foreign) if !digest.is_empty() && self.foreign.len() < MAX_VALUES => {
                self.foreign.push(std::mem::take(&mut self.foreign_kind));
            }
            _ => {}
        }
    }

    /// Reports the object. Folders and the like have no digest: they are passed over.
    fn pass_on(&mut self, report: &mut Report<'_>) -> Result<(), FormatError> {
        if let Some(problem) = self.problem.take() {
            return report.reject(self.number, None, problem);
        }
        self.foreign.iter().for_each(|name| report.unsupported(name));
        if self.values.is_empty() {
            return Ok(());
        }
        let record = Record { attributes: &self.attributes, ..Record::numbered(self.number, None) };
        report.accept(&self.values, record)
    }
}
