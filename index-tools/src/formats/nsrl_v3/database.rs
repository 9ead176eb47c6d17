//! A SQLite database that somebody else wrote: opened so that it is read and nothing in it is carried out.
//!
//! The file is opened read-only and as immutable, so SQLite neither locks nor repairs it. Views, triggers and schema
//! functions are switched off; an authorizer lets nothing through but reading plain tables by name; limits bound what
//! the schema may demand. Tables are walked in the order of their row numbers and in no other: no index is asked, nothing
//! is sorted, and a row that is out of order, as a damaged or twisted tree has it, refuses the file. So a walk ends.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Statement};

use super::super::error::{FormatError, Refusal, Refused};
use super::super::limits::{MAX_RECORD_BYTES, MAX_SCHEMA_STEPS};
use super::super::report::{Problem, excerpt};
use super::{is_database, wrong_magic};

/// Tables that are read; no statement may name another.
const TABLES: [&str; 4] = ["FILE", "METADATA", "PACKAGE_OBJECT", "VERSION"];

/// Where SQLite keeps what the database consists of.
const SCHEMA: &str = "sqlite_master";

/// What the database may not do, and what it must bear.
const CONFIG: [(DbConfig, bool); 7] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
];

/// Far above what the sets' schema needs: ten columns, and views of a few lines.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, MAX_RECORD_BYTES as i32),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
    (Limit::SQLITE_LIMIT_COLUMN, 200),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
    (Limit::SQLITE_LIMIT_VDBE_OP, 10_000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Instructions of SQLite's between two looks at how many there were.
const STEPS_A_LOOK: i32 = 1_000;

/// An open database.
pub(super) struct Database {
    connection: Connection,
    /// Plain tables; and what has the name of one and is none, with what it is.
    tables: Vec<String>,
    others: Vec<(String, String)>,
}

impl Database {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When it is none, is cut off or damaged, or has changes beside it that its writer has not taken in.
    pub(super) fn open(path: &Path) -> Result<Database, FormatError> {
        let path = path.canonicalize()?;
        check_header(&path)?;
        check_finished(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(&path), flags).map_err(refused)?;
        let mut database = Database { connection, tables: Vec::new(), others: Vec::new() };
        database.confine().map_err(refused)?;
        database.read_schema()?;
        Ok(database)
    }

    /// Switches off whatever could be carried out. Nothing has been read of the file yet.
    fn confine(&mut self) -> rusqlite::Result<()> {
        for (config, value) in CONFIG {
            self.connection.set_db_config(config, value)?;
        }
        for (limit, value) in LIMITS {
            self.connection.set_limit(limit, value)?;
        }
        self.connection.pragma_update(None, "cell_size_check", true)?;
        self.connection.pragma_update(None, "query_only", true)?;
        self.connection.authorizer(Some(authorize))
    }

    /// Finds the tables. A schema may lie in a tree that comes back to itself, so the steps are counted.
    fn read_schema(&mut self) -> Result<(), FormatError> {
        let mut looks_left = MAX_SCHEMA_STEPS / STEPS_A_LOOK;
        let is_enough = move || {
            looks_left -= 1;
            looks_left < 0
        };
        self.connection.progress_handler(STEPS_A_LOOK, Some(is_enough)).map_err(refused)?;
        let mut statement = self.connection.prepare("SELECT name, type, sql FROM sqlite_master").map_err(refused)?;
        let mut rows = statement.query([]).map_err(refused)?;
        while let Some(row) = rows.next().map_err(refused)? {
            let (name, sort): (String, String) = (row.get(0).map_err(refused)?, row.get(1).map_err(refused)?);
            if !TABLES.iter().any(|table| table.eq_ignore_ascii_case(&name)) {
                continue;
            }
            match (&*sort, row.get_ref(2).map_err(refused)?) {
                // SQLite writes just these words there. Others make a virtual table, whatever else the row says.
                ("table", ValueRef::Text(sql)) if sql.starts_with(b"CREATE TABLE ") => self.tables.push(name),
                ("table", _) => self.others.push((name, "virtual table".to_owned())),
                ("index" | "trigger", _) => {}
                _ => self.others.push((name, sort)),
            }
        }
        drop(rows);
        drop(statement);
        self.connection.progress_handler(0, None::<fn() -> bool>).map_err(refused)
    }

    /// Whether there is a plain table of this name.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table.eq_ignore_ascii_case(name))
    }

    /// Walks `table` in the order of its row numbers, and calls `on_row` with the row's place, from 1, and its `columns`.
    ///
    /// # Errors
    /// When it is no plain table with these columns, when the file is damaged, and those of `on_row`.
    pub(super) fn each(
        &self,
        table: &str,
        columns: &[&str],
        mut on_row: impl FnMut(u64, &Cells<'_>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut statement = self.prepare(table, columns)?;
        let mut rows = statement.query([]).map_err(refused)?;
        let mut number = 0;
        let mut last = None;
        while let Some(row) = rows.next().map_err(refused)? {
            let rowid: i64 = row.get(0).map_err(refused)?;
            if last.is_some_and(|last| last >= rowid) {
                let found = format!("row {rowid} behind row {}", last.unwrap_or_default());
                return Err(corrupt(format!("the rows of {table} in order"), found).into());
            }
            last = Some(rowid);
            number += 1;
            on_row(number, &Cells { row, columns })?;
        }
        Ok(())
    }

    /// The one statement that a table is read with.
    fn prepare(&self, table: &str, columns: &[&str]) -> Result<Statement<'_>, FormatError> {
        if !self.has_table(table) {
            return Err(self.no_table(table).into());
        }
        let mut statement = self.connection.prepare(&format!("PRAGMA table_xinfo({table})")).map_err(refused)?;
        let named = |row: &Row<'_>| Ok((row.get::<_, String>(1)?.to_ascii_lowercase(), row.get::<_, i64>(6)?));
        let present = statement.query_map([], named).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let present = present.map_err(refused)?;
        if let Some((name, _)) = present.iter().find(|(name, hidden)| *hidden != 0 || name == "rowid") {
            let found = format!("`{}`, which is computed or hides the row number", excerpt(name.as_bytes()));
            return Err(not_a_set(format!("plain columns in {table}"), found).into());
        }
        if let Some(missing) = columns.iter().find(|column| !present.iter().any(|(name, _)| name == *column)) {
            return Err(not_a_set(format!("a column `{missing}` in {table}"), "none").into());
        }
        // Without an order that asks for sorting, and without an index that would be walked instead of the table.
        let columns: String = columns.iter().map(|column| format!(", \"{column}\"")).collect();
        let sql = format!("SELECT rowid{columns} FROM {table} NOT INDEXED ORDER BY rowid");
        self.connection.prepare(&sql).map_err(refused)
    }

    fn no_table(&self, table: &str) -> Refused {
        let same_name = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(table) || name == "FILE";
        let found = match self.others.iter().find(same_name) {
            Some((name, sort)) => format!("no {table}, and {name} as a {sort}, which is never evaluated"),
            None => format!("no {table}"),
        };
        not_a_set("a table FILE, or the tables METADATA and PACKAGE_OBJECT", found)
    }
}

