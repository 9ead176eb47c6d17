//! What is written as a list reads back as it was, in every format, in all the ways in which such lists are written.

mod common;

use common::{Collector, Said};
use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::{Flag, Flags};
use hashward_index::formats::{Format, ParseOptions, detect};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One record to write.
#[derive(Clone, Debug)]
struct Entry {
    values: Vec<Fingerprint>,
    name: String,
    category: Option<String>,
    flags: Flags,
}

/// A value of `kind`: PDQ and the like need no real content.
fn value(kind: Kind) -> impl Strategy<Value = Fingerprint> {
    proptest::collection::vec(any::<u8>(), kind.width())
        .prop_map(move |value| Fingerprint::new(kind, &value).expect("the kind's width"))
}

/// Entries with a value of some of `kinds`, and a name matching `name`.
fn entries(kinds: &'static [Kind], name: &'static str) -> impl Strategy<Value = Vec<Entry>> {
    let values: Vec<_> = kinds.iter().map(|kind| proptest::option::of(value(*kind))).collect();
    let entry = (values, name, proptest::option::of("[a-z0-9:é]{1,4}"), 0u8..16);
    let entry = entry.prop_filter_map("an entry has a value", |(values, name, category, flags)| {
        let values: Vec<_> = values.into_iter().flatten().collect();
        (!values.is_empty()).then_some(Entry { values, name, category, flags: Flags(flags) })
    });
    proptest::collection::vec(entry, 1..12)
}

fn text(value: &Fingerprint, upper: bool) -> String {
    match value.kind() {
        Kind::PhotoDna => Encoding::Base64.encode(value.value()),
        _ if upper => value.to_hex().to_uppercase(),
        _ => value.to_hex(),
    }
}

fn find(entry: &Entry, kind: Kind) -> Option<&Fingerprint> {
    entry.values.iter().find(|value| value.kind() == kind)
}

/// What a format carries beside fingerprints, and how many entries share a record number.
#[derive(Clone, Copy)]
struct Carries {
    name: bool,
    category: bool,
    flags: bool,
    per_number: usize,
}

/// Parses `list` and compares every record, in order, with `entries`.
fn check(format: Format, kind: Option<Kind>, list: &str, entries: &[Entry], carries: Carries) {
    assert_eq!(detect(list.as_bytes()), Some(format), "{list}");
    let mut sink = Collector::new();
    let options = ParseOptions { kind, columns: Vec::new() };
    let parsed =
        format.parse(&mut list.as_bytes(), &options, &mut sink).unwrap_or_else(|error| panic!("{error}\n{list}"));
    assert_eq!((parsed.records, parsed.rejected), (entries.len() as u64, 0), "{:?}\n{list}", sink.rejected);
    let mut expected = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        for value in &entry.values {
            let category = entry.category.clone().filter(|_| carries.category);
            let name = Some(entry.name.as_bytes().to_vec()).filter(|name| carries.name && !name.is_empty());
            let flags = if carries.flags { entry.flags } else { Flags::NONE };
            expected.push((value.clone(), (index / carries.per_number) as u64 + 1, category, flags, name));
        }
    }
    let found = sink.said.into_iter().map(|(value, said)| {
        let Said { record, category, flags, name, .. } = said;
        (value, record, category, flags, name)
    });
    let mut found: Vec<_> = found.collect();
    // The order of values within a record is the parser's.
    found.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    expected.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    assert_eq!(found, expected, "{list}");
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

const NAME_ONLY: Carries = Carries { name: true, category: false, flags: false, per_number: 1 };

