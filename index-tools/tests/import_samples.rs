//! Sample lists through the program, from file to verdict, held against their `expected.json`: those of the project,
//! and the shared ones where they are.

mod program;

use std::collections::BTreeMap;
use std::path::Path;

use hashward::list::Category;

use program::{Ended, Folder, ask, fingerprint};
use serde_json::{Value, json};

/// Formats that can be imported.
const FORMATS: [(&str, &str); 18] = [
    ("sum", "sum"),
    ("hex", "hex"),
    ("hashdeep", "hashdeep"),
    ("csv", "csv"),
    ("tsv", "tsv"),
    ("nsrl-v2", "nsrl-v2"),
    ("nsrl-v3", "nsrl-v3"),
    ("nsrl-v3-delta", "nsrl-v3-delta"),
    ("vics", "vics"),
    ("clamav", "clamav"),
    ("hashkeeper", "hashkeeper"),
    ("encase", "encase"),
    ("icse", "icse"),
    ("dfxml", "dfxml"),
    ("caid", "caid"),
    ("stix", "stix"),
    ("misp", "misp"),
    ("p2p", "p2p"),
];

#[test]
fn own_samples_are_imported_as_expected() {
    let checked = check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert!(checked >= Some(15), "{checked:?} samples");
}

#[test]
fn shared_samples_are_imported_as_expected() {
    match check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists")) {
        Some(checked) => assert!(checked >= 25, "only {checked} samples"),
        None => println!("skipped: ../shared/testdata is not here"),
    }
}

/// The shared samples as somebody meets them who knows no option but the list's role: what each refusal asks for, one
/// after the other, and how it ends, if not in an import.
const FIRST_TRIES: [(&str, &[&str], Option<&str>); 52] = [
    ("caid/nist.json", &["--all-categories"], None),
    ("clamav/set.hdb", &[], None),
    ("clamav/set.hsb", &[], None),
    ("csv/generic.csv", &[], None),
    ("csv/generic.tsv", &[], None),
    ("csv/mapped.csv", &["--format", "--column"], None),
    ("csv/quoted-newlines.csv", &[], None),
    ("dfxml/files.xml", &[], None),
    ("encase/set.hash", &[], None),
    ("fatal/corrupt.db", &[], Some("corrupt: expected a sound SQLite database")),
    ("fatal/not-a-list.bin", &[], Some("name it with --format")),
    ("fatal/truncated.xml", &[], Some("truncated: expected the rest of the XML text")),
    ("fatal/wrong-magic.hash", &[], Some("wrong-magic: expected `HASH")),
    ("hashdeep/audit.txt", &[], None),
    ("hashkeeper/set.hke", &[], Some("the .hsh file holds the hashes")),
    ("hashkeeper/set.hsh", &[], None),
    ("hex/lower.txt", &["--kind"], None),
    ("hex/upper-comments.txt", &["--kind"], None),
    ("icse/list.csv", &["--all-categories"], None),
    ("misp/event.json", &[], None),
    ("ncmec/page1.xml", &[], Some("nothing that looks like one of them")),
    ("ncmec/page2.xml", &[], Some("nothing that looks like one of them")),
    ("ncmec/page3.xml", &[], Some("nothing that looks like one of them")),
    ("ncmec/page4.xml", &[], Some("nothing that looks like one of them")),
    ("nsrl-v2/NSRLFile.txt", &[], None),
    ("nsrl-v2/NSRLFile.txt.zip", &[], None),
    ("nsrl-v2/NSRLProd.txt", &[], Some("nothing that looks like one of them")),
    ("nsrl-v2/no-crc/NSRLFile.txt", &[], None),
    ("nsrl-v3/delta.sql", &["--base"], None),
    ("nsrl-v3/full.db", &[], None),
    ("nsrl-v3/minimal.db", &[], None),
    ("p2p/links.txt", &[], None),
    ("stix/bundle.json", &[], None),
    ("stopncii/page1.json", &[], Some("nothing that looks like one of them")),
    ("stopncii/page2.json", &[], Some("nothing that looks like one of them")),
    ("stopncii/page3.json", &[], Some("nothing that looks like one of them")),
    ("sum/bad-rows.md5", &[], None),
    ("sum/binary-marker.md5", &[], None),
    ("sum/bom.md5", &[], None),
    ("sum/bsd.txt", &[], None),
    ("sum/crlf.md5", &[], None),
    ("sum/escaped.md5", &[], None),
    ("sum/gnu.md5", &[], None),
    ("sum/gnu.sha1", &[], None),
    ("sum/gnu.sha256", &[], None),
    ("threatexchange/page1.json", &[], Some("nothing that looks like one of them")),
    ("vics/cases-2.0.json", &["--all-categories"], None),
    ("vics/media-1.3.json", &["--all-categories"], None),
    ("vics/media-2.0-bom-strings.json", &["--all-categories"], None),
    ("vics/media-2.0.json", &["--all-categories"], None),
    ("vics/single-line-20k.json.gz", &["--all-categories"], None),
    ("vics/truncated.json", &[], Some("truncated: expected the rest of the JSON text")),
];

