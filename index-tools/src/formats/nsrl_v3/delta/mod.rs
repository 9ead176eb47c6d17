//! A delta of the NSRL RDS: what takes a minimal set to its next release.
//!
//! The statements are taken in one after the other and come to a map of the rows that they touch, each with what the
//! base must have had there and what is there at the end. Then the base is walked once, with the map beside it. A row
//! that is missing there, or in the way, shows that it is not the set which the delta was made for: the delta is
//! applied as a whole to the base that it names, or not at all.

mod sql;
mod statement;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::BufRead;

use super::super::error::{FormatError, Refusal, Refused};
use super::super::limits::MAX_DELTA_BYTES;
use super::super::report::{Problem, excerpt};
use super::database::{self, Database};
use super::{Rows, hashes};
use statement::{Cells, Change, Statement, Statements, Table, Value};

/// FILE's columns: texts first, then integers. All of them together are its key.
const COLUMNS: [&str; 7] = ["sha256", "sha1", "md5", "crc32", "file_name", "file_size", "package_id"];
const TEXTS: usize = 5;
const NAME: usize = 4;

/// What a row in the map takes beside its own bytes.
const BYTES_A_ROW: usize = 64;

/// A delta, read whole.
pub(super) struct Delta {
    /// What stands in the base's VERSION.
    base: Cells,
    /// The rows of FILE that it touches, as [`key`] writes them.
    rows: HashMap<Box<[u8]>, Touched>,
}

/// A row that a delta touches.
#[derive(Clone, Copy, Debug)]
struct Touched {
    /// The base must have it; otherwise it must not.
    in_base: bool,
    /// It is there in the end.
    present: bool,
    /// The base had it.
    seen: bool,
    /// The line of the last statement that touched it.
    line: u64,
    /// The statement's number.
    order: u64,
}

impl Delta {
    /// Reads a delta.
    ///
    /// # Errors
    /// When it is cut off, holds anything but changes of single rows, names no base, contradicts itself, or is too large.
    pub(super) fn read(input: &mut dyn BufRead) -> Result<Delta, FormatError> {
        let mut statements = Statements::new(input)?;
        let mut delta = Delta { base: Vec::new(), rows: HashMap::new() };
        let (mut order, mut held_bytes) = (0, 0);
        while let Some(Statement { line, table, change }) = statements.next()? {
            order += 1;
            match table {
                Table::File => held_bytes += delta.change(change, line, order)?,
                Table::Version => delta.name_base(change, line)?,
                Table::Other => {}
            }
            if held_bytes > MAX_DELTA_BYTES {
                let expected = format!("changes that fit into {MAX_DELTA_BYTES} bytes of memory");
                return Err(Refused::new(Refusal::Limit, expected, "more", "import the whole new set").into());
            }
        }
        if delta.base.is_empty() {
            let expected = "an UPDATE of VERSION that names the release to be changed";
            return Err(sql::unknown(statements.line(), expected, "none").into());
        }
        Ok(delta)
    }

    /// The base in words.
    pub(super) fn base_name(&self) -> String {
        let words: Vec<_> = self.base.iter().map(|(column, value)| format!("{column} {}", shown(value))).collect();
        words.join(", ")
    }

    /// Takes in a change of VERSION, which names the base.
    fn name_base(&mut self, change: Change, line: u64) -> Result<(), Refused> {
        match change {
            Change::Update { key, .. } if self.base.is_empty() && key.iter().any(|(column, _)| column == "version") => {
                self.base = key;
                Ok(())
            }
            _ => Err(sql::unknown(line, "one UPDATE of VERSION, WHERE version is that of the base", "another change")),
        }
    }

    /// Takes in a change of FILE, and says how many bytes more are held.
    fn change(&mut self, change: Change, line: u64, order: u64) -> Result<usize, Refused> {
        match change {
            Change::Insert(row) => self.touch(key(&row, line)?, true, line, order),
            Change::Delete(row) => self.touch(key(&row, line)?, false, line, order),
            Change::Update { set, key: old } => {
                let mut new = old.clone();
                for (column, value) in set {
                    match new.iter_mut().find(|(other, _)| *other == column) {
                        Some((_, old)) => *old = value,
                        None => new.push((column, value)),
                    }
                }
                let more = self.touch(key(&old, line)?, false, line, order)?;
                Ok(more + self.touch(key(&new, line)?, true, line, order)?)
            }
        }
    }

    /// Makes a row present or absent, which it must not be already.
    fn touch(&mut self, row: Box<[u8]>, present: bool, line: u64, order: u64) -> Result<usize, Refused> {
        let bytes = row.len() + BYTES_A_ROW;
        match self.rows.entry(row) {
            Entry::Vacant(vacant) => {
                vacant.insert(Touched { in_base: !present, present, seen: false, line, order });
                Ok(bytes)
            }
            Entry::Occupied(mut occupied) if occupied.get().present != present => {
                let touched = occupied.get_mut();
                (touched.present, touched.line, touched.order) = (present, line, order);
                Ok(0)
            }
            Entry::Occupied(_) => {
                let found = if present { "one that is there already" } else { "one that is gone already" };
                Err(sql::unknown(line, "a row that the statements before have left so that it can be changed", found))
            }
        }
    }

