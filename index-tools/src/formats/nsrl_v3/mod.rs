//! NIST's NSRL Reference Data Set, version 3: SQLite databases, and the SQL text that takes one to its next release.
//!
//! ```text
//! minimal sets  FILE(sha256, sha1, md5, crc32, file_name, file_size, package_id)
//! full sets     METADATA(object_id, file_name, extension, sha256, sha1, md5, …), PACKAGE_OBJECT(object_id, package_id)
//!               and FILE as a view that joins the two
//! deltas        BEGIN TRANSACTION; INSERT, UPDATE and DELETE statements for a minimal set; COMMIT;
//! ```
//!
//! There is a row per file and package, so most fingerprints repeat. A set of 10⁸ rows is read in one pass, in the
//! order in which it lies on disk. [`database`] opens the file so that nothing which its author put in it is carried
//! out: of a full set the tables are read and joined here, and the view never is. A [`delta`] is parsed, never executed,
//! and only joined to the very set that it was made for.
//!
//! SQLite reads files, not streams: a set that is compressed, or comes as a stream, is unfolded to a temporary file.

mod database;
mod delta;

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, PackedAttributes};
use tempfile::{NamedTempFile, TempPath};

use super::error::{FormatError, Refusal, Refused};
use super::limits::MAX_PACKAGE_OBJECTS;
use super::report::{Problem, Report};
use super::values::Values;
use super::{Limits, ParseOptions, Parsed, Record, open};
use database::{Cells, Database};
use delta::Delta;

/// What a SQLite database starts with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The hashes of a row, in the order of its columns.
const HASHES: [(Kind, &str); 3] = [(Kind::Sha256, "sha256"), (Kind::Sha1, "sha1"), (Kind::Md5, "md5")];

/// Whether a file that starts with `head` is a SQLite database.
pub(super) fn is_database(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Whether `head` is the start of a delta: its transaction, and a statement for one of the tables.
pub(super) fn is_delta(head: &[u8]) -> bool {
    const FIRST: [&[u8]; 4] = [b"INSERT INTO ", b"UPDATE VERSION ", b"UPDATE FILE ", b"DELETE FROM "];
    let has_statement = || FIRST.iter().any(|start| memchr::memmem::find(head, start).is_some());
    head.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"BEGIN")) && has_statement()
}

/// Whether the file at `path` is a database as it lies there, rather than one in a wrapping.
pub(super) fn is_plain(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(is_database(&head))
}

/// Reads a set that comes as a stream.
pub(super) fn parse(
    input: &mut dyn BufRead,
    options: &ParseOptions,
    report: Report<'_>,
) -> Result<Parsed, FormatError> {
    parse_file(&unfold(input, options.scratch.as_deref())?, report)
}

/// Reads the set at `path`, which is a plain database.
pub(super) fn parse_file(path: &Path, report: Report<'_>) -> Result<Parsed, FormatError> {
    let database = Database::open(path)?;
    let mut rows = Rows { report, values: Values::default(), attributes: PackedAttributes::new() };
    if database.has_table("FILE") {
        let columns = ["sha256", "sha1", "md5", "file_name"];
        database.each("FILE", &columns, |number, cells| {
            let name = cells.text(3);
            rows.pass(number, None, hashes(cells), name)
        })?;
    } else {
        full(&database, &mut rows)?;
    }
    rows.report.finish()
}

/// Applies a delta to its base, `options.base`, and reads the set that results.
pub(super) fn parse_delta(
    input: &mut dyn BufRead,
    options: &ParseOptions,
    report: Report<'_>,
) -> Result<Parsed, FormatError> {
    let delta = Delta::read(input)?;
    let base = options.base.as_deref().ok_or_else(|| {
        let expected = format!("the set that it changes, {} of the NSRL RDS", delta.base_name());
        Refused::new(Refusal::BaseMissing, expected, "a delta alone", "name the set's file with --base")
    })?;
    let mut rows = Rows { report, values: Values::default(), attributes: PackedAttributes::new() };
    if is_plain(base)? {
        delta.apply(&Database::open(base)?, &mut rows)?;
    } else {
        let unfolded = unfold(&mut *open(base, &Limits::default())?, options.scratch.as_deref())?;
        delta.apply(&Database::open(&unfolded)?, &mut rows)?;
    }
    rows.report.finish()
}

/// Writes a set that comes as a stream to a temporary file in `folder`, or in the system's own.
fn unfold(input: &mut dyn BufRead, folder: Option<&Path>) -> Result<TempPath, FormatError> {
    if !is_database(input.fill_buf()?) {
        return Err(wrong_magic().into());
    }
    let made = folder.map_or_else(NamedTempFile::new, NamedTempFile::new_in);
    let mut file = made.map_err(no_room)?;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(file.into_temp_path());
        }
        file.write_all(bytes).map_err(no_room)?;
        let count = bytes.len();
        input.consume(count);
    }
}

