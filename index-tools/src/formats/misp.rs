//! MISP events: attributes that are hashes of files.
//!
//! ```text
//! {"Event": {"Attribute": [{"type": "md5", "value": "…"}, {"type": "filename|sha256", "value": "a|b.exe|…"}],
//!            "Object": [{"name": "file", "Attribute": [{"type": "sha1", "value": "…"}]}]}}
//! ```
//!
//! Each attribute is a record, those of objects too, counted in the file's order. An export may be one event, an array
//! of them, or an answer of the server, with either in `response`; a search for attributes or objects has no event.
//!
//! Names may hold `|`, hashes may not, so a composite is split at its last one. What is deleted says nothing any more.
//! Objects named `pe-section` and the like hold hashes of parts of files, and these are not read. Members come in any
//! order (Python writes them sorted), so an object's name is looked for before its attributes are read.

use std::io::BufRead;

use hashward::list::{self, PackedAttributes};

use super::error::{FormatError, Refusal, Refused};
use super::json::{Cursor, Stop, elements, first_byte, look, members, pull_record, skip_any, skip_large};
use super::limits::MAX_ELEMENT_BYTES;
use super::report::{Problem, Report, excerpt};
use super::text;
use super::values::Values;
use super::window::Window;
use super::{Format, Parsed, Record};

/// Arrays and objects around an event's attributes: an answer, its array, the element, the event.
const MAX_WRAPPINGS: u32 = 4;

/// Types of attributes that are hashes of files of which hashward lacks the kind.
const FOREIGN: [&str; 17] = [
    "authentihash",
    "cdhash",
    "imphash",
    "impfuzzy",
    "pehash",
    "sha224",
    "sha384",
    "sha512/224",
    "sha512/256",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "ssdeep",
    "telfhash",
    "tlsh",
    "vhash",
];

pub(super) fn parse(input: &mut dyn BufRead, report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut window = Window::new(input);
    if !matches!(first_byte(&mut window)?, Some(b'{' | b'[')) {
        return Err(not_misp(format!("`{}`", excerpt(window.bytes()))).into());
    }
    let mut reader =
        Reader { report, attribute: Attribute::default(), object: Object::default(), number: 0, has_event: false };
    reader.wrapping(&mut window, MAX_WRAPPINGS)?;
    if first_byte(&mut window)?.is_some() {
        return Err(not_misp(format!("behind it `{}`", excerpt(window.bytes()))).into());
    }
    if !reader.has_event {
        return Err(not_misp("neither").into());
    }
    reader.report.finish()
}

fn not_misp(found: impl Into<String>) -> Refused {
    Refused::not_a_list(Format::Misp, "an `Event`, or an array `Attribute`", found)
}

struct Reader<'s> {
    report: Report<'s>,
    attribute: Attribute,
    /// What the object around the attribute says of its file.
    object: Object,
    /// Of the last attribute.
    number: u64,
    has_event: bool,
}

impl Reader<'_> {
    /// Reads an event, or what is wrapped around some. Recursion ends with `wrappings_left`.
    fn wrapping(&mut self, window: &mut Window<'_>, wrappings_left: u32) -> Result<(), FormatError> {
        match first_byte(window)? {
            // What is not looked into would not be matched.
            Some(b'[' | b'{') if wrappings_left == 0 => {
                let expected = format!("at most {MAX_WRAPPINGS} arrays and objects around the attributes");
                let remedy = "export events as MISP does";
                Err(Refused::new(Refusal::Limit, expected, "more", remedy).into())
            }
            Some(b'[') => elements(window, |window| self.wrapping(window, wrappings_left - 1)),
            Some(b'{') => members(window, |window, key| {
                let first = first_byte(window)?;
                match key {
                    b"response" => self.wrapping(window, wrappings_left - 1),
                    b"Event" if first == Some(b'{') => {
                        self.has_event = true;
                        self.wrapping(window, wrappings_left - 1)
                    }
                    b"Attribute" if first == Some(b'[') => {
                        self.has_event = true;
                        elements(window, |window| self.attribute(window))
                    }
                    b"Object" if first == Some(b'[') => elements(window, |window| self.object(window)),
                    b"Object" if first == Some(b'{') => {
                        self.has_event = true;
                        self.object(window)
                    }
                    _ => skip_any(window),
                }
            }),
            _ => skip_any(window),
        }
    }

    /// Reads one object. One that is too large to look through first is rejected as a whole.
    fn object(&mut self, window: &mut Window<'_>) -> Result<(), FormatError> {
        if first_byte(window)? != Some(b'{') {
            return skip_any(window);
        }
        let Some(object) = look(window, Object::read)? else {
            skip_large(window)?;
            self.number += 1;
            let detail = format!("expected at most {MAX_ELEMENT_BYTES} bytes in an object, found more");
            return self.report.reject(self.number, None, Problem::new("too-long", detail));
        };
        self.object = object;
        members(window, |window, key| {
            if key == b"Attribute" && first_byte(window)? == Some(b'[') {
                elements(window, |window| self.attribute(window))
            } else {
                skip_any(window)
            }
        })?;
        self.object = Object::default();
        Ok(())
    }

    /// Reads one attribute and passes it on, if it counts. Those that are no hashes are passed over in silence.
    fn attribute(&mut self, window: &mut Window<'_>) -> Result<(), FormatError> {
        self.number += 1;
        let attribute = &mut self.attribute;
        let read = pull_record(window, |cursor| attribute.read(cursor))?;
        if self.object.is_silent {
            return Ok(());
        }
        if let Some(problem) = read.err().or_else(|| attribute.problem.take()) {
            return self.report.reject(self.number, None, problem);
        }
        if let Some(foreign) = attribute.foreign {
            self.report.unsupported(foreign);
        }
        if attribute.values.is_empty() {
            return Ok(());
        }
        self.object.attributes.iter().for_each(|(name, value)| attribute.attributes.push(name, value));
        let attributes = &attribute.attributes;
        self.report.accept(&attribute.values, Record { attributes, ..Record::numbered(self.number, None) })
    }
}

