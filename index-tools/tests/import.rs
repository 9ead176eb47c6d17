//! What an import promises: all or nothing, the whole list or its union, and nothing said that nobody said.

mod program;

use std::collections::BTreeMap;

use hashward::fingerprint::{Encoding, Fingerprint, Kind, hash_bytes};
use hashward::list::{ListId, Role, VersionNumber};
use hashward::matching::Verdict;
use program::{Folder, ask, hex_list, md5};
use serde_json::{Value, json};

fn import(folder: &Folder, list: &str, more: &[&str]) -> program::Ended {
    folder.run(&[&["import", list, "--report", "json"], more].concat())
}

/// The list answers exactly for `held` among `asked`.
#[track_caller]
fn check_held(folder: &Folder, asked: std::ops::Range<u32>, held: impl Fn(u32) -> bool) {
    let snapshot = folder.snapshot();
    for number in asked {
        let expected = if held(number) { Verdict::Ignorable } else { Verdict::Unknown };
        assert_eq!(ask(&snapshot, &md5(number)).0, expected, "{number}");
    }
}

#[test]
fn a_list_is_replaced_as_a_whole_or_added_to() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..300));
    folder.write("b.md5", hex_list(20..400));

    let report = import(&folder, "debian", &["a.md5", "--role", "ignorable"]).json();
    assert_eq!(report["format"], "hex");
    assert_eq!((&report["kind"], &report["files"][0]["kind_from"]), (&json!("md5"), &json!("file name")));
    assert_eq!((&report["version"], &report["added"]), (&json!(1), &json!({"md5": 300})));
    check_held(&folder, 0..450, |number| number < 300);

    let report = import(&folder, "debian", &["a.md5"]).json();
    assert_eq!((&report["unchanged"], &report["version"]), (&json!(true), &json!(1)));

    let report = import(&folder, "debian", &["b.md5"]).json();
    assert_eq!((&report["added"], &report["removed"]), (&json!({"md5": 100}), &json!({"md5": 20})));
    check_held(&folder, 0..450, |number| (20..400).contains(&number));

    let report = import(&folder, "debian", &["a.md5", "--add"]).json();
    assert_eq!((&report["added"], &report["removed"]), (&json!({"md5": 20}), &json!({})));
    assert_eq!((&report["accepted"], &report["duplicates"]), (&json!({"md5": 300}), &json!(0)));
    check_held(&folder, 0..450, |number| number < 400);

    let report = import(&folder, "debian", &["b.md5", "--add"]).json();
    assert_eq!(report["unchanged"], true, "it was added before");
    let report = import(&folder, "debian", &["a.md5", "b.md5"]).json();
    assert_eq!((&report["duplicates"], &report["records"]), (&json!(280), &json!(680)));
    assert_eq!(folder.leftovers(), 0);
}

/// What stands behind a fingerprint in the version that answers: of each record its name, category and fingerprints.
fn records(folder: &Folder, list: &str, asked: &Fingerprint) -> Vec<(String, Option<String>, Vec<Fingerprint>)> {
    let info = &folder.lists()[list];
    let number = |key: &str| info[key].as_u64().unwrap() as u32;
    let records = folder.store(false).records_of(ListId(number("id")), VersionNumber(number("version"))).unwrap();
    assert!(records.complete);
    let found = records.files.iter().flat_map(|file| file.find(asked)).map(Result::unwrap);
    found
        .map(|found| (found.attributes["name"].clone(), found.category.map(String::from), found.fingerprints))
        .collect()
}

#[test]
fn a_version_keeps_the_records_of_its_files() {
    let folder = Folder::new();
    let empty = hash_bytes(Kind::Md5, b"");
    let sha1 = |number: u32| hash_bytes(Kind::Sha1, &number.to_le_bytes());
    let row =
        |md5: &Fingerprint, number: u32, rest: &str| format!("{},{},{rest}\n", md5.to_hex(), sha1(number).to_hex());
    let header = "md5,sha1,name,category\n";
    let first =
        [row(&md5(1), 1, "one,A"), row(&md5(2), 2, "two,"), row(&md5(1), 3, "again,B"), row(&empty, 4, "none,A")];
    folder.write("a.csv", header.to_owned() + &first.concat());
    folder.write("b.csv", format!("{header}{}", row(&md5(1), 5, "added,")));
    let options = ["--role", "watch", "--all-categories"];
    import(&folder, "cases", &[&["a.csv", "--dry-run"], &options[..]].concat()).json();
    assert!(!folder.data().exists());
    import(&folder, "cases", &[&["a.csv"], &options[..]].concat()).json();
    let named = |name: &str, category: Option<&str>, fingerprints: &[Fingerprint]| {
        (name.to_owned(), category.map(str::to_owned), fingerprints.to_vec())
    };
    let one = named("one", Some("A"), &[md5(1), sha1(1)]);
    let again = named("again", Some("B"), &[md5(1), sha1(3)]);
    assert_eq!(records(&folder, "cases", &md5(1)), [one.clone(), again.clone()]);
    assert_eq!(records(&folder, "cases", &sha1(3)), std::slice::from_ref(&again));
    // Of the record with the empty file's MD5 the rest is kept.
    assert_eq!(records(&folder, "cases", &sha1(4)), [named("none", Some("A"), &[sha1(4)])]);
    assert_eq!(records(&folder, "cases", &empty), []);
    import(&folder, "cases", &["b.csv", "--add"]).json();
    assert_eq!(records(&folder, "cases", &md5(1)), [one, again, named("added", None, &[md5(1), sha1(5)])]);
    let verified = folder.run(&["verify"]).done();
    assert!(verified.contains("2 records files"), "{verified}");
    import(&folder, "cases", &[&["b.csv"], &options[..]].concat()).json();
    assert_eq!(records(&folder, "cases", &md5(1)), [named("added", None, &[md5(1), sha1(5)])]);
    assert_eq!(folder.leftovers(), 0);
}

