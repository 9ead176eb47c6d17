//! Comma- or tab-separated values under a header row: any of `name`, `size`, `category`, `scheme`, `flags` and
//! the kinds' names in any order, or other headers that the user maps to these fields.

use std::io::BufRead;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, Flag, Flags, PackedAttributes};

use super::error::{FormatError, Refusal, Refused};
use super::report::{Problem, Report, excerpt};
use super::table::{Fields, Quotes, Rows};
use super::values::Values;
use super::{Parsed, Record, text};

/// Headers that are named in a message.
const SHOWN_HEADERS: usize = 20;

pub(super) fn parse(
    input: &mut dyn BufRead,
    delimiter: u8,
    mapped: &[(String, String)],
    mut report: Report<'_>,
) -> Result<Parsed, FormatError> {
    let mut rows = Rows::new(input, delimiter, Quotes::AcrossLines);
    let columns = match rows.next()? {
        Some(row) => {
            let fields = row.fields.map_err(|problem| no_header(problem.detail))?;
            Columns::resolve(&headers(&fields), mapped)?
        }
        None => return Err(no_header("an empty file").into()),
    };
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut unquoted = Vec::new();
    let mut code = Code::default();
    let mut scheme = Code::default();
    let mut flags = Flags::NONE;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let line = Some(row.line);
        let read = row.fields.and_then(|fields| {
            columns.read_values(&fields, &mut values, &mut unquoted)?;
            code.read("category", columns.category, &fields)?;
            scheme.read("scheme", columns.scheme, &fields)?;
            flags = columns.read_flags(&fields, &mut unquoted)?;
            fields.read_attributes(&columns.attributes, &mut attributes, &mut unquoted);
            Ok(())
        });
        match read {
            Ok(()) => {
                let (scheme, category, attributes) = (scheme.get(), code.get(), &attributes);
                let record = Record { scheme, category, flags, attributes, ..Record::numbered(number, line) };
                report.accept(&values, record)?;
            }
            Err(problem) => report.reject(number, line, problem)?,
        }
    }
    report.finish()
}

/// A category or scheme of the row at hand, kept in a buffer that is used again.
#[derive(Default)]
struct Code {
    code: String,
    unquoted: Vec<u8>,
    decoded: String,
}

impl Code {
    fn read(&mut self, what: &str, column: Option<usize>, fields: &Fields<'_>) -> Result<(), Problem> {
        self.code.clear();
        if let Some(column) = column {
            let bytes = fields.get(column, &mut self.unquoted).trim_ascii();
            self.code.push_str(text::code(what, bytes, &mut self.decoded)?.unwrap_or(""));
        }
        Ok(())
    }

    fn get(&self) -> Option<&str> {
        (!self.code.is_empty()).then_some(&self.code)
    }
}

/// Which column holds what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Columns {
    kinds: Vec<(Kind, usize)>,
    attributes: Vec<(Attribute, usize)>,
    category: Option<usize>,
    scheme: Option<usize>,
    flags: Option<usize>,
    count: usize,
}

/// What a column may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Kind(Kind),
    Attribute(Attribute),
    Category,
    Scheme,
    Flags,
}

impl Field {
    fn named(name: &str) -> Option<Field> {
        let name = name.to_ascii_lowercase();
        let attribute = Attribute::ALL.into_iter().find(|attribute| attribute.name() == name);
        Some(match (name.as_str(), attribute) {
            ("category", _) => Field::Category,
            ("scheme", _) => Field::Scheme,
            ("flags", _) => Field::Flags,
            (_, Some(attribute)) => Field::Attribute(attribute),
            (other, None) => Field::Kind(other.parse().ok()?),
        })
    }
}

impl Columns {
    fn resolve(headers: &[String], mapped: &[(String, String)]) -> Result<Columns, Refused> {
        let mut taken: Vec<(Field, usize)> = Vec::new();
        for (field, header) in mapped {
            let known = Field::named(field).ok_or_else(|| bad_mapping(format!("no field `{field}`")))?;
            if taken.iter().any(|(other, _)| *other == known) {
                return Err(bad_mapping(format!("`{field}` mapped twice")));
            }
            let mut places = headers.iter().enumerate().filter(|(_, name)| *name == header.trim());
            match (places.next(), places.next()) {
                (Some((place, _)), None) => taken.push((known, place)),
                (None, _) => return Err(bad_mapping(format!("no column `{header}` among {}", show(headers)))),
                (Some(_), Some(_)) => return Err(bad_mapping(format!("more than one column `{header}`"))),
            }
        }
        let user_mapped = taken.len();
        for (place, header) in headers.iter().enumerate() {
            let Some(field) = Field::named(header) else { continue };
            match taken.iter().position(|(other, _)| *other == field) {
                None => taken.push((field, place)),
                Some(by) if by < user_mapped => {}
                // Of what decides nothing, the first column will do.
                Some(_) if matches!(field, Field::Attribute(_)) => {}
                Some(_) => return Err(bad_mapping(format!("more than one column `{header}`"))),
            }
        }
        let place = |field| taken.iter().find(|(other, _)| *other == field).map(|(_, place)| *place);
        let kinds = Kind::ALL.into_iter().filter_map(|kind| Some((kind, place(Field::Kind(kind))?)));
        let attributes = Attribute::ALL.into_iter();
        let attributes = attributes.filter_map(|attribute| Some((attribute, place(Field::Attribute(attribute))?)));
        let columns = Columns {
            kinds: kinds.collect(),
            attributes: attributes.collect(),
            category: place(Field::Category),
            scheme: place(Field::Scheme),
            flags: place(Field::Flags),
            count: headers.len(),
        };
        if columns.kinds.is_empty() { Err(no_header(show(headers))) } else { Ok(columns) }
    }

