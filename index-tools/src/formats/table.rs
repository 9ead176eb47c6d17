//! Rows of delimiter-separated values with RFC 4180 quotes, scanned in place.
//!
//! The `csv` crate is not used here since it holds fields of any size, and lists are hostile.

use std::io::BufRead;

use hashward::list::{Attribute, PackedAttributes};

use super::error::{FormatError, Refusal, Refused};
use super::limits::MAX_RECORD_BYTES;
use super::report::Problem;
use super::window::Window;

/// The rows of a table.
pub(super) struct Rows<'i> {
    window: Window<'i>,
    delimiter: u8,
    quotes: Quotes,
    fields: Vec<Field>,
    /// The physical line where the next row starts.
    line: u64,
    /// Bytes of the row handed out last.
    consumed: usize,
}

/// Whether a quoted field may go on in the next line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// It may. A quote that nobody closes makes the rest of the file unreadable.
    AcrossLines,
    /// Every line is a row, and one with an open quote is bad.
    WithinLine,
}

/// Where a field stands in its row, outer quotes excluded.
struct Field {
    start: usize,
    end: usize,
    doubled: bool,
}

/// One row that is not blank.
pub(super) struct Row<'a> {
    /// The physical line where it starts, from 1.
    pub(super) line: u64,
    /// Its fields, or why they cannot be told apart.
    pub(super) fields: Result<Fields<'a>, Problem>,
}

/// The fields of a row.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
}

impl<'a> Fields<'a> {
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Reads the attributes in these columns, in the place of all others. Blanks count in names only.
    pub(super) fn read_attributes(
        &self,
        columns: &[(Attribute, usize)],
        attributes: &mut PackedAttributes,
        unquoted: &mut Vec<u8>,
    ) {
        attributes.clear();
        for (attribute, column) in columns {
            let value = self.get(*column, unquoted);
            attributes.push(*attribute, if *attribute == Attribute::Name { value } else { value.trim_ascii() });
        }
    }

    /// The field at `index`, quotes undone, with the help of `unquoted`; empty if the row is too short.
    pub(super) fn get<'b>(&self, index: usize, unquoted: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        let Some(field) = self.fields.get(index) else { return b"" };
        let text = &self.bytes[field.start..field.end];
        if !field.doubled {
            return text;
        }
        unquoted.clear();
        let mut after_quote = false;
        for byte in text {
            after_quote = *byte == b'"' && !after_quote;
            if !after_quote {
                unquoted.push(*byte);
            }
        }
        unquoted
    }
}

/// What a scan of the window found.
enum Scan {
    /// A row of so many bytes, over so many physical lines; not `sound` if text follows a closing quote.
    Row { bytes: usize, lines: u64, sound: bool },
    /// The row goes on beyond the window.
    Incomplete { in_quotes: bool },
    /// A quote is open where the line (or the file) ends.
    OpenQuote,
}

impl<'i> Rows<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead, delimiter: u8, quotes: Quotes) -> Rows<'i> {
        Rows { window: Window::new(input), delimiter, quotes, fields: Vec::new(), line: 1, consumed: 0 }
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, FormatError> {
        self.window.consume(std::mem::take(&mut self.consumed));
        loop {
            if self.window.bytes().is_empty() && !self.window.more()? {
                return Ok(None);
            }
            let line = self.line;
            match self.scan() {
                Scan::Row { bytes, lines, sound } => {
                    self.line += lines;
                    if self.is_blank() {
                        self.window.consume(bytes);
                        continue;
                    }
                    self.consumed = bytes;
                    let fields = if bytes > MAX_RECORD_BYTES {
                        Err(Problem::too_long())
                    } else if !sound {
                        let detail = format!(
                            "expected a delimiter after a closing quote, found text; lines {line} to {}",
                            self.line - 1
                        );
                        Err(Problem::new("bad-quotes", detail))
                    } else {
                        Ok(Fields { bytes: &self.window.bytes()[..bytes], fields: &self.fields })
                    };
                    return Ok(Some(Row { line, fields }));
                }
                Scan::Incomplete { in_quotes } if self.window.bytes().len() > MAX_RECORD_BYTES => {
                    if in_quotes && self.quotes == Quotes::AcrossLines {
                        return Err(Refused::new(
                            Refusal::Limit,
                            format!("a record of at most {MAX_RECORD_BYTES} bytes"),
                            format!("in line {line} a quoted field that does not end within that"),
                            "close or remove the quote",
                        )
                        .into());
                    }
                    self.skip_line()?;
                    return Ok(Some(Row { line, fields: Err(Problem::too_long()) }));
                }
                Scan::Incomplete { .. } => {
                    self.window.more()?;
                }
                Scan::OpenQuote if self.quotes == Quotes::AcrossLines => {
                    let expected = format!("a closing quote for the field that starts in line {line}");
                    return Err(Refused::truncated(expected, "the end of the file").into());
                }
                Scan::OpenQuote => {
                    self.skip_line()?;
                    let problem = Problem::new("bad-quotes", "expected a closing quote, found the end of the line");
                    return Ok(Some(Row { line, fields: Err(problem) }));
                }
            }
        }
    }

