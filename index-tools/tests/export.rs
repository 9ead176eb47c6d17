//! What is exported reads back as what was there: the same fingerprints with the same labels.

mod program;

use std::collections::{BTreeMap, BTreeSet};

use hashward::fingerprint::{Encoding, Fingerprint, Kind, hash_bytes};
use hashward::index::sealed::{SegmentReader, SegmentWriter, WriteOptions};
use hashward::list::{Category, Entry, Flag, Flags, Label, Role, Roles, Source};
use hashward::records::{RecordsReader, StoredRecord};
use hashward::segment::LabelTable;
use hashward::store::command::{Command, IncomingSegment, Outcome};
use hashward::store::{Incoming, Publish, Store, StoreOptions};
use program::{Folder, hex_list, md5};
use proptest::prelude::*;
use serde_json::Value;

/// What a list says of each fingerprint.
type Says = BTreeMap<Fingerprint, BTreeSet<(Option<Category>, Flags)>>;

fn store(folder: &Folder) -> Store {
    if !folder.data().exists() {
        drop(Store::open(&folder.data(), StoreOptions { create: true, serve: false, ..StoreOptions::default() }));
    }
    folder.store(false)
}

/// What stands in the segments of a file list's version, or in a feed list's entries.
fn says(folder: &Folder, list: &str) -> Says {
    let store = store(folder);
    let list: hashward::list::ListName = list.parse().unwrap();
    let Ok(Outcome::Contents(contents)) = store.execute(Command::Contents { list: list.clone(), version: None }) else {
        panic!()
    };
    let mut says = Says::new();
    for (kind, path) in &contents.segments {
        let mut reader = SegmentReader::open(folder.data().join(path)).unwrap();
        let labels = reader.labels().clone();
        while let Some((value, _, set)) = reader.next().unwrap() {
            let said = says.entry(Fingerprint::new(*kind, value).unwrap()).or_default();
            said.extend(labels.set(set).map(|label| (label.category.clone(), label.flags)));
        }
    }
    if contents.segments.is_empty() {
        let Ok(Outcome::Entries(page)) = store.execute(Command::Entries { list, after: None }) else { panic!() };
        assert!(!page.more);
        for entry in page.items {
            for fingerprint in entry.fingerprints {
                says.entry(fingerprint).or_default().insert((entry.category.clone(), entry.flags));
            }
        }
    }
    says
}

/// One record of a version.
type Whole = (BTreeSet<Fingerprint>, Option<Category>, Flags, Option<String>);

/// The records of a file list's version.
fn records(folder: &Folder, list: &str) -> Vec<Whole> {
    let command = Command::Contents { list: list.parse().unwrap(), version: None };
    let Ok(Outcome::Contents(contents)) = store(folder).execute(command) else { panic!() };
    let mut found = Vec::new();
    for path in &contents.records {
        for record in RecordsReader::open(folder.data().join(path)).unwrap().iter() {
            let StoredRecord { fingerprints, category, flags, attributes } = record.unwrap();
            found.push((fingerprints.into_iter().collect(), category, flags, attributes.get("name").cloned()));
        }
    }
    found.sort();
    found
}

/// Exports a list and imports that as another one.
fn round_trip(folder: &Folder, list: &str, format: &str, more: &[&str]) -> Says {
    let file = format!("{list}.{format}");
    folder.run(&[&["export", list, "--format", format, "-o", &file], more].concat()).done();
    let options = ["--role", "watch", "--all-categories", "--max-bad", "0", "--format", format];
    let kind = if format == "sum" { more } else { &[] };
    folder.run(&[&["import", "again", &file], &options[..], kind].concat()).done();
    says(folder, "again")
}

/// One made-up entry: which hashes of which made-up file, and what is said of it.
#[derive(Clone, Debug)]
struct Made {
    files: Vec<(usize, u8)>,
    category: Option<String>,
    flags: Flags,
    name: Option<String>,
}

const KINDS: [Kind; 5] = [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Pdq, Kind::PhotoDna];