#[test]
fn a_companion_is_part_of_its_list() {
    let folder = Folder::new();
    let header = "\"file_id\",\"hashset_id\",\"file_name\",\"hash\"\r\n";
    folder.write("set.hsh", format!("{header}1,7,\"A\",\"{:032X}\"\r\n2,8,\"B\",\"{:032X}\"\r\n", 1, 2));
    let write_companion = |flags: [u8; 2]| {
        let rows = format!("7,{}\r\n8,{}\r\n", flags[0], flags[1]);
        folder.write("set.hke", format!("\"hashset_id\",\"notable_flag\"\r\n{rows}"));
    };
    write_companion([1, 0]);
    import(&folder, "cases", &["set.hsh", "--role", "illegal"]).refused(1, &["notable_flag:0", "notable_flag:1"]);
    let roles = "notable_flag:1=illegal,notable_flag:0=ignorable";
    let options = ["set.hsh", "--role", "illegal", "--roles", roles];
    let found = || {
        [1, 2].map(|number| {
            ask(&folder.snapshot(), &Fingerprint::parse(Kind::Md5, &format!("{number:032x}"), Encoding::Hex).unwrap()).0
        })
    };
    import(&folder, "cases", &options).json();
    assert_eq!(found(), [Verdict::Known, Verdict::Ignorable]);
    write_companion([0, 1]);
    assert_eq!(import(&folder, "cases", &options).json()["unchanged"], false, "it means something else now");
    assert_eq!(found(), [Verdict::Ignorable, Verdict::Known]);
    folder.write("set.hke", "torn");
    import(&folder, "cases", &options).refused(1, &["companion", "set.hke"]);
    assert_eq!(found(), [Verdict::Ignorable, Verdict::Known]);
}

#[test]
fn a_withdrawal_outlives_an_addition_and_not_a_statement() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..10));
    folder.write("b.md5", hex_list(10..20));
    import(&folder, "debian", &["a.md5", "--role", "ignorable"]).json();
    folder.run(&["withdraw", "debian", &md5(3).to_string()]).done();
    import(&folder, "debian", &["b.md5", "--add"]).json();
    check_held(&folder, 0..20, |number| number != 3);
    folder.write("c.md5", hex_list([3]));
    import(&folder, "debian", &["c.md5", "--add"]).json();
    check_held(&folder, 0..20, |_| true);
}

#[test]
fn all_categories_of_one_fingerprint_are_kept_over_files_and_additions() {
    let folder = Folder::new();
    let row = |number: u32, category: &str| format!("{},{category}\n", md5(number).to_hex());
    folder.write("a.csv", format!("md5,category\n{}{}{}", row(1, "one"), row(1, "two"), row(2, "")));
    folder.write("b.csv", format!("md5,category\n{}{}", row(1, "three"), row(2, "two")));
    let roles = "one=illegal,two=ignorable";
    let report = import(&folder, "mixed", &["a.csv", "--role", "watch", "--roles", roles]).json();
    assert_eq!(
        report["categories"],
        json!({"": {"count": 1, "role": "watch"}, "one": {"count": 1, "role": "illegal"},
               "two": {"count": 1, "role": "ignorable"}})
    );
    assert_eq!(report["duplicates"], 1);
    import(&folder, "mixed", &["b.csv", "--add"]).json();
    let snapshot = folder.snapshot();
    let said = |number| {
        let (verdict, answer) = ask(&snapshot, &md5(number));
        let matches = answer.unwrap().matches.into_iter();
        (verdict, matches.map(|found| (found.category.map(String::from), found.role)).collect::<BTreeMap<_, _>>())
    };
    let some = |text: &str| Some(text.to_owned());
    let one = [(some("one"), Role::Illegal), (some("two"), Role::Ignorable), (some("three"), Role::Watch)];
    assert_eq!(said(1), (Verdict::Conflict, one.into()));
    assert_eq!(said(2), (Verdict::Ignorable, [(None, Role::Watch), (some("two"), Role::Ignorable)].into()));
}

