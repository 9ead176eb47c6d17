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
    let options = ParseOptions { kind: Some(Kind::Md5), columns: Vec::new() };
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
            let format = detect(cut)
                .into_iter()
                .chain(Format::ALL.into_iter().take(usize::from(length % 16 == 0) * Format::ALL.len()));
            for format in format {
                let (parsed, sink) = parse(format, cut);
                if let Ok(parsed) = parsed {
                    assert_eq!(parsed.rejected, sink.rejected.len() as u64, "{} cut at {length}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_cut_vics_list_is_never_taken_for_a_whole_one() {
    let list = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vics/cases.json")).unwrap();
    let whole = list.trim_ascii_end();
    for length in 1..whole.len() {
        let why = refusal(parse(Format::Vics, &whole[..length]).0);
        assert!(why == Some(Refusal::Truncated), "cut at {length}: {why:?}");
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
fn deep_nesting_is_refused() {
    let open = "[".repeat(1 << 20);
    for list in [
        format!(r##"{{"odata.metadata":"x#Media","value":[{{"Tags":{open}"##),
        format!(r##"{{"odata.metadata":"x#Media","value":{open}"##),
        format!(r##"{{"x":{open}"##),
    ] {
        assert_eq!(refusal(parse(Format::Vics, list.as_bytes()).0), Some(Refusal::Limit));
    }
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
