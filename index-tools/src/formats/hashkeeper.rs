//! HashKeeper's exchange format: two files of comma-separated values, of which the second says what the first means.
//!
//! ```text
//! set.hsh   "file_id","hashset_id","file_name","directory","hash","file_size",…
//!           29000,7001,"S007000.HLP","C:\SAMPLES\A, B","069D25B943FBEF4085324E09C23AC98B",504,…
//! set.hke   "hashset_id","name",…,"notable_flag",…
//!           7001,"Z07001 Synthetic notable set",…,1,…
//! ```
//!
//! The hashes are MD5. A file's set tells good from notable, so the set's `notable_flag` is the record's category,
//! raw: `notable_flag:1`. Without the companion nothing is known of it, and records have none. A row never spans
//! lines, so a stray quote spoils one row only.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};

use super::error::{FormatError, Refusal, Refused};
use super::limits::{MAX_CATEGORY_BYTES, MAX_HASH_SETS};
use super::report::{Problem, Report, excerpt};
use super::table::{Fields, Quotes, Rows};
use super::values::Values;
use super::{Format, Limits, Parsed, Record, open, text};

/// The column that tells good from notable, and the scheme of the categories it gives.
const NOTABLE: &str = "notable_flag";

const HEADER: &str = "a header with \"file_id\", \"hashset_id\", \"file_name\" and \"hash\"";

/// What HashKeeper's `.hke` file says of hash sets: the raw `notable_flag` of each, by its `hashset_id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotableFlags(BTreeMap<Vec<u8>, String>);

impl NotableFlags {
    /// Whether nothing is known of any set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a `.hke` file.
    ///
    /// # Errors
    /// When it cannot be read as a whole: what a set means is not guessed.
    pub fn read(input: &mut dyn BufRead) -> Result<NotableFlags, FormatError> {
        let mut rows = Rows::new(input, b',', Quotes::AcrossLines);
        let header = match rows.next()? {
            Some(row) => row
                .fields
                .ok()
                .and_then(|fields| Some((place(&fields, "hashset_id")?, place(&fields, NOTABLE)?, fields.len()))),
            None => None,
        };
        let (id, flag, count) = header.ok_or_else(|| {
            let expected = "a .hke file with \"hashset_id\" and \"notable_flag\" in its header";
            bad_companion(Refusal::NotAList, expected, "another first line")
        })?;
        let mut sets = BTreeMap::new();
        let (mut unquoted, mut decoded) = (Vec::new(), String::new());
        while let Some(row) = rows.next()? {
            let line = row.line;
            let corrupt = |problem: Problem| {
                bad_companion(
                    Refusal::Corrupt,
                    "sound rows in the .hke file",
                    format!("{} in line {line}", problem.detail),
                )
            };
            let fields = row.fields.and_then(|fields| has_columns(fields, count)).map_err(corrupt)?;
            let set = set_id(fields.get(id, &mut unquoted)).map_err(corrupt)?.to_vec();
            let flag = text::code(NOTABLE, fields.get(flag, &mut unquoted).trim_ascii(), &mut decoded);
            let Some(flag) = flag.map_err(corrupt)? else { continue };
            if let Some(other) = sets.insert(set, flag.to_owned()).filter(|other| other != flag) {
                let found = format!(
                    "`{}` and `{}` for one of them, in line {line}",
                    excerpt(other.as_bytes()),
                    excerpt(flag.as_bytes())
                );
                return Err(bad_companion(Refusal::Corrupt, "one notable_flag for each hash set", found).into());
            }
            if sets.len() > MAX_HASH_SETS {
                let expected = format!("at most {MAX_HASH_SETS} hash sets");
                return Err(bad_companion(Refusal::Limit, &expected, "more").into());
            }
        }
        Ok(NotableFlags(sets))
    }

