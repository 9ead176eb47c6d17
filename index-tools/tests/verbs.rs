//! The verbs beside `import`, each as a user types it.

mod program;

use std::io::Write;
use std::process::{Command, Stdio};

use hashward::matching::Verdict;
use hashward::store::{Store, StoreOptions};
use program::{Ended, Folder, HASHWARD_INDEX, ask, hex_list, md5};
use serde_json::json;

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
    folder.write("a.csv", format!("md5,pdq\n{},{}\n", md5(1).to_hex(), "0f".repeat(32)));
    folder.write("b.csv", format!("md5,pdq\n{},{}\n", md5(2).to_hex(), "3c".repeat(32)));
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
    assert!(text.lines().any(|line| line.starts_with("cases\t") && line.ends_with("\tdhash64=0")), "{text}");
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
fn lists_are_shown_in_every_format() {
    let folder = Folder::new();
    folder.run(&["lists"]).refused(1, &["hashward-data"]);
    folder.write("a.csv", format!("md5,category\n{},7\n{},9\n", md5(1).to_hex(), md5(2).to_hex()));
    folder.run(&["import", "seized", "a.csv", "--role", "watch", "--roles", "7=illegal"]).done();

    let text = folder.run(&["lists"]).done();
    assert!(text.lines().any(|line| line.starts_with("seized ") && line.ends_with("md5 2")), "{text}");
    let text = folder.run(&["lists", "--format", "tsv"]).done();
    assert!(text.lines().all(|line| line.split('\t').count() == 10), "{text}");
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
