//! The verbs beside `import`, each as a user types it.

mod program;

use std::io::Write;
use std::process::{Command, Stdio};

use hashward::fingerprint::{Kind, hash_bytes};
use hashward::matching::Verdict;
use hashward::store::{Store, StoreOptions};
use program::{Ended, Folder, HASHWARD_INDEX, ask, hex_list, md5};
use serde_json::{Value, json};

/// A code like that of a picture.
fn pdq(number: u32) -> String {
    hash_bytes(Kind::Sha256, &number.to_le_bytes()).to_hex()
}

fn verdict(folder: &Folder, number: u32) -> Verdict {
    ask(&folder.snapshot(), &md5(number)).0
}

#[test]
fn own_hashes_are_added_and_withdrawn() {
    let folder = Folder::new();
    let first = md5(1).to_string();
    folder.run(&["add", "cases", &first]).refused(1, &["role"]);
    let text = folder.run(&["add", "cases", &first, "--role", "illegal", "--category", "XX:1"]).done();
    assert!(text.contains("1 added to a new list"), "{text}");
    let text = folder.run(&["add", "cases", "--kind", "md5", &md5(2).to_hex(), &first, "--category", "XX:1"]).done();
    assert!(text.contains("1 added, 1 there already"), "{text}");
    assert_eq!(verdict(&folder, 1), Verdict::Known);
    let (_, answer) = ask(&folder.snapshot(), &md5(2));
    assert_eq!(answer.unwrap().matches[0].category.clone().map(String::from).as_deref(), Some("XX:1"));

    folder.run(&["withdraw", "cases", &first]).done();
    assert_eq!((verdict(&folder, 1), verdict(&folder, 2)), (Verdict::Unknown, Verdict::Known));
    folder.run(&["withdraw", "cases", &first]).refused(1, &["does not name", &first]);
    folder.run(&["add", "cases", "d41d8cd98f00b204e9800998ecf8427e"]).refused(2, &["--kind"]);
    folder.run(&["add", "cases", "md5:d41d8cd98f00b204e9800998ecf8427"]).refused(2, &["expected 32", "found 31"]);
}

