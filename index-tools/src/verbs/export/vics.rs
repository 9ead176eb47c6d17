//! VICS 2.0 JSON: a medium for each entry, one a line. The context names the region whose categories these are, so all
//! of them are of one scheme. Kinds other than MD5 and SHA1 stand in `AlternativeHashes`, and so does a second value of
//! either.

use std::io::Write;
use std::sync::Arc;

use hashward::fingerprint::Kind;
use hashward::list::{Attribute, Flag};
use hashward::records::StoredRecord;
use serde_json::{Map, Value, json};

use super::{Writer, code, value_text};

pub(super) struct VicsWriter<'o> {
    out: &'o mut dyn Write,
    media: u64,
}

/// Members that are an attribute each.
const ATTRIBUTES: [(&str, Attribute); 5] = [
    ("MediaSize", Attribute::Size),
    ("MimeType", Attribute::Mime),
    ("Series", Attribute::Series),
    ("Tags", Attribute::Tags),
    ("Comments", Attribute::Comment),
];

/// Members of the medium's file that are an attribute each.
const FILE_ATTRIBUTES: [(&str, Attribute); 2] = [("FileName", Attribute::Name), ("FilePath", Attribute::Path)];

/// Members that are a flag each.
const FLAGS: [(&str, Flag); 4] = [
    ("IsPrecategorized", Flag::Precategorized),
    ("VictimIdentified", Flag::VictimIdentified),
    ("OffenderIdentified", Flag::OffenderIdentified),
    ("IsDistributed", Flag::Distributed),
];

impl<'o> VicsWriter<'o> {
    /// Writes the context. `scheme` is that of all categories.
    pub(super) fn start(out: &'o mut dyn Write, scheme: Option<Arc<str>>) -> anyhow::Result<VicsWriter<'o>> {
        let region = match &scheme {
            Some(scheme) => format!("{}/", region(scheme)?),
            None => String::new(),
        };
        let context = format!("http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/{region}$metadata#Media");
        write!(out, "{{\"@odata.context\":{},\"value\":[", Value::from(context))?;
        Ok(VicsWriter { out, media: 0 })
    }
}

/// A scheme that can be part of the context, which is an address.
fn region(scheme: &str) -> anyhow::Result<&str> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    anyhow::ensure!(
        scheme.chars().all(is_plain) && !scheme.contains(".xml"),
        "a VICS file names its scheme in an address, which cannot hold {scheme:?}; use --format csv"
    );
    code("scheme", scheme)
}

impl Writer for VicsWriter<'_> {
    fn write(&mut self, record: &StoredRecord) -> anyhow::Result<()> {
        let attribute = |attribute: Attribute| record.attributes.get(attribute.name()).map(|text| plainest(text));
        let members = |of: &[(&str, Attribute)]| -> Map<String, Value> {
            of.iter().filter_map(|(name, member)| Some(((*name).to_owned(), attribute(*member)?))).collect()
        };
        self.media += 1;
        let mut medium = members(&ATTRIBUTES);
        medium.insert("MediaID".to_owned(), attribute(Attribute::MediaId).unwrap_or(self.media.into()));
        if let Some(category) = &record.category {
            medium.insert("Category".to_owned(), plainest(code("category", &category.code)?));
        }
        for (name, _) in FLAGS.into_iter().filter(|(_, flag)| record.flags.has(*flag)) {
            medium.insert(name.to_owned(), true.into());
        }
        let mut alternative = Vec::new();
        for fingerprint in &record.fingerprints {
            let (name, value) = (fingerprint.kind().name().to_uppercase(), value_text(fingerprint));
            match fingerprint.kind() {
                Kind::Md5 | Kind::Sha1 if !medium.contains_key(&name) => {
                    medium.insert(name, value.into());
                }
                Kind::PhotoDna => alternative.push(json!({"HashName": "PhotoDNA", "HashValue": value})),
                _ => alternative.push(json!({"HashName": name, "HashValue": value})),
            }
        }
        if !alternative.is_empty() {
            medium.insert("AlternativeHashes".to_owned(), alternative.into());
        }
        let file = members(&FILE_ATTRIBUTES);
        if !file.is_empty() {
            medium.insert("MediaFiles".to_owned(), json!([file]));
        }
        let comma = if self.media == 1 { "" } else { "," };
        write!(self.out, "{comma}\n{}", Value::Object(medium))?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(writeln!(self.out, "\n]}}")?)
    }
}

/// A number where the text is just what a number would be printed as.
fn plainest(text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}