    /// A line with nothing on it. One with an empty pair of quotes is a row of one empty field.
    fn is_blank(&self) -> bool {
        matches!(&self.fields[..], [Field { start: 0, end: 0, .. }])
    }

    /// Finds the fields of the row at the window's start.
    fn scan(&mut self) -> Scan {
        let bytes = self.window.bytes();
        let at_end = self.window.at_end();
        self.fields.clear();
        let mut at = 0;
        let mut lines = 1;
        let mut sound = true;
        loop {
            let start = at;
            if bytes.get(at) == Some(&b'"') {
                let closed = match close(bytes, at + 1, at_end, self.quotes) {
                    Ok(closed) => closed,
                    Err(scan) => return scan,
                };
                self.fields.push(Field { start: start + 1, end: closed.at, doubled: closed.doubled });
                if self.quotes == Quotes::AcrossLines {
                    lines += line_ends(&bytes[start..closed.at]);
                }
                at = closed.at + 1;
                sound &= bytes.get(at).is_none_or(|byte| *byte == self.delimiter || matches!(byte, b'\n' | b'\r'));
            }
            let end = match memchr::memchr3(self.delimiter, b'\n', b'\r', &bytes[at..]) {
                Some(found) => at + found,
                None if at_end => bytes.len(),
                None => return Scan::Incomplete { in_quotes: false },
            };
            if at == start {
                self.fields.push(Field { start, end, doubled: false });
            }
            let row = match (bytes.get(end), bytes.get(end + 1)) {
                (Some(byte), _) if *byte == self.delimiter => {
                    at = end + 1;
                    continue;
                }
                (Some(b'\r'), Some(b'\n')) => end + 2,
                (Some(b'\r'), None) if !at_end => return Scan::Incomplete { in_quotes: false },
                (Some(_), _) => end + 1,
                (None, _) => end,
            };
            return Scan::Row { bytes: row, lines, sound };
        }
    }

    /// Drops the rest of the physical line, in bounded memory.
    fn skip_line(&mut self) -> Result<(), FormatError> {
        self.line += 1;
        loop {
            let bytes = self.window.bytes();
            if let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
                let ends_in_cr = bytes[at] == b'\r';
                self.window.consume(at + 1);
                if ends_in_cr {
                    if self.window.bytes().is_empty() {
                        self.window.more()?;
                    }
                    if self.window.bytes().first() == Some(&b'\n') {
                        self.window.consume(1);
                    }
                }
                return Ok(());
            }
            self.window.clear();
            if !self.window.more()? {
                return Ok(());
            }
        }
    }
}

/// Where a quoted field ends.
struct Closed {
    /// The place of the closing quote.
    at: usize,
    /// The field holds doubled quotes.
    doubled: bool,
}

