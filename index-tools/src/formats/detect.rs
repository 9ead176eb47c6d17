//! Recognises a format by the start of a file, as [`super::open`] gives it.

use super::{Format, clamav, encase, icse, nsrl_v3, p2p, text};

/// The format that `head`, the first kilobytes of a list, speaks of; `None` if it is not clear.
pub fn detect(head: &[u8]) -> Option<Format> {
    if encase::is_start(head) {
        return Some(Format::Encase);
    }
    if nsrl_v3::is_database(head) {
        // Whether it has the tables is found out when it is read: the schema may lie anywhere in the file.
        return Some(Format::NsrlV3);
    }
    if nsrl_v3::is_delta(head.trim_ascii_start()) {
        return Some(Format::NsrlV3Delta);
    }
    match head.trim_ascii_start().first() {
        Some(b'{') => return vics(head).or_else(|| json(head)),
        Some(b'[') => return json(head),
        Some(b'<') => return is_dfxml(head).then_some(Format::Dfxml),
        _ => {}
    }
    let mut lines = head.split(|byte| matches!(byte, b'\n' | b'\r'));
    let line = lines.find(|line| !line.trim_ascii().is_empty() && line[0] != b'#')?;
    if line.starts_with(b"%%%% HASHDEEP-") {
        Some(Format::Hashdeep)
    } else if p2p::is_link(line.trim_ascii_start()) {
        Some(Format::P2p)
    } else if is_sum(line) {
        Some(Format::Sum)
    } else if is_digest(line.trim_ascii()) {
        Some(Format::Hex)
    } else if clamav::is_record(line) {
        Some(Format::Clamav)
    } else {
        table(line)
    }
}

/// An object with a context of VICS, or with media. Other formats are JSON objects too. NIST's lists have version 1.2.
fn vics(head: &[u8]) -> Option<Format> {
    let has = |text: &[u8]| memchr::memmem::find(head, text).is_some();
    let has_context = has(b"odata.metadata\"") || has(b"@odata.context\"");
    if !has(b"\"value\"") || !(has_context && (has(b"#Media\"") || has(b"#Cases\"")) || has(b"\"MediaID\"")) {
        return None;
    }
    let is_1_2 = has(b"/1.2.xml#Media\"") || has(b"/1.2.xml#Cases\"");
    Some(if is_1_2 { Format::Caid } else { Format::Vics })
}

/// A STIX bundle, or the objects that one holds; MISP's events, attributes or objects.
fn json(head: &[u8]) -> Option<Format> {
    let has = |text: &[u8]| memchr::memmem::find(head, text).is_some();
    if has(b"\"objects\"") && (has(b"\"bundle\"") || has(b"\"spec_version\"")) {
        Some(Format::Stix)
    } else if [&b"\"Event\""[..], b"\"Attribute\"", b"\"Object\""].into_iter().any(has) {
        Some(Format::Misp)
    } else {
        None
    }
}

/// XML whose root is DFXML's, or that has its records. Prefixes vary, so the names' ends are looked for.
fn is_dfxml(head: &[u8]) -> bool {
    [&b"dfxml"[..], b"DFXML", b"fileobject>"].iter().any(|name| memchr::memmem::find(head, name).is_some())
}

/// Hex of a length that digests in lists have: 128 bits and more, since shorter ones may be numbers.
fn is_digest(text: &[u8]) -> bool {
    (32..=288).contains(&text.len()) && text.len().is_multiple_of(8) && text.iter().all(u8::is_ascii_hexdigit)
}

fn is_sum(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\\").unwrap_or(line);
    let Some(blank) = memchr::memchr(b' ', line) else { return false };
    let (token, rest) = line.split_at(blank);
    if is_digest(token) {
        // A bare digest may have a blank behind it; here a name comes.
        return rest.len() > 2;
    }
    let Some(close) = memchr::memmem::rfind(rest, b") = ") else { return false };
    // With a tag of ours in front, shorter values are no numbers either.
    rest.starts_with(b" (") && (text::kind(token).is_some() || is_digest(rest[close + 4..].trim_ascii()))
}

/// A header row with a column for at least one kind.
fn table(header: &[u8]) -> Option<Format> {
    let names =
        |delimiter: u8| header.split(move |byte| *byte == delimiter).map(|name| name.trim_ascii().trim_ascii_quotes());
    let has = |delimiter, wanted: &[u8]| names(delimiter).any(|name| name.eq_ignore_ascii_case(wanted));
    let has_kind = |delimiter| names(delimiter).any(|name| text::kind(name).is_some());
    if has_kind(b',') && has(b',', b"FileName") && has(b',', b"ProductCode") {
        Some(Format::NsrlV2)
    } else if has(b',', b"hashset_id") && (has(b',', b"hash") || has(b',', b"notable_flag")) {
        // The companion is no list, and the parser says so.
        Some(Format::Hashkeeper)
    } else if has_kind(b',') {
        Some(Format::Csv)
    } else if has_kind(b'\t') {
        Some(Format::Tsv)
    } else if has_kind(b';') && icse::is_header(header) {
        Some(Format::Icse)
    } else {
        None
    }
}

/// Takes one pair of quotes away.
trait TrimQuotes {
    fn trim_ascii_quotes(&self) -> &[u8];
}

impl TrimQuotes for [u8] {
    fn trim_ascii_quotes(&self) -> &[u8] {
        self.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(self)
    }
}