fn fingerprint(kind: Kind, number: u8) -> Fingerprint {
    let seed = hash_bytes(Kind::Sha512, &[number]);
    Fingerprint::new(kind, &seed.value().repeat(3)[..kind.width()]).unwrap()
}

impl Made {
    fn fingerprints(&self) -> Vec<Fingerprint> {
        let all = self.files.iter().map(|(kind, number)| fingerprint(KINDS[*kind], *number));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// With the scheme `US`, as a context would say it.
    fn category(&self) -> Option<Category> {
        self.category.as_ref().map(|code| Category::new(Some("US"), code))
    }
}

fn any_made() -> impl Strategy<Value = Made> {
    let files = proptest::collection::vec((0..KINDS.len(), 0..12u8), 1..4);
    let category = proptest::option::of(prop_oneof!["[0-3]", "0[12]", "[a\",:;é]{1,3}"]);
    let flags = proptest::sample::subsequence(Flag::ALL.to_vec(), 0..=2);
    let name = proptest::option::of("[a \\\\\r\n\",é=+]{1,6}");
    (files, category, flags, name).prop_map(|(files, category, flags, name)| {
        let flags = flags.into_iter().fold(Flags::NONE, |flags, flag| flags.with(flag, true));
        Made { files, category, flags, name }
    })
}

/// A VICS list of the entries.
fn vics(made: &[Made]) -> String {
    let medium = |made: &Made| {
        let hashes = made.fingerprints().into_iter().map(|fingerprint| {
            let base64 = fingerprint.kind() == Kind::PhotoDna;
            let encoding = if base64 { Encoding::Base64 } else { Encoding::Hex };
            let value = encoding.encode(fingerprint.value());
            serde_json::json!({"HashName": fingerprint.kind().name(), "HashValue": value})
        });
        serde_json::json!({
            "Category": made.category,
            "IsPrecategorized": made.flags.has(Flag::Precategorized),
            "VictimIdentified": made.flags.has(Flag::VictimIdentified),
            "OffenderIdentified": made.flags.has(Flag::OffenderIdentified),
            "IsDistributed": made.flags.has(Flag::Distributed),
            "AlternativeHashes": hashes.collect::<Vec<_>>(),
            "MediaFiles": [{"FileName": made.name}],
        })
    };
    let context = "http://example.org/DataModels/2.0.xml/US/$metadata#Media";
    serde_json::json!({"@odata.context": context, "value": made.iter().map(medium).collect::<Vec<_>>()}).to_string()
}

/// Each case starts the program many times.
fn few_cases() -> ProptestConfig {
    ProptestConfig { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few_cases())]
    #[test]
    fn a_file_list_reads_back(
        made in proptest::collection::vec(any_made(), 1..12),
        withdrawn in proptest::sample::subsequence((0..12u8).collect::<Vec<_>>(), 0..3),
    ) {
        let folder = Folder::new();
        folder.write("list.json", vics(&made));
        let options = ["--role", "watch", "--all-categories", "--max-bad", "0"];
        folder.run(&[&["import", "region", "list.json"], &options[..]].concat()).done();
        let mut expected = Says::new();
        for made in &made {
            for fingerprint in made.fingerprints() {
                expected.entry(fingerprint).or_default().insert((made.category(), made.flags));
            }
        }
        prop_assert_eq!(&says(&folder, "region"), &expected);
        let withdrawn: Vec<_> = withdrawn.iter().map(|number| fingerprint(Kind::Md5, *number)).collect();
        let withdrawn: Vec<_> = withdrawn.into_iter().filter(|gone| expected.remove(gone).is_some()).collect();
        if !withdrawn.is_empty() {
            let hashes: Vec<_> = withdrawn.iter().map(Fingerprint::to_string).collect();
            let hashes: Vec<_> = hashes.iter().map(String::as_str).collect();
            folder.run(&[&["withdraw", "region"], &hashes[..]].concat()).done();
        }
        if expected.is_empty() {
            return Ok(());
        }
        let mut whole = records(&folder, "region");
        for (fingerprints, ..) in &mut whole {
            fingerprints.retain(|fingerprint| !withdrawn.contains(fingerprint));
        }
        whole.retain(|(fingerprints, ..)| !fingerprints.is_empty());
        whole.sort();
        for format in ["csv", "vics"] {
            prop_assert_eq!(&round_trip(&folder, "region", format, &[]), &expected, "{}", format);
            let found = records(&folder, "again");
            // CSV has a row for each of several values of a kind.
            let names = |whole: &[Whole]| whole.iter().map(|(.., name)| name.clone()).collect::<BTreeSet<_>>();
            prop_assert_eq!(names(&found), names(&whole));
            prop_assert!(format == "csv" || found == whole);
        }
        let kind = expected.keys().next().unwrap().kind();
        let of_kind: BTreeSet<_> = expected.into_keys().filter(|fingerprint| fingerprint.kind() == kind).collect();
        let found = round_trip(&folder, "region", "sum", &["--kind", kind.name()]);
        prop_assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), of_kind, "sum of {}", kind);
    }

    #[test]
    fn a_feed_list_reads_back(made in proptest::collection::vec(any_made(), 1..12)) {
        let folder = Folder::new();
        let entry = |(number, made): (usize, &Made)| Entry {
            source_id: number.to_string(),
            fingerprints: made.fingerprints(),
            category: made.category(),
            flags: made.flags,
            attributes: made.name.iter().map(|name| ("name".to_owned(), name.clone())).collect(),
            ..Entry::default()
        };
        let entries = made.iter().enumerate().map(entry).collect();
        let add = Command::Add { list: "feed".parse().unwrap(), role: Some(Role::Watch), entries };
        store(&folder).execute(add).unwrap();
        let expected = says(&folder, "feed");
        for format in ["csv", "vics"] {
            prop_assert_eq!(&round_trip(&folder, "feed", format, &[]), &expected, "{}", format);
        }
    }
}

