//! VICS JSON, the exchange format of Project VIC: versions 1.x and 2.0.
//!
//! ```text
//! {"@odata.context": "…/DataModels/2.0.xml/US/$metadata#Media",        or "odata.metadata"; the region is the scheme
//!  "value": [{"MediaID": 1, "Category": 1, "MD5": "…", "SHA1": "…", "IsDistributed": true,
//!             "AlternativeHashes": [{"HashName": "PhotoDNA", "HashValue": "…base64…"}], …}, …]}
//! ```
//!
//! With `#Media` each element of `value` is a medium; with `#Cases` each holds some in `Media`. A list may be one line
//! of gigabytes, so elements are read one by one. The context says whose categories these are, so it must be known
//! before the first record is passed on. Where it stands behind `value`, [`find_context`] looks for it first.
//!
//! Hashes in `Exifs` or `MediaFiles` are of other things, and not read.
//!
//! NIST's "CAID" lists are the same in version 1.2, with category 8 on files that are benign, whatever the name says. A
//! list of that version is called [`Format::Caid`] in options and reports, and read as any other.

mod medium;

use std::io::BufRead;

use medium::Medium;

use super::error::{FormatError, Refusal, Refused};
use super::json::{elements, ends, pull_record, pull_small, skip_large};
use super::limits::MAX_CATEGORY_BYTES;
use super::report::{Problem, Report, excerpt};
use super::window::Window;
use super::{Format, Parsed, Record};

/// What a VICS file's context says of all its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// The region whose categories are used; version 1.3 names none.
    scheme: Option<String>,
    /// The elements of `value` are cases that hold media.
    has_cases: bool,
}

/// How a parse ended.
pub(super) enum Outcome {
    /// The list is read.
    Parsed(Parsed),
    /// Nothing was passed on: the context stands behind the records, and `context` did not give it.
    ContextIsLate,
}

impl Outcome {
    /// What was parsed, where a late context is a reason to refuse the list.
    pub(super) fn parsed(self) -> Result<Parsed, FormatError> {
        match self {
            Outcome::Parsed(parsed) => Ok(parsed),
            Outcome::ContextIsLate => Err(Refused::new(
                Refusal::ContextIsLate,
                "the context before `value`",
                "`value` first, in a stream that cannot be read twice",
                "give the list as a file",
            )
            .into()),
        }
    }
}

/// Reads a list. `context` is what [`find_context`] found, if that was asked.
pub(super) fn parse(
    input: &mut dyn BufRead,
    context: Option<Context>,
    mut report: Report<'_>,
) -> Result<Outcome, FormatError> {
    let format = report.format();
    let mut window = Window::new(input);
    let mut context = context;
    let mut has_value = false;
    let mut medium = Medium::default();
    start(&mut window, format)?;
    let mut is_first = true;
    while let Some(member) = next_member(&mut window, format, std::mem::take(&mut is_first))? {
        match member {
            Member::Context(found) if context.as_ref().is_none_or(|known| *known == found) => context = Some(found),
            Member::Context(_) => return Err(not_vics(format, "two contexts that differ").into()),
            Member::Value if has_value => return Err(not_vics(format, "a second `value`").into()),
            Member::Value => {
                let Some(context) = &context else { return Ok(Outcome::ContextIsLate) };
                has_value = true;
                let mut number = 0;
                elements(&mut window, |window| {
                    number += 1;
                    if context.has_cases {
                        read_case(window, number, context, &mut medium, &mut report)
                    } else {
                        read_medium(window, number, context, &mut medium, &mut report)
                    }
                })?;
            }
            Member::Other => pull_small(&mut window, |cursor| cursor.skip())?,
        }
    }
    if context.is_none() {
        return Err(not_vics(format, "none").into());
    }
    if !has_value {
        return Err(not_vics(format, "a context and no `value`").into());
    }
    report.finish().map(Outcome::Parsed)
}

/// Looks for the context in a list where it comes after the records.
pub(super) fn find_context(input: &mut dyn BufRead, format: Format) -> Result<Context, FormatError> {
    let mut window = Window::new(input);
    start(&mut window, format)?;
    let mut is_first = true;
    while let Some(member) = next_member(&mut window, format, std::mem::take(&mut is_first))? {
        match member {
            Member::Context(context) => return Ok(context),
            Member::Value => skip_large(&mut window)?,
            Member::Other => pull_small(&mut window, |cursor| cursor.skip())?,
        }
    }
    Err(not_vics(format, "none").into())
}

fn not_vics(format: Format, found: &str) -> Refused {
    let expected = "an object with `@odata.context` or `odata.metadata` (that ends in #Media or #Cases) and `value`";
    Refused::not_a_list(format, expected, found)
}

/// A member of the outermost object.
enum Member {
    Context(Context),
    /// `value`, whose array comes next.
    Value,
    /// Any other, whose value comes next.
    Other,
}

