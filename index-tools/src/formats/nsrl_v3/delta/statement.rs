//! The statements of a delta: changes of single rows, each named by its values.

use std::io::BufRead;

use super::super::super::error::{FormatError, Refused};
use super::super::super::report::excerpt;
use super::super::super::window::Window;
use super::sql::{Token, Tokens, unknown};

/// Columns that a statement may name; FILE has seven.
const MAX_COLUMNS: usize = 16;

/// A table that deltas change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// The rows of the set.
    File,
    /// Which release the set is.
    Version,
    /// Packages, makers and systems, of which nothing is kept.
    Other,
}

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(Vec<u8>),
    Integer(i64),
    Null,
}

/// Columns, in lower case, and their values.
pub(super) type Cells = Vec<(String, Value)>;

/// What a statement does to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert(Cells),
    Update { set: Cells, key: Cells },
    Delete(Cells),
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line where it starts.
    pub(super) line: u64,
    pub(super) table: Table,
    pub(super) change: Change,
}

/// Reads a delta statement by statement. They stand in one transaction, whose end shows that the file is whole.
pub(super) struct Statements<'i> {
    tokens: Tokens<'i>,
    /// The last token that was read.
    token: Token,
    line: u64,
}

impl<'i> Statements<'i> {
    /// Reads the start of the transaction.
    pub(super) fn new(input: &'i mut dyn BufRead) -> Result<Statements<'i>, FormatError> {
        let mut statements = Statements { tokens: Tokens::new(Window::new(input)), token: Token::End, line: 1 };
        statements.advance()?;
        statements.keyword("begin")?;
        statements.end_of_transaction_word()?;
        Ok(statements)
    }

    /// The next statement; `None` behind the transaction's end.
    pub(super) fn next(&mut self) -> Result<Option<Statement>, FormatError> {
        // The token at hand is the statement's first.
        let line = self.line;
        if self.token == Token::End {
            let found = "the end of the file";
            return Err(Refused::truncated("COMMIT at the end of the delta", found).into());
        }
        if self.is_keyword("commit") {
            self.advance()?;
            self.end_of_transaction_word()?;
            return if self.token == Token::End { Ok(None) } else { self.unknown("the end of the file behind COMMIT") };
        }
        let (table, change) = if self.is_keyword("insert") {
            self.advance()?;
            self.keyword("into")?;
            (self.table()?, Change::Insert(self.inserted()?))
        } else if self.is_keyword("update") {
            self.advance()?;
            let table = self.table()?;
            self.keyword("set")?;
            let set = self.equations(Token::Mark(b','))?;
            self.keyword("where")?;
            (table, Change::Update { set, key: self.equations(Token::Word)? })
        } else {
            self.keyword("delete")?;
            self.keyword("from")?;
            let table = self.table()?;
            self.keyword("where")?;
            (table, Change::Delete(self.equations(Token::Word)?))
        };
        self.mark(b';')?;
        Ok(Some(Statement { line, table, change }))
    }

    /// The line that has been reached.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    fn advance(&mut self) -> Result<(), FormatError> {
        self.token = self.tokens.next()?;
        self.line = self.tokens.line();
        Ok(())
    }

    fn is_keyword(&self, word: &str) -> bool {
        self.token == Token::Word && self.tokens.text() == word.as_bytes()
    }

    fn keyword(&mut self, word: &str) -> Result<(), FormatError> {
        if self.is_keyword(word) { self.advance() } else { self.unknown(&word.to_ascii_uppercase()) }
    }

    fn mark(&mut self, mark: u8) -> Result<(), FormatError> {
        let is_it = self.token == Token::Mark(mark);
        if is_it { self.advance() } else { self.unknown(&format!("`{}`", char::from(mark))) }
    }

    /// `TRANSACTION;` or `;`
    fn end_of_transaction_word(&mut self) -> Result<(), FormatError> {
        if self.is_keyword("transaction") {
            self.advance()?;
        }
        self.mark(b';')
    }

    fn table(&mut self) -> Result<Table, FormatError> {
        let table = match self.tokens.text() {
            _ if self.token != Token::Word => None,
            b"file" => Some(Table::File),
            b"version" => Some(Table::Version),
            b"pkg" | b"mfg" | b"os" => Some(Table::Other),
            _ => None,
        };
        match table {
            Some(table) => self.advance().map(|()| table),
            None => self.unknown("one of the tables FILE, PKG, MFG, OS and VERSION of a minimal set"),
        }
    }

    fn column(&mut self) -> Result<String, FormatError> {
        if self.token != Token::Word {
            return self.unknown("a column's name");
        }
        let name = String::from_utf8_lossy(self.tokens.text()).into_owned();
        self.advance()?;
        Ok(name)
    }

    fn value(&mut self) -> Result<Value, FormatError> {
        let value = match self.token {
            Token::Text => Value::Text(self.tokens.text().to_vec()),
            Token::Number(number) => Value::Integer(number),
            Token::Word if self.is_keyword("null") => Value::Null,
            _ => return self.unknown("a text in single quotes, an integer or NULL"),
        };
        self.advance()?;
        Ok(value)
    }

    /// `(column, …) VALUES(value, …)`
    fn inserted(&mut self) -> Result<Cells, FormatError> {
        self.mark(b'(')?;
        let mut cells = Vec::new();
        loop {
            let column = self.column()?;
            self.add(&mut cells, column, Value::Null)?;
            if self.token != Token::Mark(b',') {
                break;
            }
            self.advance()?;
        }
        self.mark(b')')?;
        self.keyword("values")?;
        for (index, (_, value)) in cells.iter_mut().enumerate() {
            self.mark(if index == 0 { b'(' } else { b',' })?;
            *value = self.value()?;
        }
        self.mark(b')')?;
        Ok(cells)
    }

    /// `column=value, …`, or with AND between them if `separator` is a word.
    fn equations(&mut self, separator: Token) -> Result<Cells, FormatError> {
        let mut cells = Vec::new();
        loop {
            let column = self.column()?;
            self.mark(b'=')?;
            let value = self.value()?;
            self.add(&mut cells, column, value)?;
            let goes_on = match separator {
                Token::Word => self.is_keyword("and"),
                mark => self.token == mark,
            };
            if !goes_on {
                return Ok(cells);
            }
            self.advance()?;
        }
    }

    fn add(&self, cells: &mut Cells, column: String, value: Value) -> Result<(), FormatError> {
        if cells.len() == MAX_COLUMNS || cells.iter().any(|(other, _)| *other == column) {
            return self.unknown(&format!("each column once, and at most {MAX_COLUMNS}"));
        }
        cells.push((column, value));
        Ok(())
    }

    fn unknown<T>(&self, expected: &str) -> Result<T, FormatError> {
        let found = match self.token {
            Token::Word => format!("`{}`", excerpt(self.tokens.text())),
            Token::Text => format!("the text `{}`", excerpt(self.tokens.text())),
            Token::Number(number) => number.to_string(),
            Token::Mark(mark) => format!("`{}`", char::from(mark)),
            Token::End => "the end of the file".to_owned(),
        };
        Err(unknown(self.line, expected, &found).into())
    }
}