    /// Passes on the rows of `base` as the delta leaves them, then those that it adds. A record's number is that of the
    /// base's row; rows that are added are numbered on, and have the line of their statement.
    pub(super) fn apply(mut self, base: &Database, rows: &mut Rows<'_>) -> Result<(), FormatError> {
        if !base.has_table("FILE") {
            let remedy = "name the minimal set with --base, or import the whole new set";
            let found = "a full set, or none";
            return Err(Refused::new(Refusal::WrongBase, "a minimal set as base", found, remedy).into());
        }
        self.check_base(base)?;
        let mut encoded = Vec::new();
        let mut last = 0;
        base.each("FILE", &COLUMNS, |number, cells| {
            last = number;
            let touched = match encode_cells(cells, &mut encoded) {
                Ok(()) => self.rows.get_mut(&encoded[..]),
                // Statements name rows by texts and integers, so none can mean this one.
                Err(problem) => return rows.report.reject(number, None, problem),
            };
            if let Some(touched) = touched {
                touched.seen = true;
                if !touched.in_base {
                    return Err(altered(touched.line, "has the row that it adds").into());
                }
                if !touched.present {
                    return Ok(());
                }
            }
            rows.pass(number, None, hashes(cells), cells.text(NAME))
        })?;
        let missing = self.rows.values().filter(|touched| touched.in_base && !touched.seen);
        if let Some(touched) = missing.min_by_key(|touched| touched.order) {
            return Err(altered(touched.line, "lacks the row that it changes").into());
        }
        let mut added: Vec<_> = self.rows.iter().filter(|(_, touched)| touched.present && !touched.in_base).collect();
        added.sort_unstable_by_key(|(_, touched)| touched.order);
        for (number, (row, touched)) in (last + 1..).zip(added) {
            let [sha256, sha1, md5, _, name] = decode(row);
            rows.pass(number, Some(touched.line), Ok([sha256, sha1, md5]), Ok(name))?;
        }
        Ok(())
    }

    /// Refuses a base of another release than the one that the delta names.
    fn check_base(&self, base: &Database) -> Result<(), FormatError> {
        let columns: Vec<&str> = self.base.iter().map(|(column, _)| &**column).collect();
        let mut found = Vec::new();
        base.each("VERSION", &columns, |_, cells| {
            let values = self.base.iter().enumerate().map(|(index, (column, wanted))| {
                let value = match wanted {
                    Value::Text(_) => cells.text(index).map(|text| Value::Text(text.to_vec())),
                    _ => cells.integer(index).map(|number| number.map_or(Value::Null, Value::Integer)),
                };
                Ok((column.clone(), value.map_err(|problem| database::corrupt("a sound VERSION", problem.detail))?))
            });
            found.push(values.collect::<Result<Cells, Refused>>()?);
            match found.len() {
                ..=1 => Ok(()),
                _ => Err(database::corrupt("one row in VERSION", "more").into()),
            }
        })?;
        let found = found.pop().unwrap_or_default();
        if found == self.base {
            return Ok(());
        }
        let found = Delta { base: found, rows: HashMap::new() }.base_name();
        let found = if found.is_empty() { "a base without a version".to_owned() } else { found };
        let remedy = "name the set that the delta was made for with --base, or import the whole new set";
        Err(Refused::new(Refusal::WrongBase, format!("a base of {}", self.base_name()), found, remedy).into())
    }
}

/// The base is not what it was when the delta was made.
fn altered(line: u64, how: &str) -> Refused {
    Refused::new(
        Refusal::WrongBase,
        "the very set that the delta was made for",
        format!("a base that {how} in line {line}"),
        "name the set as it was published with --base, or import the whole new set",
    )
}

/// The row that a statement names by all of its values, as [`encode_cells`] writes the base's.
fn key(cells: &Cells, line: u64) -> Result<Box<[u8]>, Refused> {
    let refuse = |found: String| {
        let expected = format!("each of FILE's columns {}, once and of its type", COLUMNS.join(", "));
        Err(sql::unknown(line, &expected, &found))
    };
    let mut row = Vec::new();
    for (index, column) in COLUMNS.into_iter().enumerate() {
        match cells.iter().find(|(other, _)| other == column).map(|(_, value)| value) {
            Some(Value::Text(text)) if index < TEXTS => push_text(&mut row, text),
            Some(Value::Integer(number)) if index >= TEXTS => row.extend_from_slice(&number.to_le_bytes()),
            Some(other) => return refuse(format!("{} in {column}", shown(other))),
            None => return refuse(format!("no {column}")),
        }
    }
    if cells.len() == COLUMNS.len() { Ok(row.into()) } else { refuse("another column".to_owned()) }
}

/// A row of the base.
fn encode_cells(cells: &database::Cells<'_>, row: &mut Vec<u8>) -> Result<(), Problem> {
    row.clear();
    for (index, column) in COLUMNS.into_iter().enumerate() {
        if index < TEXTS {
            push_text(row, cells.text(index)?);
        } else {
            let number = cells.integer(index)?;
            let number = number
                .ok_or_else(|| Problem::new("wrong-type", format!("expected an integer in {column}, found null")))?;
            row.extend_from_slice(&number.to_le_bytes());
        }
    }
    Ok(())
}

/// A text with its length in front. Neither cells nor words of statements are longer than 32 bits can say.
fn push_text(row: &mut Vec<u8>, text: &[u8]) {
    row.extend_from_slice(&(text.len() as u32).to_le_bytes());
    row.extend_from_slice(text);
}

/// The texts of a row that [`key`] wrote.
fn decode(mut row: &[u8]) -> [&[u8]; TEXTS] {
    let mut texts = [&[][..]; TEXTS];
    for text in &mut texts {
        let (length, rest) = row.split_first_chunk().expect("written by `push_text`");
        (*text, row) = rest.split_at(u32::from_le_bytes(*length) as usize);
    }
    texts
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("`{}`", excerpt(text)),
        Value::Integer(number) => number.to_string(),
        Value::Null => "NULL".to_owned(),
    }
}