/// Options that a refusal may ask for, but for the one that is an alternative to another.
const ASKED_FOR: [&str; 5] = ["--kind", "--column", "--all-categories", "--base", "--format"];

#[test]
fn a_newcomer_is_told_exactly_what_is_missing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists");
    let Some(samples) = samples(&folder) else {
        println!("skipped: ../shared/testdata is not here");
        return;
    };
    // What a feed's pages come to together is no file.
    let files: Vec<_> = samples.keys().filter(|path| !path.ends_with('/')).collect();
    let tried: Vec<_> = FIRST_TRIES.iter().map(|(path, ..)| *path).collect();
    assert_eq!(files, tried);
    let keeper = Folder::new();
    for (number, (path, asked, refused)) in FIRST_TRIES.iter().enumerate() {
        let expected = &samples[*path];
        let (list, file) = (format!("list-{number}"), folder.join(path));
        let mut arguments =
            ["import", &list, file.to_str().unwrap(), "--report", "json", "--role"].map(str::to_owned).to_vec();
        arguments.push(expected["role"].as_str().unwrap_or("watch").to_owned());
        for option in *asked {
            let ended = keeper.run(&arguments.iter().map(|argument| &**argument).collect::<Vec<_>>());
            assert_eq!(ended.code, 1, "{path} without {option}: {}", ended.stderr);
            let is_asked =
                |option: &&str| ended.stderr.contains(option) && !arguments.iter().any(|given| given == option);
            let named: Vec<_> = ASKED_FOR.into_iter().filter(is_asked).collect();
            assert_eq!(named, [*option], "{path}: {}", ended.stderr);
            arguments.extend(given(option, &folder, expected));
        }
        let ended = keeper.run(&arguments.iter().map(|argument| &**argument).collect::<Vec<_>>());
        match refused {
            None => check_report(path, &ended.json(), expected),
            Some(words) => ended.refused(1, &[words]),
        }
    }
    let imported = FIRST_TRIES.iter().filter(|(_, _, refused)| refused.is_none()).count();
    // Two lists are built in.
    assert_eq!(keeper.lists().len(), imported + 2);
}

/// The option with what the sample's `expected.json` has for it.
fn given(option: &str, folder: &Path, expected: &Value) -> Vec<String> {
    let with = |value: &str| vec![option.to_owned(), value.to_owned()];
    match option {
        "--kind" => with(expected["kind"].as_str().unwrap()),
        "--base" => with(folder.join(expected["base"].as_str().unwrap()).to_str().unwrap()),
        "--format" => with(expected["format"].as_str().unwrap()),
        "--column" => {
            let columns = expected["columns"].as_object().unwrap().iter();
            columns.flat_map(|(field, header)| with(&format!("{field}={}", header.as_str().unwrap()))).collect()
        }
        _ => vec![option.to_owned()],
    }
}

#[test]
fn a_delta_replaces_the_list_that_its_base_made() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/lists");
    let Some(samples) = samples(&folder) else {
        println!("skipped: ../shared/testdata is not here");
        return;
    };
    let keeper = Folder::new();
    let [base, delta] =
        ["nsrl-v3/minimal.db", "nsrl-v3/delta.sql"].map(|path| folder.join(path).to_str().unwrap().to_owned());
    keeper.run(&["import", "nsrl", &base, "--role", "ignorable"]).done();
    let apply = ["import", "nsrl", &delta, "--base", &base, "--report", "json"];
    let report = keeper.run(&apply).json();
    for counts in ["added", "removed", "accepted"] {
        assert_eq!(report[counts], samples["nsrl-v3/delta.sql"][counts], "{counts}");
    }
    assert_eq!(report["version"], json!(2));
    assert_eq!(keeper.run(&apply).json()["unchanged"], json!(true));
    // Another base is another source, and this one is refused since it is no minimal set.
    let full = folder.join("nsrl-v3/full.db");
    let refused = keeper.run(&["import", "nsrl", &delta, "--base", full.to_str().unwrap()]);
    refused.refused(1, &["wrong-base", "minimal set"]);
    keeper.run(&["import", "nsrl", &base, "--base", &base]).refused(1, &["leave --base away"]);
    keeper.run(&["import", "nsrl", &delta, &delta, "--base", &base]).refused(1, &["expected one delta", "2 files"]);
    // What a delta removes must go.
    keeper.run(&["import", "nsrl", &delta, "--base", &base, "--add"]).refused(2, &["cannot be used with"]);
}

/// What is expected of each sample of `folder`, by its path. `None` if there is none.
fn samples(folder: &Path) -> Option<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(folder.join("expected.json")).ok()?;
    Some(serde_json::from_str(&text).expect("expected.json is an object by path"))
}