#[test]
fn hashes_come_from_standard_input() {
    let folder = Folder::new();
    let mut child = Command::new(HASHWARD_INDEX)
        .args(["add", "cases", "-", "--kind", "md5", "--role", "watch"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than one command's worth.
    child.stdin.take().unwrap().write_all(hex_list(0..2_100).as_bytes()).unwrap();
    let text = Ended::of(child.wait_with_output().unwrap()).done();
    assert!(text.contains("2,100 added to a new list"), "{text}");
}

#[test]
fn a_held_version_is_told_and_accepted() {
    let folder = Folder::new();
    folder.write("corpus.md5", hex_list(0..20));
    folder.write("a.md5", hex_list(100..200));
    folder.write("b.md5", hex_list((0..20).chain(130..200)));
    folder.run(&["import", "corpus", "corpus.md5", "--role", "ignorable"]).done();
    folder.run(&["import", "seized", "a.md5", "--role", "illegal"]).done();
    folder.run(&["held", "seized"]).refused(1, &["no version of the list `seized` is held"]);

    let ended = folder.run(&["import", "seized", "b.md5"]);
    assert_eq!(ended.code, 1);
    for words in [
        "seized: version 2 is held",
        "it lacks 30 md5 of the 100 in force (limit: 10 % and 10)",
        "other lists say the opposite of 20 of the 90 that it newly calls illegal (limit: 0.1 % and 10)",
        "20 md5 are ignorable in corpus, 20 of them newly",
        "version 1 answers on",
        "hashward-index accept seized 2 --reason TEXT",
        "hashward-index held seized shows 20 entries",
    ] {
        assert!(ended.stdout.contains(words), "expected `{words}` in: {}", ended.stdout);
    }
    assert_eq!((verdict(&folder, 0), verdict(&folder, 100)), (Verdict::Ignorable, Verdict::Known));

    let ended = folder.run(&["import", "seized", "b.md5", "--report", "json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &report["version"], &report["held"]["already"]), (1, &json!(1), &json!(true)));
    assert_eq!(report["held"]["reasons"][0]["reason"], "shrunk");
    assert_eq!(report["held"]["overlap"]["entries"].as_array().unwrap().len(), 20);

    let line = |text: &str, start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line(&folder.run(&["lists"]).done(), "seized ").contains("1 (2 held)"));
    let text = folder.run(&["inspect", "seized"]).done();
    assert!(
        line(&text, "  held ").contains("version 2, since") && line(&text, "  alarm ").contains("version 2 is held")
    );
    assert!(text.contains("it lacks 30 md5") && !text.contains(&md5(0).to_hex()), "{text}");
    let text = folder.run(&["held", "seized"]).done();
    assert!(text.starts_with("seized: version 2 is held since") && text.contains(&md5(0).to_string()), "{text}");
    let text = folder.run(&["held", "seized", "--format", "tsv"]).done();
    assert!(text.lines().any(|line| line == format!("{}\t-\tcorpus\tignorable\t-\t-", md5(3))), "{text}");
    assert_eq!(folder.run(&["held", "seized", "--format", "json"]).json()["in_force"], 1);

    folder.run(&["accept", "seized", "2"]).refused(2, &["--reason"]);
    folder.run(&["accept", "seized", "2", "--reason", " "]).refused(1, &["expected a reason of one line"]);
    folder.run(&["accept", "seized", "3", "--reason", "x"]).refused(1, &["does not hold version 3", "version 2 is"]);
    let text = folder.run(&["accept", "seized", "2", "--reason", "the issuer confirmed it"]).done();
    assert!(text.contains("version 2 answers now, version 1 no more"), "{text}");
    assert!(text.contains("20 added, 30 removed, 70 kept"), "{text}");
    assert_eq!((verdict(&folder, 0), verdict(&folder, 100)), (Verdict::Conflict, Verdict::Unknown));
    let text = folder.run(&["inspect", "seized"]).done();
    assert!(text.contains("accepted version 2: the issuer confirmed it") && !text.contains("alarm"), "{text}");
    let text = folder.run(&["accept", "seized", "--reason", "x"]).done();
    assert_eq!(text, "seized: there was no alarm\n");

    // A list of benign files that holds what is illegal elsewhere does not answer at all.
    folder.write("poisoned.md5", hex_list(150..160));
    let ended = folder.run(&["import", "benign", "poisoned.md5", "--role", "ignorable"]);
    assert!(ended.code == 1 && ended.stdout.contains("nothing of the list answers"), "{}", ended.stdout);
    assert_eq!(verdict(&folder, 150), Verdict::Known);
    assert!(line(&folder.run(&["lists"]).done(), "benign ").contains("- (1 held)"));
    assert!(folder.run(&["verify"]).done().starts_with("all is well"));
    assert_eq!(folder.leftovers(), 0);
}

#[test]
fn codes_of_flat_pictures_are_dropped_and_counted() {
    let folder = Folder::new();
    folder.write(
        "a.csv",
        format!("md5,pdq\n{},{}\n{},{}\n", md5(1).to_hex(), "0f3c".repeat(16), md5(2).to_hex(), "ab".repeat(32)),
    );
    let report = folder.run(&["import", "seized", "a.csv", "--role", "watch", "--report", "json"]).json();
    assert_eq!((&report["dropped"], &report["accepted"]), (&json!(2), &json!({"md5": 2})));
}

#[test]
fn lists_are_disabled_rolled_back_and_removed() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..20));
    folder.write("b.md5", hex_list(10..30));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    folder.run(&["import", "debian", "b.md5"]).done();
    assert_eq!((verdict(&folder, 5), verdict(&folder, 25)), (Verdict::Unknown, Verdict::Ignorable));

    let text = folder.run(&["rollback", "debian"]).done();
    assert!(text.contains("version 1 answers now") && text.contains("10 added, 10 removed, 10 kept"), "{text}");
    assert_eq!((verdict(&folder, 5), verdict(&folder, 25)), (Verdict::Ignorable, Verdict::Unknown));
    folder.run(&["rollback", "debian", "--to", "7"]).refused(1, &["7"]);

    for (verb, state) in [("disable", "disabled"), ("shadow", "shadow"), ("enable", "active")] {
        let text = folder.run(&[verb, "debian"]).done();
        assert!(text.contains(state), "{text}");
        assert_eq!(folder.lists()["debian"]["state"], state);
        assert_eq!(verdict(&folder, 5) == Verdict::Ignorable, state == "active");
    }
    let text = folder.run(&["compact"]).done();
    assert!(text.contains("now"), "{text}");
    assert_eq!(verdict(&folder, 5), Verdict::Ignorable);
    assert!(folder.run(&["verify"]).done().starts_with("all is well"));

    folder.run(&["remove", "debian"]).done();
    folder.run(&["remove", "debian"]).refused(1, &["debian"]);
    assert!(!folder.lists().contains_key("debian"));
}

