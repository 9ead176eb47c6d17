//! CSV that `import` reads back: a column for each kind, then what an entry says. An entry with several values of a
//! kind has as many rows, which say the same.

use std::io::Write;

use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::Attribute;
use hashward::records::StoredRecord;

use super::{Writer, code, value_text};

pub(super) struct CsvWriter<'o> {
    out: &'o mut dyn Write,
    kinds: Vec<Kind>,
    attributes: &'static [Attribute],
    row: String,
}

impl<'o> CsvWriter<'o> {
    /// Writes the header.
    pub(super) fn start(out: &'o mut dyn Write, kinds: Vec<Kind>, attributes: bool) -> anyhow::Result<CsvWriter<'o>> {
        let attributes: &[Attribute] = if attributes { &Attribute::ALL } else { &[] };
        let mut header: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        header.extend(["category", "scheme", "flags"]);
        header.extend(attributes.iter().map(|attribute| attribute.name()));
        writeln!(out, "{}", header.join(","))?;
        Ok(CsvWriter { out, kinds, attributes, row: String::new() })
    }

    /// What all rows of an entry end with.
    fn end(&self, record: &StoredRecord) -> anyhow::Result<String> {
        let mut end = String::new();
        if let Some(category) = &record.category {
            push(&mut end, code("category", &category.code)?);
        }
        end.push(',');
        if let Some(scheme) = record.category.as_ref().and_then(|category| category.scheme.as_ref()) {
            push(&mut end, code("scheme", scheme)?);
        }
        end.push(',');
        end.push_str(&record.flags.names().join(" "));
        for attribute in self.attributes {
            end.push(',');
            push(&mut end, record.attributes.get(attribute.name()).map_or("", String::as_str));
        }
        Ok(end)
    }
}

impl Writer for CsvWriter<'_> {
    fn write(&mut self, record: &StoredRecord) -> anyhow::Result<()> {
        let end = self.end(record)?;
        let of_kind = |kind: &Kind| -> Vec<&Fingerprint> {
            record.fingerprints.iter().filter(|fingerprint| fingerprint.kind() == *kind).collect()
        };
        let columns: Vec<Vec<&Fingerprint>> = self.kinds.iter().map(of_kind).collect();
        for number in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
            self.row.clear();
            for column in &columns {
                if let Some(fingerprint) = column.get(number) {
                    self.row.push_str(&value_text(fingerprint));
                }
                self.row.push(',');
            }
            writeln!(self.out, "{}{end}", self.row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Adds a field, quoted where it must be.
fn push(row: &mut String, field: &str) {
    if !field.contains(['"', ',', '\n', '\r']) {
        return row.push_str(field);
    }
    row.push('"');
    row.push_str(&field.replace('"', "\"\""));
    row.push('"');
}