#[test]
fn categories_get_no_role_that_nobody_gave_them() {
    let folder = Folder::new();
    folder.write("a.csv", format!("md5,category\n{},9\n{},7\n", md5(1).to_hex(), md5(2).to_hex()));
    for role in ["illegal", "ignorable"] {
        let refused = import(&folder, "list", &["a.csv", "--role", role]);
        refused.refused(1, &["7 (1)", "9 (1)", "--roles", "--all-categories", role]);
    }
    folder.run(&["lists"]).refused(1, &["no hashward data folder"]);
    import(&folder, "list", &["a.csv", "--role", "watch"]).json();
    // A role for the list is still none for its categories.
    import(&folder, "list", &["a.csv", "--role", "illegal"]).refused(1, &["--roles"]);
    import(&folder, "list", &["a.csv", "--role", "illegal", "--roles", "9=illegal"]).json();
    let roles = folder.lists()["list"]["roles"].clone();
    assert_eq!(roles, json!({"default": "illegal", "unnamed": "watch", "by_category": {"9": "illegal"}}));
    // They stay from import to import.
    folder.write("b.csv", format!("md5,category\n{},9\n", md5(3).to_hex()));
    import(&folder, "list", &["b.csv"]).json();
    assert_eq!(folder.lists()["list"]["roles"], roles);
    import(&folder, "list", &["b.csv", "--all-categories"]).json();
    assert_eq!(folder.lists()["list"]["roles"], json!({"default": "illegal", "unnamed": "illegal"}));
}

/// Runs an import that must be refused, and sees that the store stays as it was.
#[track_caller]
fn check_refused(folder: &Folder, arguments: &[&str], code: i32, words: &[&str]) {
    let files = |folder: &Folder| {
        let mut found = BTreeMap::new();
        for name in ["manifest", "catalogue.sqlite"] {
            found.insert(name, std::fs::read(folder.data().join(name)).ok());
        }
        found
    };
    let before = files(folder);
    import(folder, "debian", arguments).refused(code, words);
    assert!(files(folder) == before, "the store has changed");
    assert_eq!(folder.leftovers(), 0);
}

#[test]
fn what_is_refused_leaves_the_store_as_it_was() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..100));
    import(&folder, "debian", &["a.md5", "--role", "ignorable"]).json();

    let bad = format!("{}{}", hex_list(0..200), "not a digest\n".repeat(11));
    folder.write("bad.md5", &bad);
    check_refused(&folder, &["bad.md5", "--format", "hex"], 1, &["at most 10 bad records", "found 11", "--max-bad"]);
    check_refused(&folder, &["bad.md5", "--format", "hex", "--max-bad", "3"], 1, &["at most 3 bad records"]);
    folder.write("truncated.json", r#"{"odata.metadata": "x/US/#Media", "value": [{"MediaID": 1, "MD5": "#);
    check_refused(&folder, &["truncated.json"], 1, &["truncated.json: truncated"]);
    // The first file alone would have been good.
    check_refused(&folder, &["a.md5", "truncated.json"], 1, &["truncated.json: truncated"]);
    check_refused(&folder, &["nowhere.md5"], 1, &["nowhere.md5", "No such file"]);
    folder.write("plain.txt", hex_list(0..3));
    check_refused(&folder, &["plain.txt"], 1, &["plain.txt", "--kind"]);
    folder.write("letter.txt", "Dear list keeper,\n");
    check_refused(&folder, &["letter.txt"], 1, &["letter.txt", "--format"]);
    let empty = "d41d8cd98f00b204e9800998ecf8427e\n";
    folder.write("empty.md5", empty);
    check_refused(&folder, &["empty.md5"], 1, &["found none"]);
    check_refused(&folder, &["a.md5", "--memory", "1K"], 2, &["at least 16M"]);

    folder.write("bad.md5", &bad);
    let report = import(&folder, "debian", &["bad.md5", "--format", "hex", "--max-bad", "11"]).json();
    assert_eq!((&report["rejected_total"], &report["accepted"]), (&json!(11), &json!({"md5": 200})));
    let first = &report["rejected"][0];
    assert_eq!((&first["record"], &first["line"], &first["file"]), (&json!(201), &json!(201), &json!("bad.md5")));
}

