//! Sum text of one kind: `hex  name`, as `md5sum` prints it. A backslash in front says that `\\`, `\n` and `\r` in the
//! name are escapes. A fingerprint without name stands alone in its line.

use std::io::Write;

use hashward::list::Attribute;
use hashward::records::StoredRecord;

use super::Writer;

pub(super) struct SumWriter<'o> {
    out: &'o mut dyn Write,
}

impl<'o> SumWriter<'o> {
    pub(super) fn start(out: &'o mut dyn Write) -> SumWriter<'o> {
        SumWriter { out }
    }
}

impl Writer for SumWriter<'_> {
    fn write(&mut self, record: &StoredRecord) -> anyhow::Result<()> {
        let name = record.attributes.get(Attribute::Name.name()).map_or("", String::as_str);
        let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let mark = if escaped == name { "" } else { "\\" };
        for fingerprint in &record.fingerprints {
            match name {
                "" => writeln!(self.out, "{}", fingerprint.to_hex())?,
                _ => writeln!(self.out, "{mark}{}  {escaped}", fingerprint.to_hex())?,
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}
