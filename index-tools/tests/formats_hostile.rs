//! Hostile lists: whatever stands in a file, a parser reports or refuses it, in bounded memory, and never panics.

mod common;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use common::Collector;
use hashward::fingerprint::Kind;
use hashward_index::formats::{Format, FormatError, Limits, ParseOptions, Parsed, Refusal, detect, open, parse_file};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

fn parse(format: Format, text: &[u8]) -> (Result<Parsed, FormatError>, Collector) {
    let mut sink = Collector::new();
    let options = ParseOptions { kind: Some(Kind::Md5), ..ParseOptions::default() };
    (format.parse(&mut &text[..], &options, &mut sink), sink)
}

fn refusal<T>(result: Result<T, FormatError>) -> Option<Refusal> {
    result.err().expect("a refused file").refusal()
}

/// Opens `bytes` as a file and reads all of it.
fn unfold(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, FormatError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let mut text = Vec::new();
    open(file.path(), limits)?.read_to_end(&mut text)?;
    Ok(text)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(wanted)).collect()
}

fn own_samples() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let samples: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(samples.len() >= 25, "{} samples", samples.len());
    samples
}

#[test]
fn no_truncation_makes_any_parser_panic() {
    for (path, bytes) in own_samples() {
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let all = Format::ALL.into_iter().filter(|_| length % 16 == 0);
            for format in detect(cut).into_iter().chain(all) {
                let (parsed, sink) = parse(format, cut);
                if let Ok(parsed) = parsed {
                    assert_eq!(parsed.rejected, sink.rejected.len() as u64, "{} cut at {length}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_cut_json_list_is_never_taken_for_a_whole_one() {
    for (format, sample) in [
        (Format::Vics, "vics/cases.json"),
        (Format::Caid, "caid/one-line.json"),
        (Format::Stix, "stix/types-last.json"),
        (Format::Misp, "misp/gotchas.json"),
    ] {
        let list = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(sample)).unwrap();
        let whole = list.trim_ascii_end();
        for length in 1..whole.len() {
            let why = refusal(parse(format, &whole[..length]).0);
            assert!(why == Some(Refusal::Truncated), "{sample} cut at {length}: {why:?}");
        }
    }
}

#[test]
fn a_cut_archive_is_never_taken_for_a_whole_one() {
    let text: String = (0..200).map(|i| format!("{i:032x}\n")).collect();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for whole in [gzip(text.as_bytes()), zstd, zip_of(&[("list.txt", text.as_bytes())])] {
        assert_eq!(unfold(&whole, &Limits::default()).unwrap(), text.as_bytes());
        for length in (4..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(unfold(&whole[..length], &Limits::default()).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn every_damaged_byte_of_an_archives_content_is_noticed() {
    let text: String = (0..20).map(|i| format!("{i:032x}\n")).collect();
    for whole in [gzip(text.as_bytes()), zip_of(&[("list.txt", text.as_bytes())])] {
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            if let Ok(read) = unfold(&damaged, &Limits::default()) {
                // Names and times are not guarded; without its magic a file counts as plain.
                assert!(read == text.as_bytes() || read == damaged, "byte {at} of {}", whole.len());
            }
        }
    }
}

#[test]
fn bombs_are_stopped() {
    let limits = Limits { max_bytes: 1 << 20, max_ratio: 200 };
    let bomb = vec![b'a'; 2 << 20];
    let zstd = zstd::encode_all(&bomb[..], 1).unwrap();
    for bomb in [gzip(&bomb), zstd, zip_of(&[("list.txt", &bomb)])] {
        assert_eq!(refusal(unfold(&bomb, &limits)), Some(Refusal::Limit));
    }
    // Zeros shrink ten-thousandfold; beyond the first 64 MiB that is not believed.
    let zeros = vec![0; 66 << 20];
    assert_eq!(refusal(unfold(&zstd::encode_all(&zeros[..], 1).unwrap(), &Limits::default())), Some(Refusal::Limit));
}

#[test]
fn archives_that_are_no_single_list_are_refused() {
    let list = format!("{:032x}\n", 1);
    let list = list.as_bytes();
    let refused = |bytes: &[u8]| refusal(unfold(bytes, &Limits::default()));
    for name in ["../list.txt", "/etc/list.txt", "a/../../b", "C:\\list.txt", "a\\..\\..\\b", "\\list.txt", "a\0.txt"] {
        // The writer cleans names, so an innocent one is replaced in the finished archive.
        let innocent = "n".repeat(name.len());
        let mut archive = zip_of(&[(&innocent, list)]);
        assert_eq!(unfold(&archive, &Limits::default()).unwrap(), list);
        for at in places(&archive, innocent.as_bytes()) {
            archive[at..at + name.len()].copy_from_slice(name.as_bytes());
        }
        assert_eq!(refused(&archive), Some(Refusal::Archive), "{name}");
    }
    assert_eq!(refused(&zip_of(&[("a.txt", list), ("b.txt", list)])), Some(Refusal::Archive));
    assert_eq!(refused(&zip_of(&[])), Some(Refusal::Archive));
    for nested in [gzip(&gzip(list)), zip_of(&[("a.gz", &gzip(list))]), gzip(&zip_of(&[("a", list)]))] {
        assert_eq!(refused(&nested), Some(Refusal::Archive));
    }
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(refused(&tar), Some(Refusal::Archive));
    assert_eq!(refused(&gzip(&tar)), Some(Refusal::Archive));
    assert_eq!(refused(b"\xFD7zXZ\0..."), Some(Refusal::Archive));
    assert_eq!(refused(b"\xFF\xFE\0\0a\0\0\0"), Some(Refusal::Encoding));
    assert_eq!(refusal(open(Path::new("/"), &Limits::default())), Some(Refusal::NotAList));
}

#[test]
fn a_zip_directory_without_end_is_refused() {
    let names: Vec<_> = (0..2000).map(|i| format!("member {i}")).collect();
    let members: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_eq!(refusal(unfold(&zip_of(&members), &Limits::default())), Some(Refusal::Archive));
}

#[test]
fn huge_records_are_rejected_or_refused() {
    let good = format!("{:032x}", 1);
    let huge = "x".repeat(5 << 20);
    let (parsed, sink) = parse(Format::Hex, format!("{good}\n{huge}\n{good}\n").as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 1 });
    assert_eq!((sink.rejected[0].line, sink.rejected[0].reason), (Some(2), "too-long"));
    let (parsed, sink) = parse(Format::Csv, format!("md5,name\n{good},a\n{good},{huge}\n{good},b\n").as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 1 });
    assert_eq!((sink.rejected[0].line, sink.rejected[0].reason), (Some(3), "too-long"));
    assert_eq!(refusal(parse(Format::Csv, format!("md5\n{good}\n\"{huge}\"").as_bytes()).0), Some(Refusal::Limit));
    let huge = "x".repeat(17 << 20);
    let context = r##""odata.metadata":"x#Media""##;
    let list =
        format!(r#"{{{context},"value":[{{"MD5":"{good}"}},{{"MD5":"{good}","x":["}}{huge}"]}},{{"MD5":"{good}"}}]}}"#);
    let (parsed, sink) = parse(Format::Vics, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 1 });
    assert_eq!((sink.rejected[0].record, sink.rejected[0].reason), (2, "too-long"));
    let beside = format!(r#"{{"x":"{huge}",{context},"value":[]}}"#);
    assert_eq!(refusal(parse(Format::Vics, beside.as_bytes()).0), Some(Refusal::Limit));
}

#[test]
fn one_bad_clamav_line_aborts_nothing() {
    let good = format!("{:032x}:*:Sample", 1);
    let bad = [
        format!("{:032x}:1:{}", 2, "x".repeat(5 << 20)),
        ":".repeat(1 << 20),
        format!("{:032x}:1:\0:{}", 3, "9".repeat(1 << 19) + "x"),
        format!("{:032x}\0:1:Sample", 4),
        format!("{:032x}:{}", 5, "é".repeat(100)),
    ];
    let (parsed, sink) = parse(Format::Clamav, format!("{good}\n{}\n{good}", bad.join("\n")).as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 7, rejected: 5 });
    let reasons: Vec<_> = sink.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, ["too-long", "wrong-columns", "bad-level", "wrong-length", "wrong-columns"]);
    assert_eq!(refusal(parse(Format::Clamav, b"# nothing\n").0), Some(Refusal::NotAList));
}

#[test]
fn a_hashkeeper_row_spoils_no_other() {
    let row = |digest: &str| format!("1,7,\"a, b\",\"{digest}\"\r\n");
    let good = row(&format!("{:032X}", 1));
    let bad = [
        format!("1,7,\"open,{:032x}\r\n", 2),
        format!("1,7,a,b,{:032x}\r\n", 3),
        row(""),
        row(&format!("{:032x}", 4)[1..]),
        format!("1,{},a,{:032x}\r\n", "7".repeat(300), 5),
        format!("1,7,{},{:032x}\r\n", "x".repeat(5 << 20), 6),
        format!("\0\r\n1,7,a,{:032x}\0\r\n", 7),
    ];
    let header = "\"file_id\",\"hashset_id\",\"file_name\",\"hash\"\r\n";
    let (parsed, sink) = parse(Format::Hashkeeper, format!("{header}{good}{}{good}", bad.concat()).as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 10, rejected: 8 });
    let reasons: Vec<_> = sink.rejected.iter().map(|rejected| rejected.reason).collect();
    let expected = ["bad-quotes", "wrong-columns", "missing-hash", "wrong-length", "too-long", "too-long"];
    assert_eq!((&reasons[..6], &reasons[6..]), (&expected[..], &["wrong-columns", "wrong-length"][..]));
    for text in ["", "\"hashset_id\",\"notable_flag\"\r\n7,1\r\n", "file_id,hash\r\n"] {
        assert_eq!(refusal(parse(Format::Hashkeeper, text.as_bytes()).0), Some(Refusal::NotAList), "{text}");
    }
    // The companion is named for what it is, should someone import it.
    assert_eq!(detect(b"\"hashset_id\",\"name\",\"notable_flag\"\r\n"), Some(Format::Hashkeeper));
}

#[test]
fn an_encase_set_is_taken_whole_or_refused() {
    let list = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/encase/two-pages.hash")).unwrap();
    assert!(parse(Format::Encase, &list).0.is_ok());
    for length in 1..list.len() {
        assert_eq!(refusal(parse(Format::Encase, &list[..length]).0), Some(Refusal::Truncated), "cut at {length}");
    }
    assert_eq!(refusal(parse(Format::Encase, b"").0), Some(Refusal::WrongMagic));
    for at in 0..8 {
        let mut damaged = list.clone();
        damaged[at] ^= 0x20;
        assert_eq!(refusal(parse(Format::Encase, &damaged).0), Some(Refusal::WrongMagic), "byte {at}");
        assert_eq!(detect(&damaged), (at >= 4).then_some(Format::Encase), "byte {at}");
    }
    assert_eq!(refusal(parse(Format::Encase, &[&list[..], b"\0"].concat()).0), Some(Refusal::Corrupt));
    let with_count = |count: u32| {
        let mut list = list.clone();
        list[0x10..0x14].copy_from_slice(&count.to_le_bytes());
        refusal(parse(Format::Encase, &list).0)
    };
    assert_eq!((with_count(u32::MAX), with_count(0)), (Some(Refusal::Truncated), Some(Refusal::Corrupt)));
}

#[test]
fn icse_rows_of_any_length_are_bounded() {
    let header = "MD5;SHA1;Is distributed;Series name;Baseline\n";
    let good = format!("{:032x};;Y;;N\n", 1);
    let bad = [
        ";".repeat(1 << 19) + "\n",
        format!("{:032x};;Y;{};Y\n", 2, "x".repeat(5 << 20)),
        format!("{:032x};;Y;;{}\n", 3, "x".repeat(300)),
        format!("{:032x};;perhaps;;Y\n", 4),
        format!("{:032x};\0;Y;;Y\n", 5),
        format!("{:032x};;Y;\"a\"b;Y\n", 6),
    ];
    let (parsed, sink) = parse(Format::Icse, format!("{header}{good}{}{good}", bad.concat()).as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 8, rejected: 6 });
    let reasons: Vec<_> = sink.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, ["missing-hash", "too-long", "too-long", "bad-flag", "wrong-length", "bad-quotes"]);
    let (parsed, _) = parse(Format::Icse, format!("{header}{good}{:032x};;Y;\"open\n{good}", 7).as_bytes());
    assert_eq!(refusal(parsed), Some(Refusal::Truncated));
    for header in
        ["", "MD5;Name\n", "Is distributed;Baseline\n", "MD5;SHA-1;sha1;Baseline\n", "MD5;Baseline;baseline\n"]
    {
        assert_eq!(refusal(parse(Format::Icse, format!("{header}{good}").as_bytes()).0), Some(Refusal::NotAList));
        assert_ne!(detect(header.as_bytes()), Some(Format::Icse), "{header}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let open = "[".repeat(1 << 20);
    for list in [
        format!(r##"{{"odata.metadata":"x#Media","value":[{{"Tags":{open}"##),
        format!(r##"{{"odata.metadata":"x#Media","value":{open}"##),
        format!(r##"{{"x":{open}"##),
    ] {
        for format in [Format::Vics, Format::Caid] {
            assert_eq!(refusal(parse(format, list.as_bytes()).0), Some(Refusal::Limit));
        }
    }
}

#[test]
fn hostile_bundles_are_bounded() {
    let bundle = |objects: &str| format!(r#"{{"type":"bundle","objects":[{objects}]}}"#);
    let file = |md5: &str| format!(r#"{{"type":"file","hashes":{{"MD5":"{md5}"}}}}"#);
    let good = file(&format!("{:032x}", 1));
    let deep = "[".repeat(100_000);
    let deep_objects = r#"{"a":"#.repeat(100_000);
    for inside in [&deep, &deep_objects] {
        for list in [
            format!(r#"{{"x":{inside}"#),
            bundle(inside),
            bundle(&format!(r#"{{"type":"file","hashes":{inside}"#)),
            bundle(&format!(r#"{{"type":"observed-data","objects":{inside}"#)),
        ] {
            assert_eq!(refusal(parse(Format::Stix, list.as_bytes()).0), Some(Refusal::Limit));
        }
    }
    // A pattern may nest as it likes: nothing follows it.
    let pattern =
        format!(r#"{{"type":"indicator","pattern":"{}[file:hashes.MD5 = '{:032x}']"}}"#, "(".repeat(100_000), 2);
    let huge = file(&"0".repeat(17 << 20));
    let many = (0..1000).map(|i| format!("'{i:032x}'")).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"type":"indicator","pattern":"[file:hashes.MD5 IN ({many})]"}}"#);
    let nul = file("\0");
    let half = r#"{"type":"file","name":"\uD800","hashes":{"MD5":"\uDC00"}}"#;
    let list = bundle(&[&good, &pattern, &huge, &many, &nul, half, &good].map(|object| object.to_owned()).join(","));
    let (parsed, sink) = parse(Format::Stix, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 7, rejected: 4 });
    let rejected: Vec<_> = sink.rejected.iter().map(|rejected| (rejected.record, rejected.reason)).collect();
    assert_eq!(rejected, [(3, "too-long"), (4, "too-many-values"), (5, "wrong-length"), (6, "wrong-length")]);
    let huge_key = format!(r#"{{"type":"bundle","{}":1}}"#, "x".repeat(17 << 20));
    assert_eq!(refusal(parse(Format::Stix, huge_key.as_bytes()).0), Some(Refusal::Limit));
    for list in [r#"[{"type":"bundle"}]"#, "", "5", r#"{"type":["bundle"]}"#] {
        assert_eq!(refusal(parse(Format::Stix, list.as_bytes()).0), Some(Refusal::NotAList), "{list}");
    }
}

#[test]
fn hostile_events_are_bounded() {
    let attribute = |md5: &str| format!(r#"{{"type":"md5","value":"{md5}"}}"#);
    let good = attribute(&format!("{:032x}", 1));
    let event =
        |attributes: &str, objects: &str| format!(r#"{{"Event":{{"Attribute":[{attributes}],"Object":[{objects}]}}}}"#);
    for inside in ["[", r#"{"a":"#, r#"{"response":"#, r#"{"Event":"#, r#"{"Attribute":["#, r#"{"Object":["#] {
        let inside = inside.repeat(100_000);
        for list in [
            inside.clone(),
            format!(r#"{{"Event":{inside}"#),
            event(&inside, ""),
            event("", &inside),
            event("", &format!(r#"{{"Attribute":{inside}"#)),
            event("", &format!(r#"{{"Attribute":[{inside}"#)),
        ] {
            let why = refusal(parse(Format::Misp, list.as_bytes()).0);
            assert_eq!(why, Some(Refusal::Limit), "{}", &list[..60]);
        }
    }
    let huge = "0".repeat(17 << 20);
    let object = |inside: &str| format!(r#"{{"Attribute":[{good}],"name":"file"{inside}}}"#);
    let attributes =
        [&good, &attribute(&huge), &attribute("\0"), &attribute("\\uD800"), &good].map(String::as_str).join(",");
    let objects = [object(""), object(&format!(r#","x":"{huge}""#)), object("")].join(",");
    // What is beside the attributes may be as large as it likes.
    let list = event(&attributes, &objects).replacen("{", &format!(r#"{{"EventReport":"{huge}","#), 1);
    let (parsed, sink) = parse(Format::Misp, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 8, rejected: 4 });
    let rejected: Vec<_> = sink.rejected.iter().map(|rejected| (rejected.record, rejected.reason)).collect();
    assert_eq!(rejected, [(2, "too-long"), (3, "wrong-length"), (4, "wrong-length"), (7, "too-long")]);
    // An event that is wrapped too deep to be looked into is not passed over beside another.
    let deep = format!(r#"[{},[{{"response":[{}]}}]]"#, event(&good, ""), event(&good, ""));
    assert_eq!(refusal(parse(Format::Misp, deep.as_bytes()).0), Some(Refusal::Limit));
    for list in ["[]", "{}", "", "5", r#"{"Event":5}"#, r#"{"Event":[]}"#] {
        assert_eq!(refusal(parse(Format::Misp, list.as_bytes()).0), Some(Refusal::NotAList), "{list}");
    }
}

/// A DFXML list with `inside` in its root.
fn dfxml(inside: &str) -> String {
    format!("<dfxml>{inside}</dfxml>")
}

/// A file object with a digest, and `inside`.
fn file_object(inside: &str) -> String {
    format!("<fileobject>{inside}<hashdigest type='md5'>{:032x}</hashdigest></fileobject>", 1)
}

#[test]
fn a_cut_dfxml_list_is_never_taken_for_a_whole_one() {
    for sample in ["inside.xml", "fiwalk-latin1.xml"] {
        let list = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dfxml").join(sample)).unwrap();
        let whole = list.trim_ascii_end();
        for length in 1..whole.len() {
            let why = refusal(parse(Format::Dfxml, &whole[..length]).0);
            assert!(why == Some(Refusal::Truncated), "{sample} cut at {length}: {why:?}");
        }
    }
    assert_eq!(refusal(parse(Format::Dfxml, b" \n").0), Some(Refusal::NotAList));
}

#[test]
fn entities_are_never_expanded_and_nothing_else_is_opened() {
    let lol = r#"<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">"#;
    for subset in
        [lol, r#"<!ENTITY x SYSTEM "file:///etc/passwd">"#, r#"<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;"#]
    {
        let list = format!("<!DOCTYPE dfxml [{subset}]>{}", dfxml(&file_object("<filename>&x;</filename>")));
        assert_eq!(refusal(parse(Format::Dfxml, list.as_bytes()).0), Some(Refusal::Entities));
    }
    for place in ["<filename>&x;</filename>", "&x;", "<filename>&#x;</filename>&x;"] {
        let list = format!("<!DOCTYPE dfxml SYSTEM 'http://127.0.0.1/x.dtd'>{}", dfxml(&file_object(place)));
        assert_eq!(refusal(parse(Format::Dfxml, list.as_bytes()).0), Some(Refusal::Corrupt), "{place}");
    }
    // An entity in an attribute is no kind that anybody knows.
    let list = dfxml(&(file_object("") + "<fileobject><hashdigest type='&x;'>00</hashdigest></fileobject>"));
    let (parsed, sink) = parse(Format::Dfxml, list.as_bytes());
    assert_eq!((parsed.unwrap().records, sink.unsupported.get("&x;")), (1, Some(&1)));
}

#[test]
fn xml_is_bounded_in_depth_and_size() {
    for name in ["x", "fileobject", "hashdigest"] {
        let list = format!("<dfxml>{}", format!("<{name}>").repeat(100_000));
        let parsed = parse(Format::Dfxml, list.as_bytes()).0;
        assert_eq!(refusal(parsed), Some(Refusal::Limit), "{name}");
    }
    let huge = "x".repeat(17 << 20);
    for inside in [
        format!("<x>{huge}</x>"),
        format!("<x {huge}='1'/>"),
        format!("<!--{huge}-->"),
        format!("<?{huge}?>"),
        format!("<![CDATA[{huge}]]>"),
        format!("&{huge};"),
        format!("<{huge}/>"),
    ] {
        assert_eq!(
            refusal(parse(Format::Dfxml, dfxml(&inside).as_bytes()).0),
            Some(Refusal::Limit),
            "{}",
            &inside[..9]
        );
        // The same without an end to it.
        let cut = &dfxml(&inside)[..17 << 20];
        assert_eq!(refusal(parse(Format::Dfxml, cut.as_bytes()).0), Some(Refusal::Limit), "{}", &inside[..9]);
    }
    // Names that are wrong are not repeated in full.
    let name = "x".repeat(1 << 20);
    for inside in [format!("<{name}></{name}x>"), format!("</{name}>"), "<a></b>".to_owned(), "<a x='1></a>".to_owned()]
    {
        let error = parse(Format::Dfxml, format!("{}<y/>", dfxml(&inside)).as_bytes()).0.unwrap_err();
        assert!(matches!(error.refusal(), Some(Refusal::Corrupt | Refusal::Truncated)), "{error}");
        assert!(error.to_string().len() < 400, "{} characters", error.to_string().len());
    }
    // Between the limits of a record and of a tag, only the record is at fault; parts of one text count together.
    let large = "x".repeat(600 << 10);
    for name in [format!("{large}{large}"), format!("{large}&amp;{large}"), format!("{large}<!-- -->{large}")] {
        let list = dfxml(&(file_object("") + &file_object(&format!("<filename>{name}</filename>")) + &file_object("")));
        let (parsed, sink) = parse(Format::Dfxml, list.as_bytes());
        assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 1 });
        assert_eq!((sink.rejected[0].record, sink.rejected[0].reason), (2, "too-long"));
    }
}

#[test]
fn a_file_object_holds_a_bounded_number_of_values_and_attributes_take_linear_time() {
    let digest = |i: u32| format!("<hashdigest type='md5'>{i:032x}</hashdigest>");
    let foreign = |i: u32| format!("<hashdigest type='x{i}'>00</hashdigest>");
    let attributes: String = (0..200_000).map(|i| format!(" a{i}=''")).collect();
    let list = dfxml(
        &[
            file_object(""),
            file_object(&(1..1000).map(digest).collect::<String>()),
            file_object(&(0..100_000).map(foreign).collect::<String>()),
            file_object(&format!("<hashdigest{attributes} type='md5'>{:032x}</hashdigest>", 2)),
        ]
        .concat(),
    );
    let (parsed, sink) = parse(Format::Dfxml, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 4, rejected: 1 });
    assert_eq!((sink.rejected[0].record, sink.rejected[0].reason), (2, "too-many-values"));
    assert!(sink.unsupported.len() < 100);
    assert_eq!(sink.distinct.len(), 2);
}

#[test]
fn nul_bytes_and_half_surrogates_stay_in_their_record() {
    let list = dfxml(
        &[
            file_object("<filename>a\0b&#0;&#xDC00;&#99999999999;</filename>"),
            format!("<fileobject><hashdigest type='md5'>\0{:031x}</hashdigest></fileobject>", 1),
            format!("<fileobject><hashdigest type='md5'>&#xD800;{:031x}</hashdigest></fileobject>", 1),
        ]
        .concat(),
    );
    let (parsed, sink) = parse(Format::Dfxml, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 2 });
    assert_eq!(sink.said[0].1.name.as_deref(), Some("a\0b\u{FFFD}\u{FFFD}\u{FFFD}".as_bytes()));
}

#[test]
fn one_record_holds_a_bounded_number_of_values_and_foreign_kinds() {
    let hash = |i: u32| format!(r#"{{"HashName":"MD5","HashValue":"{i:032x}"}}"#);
    let hashes = (0..1000).map(hash).collect::<Vec<_>>().join(",");
    let list = format!(
        r##"{{"odata.metadata":"x#Media","value":[{{"MD5":"{:032x}"}},{{"AlternativeHashes":[{hashes}]}}]}}"##,
        1
    );
    let (parsed, sink) = parse(Format::Vics, list.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 2, rejected: 1 });
    assert_eq!(sink.rejected[0].reason, "too-many-values");
    // Beside a hash that can be read, one that cannot is not passed over; one that is not there is.
    for (hash, rejected) in [("5", 1), ("[]", 1), ("null", 0), ("\"\"", 0)] {
        let hash = format!(r#"{{"HashName":"PhotoDNA","HashValue":{hash}}}"#);
        let list = format!(
            r##"{{"odata.metadata":"x#Media","value":[{{"MD5":"{:032x}"}},{{"MD5":"{:032x}","AlternativeHashes":[{hash}]}}]}}"##,
            1, 2
        );
        let (parsed, sink) = parse(Format::Vics, list.as_bytes());
        assert_eq!(parsed.unwrap(), Parsed { records: 2, rejected }, "{hash}");
        assert!(sink.rejected.iter().all(|rejected| rejected.reason == "wrong-type"));
    }
    let text: String = (0..1000).map(|i| format!("H{i} (x) = 00112233\n")).collect();
    let (parsed, sink) = parse(Format::Sum, text.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 0, rejected: 0 });
    assert!(sink.unsupported.len() < 100 && sink.unsupported.values().sum::<u64>() == 1000);
}

#[test]
fn a_file_of_rubbish_is_refused_early() {
    let rubbish = "this is no list\n".repeat(1_000_000);
    let (parsed, sink) = parse(Format::Sum, rubbish.as_bytes());
    assert_eq!(refusal(parsed), Some(Refusal::NotAList));
    assert!(sink.rejected.len() < 1000);
}

#[test]
fn hostile_links_are_rejected_one_by_one() {
    let topics = |count: u32, topic: &dyn Fn(u32) -> String| {
        "magnet:?".to_owned() + &(0..count).map(|i| format!("xt={}", topic(i))).collect::<Vec<_>>().join("&")
    };
    let values = |i: u32| format!("urn:ed2k:{i:032x}");
    let foreign = |i: u32| format!("urn:x{i}:00");
    let good = format!("urn:ed2k:{:032x}", 1);
    for (link, reason) in [
        (topics(257, &values), "too-many-values"),
        (topics(257, &foreign), "too-many-values"),
        (format!("magnet:?dn={}", "%41".repeat(1 << 20)), "too-long"),
        (format!("magnet:?dn={}", "%".repeat(1 << 19)), "missing-hash"),
        ("magnet:?".to_owned(), "missing-hash"),
        ("magnet:?xt=".to_owned(), "bad-link"),
        ("magnet:?xt=urn%3Ased2k".to_owned(), "bad-link"),
        (format!("magnet:?xt={good}&xt=urn:sha1:%00%ff"), "wrong-length"),
        ("ed2k://".to_owned(), "bad-link"),
        ("ed2k://%7".to_owned(), "bad-link"),
        ("ed2k://%7Cfile%7C".to_owned(), "bad-link"),
        ("ed2k://|file|a|1".to_owned(), "missing-hash"),
        (format!("ed2k://|file|a|-1|{:032x}|/", 1), "bad-link"),
        (format!("ed2k://|file|a|{}x|{:032x}|/", "9".repeat(1 << 10), 1), "bad-link"),
        ("urn:".to_owned(), "bad-link"),
        ("urn:sha1".to_owned(), "bad-link"),
        (format!("urn:{}:a", "a".repeat(33)), "bad-link"),
        ("urn:x1:two words".to_owned(), "bad-link"),
        ("urn:tree:tiger:".to_owned(), "missing-hash"),
        ("urn:bitprint:.".to_owned(), "missing-hash"),
        (format!("urn:sha1:{}", "=".repeat(1 << 10)), "wrong-length"),
        (format!("urn:sha1:{}", "\u{e9}".repeat(16)), "bad-base32"),
        // The last character of a Tiger tree hash holds two bits only.
        (format!("urn:tree:tiger:{}B", "A".repeat(38)), "bad-base32"),
    ] {
        let (parsed, sink) = parse(Format::P2p, format!("{good}\n{link}\n{good}").as_bytes());
        assert_eq!(parsed.unwrap(), Parsed { records: 3, rejected: 1 }, "{}", &link[..link.len().min(80)]);
        assert_eq!((sink.rejected[0].line, sink.rejected[0].reason), (Some(2), reason), "{:?}", sink.rejected[0]);
    }
    let text: String = (0..1000).map(|i| foreign(i) + "\n").collect();
    let (parsed, sink) = parse(Format::P2p, text.as_bytes());
    assert_eq!(parsed.unwrap(), Parsed { records: 0, rejected: 0 });
    assert!(sink.unsupported.len() < 100 && sink.unsupported.values().sum::<u64>() == 1000);
    let (parsed, _) = parse(Format::P2p, "https://example.org\n".repeat(1_000_000).as_bytes());
    assert_eq!(refusal(parsed), Some(Refusal::NotAList));
}

#[test]
fn a_late_context_needs_a_file() {
    let list = br##"{"value":[],"odata.metadata":"x#Media"}"##;
    assert_eq!(refusal(parse(Format::Vics, list).0), Some(Refusal::ContextIsLate));
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, expected) in [
        (&list[..], None),
        (br##"{"value":[{]}}"##, Some(Refusal::NotAList)),
        (br##"{"value":[{}],"odata.metadata":"x#Media","##, Some(Refusal::Truncated)),
        (br##"{"odata.metadata":"x#Media","value":[],"@odata.context":"x#Cases"}"##, Some(Refusal::NotAList)),
        (br##"{"odata.metadata":"x#Media","value":[],"value":[]}"##, Some(Refusal::NotAList)),
    ] {
        fs::write(file.path(), text).unwrap();
        let mut sink = Collector::new();
        let options = ParseOptions::default();
        let parsed = parse_file(file.path(), Some(Format::Vics), &options, &Limits::default(), &mut sink);
        assert_eq!(parsed.as_ref().err().and_then(FormatError::refusal), expected, "{parsed:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = detect(&bytes);
        let _ = unfold(&bytes, &Limits::default());
        for format in Format::ALL {
            let _ = parse(format, &bytes);
        }
    }

    #[test]
    fn spliced_samples_never_panic(cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let samples = own_samples();
        let mut bytes = Vec::new();
        for (sample, length, extra) in cuts {
            let text = &sample.get(&samples).1;
            bytes.extend_from_slice(&text[..length.index(text.len() + 1)]);
            bytes.push(extra);
        }
        for format in Format::ALL {
            let _ = parse(format, &bytes);
        }
    }
}
