//! One object of a bundle: a file with hashes, an indicator with a pattern, or something else.

use hashward::list::{Attribute, PackedAttributes};

use super::super::json::{Cursor, Stop, Text};
use super::super::limits::MAX_VALUES;
use super::super::report::{Problem, excerpt};
use super::super::text;
use super::super::values::Values;
use super::pattern;

/// What is kept of one object, in buffers that are used again.
#[derive(Default)]
pub(super) struct Object {
    pub(super) values: Values,
    /// Those of the file.
    pub(super) attributes: PackedAttributes,
    /// Names of the hashes of kinds that hashward lacks.
    pub(super) foreign: Vec<String>,
    /// The first thing that is wrong with it.
    pub(super) problem: Option<Problem>,
}

/// The members of an object that matter. They come in any order, and what they mean depends on `type`.
#[derive(Default)]
struct Members<'a> {
    object_type: Option<Text<'a>>,
    name: Option<Text<'a>>,
    mime: Option<Text<'a>>,
    size: Option<&'a [u8]>,
    /// Where the value of `hashes` starts.
    hashes: Option<Cursor<'a>>,
    /// Where the value of `objects` starts.
    objects: Option<Cursor<'a>>,
    pattern: Option<Text<'a>>,
    pattern_type: Option<Text<'a>>,
    is_revoked: bool,
}

impl<'a> Members<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Members<'a>, Stop> {
        let mut members = Members::default();
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"type" => members.object_type = cursor.string_or_skip()?,
                b"name" => members.name = cursor.string_or_skip()?,
                b"mime_type" => members.mime = cursor.string_or_skip()?,
                b"size" if cursor.peek()?.is_ascii_digit() => members.size = Some(cursor.scalar()?),
                b"pattern" => members.pattern = cursor.string_or_skip()?,
                b"pattern_type" => members.pattern_type = cursor.string_or_skip()?,
                b"hashes" => {
                    members.hashes = Some(cursor.clone());
                    cursor.skip()?;
                }
                b"objects" => {
                    members.objects = Some(cursor.clone());
                    cursor.skip()?;
                }
                b"revoked" => members.is_revoked = cursor.is_yes()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(members)
    }
}

impl Object {
    /// Reads one element. Bad JSON is a [`Stop`], bad values are a [`Problem`] of this element only.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.values.clear();
        self.attributes.clear();
        self.foreign.clear();
        self.problem = None;
        if cursor.peek()? != b'{' {
            self.spoil(Problem::new("wrong-type", "expected an object, found another value"));
            return cursor.skip();
        }
        let members = Members::read(cursor)?;
        if members.is_revoked {
            return Ok(());
        }
        let mut unescaped = Vec::new();
        let Some(object_type) = members.object_type else {
            self.spoil(Problem::new("missing-type", "expected a `type` of the object, found none"));
            return Ok(());
        };
        match object_type.read(&mut unescaped)? {
            b"file" => self.file(members),
            b"indicator" => self.indicator(&members),
            b"observed-data" => self.observed(members),
            _ => Ok(()),
        }
    }

    fn spoil(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    /// Keeps what a `file` says.
    fn file(&mut self, members: Members<'_>) -> Result<(), Stop> {
        let mut unescaped = Vec::new();
        for (attribute, text) in [(Attribute::Name, members.name), (Attribute::Mime, members.mime)] {
            if let Some(text) = text {
                self.attributes.push(attribute, text.read(&mut unescaped)?);
            }
        }
        self.attributes.push(Attribute::Size, members.size.unwrap_or_default());
        let Some(mut hashes) = members.hashes else { return Ok(()) };
        if hashes.peek()? != b'{' {
            self.spoil(Problem::new("wrong-type", "expected an object `hashes`, found another value"));
            return Ok(());
        }
        hashes.object(|cursor, key| {
            let mut unescaped = Vec::new();
            let name = key.read(&mut unescaped)?;
            match cursor.peek()? {
                b'"' => {
                    let mut unescaped = Vec::new();
                    self.hash(name, cursor.string()?.read(&mut unescaped)?);
                }
                // `null` stands for no hash.
                b'n' => cursor.skip()?,
                _ => {
                    cursor.skip()?;
                    let detail = format!("expected a string for the hash `{}`, found another value", excerpt(name));
                    self.spoil(Problem::new("wrong-type", detail));
                }
            }
            Ok(())
        })
    }

    /// Keeps the hashes for which an indicator's pattern asks. Other languages (YARA, Snort) are not read.
    fn indicator(&mut self, members: &Members<'_>) -> Result<(), Stop> {
        let mut unescaped = Vec::new();
        let is_stix = match members.pattern_type {
            Some(language) => language.read(&mut unescaped)?.eq_ignore_ascii_case(b"stix"),
            // 2.0 knows no other.
            None => true,
        };
        let Some(pattern) = members.pattern.filter(|_| is_stix) else { return Ok(()) };
        let mut unescaped = Vec::new();
        let pattern = pattern.read(&mut unescaped)?;
        if let Err(problem) = pattern::hashes(pattern, |name, value| self.hash(name, value)) {
            self.spoil(problem);
        }
        Ok(())
    }

    /// Keeps what the files inside of `observed-data` say: version 2.0 holds them in an object by number.
    fn observed(&mut self, members: Members<'_>) -> Result<(), Stop> {
        let Some(mut objects) = members.objects else { return Ok(()) };
        if objects.peek()? != b'{' {
            return Ok(());
        }
        objects.object(|cursor, _| {
            if cursor.peek()? != b'{' {
                return cursor.skip();
            }
            let members = Members::read(cursor)?;
            match members.object_type {
                Some(object_type) if object_type.read(&mut Vec::new())? == b"file" => self.file(members),
                _ => Ok(()),
            }
        })
    }

    fn hash(&mut self, name: &[u8], value: &[u8]) {
        let value = value.trim_ascii();
        match text::kind(name) {
            _ if value.is_empty() => {}
            Some(kind) => {
                if let Err(problem) = self.values.push_text(kind, value) {
                    self.spoil(problem);
                }
            }
            None if self.foreign.len() < MAX_VALUES => self.foreign.push(excerpt(name)),
            None => {}
        }
    }
}