/// What an object says of the file that its hashes are of.
#[derive(Default)]
struct Object {
    /// The hashes are of parts of files, or hold no more.
    is_silent: bool,
    attributes: PackedAttributes,
}

impl Object {
    fn read(cursor: &mut Cursor<'_>) -> Result<Object, Stop> {
        let mut object = Object::default();
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"name" => {
                    if let Some(name) = cursor.string_or_skip()? {
                        object.is_silent |= name.read(&mut Vec::new())?.ends_with(b"-section");
                    }
                }
                b"deleted" => object.is_silent |= cursor.is_yes()?,
                b"Attribute" if cursor.peek()? == b'[' => cursor.array(|cursor| object.read_attribute(cursor))?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(object)
    }

    fn read_attribute(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        let (mut relation, mut value, mut is_deleted) = (None, None, false);
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"object_relation" => relation = cursor.string_or_skip()?,
                b"value" => value = cursor.string_or_skip()?,
                b"deleted" => is_deleted = cursor.is_yes()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        let (Some(relation), Some(value), false) = (relation, value, is_deleted) else { return Ok(()) };
        let attribute = match relation.read(&mut Vec::new())? {
            b"filename" => list::Attribute::Name,
            b"path" => list::Attribute::Path,
            b"size-in-bytes" => list::Attribute::Size,
            b"mimetype" => list::Attribute::Mime,
            _ => return Ok(()),
        };
        self.attributes.push(attribute, value.read(&mut Vec::new())?);
        Ok(())
    }
}

/// What is kept of one attribute, in buffers that are used again.
#[derive(Default)]
struct Attribute {
    values: Values,
    attributes: PackedAttributes,
    /// The type, if it is a hash of which hashward lacks the kind.
    foreign: Option<&'static str>,
    problem: Option<Problem>,
}

impl Attribute {
    /// Reads one element. Bad JSON is a [`Stop`], bad values are a [`Problem`] of this element only.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.values.clear();
        self.attributes.clear();
        self.foreign = None;
        self.problem = None;
        if cursor.peek()? != b'{' {
            self.problem = Some(Problem::new("wrong-type", "expected an object, found another value"));
            return cursor.skip();
        }
        let mut attribute_type = None;
        let (mut value, mut comment) = (None, None);
        let mut is_deleted = false;
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"type" => attribute_type = cursor.string_or_skip()?,
                b"value" => value = cursor.string_or_skip()?,
                b"comment" => comment = cursor.string_or_skip()?,
                b"deleted" => is_deleted = cursor.is_yes()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        if is_deleted {
            return Ok(());
        }
        if let Some(comment) = comment {
            self.attributes.push(list::Attribute::Comment, comment.read(&mut Vec::new())?);
        }
        let Some(attribute_type) = attribute_type else {
            self.problem = Some(Problem::new("missing-type", "expected a `type` of the attribute, found none"));
            return Ok(());
        };
        let (mut type_buffer, mut value_buffer) = (Vec::new(), Vec::new());
        let attribute_type = attribute_type.read(&mut type_buffer)?;
        let value = value.map(|value| value.read(&mut value_buffer)).transpose()?;
        self.problem = self.keep(attribute_type, value).err();
        Ok(())
    }

    fn keep(&mut self, attribute_type: &[u8], value: Option<&[u8]>) -> Result<(), Problem> {
        // A sample's value is its name and its MD5; the sample itself stands in `data`.
        let (is_composite, hash_type) = match attribute_type.strip_prefix(b"filename|") {
            Some(hash_type) => (true, hash_type),
            None if attribute_type == b"malware-sample" => (true, &b"md5"[..]),
            None => (false, attribute_type),
        };
        let kind = text::kind(hash_type);
        self.foreign = FOREIGN.into_iter().find(|foreign| foreign.as_bytes() == hash_type);
        let Some(kind) = kind else { return Ok(()) };
        let value = value.unwrap_or_default();
        let (name, hash) = match value.iter().rposition(|byte| *byte == b'|').filter(|_| is_composite) {
            Some(at) => (&value[..at], &value[at + 1..]),
            None if is_composite => {
                let detail = format!("expected a name, a | and a hash, found `{}`", excerpt(value));
                return Err(Problem::new("missing-hash", detail));
            }
            None => (&b""[..], value),
        };
        if hash.trim_ascii().is_empty() {
            return Err(Problem::missing_hash("a hash as the attribute's value"));
        }
        self.values.push_text(kind, hash.trim_ascii())?;
        self.attributes.push(list::Attribute::Name, name);
        Ok(())
    }
}