#[test]
fn a_list_has_radii_of_its_own() {
    let folder = Folder::new();
    folder.write("a.csv", format!("md5,pdq\n{},{}\n", md5(1).to_hex(), pdq(1)));
    folder.write("b.csv", format!("md5,pdq\n{},{}\n", md5(2).to_hex(), pdq(2)));
    let import = |file: &str, more: &[&str]| folder.run(&[&["import", "seized", file], more].concat());
    let radii = || folder.lists()["seized"].get("radii").cloned();
    import("a.csv", &["--role", "watch", "--radius", "pdq=64"]).refused(2, &["--radius", "at most 63"]);
    import("a.csv", &["--role", "watch", "--radius", "md5=1"]).refused(2, &["md5 is compared by equality"]);
    import("a.csv", &["--role", "watch"]).done();
    assert_eq!(radii(), None);
    assert!(!folder.run(&["lists"]).done().contains("radius"));
    assert!(!folder.run(&["inspect", "seized"]).done().contains("radius"));

    let text = import("b.csv", &["--radius", "pdq=40,phash64=6"]).done();
    assert!(text.contains("version 2 answers now") && text.contains("pdq=40,phash64=6"), "{text}");
    assert_eq!(radii(), Some(json!({"pdq": 40, "phash64": 6})));
    let held = folder.snapshot();
    let view = held.lists().iter().find(|list| list.name.as_str() == "seized").unwrap();
    assert_eq!(view.radii.to_string(), "pdq=40,phash64=6");
    // The same bytes: no version is made, and the radius is set all the same, but for a dry run.
    let report = import("b.csv", &["--radius", "pdq=20", "--dry-run", "--report", "json"]).json();
    assert_eq!((&report["unchanged"], &report["radii"]), (&json!(true), &json!({"pdq": 20})));
    assert_eq!(radii(), Some(json!({"pdq": 40, "phash64": 6})));
    let text = import("b.csv", &["--radius", "pdq=20", "--radius", "phash64=6"]).done();
    assert!(text.contains("version 2 says just this already, its radius alone was set"), "{text}");
    assert!(text.contains("pdq=20") && !text.contains("phash64"), "{text}");
    assert_eq!(radii(), Some(json!({"pdq": 20, "phash64": 6})));
    let text = import("b.csv", &["--radius", "pdq=20"]).done();
    assert!(text.contains("nothing was done"), "{text}");

    let radius = |setting: &str| folder.run(&["radius", "seized", setting]);
    assert_eq!(radius("pdq=35").done(), "seized: radius of pdq 35, was 20\n");
    assert_eq!(radius("pdq=35").done(), "seized: radius of pdq was 35 already\n");
    assert_eq!(radius("phash64=default").done(), "seized: radius of phash64 4 (default), was 6\n");
    radius("pdq=64").refused(2, &["a radius of 64 for pdq", "at most 63"]);
    radius("sha1=default").refused(2, &["sha1 is compared by equality"]);
    radius("pdq").refused(2, &["KIND=BITS"]);
    folder.run(&["radius", "nothing", "pdq=1"]).refused(1, &["nothing", "hashward-index lists"]);
    folder.run(&["radius", "hashward-test", "pdq=1"]).refused(1, &["part of hashward"]);

    folder.run(&["add", "cases", &md5(1).to_string(), "--role", "illegal"]).done();
    folder.run(&["radius", "cases", "dhash64=0"]).done();
    let text = folder.run(&["lists"]).done();
    assert!(text.lines().any(|line| line.starts_with("seized ") && line.ends_with("  pdq=35")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("hashward-test ") && line.ends_with("  -")), "{text}");
    let text = folder.run(&["lists", "--format", "tsv"]).done();
    assert!(text.lines().any(|line| line.starts_with("cases\t") && line.ends_with("\tdhash64=0\t-")), "{text}");
    let text = folder.run(&["inspect", "seized"]).done();
    assert!(text.contains("radius        pdq 35 (default 31)"), "{text}");
    assert!(text.contains("set radius pdq=35") && text.contains("with radius pdq=40,phash64=6"), "{text}");
    let inspected = folder.run(&["inspect", "seized", "--format", "json"]).json();
    assert_eq!(inspected["list"]["radii"], json!({"pdq": 35}));
    assert!(folder.run(&["verify"]).done().starts_with("all is well"));

    // A list that is removed leaves its radii to nobody.
    folder.run(&["remove", "seized"]).done();
    import("a.csv", &["--role", "watch"]).done();
    assert_eq!(radii(), None);
}