/// Takes the brace that opens the outermost object.
fn start(window: &mut Window<'_>, format: Format) -> Result<(), FormatError> {
    let is_object = pull_small(window, |cursor| Ok(!cursor.is_at_end()? && cursor.take(b'{')?))?;
    if is_object { Ok(()) } else { Err(not_vics(format, &format!("`{}`", excerpt(window.bytes()))).into()) }
}

/// Takes the key of the next member, and a context's value; `None` at the end of the object, which must be the end of
/// the file.
fn next_member(window: &mut Window<'_>, format: Format, is_first: bool) -> Result<Option<Member>, FormatError> {
    /// What a member's key and value say.
    enum Found {
        Context(Result<Context, String>),
        Value,
        Other,
    }
    let found = pull_small(window, |cursor| {
        if cursor.take(b'}')? {
            return Ok(None);
        }
        if !is_first {
            cursor.expect(b',', "a comma or } after a member")?;
        }
        Ok(Some(match cursor.key()?.read(&mut Vec::new())? {
            b"@odata.context" | b"odata.metadata" => {
                Found::Context(read_context(cursor.string()?.read(&mut Vec::new())?))
            }
            b"value" => Found::Value,
            _ => Found::Other,
        }))
    })?;
    match found {
        Some(Found::Context(context)) => Ok(Some(Member::Context(context.map_err(|found| not_vics(format, &found))?))),
        Some(Found::Value) => Ok(Some(Member::Value)),
        Some(Found::Other) => Ok(Some(Member::Other)),
        None if pull_small(window, |cursor| cursor.is_at_end())? => Ok(None),
        None => Err(not_vics(format, &format!("behind it `{}`", excerpt(window.bytes()))).into()),
    }
}

/// Reads a context: `http://…/DataModels/2.0.xml/US/$metadata#Media`, in 1.x mostly `…/1.3.xml#Media`.
fn read_context(bytes: &[u8]) -> Result<Context, String> {
    let found = || format!("the context `{}`", excerpt(bytes));
    let text = std::str::from_utf8(bytes).map_err(|_| found())?;
    let (path, fragment) = text.rsplit_once('#').ok_or_else(found)?;
    let has_cases = match fragment {
        "Media" => false,
        "Cases" => true,
        _ => return Err(found()),
    };
    let after_version = path.split_once(".xml").map_or("", |(_, rest)| rest);
    let region = after_version.trim_start_matches('/').trim_end_matches("$metadata").trim_end_matches('/');
    // A scheme is written before a colon, and kept in memory.
    if region.contains(':') || region.len() > MAX_CATEGORY_BYTES {
        return Err(found());
    }
    Ok(Context { scheme: (!region.is_empty()).then(|| region.to_owned()), has_cases })
}

/// Takes one element of `value` in a file of cases. What is not in `Media` is passed over.
fn read_case(
    window: &mut Window<'_>,
    number: u64,
    context: &Context,
    medium: &mut Medium,
    report: &mut Report<'_>,
) -> Result<(), FormatError> {
    let is_object = pull_small(window, |cursor| cursor.take(b'{'))?;
    if !is_object {
        pull_small(window, |cursor| cursor.skip())?;
        return report.reject(number, None, Problem::new("wrong-type", "expected an object, found another value"));
    }
    if pull_small(window, |cursor| cursor.take(b'}'))? {
        return Ok(());
    }
    loop {
        let is_media = pull_small(window, |cursor| {
            let key = cursor.key()?;
            // `null` stands for no media.
            Ok(key.read(&mut Vec::new())? == b"Media" && cursor.peek()? == b'[')
        })?;
        if is_media {
            elements(window, |window| read_medium(window, number, context, medium, report))?;
        } else {
            pull_small(window, |cursor| cursor.skip())?;
        }
        if ends(window, b'}', "a comma or } after a member")? {
            return Ok(());
        }
    }
}

/// Takes one medium and passes it on.
fn read_medium(
    window: &mut Window<'_>,
    number: u64,
    context: &Context,
    medium: &mut Medium,
    report: &mut Report<'_>,
) -> Result<(), FormatError> {
    let read = pull_record(window, |cursor| medium.read(cursor))?;
    if let Some(problem) = read.err().or_else(|| medium.problem.take()) {
        return report.reject(number, None, problem);
    }
    medium.foreign.iter().for_each(|name| report.unsupported(name));
    if medium.values.is_empty() {
        if medium.foreign.is_empty() {
            return report.reject(number, None, Problem::missing_hash("an MD5, SHA1 or alternative hash"));
        }
        return Ok(());
    }
    let category = (!medium.category.is_empty()).then_some(&*medium.category);
    let record = Record {
        scheme: category.and(context.scheme.as_deref()),
        category,
        flags: medium.flags,
        attributes: &medium.attributes,
        ..Record::numbered(number, None)
    };
    report.accept(&medium.values, record)
}