proptest! {
    #[test]
    fn gnu_sums(entries in entries(&[Kind::Sha256], "[a \\\\\n\r*()=é]{1,8}"), end in line_end(), binary: bool, upper: bool) {
        let mut list = String::new();
        for entry in &entries {
            let escaped = entry.name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            let mark = if escaped == entry.name { "" } else { "\\" };
            list += &format!("{mark}{} {}{escaped}{end}", text(&entry.values[0], upper), if binary { '*' } else { ' ' });
        }
        check(Format::Sum, Some(Kind::Sha256), &list, &entries, NAME_ONLY);
    }

    #[test]
    fn bsd_sums(
        entries in prop_oneof![
            entries(&[Kind::Sha512], "[a \\\\\n()=é]{1,8}"),
            entries(&[Kind::Phash64], "[a \\\\\n()=é]{1,8}"),
        ],
        end in line_end(),
        upper: bool,
    ) {
        let mut list = String::new();
        for entry in &entries {
            let escaped = entry.name.replace('\\', "\\\\").replace('\n', "\\n");
            let mark = if escaped == entry.name { "" } else { "\\" };
            let tag = entry.values[0].kind().name().to_uppercase();
            list += &format!("{mark}{tag} ({escaped}) = {}{end}", text(&entry.values[0], upper));
        }
        check(Format::Sum, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn bare_hex(entries in entries(&[Kind::Pdq], ""), end in line_end(), upper: bool, comments: bool) {
        let mut list = String::new();
        for entry in &entries {
            if comments { list += &format!("# {}{end}{end}", entry.values[0]); }
            list += &format!("{}{end}", text(&entry.values[0], upper));
        }
        let list = list.strip_suffix(end).unwrap();
        check(Format::Hex, Some(Kind::Pdq), list, &entries, NAME_ONLY);
    }

    #[test]
    fn hashdeep(entries in entries(&[Kind::Md5, Kind::Sha1, Kind::Sha256], "[a,\" #é]{1,8}"), end in line_end()) {
        let mut list = format!("%%%% HASHDEEP-1.0{end}%%%% size,sha1,md5,sha256,filename{end}## Invoked from: /{end}## {end}");
        for entry in &entries {
            let digest = |kind| find(entry, kind).map(|value| text(value, false)).unwrap_or_default();
            let digests = [Kind::Sha1, Kind::Md5, Kind::Sha256].map(digest).join(",");
            list += &format!("7,{digests},{}{end}", entry.name);
        }
        check(Format::Hashdeep, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn tables(entries in entries(&Kind::ALL, "[a,;\t\"\n\r\0é]{0,8}"), tabs: bool, crlf: bool, always_quote: bool) {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(if tabs { b'\t' } else { b',' })
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .quote_style(if always_quote { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .from_writer(Vec::new());
        let header = ["name", "Category", "scheme"].into_iter().chain(Kind::ALL.map(Kind::name));
        writer.write_record(header).unwrap();
        for entry in &entries {
            let values = Kind::ALL.map(|kind| find(entry, kind).map(|value| text(value, false)).unwrap_or_default());
            let category = entry.category.clone().unwrap_or_default();
            writer.write_record([entry.name.clone(), category, String::new()].into_iter().chain(values)).unwrap();
        }
        let list = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let carries = Carries { category: true, ..NAME_ONLY };
        check(if tabs { Format::Tsv } else { Format::Csv }, None, &list, &entries, carries);
    }

    #[test]
    fn nsrl(entries in entries(&[Kind::Md5, Kind::Sha1], "[a,\"é]{1,8}"), end in line_end(), order in Just(["SHA-1", "MD5", "CRC32", "FileName", "ProductCode"]).prop_shuffle()) {
        let row = |cell: &dyn Fn(&str) -> String| order.map(|header| format!("\"{}\"", cell(header).replace('"', "\"\""))).join(",");
        let mut list = row(&|header| header.to_owned()) + end;
        for entry in &entries {
            let digest = |kind| find(entry, kind).map(|value| text(value, true)).unwrap_or_default();
            list += &row(&|header| match header {
                "SHA-1" => digest(Kind::Sha1),
                "MD5" => digest(Kind::Md5),
                "FileName" => entry.name.clone(),
                _ => "00000001".to_owned(),
            });
            list += end;
        }
        check(Format::NsrlV2, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn p2p_links(
        entries in entries(&[Kind::Sha1, Kind::Tth, Kind::Ed2k, Kind::Btih], "[a |%&+=#é]{1,8}"),
        styles in proptest::collection::vec((0..4u8, any::<bool>()), 12),
        end in line_end(),
        comments: bool,
    ) {
        let mut entries = entries;
        let mut list = String::new();
        for (entry, (style, hex)) in entries.iter_mut().zip(styles) {
            if comments { list += &format!("# {}{end}{end}", entry.name); }
            list += &(link(entry, style, hex) + end);
        }
        check(Format::P2p, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn vics(
        entries in entries(&[Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::PhotoDna], "[a\"\\\\/\n\0é😀]{0,8}"),
        pretty: bool,
        strings: bool,
        old: bool,
        per_case in proptest::option::of(1usize..4),
    ) {
        let media: Vec<Value> = entries.iter().map(|entry| medium(entry, strings)).collect();
        let fragment = if per_case.is_some() { "Cases" } else { "Media" };
        let context = if old {
            format!("http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#{fragment}")
        } else {
            format!("http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/NL/$metadata#{fragment}")
        };
        let value: Vec<Value> = match per_case {
            None => media,
            Some(count) => media.chunks(count).map(|media| json!({"CaseID": "x", "Media": media})).collect(),
        };
        // Two objects, since serde_json sorts members, and the context comes first in real lists.
        let print = |value: &Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap();
        let key = if old { "odata.metadata" } else { "@odata.context" };
        let list = format!("{{{}:{},\"value\":{}}}", print(&json!(key)), print(&json!(context)), print(&json!(value)));
        // All media of a case have its number.
        let carries = Carries { name: true, category: true, flags: true, per_number: per_case.unwrap_or(1) };
        check(Format::Vics, None, &list, &entries, carries);
    }
}

/// Writes `entry` as a link, and takes from it what a link of that style cannot say.
fn link(entry: &mut Entry, style: u8, hex: bool) -> String {
    let text = |value: &Fingerprint| match value.kind() {
        Kind::Ed2k => text(value, hex),
        _ if hex => value.to_hex(),
        _ => Encoding::Base32.encode(value.value()),
    };
    let urn = |value: &Fingerprint| match value.kind() {
        Kind::Tth => format!("urn:tree:tiger{}:{}", if hex { "/" } else { "" }, text(value)),
        kind => format!("urn:{kind}:{}", text(value)),
    };
    let escaped: String = entry.name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    match (style, find(entry, Kind::Ed2k), find(entry, Kind::Sha1), find(entry, Kind::Tth)) {
        (0, Some(ed2k), ..) => {
            let (link, only) = (format!("ed2k://|file|{escaped}|7|{}|/", text(ed2k)), ed2k.clone());
            entry.values = vec![only];
            link
        }
        (1, _, Some(sha1), Some(tth)) => {
            let (link, both) = (format!("urn:bitprint:{}.{}", text(sha1), text(tth)), vec![sha1.clone(), tth.clone()]);
            (entry.values, entry.name) = (both, String::new());
            link
        }
        (2, ..) => {
            entry.values.truncate(1);
            entry.name.clear();
            urn(&entry.values[0])
        }
        _ => {
            let number = |at: usize| if hex { format!(".{at}") } else { String::new() };
            let topics = entry.values.iter().enumerate();
            let topics: Vec<_> = topics.map(|(at, value)| format!("xt{}={}", number(at), urn(value))).collect();
            format!("magnet:?{}&xl=7&dn={}", topics.join("&"), escaped.replace("%20", "+"))
        }
    }
}

fn medium(entry: &Entry, strings: bool) -> Value {
    let mut medium = Map::new();
    let mut alternatives = Vec::new();
    for value in &entry.values {
        match value.kind() {
            Kind::Md5 => drop(medium.insert("MD5".into(), json!(text(value, true)))),
            Kind::Sha1 => drop(medium.insert("SHA1".into(), json!(text(value, false)))),
            Kind::PhotoDna => alternatives.push(json!({"HashName": "PhotoDNA", "HashValue": text(value, false)})),
            other => alternatives.push(json!({"HashName": other.name(), "HashValue": text(value, false)})),
        }
    }
    medium.insert("AlternativeHashes".into(), json!(alternatives));
    medium.insert("Category".into(), json!(entry.category));
    medium.insert("MediaSize".into(), if strings { json!("12") } else { json!(12) });
    medium.insert("MediaFiles".into(), json!([{"FileName": entry.name, "MD5": "00"}, {"FileName": ""}]));
    for (name, flag) in [
        ("IsPrecategorized", Flag::Precategorized),
        ("VictimIdentified", Flag::VictimIdentified),
        ("OffenderIdentified", Flag::OffenderIdentified),
        ("IsDistributed", Flag::Distributed),
    ] {
        let set = entry.flags.has(flag);
        medium.insert(name.into(), if strings { json!(if set { "True" } else { "false" }) } else { json!(set) });
    }
    Value::Object(medium)
}