fn no_room(error: io::Error) -> FormatError {
    let text = format!("it is unfolded to a temporary file, and that cannot be written: {error}");
    FormatError::Io(io::Error::new(error.kind(), text))
}

fn wrong_magic() -> Refused {
    Refused::new(
        Refusal::WrongMagic,
        "`SQLite format 3` at the start",
        "something else",
        "check that this is the right file and that --format nsrl-v3 is what it is",
    )
}

/// Reads a full set: each row of METADATA whose object belongs to a package, as its view FILE has it.
fn full(database: &Database, rows: &mut Rows<'_>) -> Result<(), FormatError> {
    let packaged = packaged_objects(database)?;
    let columns = ["sha256", "sha1", "md5", "file_name", "extension", "object_id"];
    let mut whole_name = Vec::new();
    database.each("METADATA", &columns, |number, cells| {
        let object = match cells.integer(5) {
            Ok(object) => object,
            Err(problem) => return rows.report.reject(number, None, problem),
        };
        let in_package = object.is_some_and(|object| packaged.binary_search(&object).is_ok());
        if !in_package {
            return Ok(());
        }
        let name = name_of(cells, &mut whole_name);
        rows.pass(number, None, hashes(cells), name)
    })
}

/// A file's name with its extension, which full sets keep apart.
fn name_of<'a>(cells: &Cells<'a>, whole: &'a mut Vec<u8>) -> Result<&'a [u8], Problem> {
    let (stem, extension) = (cells.text(3)?, cells.text(4)?);
    if extension.is_empty() {
        return Ok(stem);
    }
    whole.clear();
    whole.extend_from_slice(stem);
    whole.push(b'.');
    whole.extend_from_slice(extension);
    Ok(whole)
}

/// The objects that belong to a package, in order. Each belongs to one: so the schema has it, and so the rows of FILE
/// are no more than those of METADATA.
fn packaged_objects(database: &Database) -> Result<Vec<i64>, FormatError> {
    let mut objects = Vec::new();
    database.each("PACKAGE_OBJECT", &["object_id"], |number, cells| {
        let Ok(Some(object)) = cells.integer(0) else {
            let found = format!("another value in row {number}");
            return Err(database::corrupt("an integer in PACKAGE_OBJECT's object_id", found).into());
        };
        if objects.len() == MAX_PACKAGE_OBJECTS {
            let expected = format!("at most {MAX_PACKAGE_OBJECTS} rows in PACKAGE_OBJECT");
            return Err(Refused::new(Refusal::Limit, expected, "more", "import the minimal set instead").into());
        }
        objects.push(object);
        Ok(())
    })?;
    objects.sort_unstable();
    match objects.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(objects),
        Some(pair) => {
            let found = format!("object {} twice", pair[0]);
            Err(database::corrupt("each object once in PACKAGE_OBJECT", found).into())
        }
    }
}

/// The hashes of a row whose first columns are [`HASHES`].
fn hashes<'a>(cells: &Cells<'a>) -> Result<[&'a [u8]; 3], Problem> {
    Ok([cells.text(0)?, cells.text(1)?, cells.text(2)?])
}

/// Takes the rows of a set.
struct Rows<'s> {
    report: Report<'s>,
    values: Values,
    attributes: PackedAttributes,
}

impl Rows<'_> {
    /// Passes one row on as a record, or as a rejected one.
    fn pass(
        &mut self,
        number: u64,
        line: Option<u64>,
        hashes: Result<[&[u8]; 3], Problem>,
        name: Result<&[u8], Problem>,
    ) -> Result<(), FormatError> {
        self.values.clear();
        match hashes.and_then(|hashes| self.read(hashes)).and(name) {
            Ok(name) => {
                let attributes = self.attributes.set(&[(Attribute::Name, name)]);
                self.report.accept(&self.values, Record { attributes, ..Record::numbered(number, line) })
            }
            Err(problem) => self.report.reject(number, line, problem),
        }
    }

    fn read(&mut self, hashes: [&[u8]; 3]) -> Result<(), Problem> {
        for ((kind, _), text) in HASHES.into_iter().zip(hashes) {
            if !text.is_empty() {
                self.values.push_text(kind, text)?;
            }
        }
        if self.values.is_empty() { Err(Problem::missing_hash("a SHA-256, SHA-1 or MD5")) } else { Ok(()) }
    }
}