#[test]
fn a_list_is_recognised_by_its_content_packed_or_not() {
    let folder = Folder::new();
    let list = format!("md5,category\n{},7\n", md5(1).to_hex()).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&list).unwrap();
    let zstd = zstd::encode_all(&list[..], 3).unwrap();
    for (name, bytes) in [("plain", list.clone()), ("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        folder.write(name, bytes);
        let text = folder.run(&["import", name, name, "--role", "illegal", "--all-categories"]).done();
        assert!(text.contains("csv (recognised by its content)"), "{text}");
        assert_eq!(folder.lists()[name]["fingerprints"], json!({"md5": 1}));
    }
}

#[test]
fn lists_are_shown_in_every_format() {
    let folder = Folder::new();
    folder.run(&["lists"]).refused(1, &["hashward-data"]);
    folder.write("a.csv", format!("md5,category\n{},7\n{},9\n", md5(1).to_hex(), md5(2).to_hex()));
    folder.run(&["import", "seized", "a.csv", "--role", "watch", "--roles", "7=illegal"]).done();

    let text = folder.run(&["lists"]).done();
    assert!(text.lines().any(|line| line.starts_with("seized ") && line.ends_with("md5 2")), "{text}");
    let text = folder.run(&["lists", "--format", "tsv"]).done();
    assert!(text.lines().all(|line| line.split('\t').count() == 11), "{text}");
    let text = folder.run(&["inspect", "seized"]).done();
    assert!(text.contains("category 7: illegal") && text.contains("any other category: watch"), "{text}");
    let inspected = folder.run(&["inspect", "seized", "--format", "json"]).json();
    assert_eq!(inspected["versions"][0]["counts"]["by_category"], json!({"7": 1, "9": 1}));
    folder.run(&["inspect", "nothing"]).refused(1, &["nothing", "hashward-index lists"]);
}

#[test]
fn damage_is_told() {
    let folder = Folder::new();
    folder.write("a.md5", hex_list(0..2_000));
    folder.run(&["import", "debian", "a.md5", "--role", "ignorable"]).done();
    let segment = std::fs::read_dir(folder.data().join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let ended = folder.run(&["verify"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.starts_with("damaged: "), "{}", ended.stdout);
    assert!(ended.stdout.contains(segment.file_name().unwrap().to_str().unwrap()), "{}", ended.stdout);
}

#[test]
fn a_store_that_somebody_holds_without_answering_is_told_as_such() {
    let folder = Folder::new();
    folder.run(&["add", "cases", &md5(1).to_string(), "--role", "watch"]).done();
    let held = Store::open(&folder.data(), StoreOptions { serve: false, ..StoreOptions::default() }).unwrap();
    folder.run(&["lists"]).refused(1, &["is in use by process", "no daemon answers", "--socket"]);
    drop(held);
    folder.run(&["lists"]).done();
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let folder = Folder::new();
    folder.run(&["import", "Bad Name", "x"]).refused(2, &["bad list name"]);
    folder.run(&["import", "x", "y", "--roles", "7"]).refused(2, &["SCHEME:CODE=ROLE"]);
    folder.run(&["import", "x", "y", "--roles", "7=illegal", "--all-categories"]).refused(2, &["cannot be used with"]);
    folder.run(&["nonsense"]).refused(2, &["nonsense"]);
    folder.run(&["lists", "--socket", "elsewhere.sock"]).refused(1, &["elsewhere.sock", "--data"]);
    folder.run(&["lists", "--data", "d", "--socket", "elsewhere.sock"]).refused(1, &["is the daemon running"]);
}