/// Finds the closing quote of the field whose text starts at `at`.
fn close(bytes: &[u8], mut at: usize, at_end: bool, quotes: Quotes) -> Result<Closed, Scan> {
    let mut doubled = false;
    loop {
        let found = match quotes {
            Quotes::AcrossLines => memchr::memchr(b'"', &bytes[at..]),
            Quotes::WithinLine => memchr::memchr3(b'"', b'\n', b'\r', &bytes[at..]),
        };
        let quote = match found.map(|found| at + found) {
            Some(quote) if bytes[quote] == b'"' => quote,
            Some(_) => return Err(Scan::OpenQuote),
            None if at_end => return Err(Scan::OpenQuote),
            None => return Err(Scan::Incomplete { in_quotes: true }),
        };
        match bytes.get(quote + 1) {
            Some(b'"') => doubled = true,
            None if !at_end => return Err(Scan::Incomplete { in_quotes: true }),
            _ => return Ok(Closed { at: quote, doubled }),
        }
        at = quote + 2;
    }
}

/// Line ends in a quoted field: LF, CRLF or a lone CR.
fn line_ends(text: &[u8]) -> u64 {
    let mut ends = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', text) {
        if text[at] == b'\r' || at == 0 || text[at - 1] != b'\r' {
            ends += 1;
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row's line, and its fields or the reason why there are none.
    type Read = (u64, Result<Vec<Vec<u8>>, &'static str>);

    fn rows(text: &[u8], quotes: Quotes) -> Vec<Read> {
        let mut input = text;
        let mut rows = Rows::new(&mut input, b',', quotes);
        let mut all = Vec::new();
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let fields = row.fields.map_err(|problem| problem.reason).map(|fields| {
                        (0..fields.len()).map(|index| fields.get(index, &mut Vec::new()).to_vec()).collect()
                    });
                    all.push((row.line, fields));
                }
                Ok(None) => return all,
                Err(error) => {
                    let refusal = error.refusal().expect("memory does not fail");
                    all.push((0, Err(refusal.name())));
                    return all;
                }
            }
        }
    }

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    #[test]
    fn an_open_quote_spoils_its_line_or_the_file() {
        let text = b"a,b\n\"c,d\r\n\"e\"f,g\nh";
        let within = rows(text, Quotes::WithinLine);
        assert_eq!(within.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!((&within[1].1, &within[2].1), (&Err("bad-quotes"), &Err("bad-quotes")));
        assert_eq!(rows(b"a,b\n\"c,d\n", Quotes::AcrossLines)[1], (0, Err("truncated")));
    }

    #[test]
    fn a_row_beyond_the_limit_is_skipped_or_refused() {
        let long = "x".repeat(2 * MAX_RECORD_BYTES);
        let plain = rows(format!("a\n{long}\r\nb").as_bytes(), Quotes::AcrossLines);
        assert_eq!(plain.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(plain[1].1, Err("too-long"));
        assert_eq!(rows(format!("a\n\"{long}\"\nb").as_bytes(), Quotes::AcrossLines)[1], (0, Err("limit")));
        assert_eq!(rows(format!("a\n\"{long}\"\nb").as_bytes(), Quotes::WithinLine)[1], (2, Err("too-long")));
    }

    proptest! {
        #[test]
        fn rows_read_back_as_written(
            table in proptest::collection::vec(proptest::collection::vec("[a\"\r\n\0 ,é]{0,4}", 1..4), 1..6),
            line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            ended: bool,
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            let mut line = 1;
            for (number, row) in table.iter().enumerate() {
                if number > 0 { text.push_str(line_end); }
                expected.push((line, Ok(row.iter().map(|field| field.as_bytes().to_vec()).collect::<Vec<_>>())));
                line += 1 + row.iter().map(|field| line_ends(field.as_bytes())).sum::<u64>();
                text.push_str(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
            }
            if ended { text.push_str(line_end); }
            prop_assert_eq!(rows(text.as_bytes(), Quotes::AcrossLines), expected);
        }

        #[test]
        fn unquoted_rows_read_back_as_the_csv_crate_reads_them(text in "[ab,\n]{0,30}") {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<Vec<u8>>> =
                reader.byte_records().map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect()).collect();
            let read: Vec<_> = rows(text.as_bytes(), Quotes::WithinLine).into_iter().map(|row| row.1.unwrap()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