#[test]
fn a_new_list_needs_a_role_and_nothing_is_made_without() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..3));
    import(&folder, "debian", &["a.md5"]).refused(2, &["--role"]);
    assert!(!folder.data().exists());
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list((0..50).chain(0..5)));
    let report = import(&folder, "debian", &["a.md5", "--role", "watch", "--dry-run"]).json();
    assert_eq!((&report["accepted"], &report["duplicates"]), (&json!({"md5": 50}), &json!(5)));
    assert_eq!((&report["version"], &report["dry_run"]), (&Value::Null, &json!(true)));
    assert!(!folder.data().exists());

    import(&folder, "debian", &["a.md5", "--role", "watch"]).json();
    folder.write("b.md5", hex_list(0..9));
    let catalogue = std::fs::read(folder.data().join("catalogue.sqlite")).unwrap();
    import(&folder, "debian", &["b.md5", "--dry-run"]).json();
    assert_eq!(std::fs::read(folder.data().join("catalogue.sqlite")).unwrap(), catalogue);
    assert_eq!(folder.lists()["debian"]["version"], 1);
}

#[test]
fn every_kind_of_a_record_is_found_with_either_locator() {
    for locator in ["fst", "bucket"] {
        let folder = Folder::new();
        let digits = |kind: Kind, number: u32| {
            let digest = blake3::hash(&number.to_le_bytes());
            let mut value = vec![0; kind.width()];
            digest_into(&digest, &mut value);
            value
        };
        let kinds = [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512, Kind::Blake3, Kind::PhotoDna];
        let mut text = "md5,sha1,sha256,sha512,blake3,photodna\n".to_owned();
        for number in 0..300 {
            let cells = kinds.map(|kind| {
                let encoding = if kind == Kind::PhotoDna { Encoding::Base64 } else { Encoding::Hex };
                encoding.encode(&digits(kind, number))
            });
            text += &(cells.join(",") + "\n");
        }
        folder.write("all.csv", text);
        let report = import(&folder, "all", &["all.csv", "--role", "ignorable", "--locator", locator]).json();
        assert_eq!(
            report["accepted"],
            json!(kinds.map(|kind| (kind.name(), 300)).into_iter().collect::<BTreeMap<_, _>>())
        );
        let snapshot = folder.snapshot();
        for kind in kinds {
            for number in 0..310 {
                let fingerprint = Fingerprint::new(kind, &digits(kind, number)).unwrap();
                let expected = if number < 300 { Verdict::Ignorable } else { Verdict::Unknown };
                assert_eq!(ask(&snapshot, &fingerprint).0, expected, "{fingerprint}");
            }
        }
    }
}

/// Fills `value` with bytes that follow from `seed`.
fn digest_into(seed: &blake3::Hash, value: &mut [u8]) {
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(value);
}

#[test]
fn a_named_mapping_gives_roles_to_its_issuers_codes() {
    let folder = Folder::new();
    let medium = |number: u32, category: u32| {
        format!("{{\"MediaID\":{number},\"Category\":{category},\"MD5\":\"{}\"}}", md5(number).to_hex())
    };
    let list = |region: &str| {
        let media: Vec<_> = (0..4).map(|number| medium(number, number)).collect();
        let context = format!("http://example/DataModels/2.0.xml/{region}/$metadata#Media");
        format!("{{\"@odata.context\":\"{context}\",\"value\":[{}]}}", media.join(","))
    };
    folder.write("us.json", list("US"));
    folder.write("elsewhere.json", list("Elsewhere"));
    // The refusal proposes what fits, and nothing where nothing does.
    import(&folder, "us", &["us.json", "--role", "illegal"])
        .refused(1, &["US:1 (1)", "--roles vics-us", "--all-categories"]);
    let refused = import(&folder, "elsewhere", &["elsewhere.json", "--role", "illegal"]);
    assert!(!refused.stderr.contains("vics-us"), "{}", refused.stderr);
    refused.refused(1, &["Elsewhere:1 (1)", "--roles"]);
    // Codes that the mapping does not name stay `watch`, and others may be named beside it.
    let report = import(&folder, "us", &["us.json", "--role", "illegal", "--roles", "vics-us,US:3=illegal"]).json();
    let role = |code: &str| report["categories"][code]["role"].as_str().unwrap().to_owned();
    assert_eq!(["US:0", "US:1", "US:2", "US:3"].map(role), ["watch", "illegal", "watch", "illegal"]);
    // Another issuer's codes are not meant.
    import(&folder, "elsewhere", &["elsewhere.json", "--role", "illegal", "--roles", "vics-us"])
        .refused(1, &["found none of them", "Elsewhere:1 (1)"]);
    folder.run(&["import", "x", "y", "--roles", "vics-xx"]).refused(2, &["vics-us", "icse-baseline"]);
}