#[test]
fn a_version_without_records_is_exported_label_by_label() {
    let folder = Folder::new();
    let list: hashward::list::ListName = "old".parse().unwrap();
    {
        let store = store(&folder);
        let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: list.clone() }) else {
            panic!()
        };
        let incoming = Incoming::create(&folder.data(), "old").unwrap();
        let options = WriteOptions { locator: None, applied_seq: begun.applied_seq };
        let mut writer = SegmentWriter::create(incoming.path().join("md5.seg"), Kind::Md5, options).unwrap();
        let mut labels = LabelTable::new();
        let source = Source { list: begun.list_id, version: begun.version };
        let label = |category: Option<&str>, flags| Label {
            source,
            category: category.map(|code| Category::new(Some("US"), code)),
            flags,
        };
        let plain = labels.intern_label(label(None, Flags::NONE));
        let other = labels.intern_label(label(Some("1"), Flags::NONE.with(Flag::Distributed, true)));
        let sets = [labels.intern_set(&[plain]), labels.intern_set(&[plain, other])];
        for (number, fingerprint) in (0..20).map(md5).collect::<BTreeSet<_>>().into_iter().enumerate() {
            writer.push(fingerprint.value(), sets[number % 2]).unwrap();
        }
        writer.finish(&labels).unwrap();
        let publish = Publish {
            list,
            list_id: begun.list_id,
            version: begun.version,
            base: None,
            incoming: incoming.name().to_owned(),
            segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5.seg".to_owned() }],
            records: None,
            roles: Roles::uniform(Role::Watch),
            source: "made up".to_owned(),
            adds: false,
            radii: Default::default(),
            counts: Default::default(),
        };
        store.execute(Command::Publish(publish)).unwrap();
    }
    folder.run(&["withdraw", "old", &md5(0).to_string()]).done();
    let mut expected = says(&folder, "old");
    expected.remove(&md5(0));
    for format in ["csv", "vics"] {
        assert_eq!(round_trip(&folder, "old", format, &[]), expected);
    }
    let ended = folder.run(&["export", "old", "--format", "sum", "--kind", "md5"]);
    assert!(ended.stderr.contains("the records of version 1 of old were not kept"), "{}", ended.stderr);
}