    fn read_values(&self, fields: &Fields<'_>, values: &mut Values, unquoted: &mut Vec<u8>) -> Result<(), Problem> {
        values.clear();
        if (self.count..fields.len()).any(|surplus| !fields.get(surplus, unquoted).is_empty()) {
            let detail = format!("expected {} columns, found {}; quote delimiters", self.count, fields.len());
            return Err(Problem::new("wrong-columns", detail));
        }
        for (kind, place) in &self.kinds {
            let text = fields.get(*place, unquoted).trim_ascii();
            if !text.is_empty() {
                values.push_text(*kind, text)?;
            }
        }
        if values.is_empty() { Err(Problem::missing_hash("a value in one of the kinds' columns")) } else { Ok(()) }
    }

    /// Flags by their names, with blanks between them.
    fn read_flags(&self, fields: &Fields<'_>, unquoted: &mut Vec<u8>) -> Result<Flags, Problem> {
        let Some(place) = self.flags else { return Ok(Flags::NONE) };
        let names = fields.get(place, unquoted).split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
        names.into_iter().try_fold(Flags::NONE, |flags, name| {
            let flag = Flag::ALL.into_iter().find(|flag| name.eq_ignore_ascii_case(flag.name().as_bytes()));
            flag.map(|flag| flags.with(flag, true)).ok_or_else(|| {
                let known = Flag::ALL.map(Flag::name).join(", ");
                Problem::new("bad-flag", format!("expected flags among {known}, found `{}`", excerpt(name)))
            })
        })
    }
}

fn headers(fields: &Fields<'_>) -> Vec<String> {
    let (mut unquoted, mut decoded) = (Vec::new(), String::new());
    let header = |index| text::read(fields.get(index, &mut unquoted), &mut decoded).trim().to_owned();
    (0..fields.len()).map(header).collect()
}

fn show(headers: &[String]) -> String {
    let shown = headers.iter().take(SHOWN_HEADERS).map(|header| format!("`{}`", excerpt(header.as_bytes())));
    let more = if headers.len() > SHOWN_HEADERS { " …" } else { "" };
    shown.collect::<Vec<_>>().join(" ") + more
}

fn no_header(found: impl Into<String>) -> Refused {
    Refused::new(
        Refusal::Columns,
        format!("a header row that names at least one of {}", Kind::ALL.map(Kind::name).join(" ")),
        found,
        "check --format, or say which column holds what with --column md5=HEADER",
    )
}

fn bad_mapping(found: String) -> Refused {
    Refused::new(
        Refusal::Columns,
        "each field to be one column of the header row",
        found,
        "correct --column FIELD=HEADER; fields are the kinds' names, category, scheme, flags, name, size, series and \
         other attributes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(headers: &str, mapped: &[(&str, &str)]) -> Result<Columns, String> {
        let headers: Vec<_> = headers.split(',').map(str::to_owned).collect();
        let mapped: Vec<_> = mapped.iter().map(|(field, header)| ((*field).into(), (*header).into())).collect();
        Columns::resolve(&headers, &mapped).map_err(|refused| refused.found)
    }

    #[test]
    fn headers_are_found_by_name_or_by_mapping() {
        let columns = resolve("Name,SHA-1,md5,x", &[]).unwrap();
        assert_eq!(columns.kinds, [(Kind::Md5, 2), (Kind::Sha1, 1)]);
        assert_eq!((columns.attributes, columns.category, columns.count), (vec![(Attribute::Name, 0)], None, 4));
        let columns = resolve("md5,HASH,CLASS", &[("md5", "HASH"), ("Category", "CLASS")]).unwrap();
        assert_eq!((columns.kinds, columns.category), (vec![(Kind::Md5, 1)], Some(2)));
        let columns = resolve("md5,Size,Tags,tags,SERIE", &[("series", "SERIE")]).unwrap();
        assert_eq!(columns.attributes, [(Attribute::Size, 1), (Attribute::Series, 4), (Attribute::Tags, 2)]);
    }

    #[test]
    fn doubtful_headers_are_refused() {
        assert_eq!(resolve("a,b", &[]).unwrap_err(), "`a` `b`");
        assert_eq!(resolve("md5,md5", &[]).unwrap_err(), "more than one column `md5`");
        assert_eq!(resolve("H,H", &[("md5", "H")]).unwrap_err(), "more than one column `H`");
        assert_eq!(resolve("md5", &[("md6", "md5")]).unwrap_err(), "no field `md6`");
        assert_eq!(resolve("md5,a,b", &[("md5", "a"), ("md5", "b")]).unwrap_err(), "`md5` mapped twice");
        assert_eq!(resolve("md5", &[("sha1", "X")]).unwrap_err(), "no column `X` among `md5`");
    }
}