/// Imports every sample of `folder` into one store, each as a list of its own. `None` if there is none.
fn check_all(folder: &Path) -> Option<usize> {
    let samples = samples(folder)?;
    let keeper = Folder::new();
    let mut imported = Vec::new();
    let mut checked = 0;
    for (number, (path, expected)) in samples.iter().enumerate() {
        let format = FORMATS.iter().find(|(name, _)| expected["format"] == *name);
        let Some((_, format)) = format.filter(|_| expected.get("companion_of").is_none()) else { continue };
        let list = format!("sample-{number}");
        let ended = import(&keeper, &list, folder, path, format, expected);
        checked += 1;
        let accepted = expected.get("accepted").and_then(Value::as_object).is_some_and(|kinds| !kinds.is_empty());
        if expected.get("fatal").is_some() || !accepted {
            assert_eq!(ended.code, 1, "{path}: {}{}", ended.stdout, ended.stderr);
            let report: Value = serde_json::from_str(&ended.stdout).expect("a report of the refusal");
            let words = expected["fatal"].as_str().unwrap_or("found none");
            assert!(report["refused"].as_str().unwrap().contains(words), "{path}: {report}");
        } else {
            check_report(path, &ended.json(), expected);
            imported.push((list, path, expected));
        }
    }
    let snapshot = keeper.snapshot();
    let lists: Vec<_> = snapshot.lists().iter().map(|list| list.name.to_string()).collect();
    for (list, path, expected) in &imported {
        assert!(lists.contains(list), "{path}");
        for sample in expected["samples"].as_array().into_iter().flatten() {
            let value = fingerprint(sample);
            let (_, answer) = ask(&snapshot, &value);
            let matches = answer.map(|answer| answer.matches).unwrap_or_default();
            let category = sample["category"].as_str().map(|code| Category::new(sample["scheme"].as_str(), code));
            // The expectation may leave out what it does not care about.
            let agrees = |found: &Option<Category>| match &category {
                None => true,
                Some(expected) if sample["scheme"].is_null() => found.as_ref().is_some_and(|c| c.code == expected.code),
                Some(expected) => found.as_ref() == Some(expected),
            };
            let found = matches.iter().any(|found| found.list.as_str() == list && agrees(&found.category));
            assert!(found, "{path}: expected {sample}, found {matches:?}");
        }
        for absent in expected["absent"].as_array().into_iter().flatten() {
            let (_, answer) = ask(&snapshot, &fingerprint(absent));
            let matches = answer.map(|answer| answer.matches).unwrap_or_default();
            assert!(matches.iter().all(|found| found.list.as_str() != list), "{path}: {absent}");
        }
    }
    assert_eq!(keeper.leftovers(), 0);
    Some(checked)
}

fn import(keeper: &Folder, list: &str, folder: &Path, path: &str, format: &str, expected: &Value) -> Ended {
    let file = folder.join(path);
    let base = expected["base"].as_str().map(|base| folder.join(base));
    let mut arguments = vec!["import", list, file.to_str().unwrap(), "--report", "json", "--all-categories"];
    // The samples have few records, so that a few bad ones are many.
    arguments.extend(["--max-bad", "100000", "--role", expected["role"].as_str().unwrap_or("watch")]);
    if let Some(kind) = expected["kind"].as_str() {
        arguments.extend(["--kind", kind]);
    }
    if let Some(base) = &base {
        arguments.extend(["--base", base.to_str().unwrap()]);
    }
    // The table of generic values has the same name with both delimiters.
    let format = if file.extension().is_some_and(|end| end == "tsv") { "tsv" } else { format };
    let columns = expected["columns"].as_object().into_iter().flatten();
    let columns: Vec<_> = columns.map(|(field, header)| format!("{field}={}", header.as_str().unwrap())).collect();
    columns.iter().for_each(|column| arguments.extend(["--column", column]));
    // Mapped columns have names that nothing is recognised by; everything else is.
    if !columns.is_empty() || expected.get("fatal").is_some() {
        arguments.extend(["--format", format]);
    }
    keeper.run(&arguments)
}

fn check_report(path: &str, report: &Value, expected: &Value) {
    assert_eq!(report["accepted"], expected["accepted"], "{path}: accepted");
    // Of a delta, `added` is beside its base; here the list is new.
    assert_eq!(report["added"], expected["accepted"], "{path}: added");
    assert_eq!(report["removed"], json!({}), "{path}: removed");
    assert_eq!(report["duplicates"], expected["duplicates"], "{path}: duplicates");
    assert_eq!(report["dropped"], expected["dropped_empty"], "{path}: dropped");
    assert_eq!(report["unsupported"], *expected.get("unsupported").unwrap_or(&json!({})), "{path}: unsupported");
    let told = report["rejected"].as_array().expect("a list of rejected records");
    let rejected = |record: &Value| match &record["line"] {
        Value::Null => json!({"record": record["record"], "reason": record["reason"]}),
        line => json!({"record": record["record"], "line": line, "reason": record["reason"]}),
    };
    assert_eq!(Value::from(told.iter().map(rejected).collect::<Vec<_>>()), expected["rejected"], "{path}: rejected");
    assert_eq!(report["rejected_total"], told.len(), "{path}: rejected");
    assert!(told.iter().all(|record| record["detail"].as_str().unwrap().starts_with("expected")), "{path}: {told:?}");
    assert_eq!((&report["version"], &report["unchanged"]), (&json!(1), &json!(false)), "{path}");
}