#[test]
fn what_was_withdrawn_before_stays_out() {
    let folder = Folder::new();
    let csv = |rows: &[(u32, &str, &str)]| {
        let rows = rows.iter().map(|(number, category, name)| format!("{},{category},{name}\n", md5(*number).to_hex()));
        "md5,category,name\n".to_owned() + &rows.collect::<String>()
    };
    folder.write("a.csv", csv(&[(1, "1", "one"), (2, "1", "two"), (3, "1", "three")]));
    folder.write("b.csv", csv(&[(2, "9", "two again"), (4, "1", "four")]));
    folder.run(&["import", "region", "a.csv", "--role", "watch", "--all-categories"]).done();
    folder.run(&["withdraw", "region", &md5(1).to_string(), &md5(2).to_string()]).done();
    folder.run(&["import", "region", "b.csv", "--add"]).done();
    let expected = says(&folder, "region");
    assert_eq!(expected[&md5(2)].len(), 1, "the label of the first file is gone, that of the second is there");
    assert_eq!(round_trip(&folder, "region", "csv", &[]), expected);
    // The earlier version is still what it was, without what was withdrawn from it.
    let text = folder.run(&["export", "region", "--format", "csv", "--version", "1"]).done();
    assert!(text.contains(&md5(3).to_hex()) && !text.contains(&md5(2).to_hex()), "{text}");
    folder.run(&["export", "region", "--format", "csv", "--version", "7"]).refused(1, &["no version 7", "1, 2"]);
}

#[test]
fn sum_text_is_what_checksum_tools_print() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..3));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    let text = folder.run(&["export", "debian", "--format", "sum", "--kind", "md5"]).done();
    let lines: BTreeSet<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines, (0..3).map(|number| md5(number).to_hex()).collect());
    folder.run(&["export", "debian", "--format", "sum"]).refused(2, &["--kind"]);
    folder.run(&["export", "debian", "--format", "csv", "-o", "none/x.csv"]).refused(1, &["none"]);
    folder.run(&["export", "hashward-test", "--format", "csv"]).refused(1, &["part of hashward"]);
}

#[test]
fn a_vics_file_has_one_scheme() {
    let folder = Folder::new();
    let hashes: Vec<_> = (0..4).map(|number| md5(number).to_string()).collect();
    for (hash, category) in hashes.iter().zip(["US:1", "UK:A", "7"]) {
        folder.run(&["add", "cases", hash, "--role", "illegal", "--category", category]).done();
    }
    folder.run(&["add", "cases", &hashes[3]]).done();
    let export = |scheme: &str| folder.run(&["export", "cases", "--format", "vics", "--scheme", scheme]);
    folder
        .run(&["export", "cases", "--format", "vics", "-o", "x.json"])
        .refused(1, &["one scheme", "`UK`", "--scheme"]);
    assert!(!folder.path().join("x.json").exists());
    let found: Value = serde_json::from_str(&export("UK").done()).unwrap();
    assert!(found["@odata.context"].as_str().unwrap().ends_with("/2.0.xml/UK/$metadata#Media"));
    assert_eq!(found["value"][0]["Category"], "A");
    let found: Value = serde_json::from_str(&export("US").done()).unwrap();
    assert_eq!(found["value"][0]["Category"], 1);
    let found: Value = serde_json::from_str(&export("").done()).unwrap();
    assert_eq!(found["value"].as_array().unwrap().len(), 2, "without a scheme, or without a category");
    // An address cannot hold every scheme.
    folder.run(&["add", "odd", &hashes[0], "--role", "illegal", "--category", "a/b#c:1"]).done();
    folder.run(&["export", "odd", "--format", "vics"]).refused(1, &["a/b#c", "--format csv"]);
    folder.run(&["add", "odd", &hashes[0], "--category", " 1"]).done();
    folder.run(&["export", "odd", "--format", "csv"]).refused(1, &["category", "\" 1\"", &hashes[0]]);
}
