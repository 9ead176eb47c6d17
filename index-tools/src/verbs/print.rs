//! How results are printed: numbers with separators, tables with aligned columns, and the three output formats.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use clap::ValueEnum;
use hashward::fingerprint::Encoding;
use hashward::list::Category;
pub(super) use hashward::moment::{now, utc as moment};
use hashward::store::command::Changes;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people
    Text,
    /// Tab-separated, with a header line
    Tsv,
    /// One object a line
    Json,
}

/// Prints on standard output.
pub(super) fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints values as JSON, one a line.
pub(super) fn json_lines<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(&value)?);
        text.push('\n');
    }
    Ok(out(&text)?)
}

/// Whether the reader of standard output went away (`| head`), which is no failure.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A value as JSON has it.
pub(super) fn hex<S: serde::Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Encoding::Hex.encode(value))
}

/// How long work reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// A summary for people
    Text,
    /// One object
    Json,
}

/// Text of others in which nothing moves a cursor or ends a cell: control characters are escaped.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain.into()
}

/// The category in a cell; a dash for none.
pub(super) fn category_name(category: Option<&Category>) -> String {
    category.map_or_else(|| "-".to_owned(), |category| plain(&category.to_string()).into_owned())
}

/// How long, in the largest unit of which there are two.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", grouped(seconds / 86_400)),
    }
}

/// How long ago a moment was; `-` for the beginning of time.
pub(super) fn age(moment: u64) -> String {
    if moment == 0 { "-".to_owned() } else { duration(now().saturating_sub(moment)) }
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in a table: in groups for people, plain for programs.
pub(super) fn number(format: OutputFormat, number: u64) -> String {
    if format == OutputFormat::Text { grouped(number) } else { number.to_string() }
}

/// `md5 1,234, sha1 5`, or `none`.
pub(super) fn by_kind<K: std::fmt::Display>(counts: impl IntoIterator<Item = (K, u64)>) -> String {
    let parts: Vec<_> = counts.into_iter().map(|(kind, count)| format!("{kind} {}", grouped(count))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// What distinguishes two versions in one kind.
pub(super) fn changes(changes: &Changes) -> String {
    let Changes { added, removed, kept } = *changes;
    format!("{} added, {} removed, {} kept", grouped(added), grouped(removed), grouped(kept))
}

/// A count with its noun.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// Rows under a header, as text with aligned columns or as TSV.
pub(super) fn table(format: OutputFormat, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let header_row = header.iter().map(|cell| Cow::Borrowed(*cell)).collect();
    let lines = std::iter::once(header_row).chain(rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()));
    let lines: Vec<Vec<Cow<'_, str>>> = lines.collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for line in &lines {
        if format == OutputFormat::Tsv {
            text.push_str(&line.join("\t"));
        } else {
            let start = text.len();
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "{cell:width$}  ");
            }
            text.truncate(start + text[start..].trim_end().len());
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 119, 120, 7_200, 172_800].map(duration), ["0 s", "119 s", "2 min", "2 h", "2 days"]);
    }

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        assert_eq!(plain("é:1"), "é:1");
        assert_eq!(plain("a\u{1b}[2J\tb"), "a\\u{1b}[2J\\tb");
        assert_eq!(table(OutputFormat::Tsv, &["x"], &[vec!["a\tb\n".to_owned()]]), "x\na\\tb\\n\n");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["debian".to_owned(), "file".to_owned()], vec!["x".to_owned(), "feed".to_owned()]];
        assert_eq!(table(OutputFormat::Text, &["list", "shape"], &rows), "list    shape\ndebian  file\nx       feed\n");
        assert_eq!(table(OutputFormat::Tsv, &["list", "shape"], &rows), "list\tshape\ndebian\tfile\nx\tfeed\n");
    }
}
