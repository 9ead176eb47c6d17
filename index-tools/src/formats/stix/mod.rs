//! STIX 2.1 bundles (and 2.0): what threat intelligence says of files.
//!
//! ```text
//! {"type": "bundle", "objects": [
//!   {"type": "file", "hashes": {"MD5": "…", "SHA-256": "…"}, "name": "a.exe"},
//!   {"type": "indicator", "pattern_type": "stix", "pattern": "[file:hashes.'SHA-256' = '…']"}, …]}
//! ```
//!
//! Each element of `objects` is a record. The hashes of `file` objects are read, in 2.0 those inside of `observed-data`
//! too, and the hashes that the patterns of indicators ask to be equal. Revoked objects say nothing any more. Hashes of
//! other objects, and those in extensions and references, are of other things.
//!
//! A pull of a TAXII server has `objects` and no `type`: it is read the same.

mod object;
mod pattern;

use std::io::BufRead;

use object::Object;

use super::error::{FormatError, Refused};
use super::json::{elements, first_byte, members, pull_record, pull_small};
use super::report::{Report, excerpt};
use super::window::Window;
use super::{Format, Parsed, Record};

pub(super) fn parse(input: &mut dyn BufRead, mut report: Report<'_>) -> Result<Parsed, FormatError> {
    let mut window = Window::new(input);
    if first_byte(&mut window)? != Some(b'{') {
        return Err(not_stix(format!("`{}`", excerpt(window.bytes()))).into());
    }
    let mut object = Object::default();
    let mut is_bundle = false;
    let mut number = 0;
    members(&mut window, |window, key| match key {
        b"objects" if first_byte(window)? == Some(b'[') => {
            is_bundle = true;
            elements(window, |window| {
                number += 1;
                read_object(window, number, &mut object, &mut report)
            })
        }
        b"type" => {
            is_bundle |= pull_small(window, |cursor| match cursor.string_or_skip()? {
                Some(text) => Ok(text.read(&mut Vec::new())? == b"bundle"),
                None => Ok(false),
            })?;
            Ok(())
        }
        _ => pull_small(window, |cursor| cursor.skip()),
    })?;
    if first_byte(&mut window)?.is_some() {
        return Err(not_stix(format!("behind it `{}`", excerpt(window.bytes()))).into());
    }
    if !is_bundle {
        return Err(not_stix("an object with neither").into());
    }
    report.finish()
}

fn not_stix(found: impl Into<String>) -> Refused {
    Refused::not_a_list(Format::Stix, "an object of type `bundle`, or with an array `objects`", found)
}

/// Takes one object and passes it on. Those without hashes are passed over in silence: most have none.
fn read_object(
    window: &mut Window<'_>,
    number: u64,
    object: &mut Object,
    report: &mut Report<'_>,
) -> Result<(), FormatError> {
    let read = pull_record(window, |cursor| object.read(cursor))?;
    if let Some(problem) = read.err().or_else(|| object.problem.take()) {
        return report.reject(number, None, problem);
    }
    object.foreign.iter().for_each(|name| report.unsupported(name));
    if object.values.is_empty() {
        return Ok(());
    }
    let attributes = &object.attributes;
    report.accept(&object.values, Record { attributes, ..Record::numbered(number, None) })
}
