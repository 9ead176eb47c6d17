//! What is written as a list reads back as it was, in every format, in all the ways in which such lists are written.

mod common;

use std::io::BufReader;

use common::{Collector, Said};
use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::{Flag, Flags};
use hashward_index::formats::{Format, NotableFlags, ParseOptions, detect};
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
    let options = ParseOptions { kind, ..ParseOptions::default() };
    check_with(format, &options, list.as_bytes(), entries, carries);
}

/// The same with all that a user may say.
fn check_with(format: Format, options: &ParseOptions, bytes: &[u8], entries: &[Entry], carries: Carries) {
    let list = String::from_utf8_lossy(bytes);
    assert_eq!(detect(bytes), Some(format), "{list}");
    let mut sink = Collector::new();
    // Little arrives at a time, so that its ends fall everywhere.
    let mut input = BufReader::with_capacity(5, bytes);
    let parsed = format.parse(&mut input, options, &mut sink).unwrap_or_else(|error| panic!("{error}\n{list}"));
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
    fn clamav(
        entries in prop_oneof![
            entries(&[Kind::Md5], "[a.é-]{1,8}"),
            entries(&[Kind::Sha1], "[a.é-]{1,8}"),
            entries(&[Kind::Sha256], "[a.é-]{1,8}"),
        ],
        end in line_end(),
        upper: bool,
        size in prop_oneof![Just("*"), Just("0"), Just("5368709154")],
        levels in prop_oneof![Just(""), Just(":73"), Just(":73:255"), Just("::255")],
    ) {
        let mut list = String::new();
        for entry in &entries {
            list += &format!("{}:{size}:{}{levels}{end}", text(&entry.values[0], upper), entry.name);
        }
        check(Format::Clamav, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn hashkeeper(entries in entries(&[Kind::Md5], "[a,;\"é]{0,8}"), end in line_end(), upper: bool, has_companion: bool) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let columns = ["file_id", "hashset_id", "file_name", "directory", "hash", "file_size", "comments"];
        let mut list = columns.map(quoted).join(",") + end;
        let mut companion = ["hashset_id", "name", "notable_flag"].map(quoted).join(",") + end;
        for (set, entry) in entries.iter().enumerate() {
            let (name, digest) = (quoted(&entry.name), quoted(&text(&entry.values[0], upper)));
            list += &format!("29000,{set},{name},\"C:\\A, B\",{digest},12,{end}");
            companion += &format!("{set},{name},{}{end}", entry.category.as_deref().unwrap_or_default());
        }
        let notable = NotableFlags::read(&mut companion.as_bytes()).unwrap();
        let notable = if has_companion { notable } else { NotableFlags::default() };
        let options = ParseOptions { notable, ..ParseOptions::default() };
        let carries = Carries { category: has_companion, ..NAME_ONLY };
        check_with(Format::Hashkeeper, &options, list.as_bytes(), &entries, carries);
    }

    #[test]
    fn encase(entries in entries(&[Kind::Md5], ""), category in proptest::option::of("[aé:😀]{1,10}"), rest: [u8; 2]) {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut list = b"HASH\r\n\xFF\0\x02\0\0\0\x01\0\0\0".to_vec();
        list.extend((entries.len() as u32).to_le_bytes());
        list.resize(0x408, 0);
        list.extend(utf16("A set"));
        list.resize(0x458, 0);
        list.extend(utf16(category.as_deref().unwrap_or_default()));
        list.resize(0x480, 0);
        let entries: Vec<_> = entries.into_iter().map(|entry| Entry { category: category.clone(), ..entry }).collect();
        for entry in &entries {
            list.extend(entry.values[0].value());
            list.extend(rest);
        }
        check_with(Format::Encase, &ParseOptions::default(), &list, &entries, Carries { category: true, ..NAME_ONLY });
    }

    #[test]
    fn icse(
        entries in entries(&[Kind::Md5, Kind::Sha1, Kind::PhotoDna], "[a,;\"\n é]{0,8}"),
        end in line_end(),
        words in prop_oneof![Just(["Y", "N"]), Just(["true", "false"]), Just(["TRUE", ""])],
        surplus in prop_oneof![Just(""), Just(";;extra")],
        order in Just(["MD5", "SHA1", "PhotoDNA", "Image ID", "Is distributed", "Victim identified", "Offender identified", "Series name", "Baseline"])
            .prop_shuffle(),
    ) {
        let mut list = order.join(";") + end;
        for entry in &entries {
            let digest = |kind| find(entry, kind).map(|value| text(value, false)).unwrap_or_default();
            let flag = |flag| words[usize::from(!entry.flags.has(flag))].to_owned();
            let row = order.map(|header| match header {
                "MD5" => digest(Kind::Md5),
                "SHA1" => digest(Kind::Sha1),
                "PhotoDNA" => digest(Kind::PhotoDna),
                "Is distributed" => flag(Flag::Distributed),
                "Victim identified" => flag(Flag::VictimIdentified),
                "Offender identified" => flag(Flag::OffenderIdentified),
                "Series name" => format!("\"{}\"", entry.name.replace('"', "\"\"")),
                "Baseline" => entry.category.clone().unwrap_or_default(),
                _ => "50000".to_owned(),
            });
            // A row may end with the last thing it says.
            let row = row.join(";");
            list += &if surplus.is_empty() { row.trim_end_matches(';').to_owned() } else { row + surplus };
            list += end;
        }
        // ICSE does not say this one.
        let flags = |flags: Flags| Flags(flags.0 & !(Flag::Precategorized as u8));
        let entries: Vec<_> = entries.into_iter().map(|entry| Entry { flags: flags(entry.flags), ..entry }).collect();
        check(Format::Icse, None, &list, &entries, Carries { name: false, category: true, flags: true, per_number: 1 });
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
    fn dfxml(
        entries in entries(&[Kind::Md5, Kind::Sha1, Kind::Sha256], "[a&<>\"'\n\r\0é😀]{0,8}"),
        references in 0usize..3,
        prefix in prop_oneof![Just(""), Just("d:")],
        pretty: bool,
        upper: bool,
    ) {
        let end = if pretty { "\n  " } else { "" };
        let element = |name: &str, attributes: &str, content: &str| format!("<{prefix}{name}{attributes}>{content}</{prefix}{name}>{end}");
        let mut list = String::new();
        for entry in &entries {
            let block = element("hashdigest", " type='md5'", &"00".repeat(16));
            let mut object = element("byte_runs", "", &element("byte_run", " len='512'", &block));
            for value in &entry.values {
                let kind = value.kind().name();
                let attributes = format!(" type='{}'", if upper { kind.to_uppercase() } else { kind.to_owned() });
                object += &element("hashdigest", &attributes, &text(value, upper));
            }
            object += &element("filename", "", &xml_text(&entry.name, references));
            list += &element("fileobject", "", &object);
        }
        let list = element("dfxml", " version='1.0'", &element("volume", "", &list));
        // No XML can carry NUL; those who write it all the same get U+FFFD.
        let entries: Vec<_> = entries.into_iter().map(|entry| Entry { name: entry.name.replace('\0', "\u{FFFD}"), ..entry }).collect();
        check(Format::Dfxml, None, &list, &entries, NAME_ONLY);
    }

    #[test]
    fn stix(
        entries in entries(&[Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512], "[a\"\\\\/\n\0é😀]{0,8}"),
        pretty: bool,
        upper: bool,
        as_patterns: bool,
    ) {
        let name = |kind| match kind { Kind::Md5 => "MD5", Kind::Sha1 => "SHA-1", Kind::Sha256 => "SHA-256", _ => "SHA-512" };
        let object = |entry: &Entry| {
            let hashes = entry.values.iter().map(|value| (name(value.kind()), text(value, upper)));
            if as_patterns {
                let comparisons = hashes.map(|(name, value)| format!("file:hashes.'{name}' = '{value}'"));
                let pattern = format!("[{}]", comparisons.collect::<Vec<_>>().join(" OR "));
                json!({"type": "indicator", "spec_version": "2.1", "name": entry.name, "pattern": pattern, "pattern_type": "stix"})
            } else {
                let hashes: Map<_, _> = hashes.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                json!({"type": "file", "spec_version": "2.1", "hashes": hashes, "name": entry.name, "size": 7})
            }
        };
        let bundle = json!({"type": "bundle", "objects": entries.iter().map(object).collect::<Vec<_>>()});
        let list = if pretty { serde_json::to_string_pretty(&bundle) } else { serde_json::to_string(&bundle) }.unwrap();
        check(Format::Stix, None, &list, &entries, Carries { name: !as_patterns, ..NAME_ONLY });
    }

    #[test]
    fn misp(
        // A record is an attribute, which has one hash.
        entries in entries(&[Kind::Sha256], "[a|\"\\\\/\n\0é😀]{0,8}"),
        pretty: bool,
        upper: bool,
        in_objects: bool,
        wrapping in 0..3,
    ) {
        let attribute = |entry: &Entry| {
            let hash = text(&entry.values[0], upper);
            match entry.name.as_str() {
                "" => json!({"type": "sha256", "value": hash, "deleted": false}),
                name => json!({"type": "filename|sha256", "value": format!("{name}|{hash}"), "comment": "md5"}),
            }
        };
        let attributes: Vec<_> = entries.iter().map(attribute).collect();
        let event = if in_objects {
            let objects = attributes.chunks(2).map(|attributes| json!({"name": "file", "Attribute": attributes}));
            json!({"Event": {"info": "x", "Object": objects.collect::<Vec<_>>()}})
        } else {
            json!({"Event": {"info": "x", "Attribute": attributes}})
        };
        let list = match wrapping {
            0 => event,
            1 => json!([event]),
            _ => json!({"response": [event]}),
        };
        let list = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
        check(Format::Misp, None, &list, &entries, NAME_ONLY);
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
        version in prop_oneof![Just("1.2"), Just("1.3"), Just("2.0")],
        per_case in proptest::option::of(1usize..4),
    ) {
        let media: Vec<Value> = entries.iter().map(|entry| medium(entry, strings)).collect();
        let fragment = if per_case.is_some() { "Cases" } else { "Media" };
        let old = version != "2.0";
        let context = if old {
            format!("http://github.com/ICMEC/ProjectVic/DataModels/{version}.xml#{fragment}")
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
        check(if version == "1.2" { Format::Caid } else { Format::Vics }, None, &list, &entries, carries);
    }
}

/// `name` as text of XML: with names of entities, with numbers, or with nothing but numbers.
fn xml_text(name: &str, references: usize) -> String {
    let character = |character: char| match character {
        '&' if references == 0 => "&amp;".to_owned(),
        '<' if references == 0 => "&lt;".to_owned(),
        '>' | '"' | '\'' | 'é' | 'a' | '😀' if references < 2 => character.to_string(),
        _ if references == 1 => format!("&#{};", u32::from(character)),
        _ => format!("&#x{:X};", u32::from(character)),
    };
    name.chars().map(character).collect()
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