/// The cells of one row, in the order in which their columns were asked for.
pub(super) struct Cells<'a> {
    row: &'a Row<'a>,
    columns: &'a [&'a str],
}

impl<'a> Cells<'a> {
    /// A text; a null is an empty one.
    pub(super) fn text(&self, index: usize) -> Result<&'a [u8], Problem> {
        match self.value(index) {
            ValueRef::Text(text) => Ok(text),
            ValueRef::Null => Ok(b""),
            other => Err(self.wrong_type(index, "text", other.data_type())),
        }
    }

    /// An integer, or a null.
    pub(super) fn integer(&self, index: usize) -> Result<Option<i64>, Problem> {
        match self.value(index) {
            ValueRef::Integer(number) => Ok(Some(number)),
            ValueRef::Null => Ok(None),
            other => Err(self.wrong_type(index, "an integer", other.data_type())),
        }
    }

    fn value(&self, index: usize) -> ValueRef<'a> {
        // The row number comes first.
        self.row.get_ref(index + 1).expect("a column that was asked for")
    }

    fn wrong_type(&self, index: usize, expected: &str, found: Type) -> Problem {
        let column = self.columns[index];
        Problem::new(
            "wrong-type",
            format!("expected {expected} in {column}, found {}", found.to_string().to_lowercase()),
        )
    }
}