    /// Reads the `.hke` file beside the list at `list`; empty if there is none.
    pub(super) fn beside(list: &Path, limits: &Limits) -> Result<NotableFlags, FormatError> {
        for companion in companions(list) {
            match open(&companion, limits).and_then(|mut input| NotableFlags::read(&mut *input)) {
                Ok(notable) => return Ok(notable),
                Err(FormatError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
                // Otherwise it would read as if the list were to blame.
                Err(FormatError::Refused(refused)) => {
                    let found = format!("{}, in its companion {}", refused.found, companion.display());
                    return Err(Refused { found, ..refused }.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(NotableFlags::default())
    }
}

/// Where the companion of `list` may lie: beside `set.hsh` or `set.hsh.gz` it is `set.hke` or `set.hke.gz`.
fn companions(list: &Path) -> Vec<PathBuf> {
    const WRAPPINGS: [&str; 4] = ["", ".gz", ".zst", ".zip"];
    let Some(name) = list.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let ends_in = |end: &&str| name.len() > end.len() && name.as_bytes().ends_with(end.as_bytes());
    let wrapping = WRAPPINGS[1..].iter().find(|end| ends_in(end)).map_or(0, |end| end.len());
    let name = &name[..name.len() - wrapping];
    let Some((stem, _)) = name.rsplit_once('.').filter(|(_, end)| end.eq_ignore_ascii_case("hsh")) else {
        return Vec::new();
    };
    let names = ["hke", "HKE"].into_iter().flat_map(|end| WRAPPINGS.map(|wrapping| format!("{stem}.{end}{wrapping}")));
    names.map(|name| list.with_file_name(name)).collect()
}

fn bad_companion(why: Refusal, expected: &str, found: impl Into<String>) -> Refused {
    Refused::new(why, expected, found, "get the .hke file again, or take it away to import the list without categories")
}

pub(super) fn parse(
    input: &mut dyn BufRead,
    notable: &NotableFlags,
    mut report: Report<'_>,
) -> Result<Parsed, FormatError> {
    let mut rows = Rows::new(input, b',', Quotes::WithinLine);
    let columns = match rows.next()? {
        Some(row) => row.fields.ok().and_then(|fields| Columns::resolve(&fields)),
        None => None,
    };
    let columns = columns.ok_or_else(|| {
        let found = "another first line (the .hsh file holds the hashes, the .hke file only says what they mean)";
        Refused::not_a_list(Format::Hashkeeper, HEADER, found)
    })?;
    let (mut values, mut attributes) = (Values::default(), PackedAttributes::new());
    let mut unquoted = Vec::new();
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let line = Some(row.line);
        let read = row.fields.and_then(|fields| {
            let fields = has_columns(fields, columns.count)?;
            values.clear();
            match fields.get(columns.hash, &mut unquoted).trim_ascii() {
                b"" => return Err(Problem::missing_hash("an MD5 in `hash`")),
                hash => values.push_text(Kind::Md5, hash)?,
            }
            let set = set_id(fields.get(columns.set, &mut unquoted))?;
            let category = notable.0.get(set).map(String::as_str);
            fields.read_attributes(&columns.attributes, &mut attributes, &mut unquoted);
            Ok(category)
        });
        match read {
            Ok(category) => {
                let (scheme, attributes) = (category.map(|_| NOTABLE), &attributes);
                report.accept(&values, Record { scheme, category, attributes, ..Record::numbered(number, line) })?;
            }
            Err(problem) => report.reject(number, line, problem)?,
        }
    }
    report.finish()
}

/// Which column holds what.
struct Columns {
    set: usize,
    hash: usize,
    attributes: Vec<(Attribute, usize)>,
    count: usize,
}

impl Columns {
    fn resolve(fields: &Fields<'_>) -> Option<Columns> {
        place(fields, "file_id")?;
        let (set, name, hash) = (place(fields, "hashset_id")?, place(fields, "file_name")?, place(fields, "hash")?);
        let others = [(Attribute::Path, "directory"), (Attribute::Size, "file_size"), (Attribute::Comment, "comments")];
        let others = others.into_iter().filter_map(|(attribute, header)| Some((attribute, place(fields, header)?)));
        let attributes = [(Attribute::Name, name), (Attribute::HashSet, set)].into_iter().chain(others).collect();
        Some(Columns { set, hash, attributes, count: fields.len() })
    }
}

fn place(fields: &Fields<'_>, header: &str) -> Option<usize> {
    let mut unquoted = Vec::new();
    (0..fields.len())
        .find(|index| fields.get(*index, &mut unquoted).trim_ascii().eq_ignore_ascii_case(header.as_bytes()))
}

/// A row of other columns than the header's may hold its values anywhere.
fn has_columns(fields: Fields<'_>, count: usize) -> Result<Fields<'_>, Problem> {
    if fields.len() == count {
        return Ok(fields);
    }
    let detail = format!("expected {count} columns as in the header, found {}", fields.len());
    Err(Problem::new("wrong-columns", detail))
}

fn set_id(text: &[u8]) -> Result<&[u8], Problem> {
    let id = text.trim_ascii();
    if id.len() <= MAX_CATEGORY_BYTES {
        return Ok(id);
    }
    let detail = format!("expected a hashset_id of at most {MAX_CATEGORY_BYTES} bytes, found {}", id.len());
    Err(Problem::new("too-long", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_lie_beside_lists() {
        let names = |list: &str| companions(Path::new(list)).into_iter().map(|path| path.display().to_string());
        assert_eq!(names("a/set.hsh").next().as_deref(), Some("a/set.hke"));
        assert!(names("a/set.HSH").any(|name| name == "a/set.HKE"));
        assert!(names("set.v1.hsh.gz").any(|name| name == "set.v1.hke.gz"));
        assert!(names("set.v1.hsh.gz").any(|name| name == "set.v1.hke"));
        assert_eq!(names("a/set.txt").chain(names("hsh")).chain(names("é.gz")).chain(names("..")).count(), 0);
    }

    #[test]
    fn a_companion_is_read_whole_or_not_at_all() {
        let read = |text: &str| NotableFlags::read(&mut text.as_bytes());
        let header = "\"hashset_id\",\"name\",\"notable_flag\"\r\n";
        let flags = read(&format!("{header}1,\"a, b\",1\r\n2,\"two\r\nlines\",0\r\n3,,\r\n1,again,1")).unwrap();
        let expected = [(b"1".to_vec(), "1".to_owned()), (b"2".to_vec(), "0".to_owned())];
        assert_eq!(flags.0.into_iter().collect::<Vec<_>>(), expected);
        for (text, why) in [
            (String::new(), Refusal::NotAList),
            ("\"hashset_id\",\"name\"\r\n".to_owned(), Refusal::NotAList),
            (format!("{header}1,a,b,1\r\n"), Refusal::Corrupt),
            (format!("{header}1,a,1\r\n1,a,0\r\n"), Refusal::Corrupt),
            (format!("{header}1,\"a\"b,1\r\n"), Refusal::Corrupt),
            (format!("{header}1,\"a,1\r\n"), Refusal::Truncated),
            (format!("{header}1,a,{}\r\n", "x".repeat(MAX_CATEGORY_BYTES + 1)), Refusal::Corrupt),
        ] {
            assert_eq!(read(&text).unwrap_err().refusal(), Some(why), "{text}");
        }
        let many: String = (0..=MAX_HASH_SETS).map(|id| format!("{id},a,1\n")).collect();
        assert_eq!(read(&(header.to_owned() + &many)).unwrap_err().refusal(), Some(Refusal::Limit));
    }
}
