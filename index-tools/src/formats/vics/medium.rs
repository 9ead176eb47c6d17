//! One medium of a VICS list: an element with hashes, a category and flags.

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, Flag, Flags, PackedAttributes};

use super::super::json::{Cursor, Stop, Text};
use super::super::report::{Problem, excerpt};
use super::super::text;
use super::super::values::Values;

/// What is kept of one medium, in buffers that are used again.
#[derive(Default)]
pub(super) struct Medium {
    pub(super) values: Values,
    pub(super) category: String,
    pub(super) flags: Flags,
    pub(super) attributes: PackedAttributes,
    /// Names of the hashes of kinds that hashward lacks.
    pub(super) foreign: Vec<String>,
    /// The first thing that is wrong with it.
    pub(super) problem: Option<Problem>,
    unescaped: Vec<u8>,
}

impl Medium {
    /// Reads one element. Bad JSON is a [`Stop`], bad values are a [`Problem`] of this element only.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.values.clear();
        self.category.clear();
        self.flags = Flags::NONE;
        self.attributes.clear();
        self.foreign.clear();
        self.problem = None;
        if cursor.peek()? != b'{' {
            self.spoil(Problem::new("wrong-type", "expected an object, found another value"));
            return cursor.skip();
        }
        cursor.object(|cursor, key| match key.read(&mut Vec::new())? {
            b"MD5" => self.hash(Kind::Md5, cursor),
            b"SHA1" => self.hash(Kind::Sha1, cursor),
            b"Category" => self.read_category(cursor),
            b"IsPrecategorized" => self.flag(Flag::Precategorized, cursor),
            b"VictimIdentified" => self.flag(Flag::VictimIdentified, cursor),
            b"OffenderIdentified" => self.flag(Flag::OffenderIdentified, cursor),
            b"IsDistributed" => self.flag(Flag::Distributed, cursor),
            b"MediaID" => self.attribute(Attribute::MediaId, cursor),
            b"MediaSize" => self.attribute(Attribute::Size, cursor),
            b"MimeType" => self.attribute(Attribute::Mime, cursor),
            b"Series" => self.attribute(Attribute::Series, cursor),
            b"Tags" if cursor.peek()? == b'[' => self.tags(cursor),
            b"Tags" => self.attribute(Attribute::Tags, cursor),
            b"Comments" => self.attribute(Attribute::Comment, cursor),
            b"AlternativeHashes" if cursor.peek()? == b'[' => cursor.array(|cursor| self.alternative_hash(cursor)),
            b"MediaFiles" if cursor.peek()? == b'[' => cursor.array(|cursor| self.media_file(cursor)),
            _ => cursor.skip(),
        })
    }

    fn spoil(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    /// Takes a string, a number or `null`; an absent or empty one is `None`.
    fn simple<'a>(&mut self, what: &str, cursor: &mut Cursor<'a>) -> Result<Option<Simple<'a>>, Stop> {
        Ok(match cursor.peek()? {
            b'"' => Some(Simple::Text(cursor.string()?)),
            b'{' | b'[' => {
                cursor.skip()?;
                self.spoil(Problem::new("wrong-type", format!("expected a simple value for {what}, found a compound")));
                None
            }
            _ => match cursor.scalar()? {
                b"null" => None,
                scalar => Some(Simple::Scalar(scalar)),
            },
        })
    }

    fn hash(&mut self, kind: Kind, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        match self.simple(kind.name(), cursor)? {
            None => {}
            Some(Simple::Text(text)) => {
                let digest = text.read(&mut self.unescaped)?.trim_ascii();
                if !digest.is_empty()
                    && let Err(problem) = self.values.push_text(kind, digest)
                {
                    self.spoil(problem);
                }
            }
            Some(Simple::Scalar(scalar)) => {
                let detail = format!("expected a string for {kind}, found `{}`", excerpt(scalar));
                self.spoil(Problem::new("wrong-type", detail));
            }
        }
        Ok(())
    }

    fn read_category(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let code = match self.simple("Category", cursor)? {
            None => return Ok(()),
            Some(Simple::Text(text)) => text.read(&mut self.unescaped)?.trim_ascii(),
            Some(Simple::Scalar(scalar)) => scalar,
        };
        self.category.clear();
        match text::code("category", code, &mut String::new()) {
            Ok(code) => self.category.push_str(code.unwrap_or("")),
            Err(problem) => self.spoil(problem),
        }
        Ok(())
    }

    fn flag(&mut self, flag: Flag, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let text = match self.simple(flag.name(), cursor)? {
            None => return Ok(()),
            Some(Simple::Text(text)) => text.read(&mut self.unescaped)?.trim_ascii(),
            Some(Simple::Scalar(scalar)) => scalar,
        };
        if [&b"true"[..], b"1", b"yes", b"y"].iter().any(|yes| yes.eq_ignore_ascii_case(text)) {
            self.flags = self.flags.with(flag, true);
        } else if ![&b"false"[..], b"0", b"no", b"n", b""].iter().any(|no| no.eq_ignore_ascii_case(text)) {
            let detail = format!("expected true or false for {}, found `{}`", flag.name(), excerpt(text));
            self.problem.get_or_insert(Problem::new("bad-flag", detail));
        }
        Ok(())
    }

    /// Takes an alternative hash. Its name may come after its value, so both are taken before either is looked at.
    fn alternative_hash(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        let mut name = None;
        let mut value = None;
        cursor.object(|cursor, key| {
            let (what, slot) = match key.read(&mut Vec::new())? {
                b"HashName" => ("HashName", &mut name),
                b"HashValue" => ("HashValue", &mut value),
                _ => return cursor.skip(),
            };
            match self.simple(what, cursor)? {
                Some(Simple::Text(text)) => *slot = Some(text),
                Some(Simple::Scalar(found)) => {
                    let detail = format!("expected a string for {what}, found `{}`", excerpt(found));
                    self.spoil(Problem::new("wrong-type", detail));
                }
                None => {}
            }
            Ok(())
        })?;
        let (Some(name), Some(value)) = (name, value) else { return Ok(()) };
        let value = value.read(&mut self.unescaped)?.trim_ascii();
        if value.is_empty() {
            return Ok(());
        }
        let mut unescaped = Vec::new();
        let name = name.read(&mut unescaped)?;
        match text::kind(name) {
            Some(kind) => {
                if let Err(problem) = self.values.push_text(kind, value) {
                    self.spoil(problem);
                }
            }
            None => self.foreign.push(excerpt(name)),
        }
        Ok(())
    }

    /// Takes an attribute, unless there is one already. What is no simple value is passed over: nothing is decided by it.
    fn attribute(&mut self, attribute: Attribute, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        match cursor.peek()? {
            b'"' if self.attributes.get(attribute).is_none() => {
                self.attributes.push(attribute, cursor.string()?.read(&mut self.unescaped)?);
            }
            b'"' | b'{' | b'[' => cursor.skip()?,
            _ => match cursor.scalar()? {
                b"null" => {}
                scalar => self.attributes.push(attribute, scalar),
            },
        }
        Ok(())
    }

    /// Takes an array of tags as one attribute, `a, b`.
    fn tags(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let mut tags = Vec::new();
        cursor.array(|cursor| {
            let Some(tag) = cursor.string_or_skip()? else { return Ok(()) };
            let tag = tag.read(&mut self.unescaped)?;
            if tags.len() < PackedAttributes::VALUE_BYTES_MAX && !tag.is_empty() {
                tags.extend_from_slice(if tags.is_empty() { b"" } else { b", " });
                tags.extend_from_slice(tag);
            }
            Ok(())
        })?;
        self.attributes.push(Attribute::Tags, &tags);
        Ok(())
    }

    /// Takes name and path of the first file.
    fn media_file(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match key.read(&mut Vec::new())? {
            b"FileName" => self.attribute(Attribute::Name, cursor),
            b"FilePath" => self.attribute(Attribute::Path, cursor),
            _ => cursor.skip(),
        })
    }
}

/// A value that is no object and no array.
enum Simple<'a> {
    Text(Text<'a>),
    Scalar(&'a [u8]),
}