/// Lets statements read the tables, and nothing else.
fn authorize(context: AuthContext<'_>) -> Authorization {
    let may_read = |table: &str| table == SCHEMA || TABLES.iter().any(|name| name.eq_ignore_ascii_case(table));
    match context.action {
        // From inside of a view or a trigger comes nothing of ours.
        _ if context.accessor.is_some() => Authorization::Deny,
        AuthAction::Select => Authorization::Allow,
        AuthAction::Read { table_name, .. } if may_read(table_name) => Authorization::Allow,
        AuthAction::Pragma { pragma_name: "table_xinfo", .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Holds the length that the header states against the file's, since SQLite may take a cut file for a short one.
fn check_header(path: &Path) -> Result<(), FormatError> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut header = Vec::new();
    file.by_ref().take(100).read_to_end(&mut header)?;
    if !is_database(&header) {
        return Err(wrong_magic().into());
    }
    let number =
        |at: usize| header.get(at..at + 4).map(|four| u32::from_be_bytes(four.try_into().expect("four bytes")));
    let (Some(pages), Some(counter), Some(valid_for)) = (number(28), number(24), number(92)) else {
        return Err(Refused::truncated("a header of 100 bytes", format!("{bytes} bytes")).into());
    };
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        bytes => u64::from(bytes),
    };
    // Programs from before 2010 left the number of pages as it was.
    let expected = u64::from(pages) * page_bytes;
    if counter == valid_for && bytes < expected {
        return Err(Refused::truncated(format!("{pages} pages of {page_bytes} bytes"), format!("{bytes} bytes")).into());
    }
    Ok(())
}

/// Refuses a database beside which changes lie that are not in it, or not taken back.
fn check_finished(path: &Path) -> Result<(), FormatError> {
    for end in ["-wal", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(end);
        let beside = PathBuf::from(beside);
        if std::fs::metadata(&beside).is_ok_and(|metadata| metadata.len() > 0) {
            return Err(Refused::new(
                Refusal::Corrupt,
                "a database that its writer has closed",
                format!("changes beside it, in {}", beside.display()),
                "open it once with the sqlite3 program and close it again, or get the set again",
            )
            .into());
        }
    }
    Ok(())
}

/// The file's name as SQLite wants it, every byte but plain letters and the separators escaped.
fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1&mode=ro"
}

/// A damaged database.
pub(super) fn corrupt(expected: impl Into<String>, found: impl Into<String>) -> Refused {
    Refused::new(Refusal::Corrupt, expected, found, "get the file again and compare its checksum with the issuer's")
}

/// A sound database that is no set.
fn not_a_set(expected: impl Into<String>, found: impl Into<String>) -> Refused {
    let remedy = "check that this is a database of the NSRL RDS, version 3, as it was published";
    Refused::new(Refusal::NotAList, expected, found, remedy)
}

/// What SQLite's word means here.
fn refused(error: rusqlite::Error) -> FormatError {
    let found = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            FormatError::Io(std::io::Error::other(error))
        }
        Some(ErrorCode::OutOfMemory) => FormatError::Io(std::io::ErrorKind::OutOfMemory.into()),
        Some(ErrorCode::TooBig) => {
            let expected = format!("at most {MAX_RECORD_BYTES} bytes in a cell");
            Refused::new(Refusal::Limit, expected, "more", "get the set as it was published").into()
        }
        Some(ErrorCode::OperationInterrupted) => {
            let remedy = "get the set as it was published";
            Refused::new(Refusal::Limit, "a schema of a few tables", "one without end", remedy).into()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => corrupt("a sound SQLite database", found).into(),
        _ => not_a_set("plain tables of text and integers, with row numbers", found).into(),
    }
}
