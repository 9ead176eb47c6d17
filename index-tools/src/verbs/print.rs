//! How results are printed: numbers with separators, tables with aligned columns, and the three output formats.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::ValueEnum;
use hashward::store::command::Changes;
pub(super) use hashward::store::moment;

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

/// Text from outside on one line, control characters escaped.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A count with its noun.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// Rows under a header, as text with aligned columns or as TSV.
pub(super) fn table(format: OutputFormat, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let lines = std::iter::once(header.iter().map(|cell| (*cell).to_owned()).collect()).chain(rows.iter().cloned());
    let lines: Vec<Vec<String>> = lines.collect();
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
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["debian".to_owned(), "file".to_owned()], vec!["x".to_owned(), "feed".to_owned()]];
        assert_eq!(table(OutputFormat::Text, &["list", "shape"], &rows), "list    shape\ndebian  file\nx       feed\n");
        assert_eq!(table(OutputFormat::Tsv, &["list", "shape"], &rows), "list\tshape\ndebian\tfile\nx\tfeed\n");
    }
}
