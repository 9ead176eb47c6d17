//! `suppress`, `lift`, `suppressions` and `explain`, as a user types them.

mod program;

use hashward::fingerprint::{Fingerprint, Kind, hash_bytes};
use hashward::matching::Verdict;
use program::{Folder, ask, md5};
use serde_json::json;

fn sha1(number: u32) -> Fingerprint {
    hash_bytes(Kind::Sha1, format!("made-up file {number}").as_bytes())
}

/// A list of files with their MD5 and SHA-1, in a category.
fn table(numbers: impl IntoIterator<Item = u32>) -> String {
    let row = |number: u32| format!("{},{},7,file {number}.jpg\n", md5(number).to_hex(), sha1(number).to_hex());
    "md5,sha1,category,name\n".to_owned() + &numbers.into_iter().map(row).collect::<String>()
}

/// The verdict, and whether something that is suppressed matched.
fn told(folder: &Folder, hash: &Fingerprint) -> (Verdict, bool) {
    let (verdict, answer) = ask(&folder.snapshot(), hash);
    (verdict, answer.is_some_and(|answer| answer.suppressed))
}

const VETOED: (Verdict, bool) = (Verdict::Unknown, true);
const KNOWN: (Verdict, bool) = (Verdict::Known, false);

/// The one number in a text's first words: `suppression 7: …`.
fn number(text: &str) -> String {
    let digits = text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit);
    digits.collect()
}

#[test]
fn a_false_match_is_suppressed_explained_and_lifted() {
    let folder = Folder::new();
    folder.write("a.csv", table(0..3));
    folder.write("b.csv", table(1..5));
    let all = ["--role", "illegal", "--all-categories"];
    folder.run(&[&["import", "seized", "a.csv"][..], &all].concat()).done();
    assert_eq!([told(&folder, &md5(1)), told(&folder, &sha1(1))], [KNOWN; 2]);

    let hash = md5(1).to_string();
    folder.run(&["suppress", &hash]).refused(2, &["--reason"]);
    let reason = ["--reason", "a stock photo", "--author", "D. Clerk"];
    let text = folder.run(&[&["suppress", &hash], &reason[..]].concat()).done();
    assert!(text.contains("2 hashes decide nothing any more, in all lists"), "{text}");
    assert!(text.contains(&sha1(1).to_string()) && text.contains("held by seized"), "{text}");
    let id = number(&text);
    assert_eq!([told(&folder, &md5(1)), told(&folder, &sha1(1)), told(&folder, &md5(2))], [VETOED, VETOED, KNOWN]);
    folder.run(&[&["suppress", &hash], &reason[..]].concat()).refused(1, &["suppressed already", "D. Clerk"]);

    // It outlives what the list does, whether it is replaced, added to or returned.
    folder.run(&["import", "seized", "b.csv"]).done();
    assert_eq!([told(&folder, &sha1(1)), told(&folder, &sha1(4))], [VETOED, KNOWN]);
    folder.run(&["import", "seized", "a.csv", "--add"]).done();
    assert_eq!([told(&folder, &sha1(1)), told(&folder, &sha1(0))], [VETOED, KNOWN]);
    folder.run(&["rollback", "seized", "--to", "1"]).done();
    folder.run(&["compact"]).done();
    assert_eq!([told(&folder, &sha1(1)), told(&folder, &sha1(0))], [VETOED, KNOWN]);

    let text = folder.run(&["suppressions"]).done();
    assert!(text.contains("D. Clerk") && text.contains("a stock photo") && text.contains("entry"), "{text}");
    let text = folder.run(&["explain", &sha1(1).to_string()]).done();
    for words in [
        "verdict       unknown, with a suppressed match",
        "list seized",
        "shape, state  file, active",
        "says          illegal: category 7",
        "suppressed    it decides nothing; see below",
        "version       1, which answers, imported",
        "from ",
        "3 records, 0 rejected; hashes: md5 3, sha1 3",
        "of version 1, category 7",
        "name: file 1.jpg",
        "with the entries that hold it",
        "by D. Clerk: a stock photo",
    ] {
        assert!(text.contains(words), "expected {words:?} in:\n{text}");
    }
    let explained = folder.run(&["explain", "--kind", "sha1", &sha1(1).to_hex(), "--format", "json"]).json();
    assert_eq!(explained["verdict"], json!({"verdict": "unknown", "watched": false, "suppressed": true}));
    assert_eq!(explained["suppressions"][0]["author"], "D. Clerk");
    assert_eq!(explained["lists"][0]["list"]["name"], "seized");
    assert_eq!(explained["lists"][0]["records"][0]["entry"]["attributes"]["name"], "file 1.jpg");

    folder.run(&["lift", &id, "--reason", "looked at again"]).done();
    assert_eq!([told(&folder, &md5(1)), told(&folder, &sha1(1))], [KNOWN; 2]);
    folder.run(&["lift", &id, "--reason", "twice"]).refused(1, &["is not suppressed", "lifted"]);
    assert_eq!(folder.run(&["suppressions"]).done().lines().count(), 1);
    let text = folder.run(&["suppressions", "--lifted"]).done();
    assert!(text.contains("looked at again"), "{text}");
    let text = folder.run(&["explain", &hash]).done();
    assert!(text.contains("verdict       known") && text.contains("looked at again"), "{text}");
    assert!(folder.run(&["verify"]).done().starts_with("all is well"));
}

#[test]
fn a_hash_alone_or_held_by_nobody_is_suppressed() {
    let folder = Folder::new();
    folder.write("a.csv", table(0..3));
    folder.run(&["import", "seized", "a.csv", "--role", "illegal", "--all-categories"]).done();
    let (one, reason) = (md5(1).to_hex(), ["--reason", "a stock photo"]);
    let text = folder.run(&[&["suppress", "--only-this-hash", "--kind", "md5", &one], &reason[..]].concat()).done();
    assert!(text.contains("1 hash decides nothing any more"), "{text}");
    assert_eq!([told(&folder, &md5(1)), told(&folder, &sha1(1))], [VETOED, KNOWN]);
    let listed = folder.run(&["suppressions", "--format", "json"]).json();
    assert_eq!(
        (&listed["scope"], &listed["covers"], &listed["fingerprint"]),
        (&json!("hash"), &json!(1), &json!(md5(1)))
    );
    assert!(!listed["author"].as_str().unwrap().is_empty());
    folder.run(&["lift", "--kind", "md5", &one, "--reason", "x"]).done();

    let text = folder.run(&["suppress", &md5(9).to_string(), "--reason", "x"]).done();
    assert!(text.contains("no list holds") && !text.contains("near"), "{text}");
    let text = folder.run(&["suppress", &format!("pdq:{}", "0f".repeat(32)), "--reason", "x"]).done();
    assert!(text.contains("no list holds") && text.contains("hashes near to it match as before"), "{text}");
    folder.run(&["add", "cases", &md5(9).to_string(), "--role", "illegal"]).done();
    assert_eq!(told(&folder, &md5(9)), VETOED);
    assert!(folder.run(&["explain", &md5(77).to_string()]).done().contains("none holds it"));

    let test = hash_bytes(Kind::Md5, hashward::list::TEST_CONTENT.as_bytes()).to_string();
    folder.run(&["suppress", &test, "--reason", "x"]).refused(1, &["part of hashward"]);
    folder.run(&["suppress", &one, "--reason", "x"]).refused(2, &["--kind"]);
    folder.run(&["suppress", &md5(2).to_string(), "--reason", ""]).refused(1, &["expected one line"]);
    folder.run(&["lift", "99", "--reason", "x"]).refused(1, &["is not suppressed", "hashward-index suppressions"]);
    folder.run(&["explain", &md5(1).to_string(), "--radius", "3"]).refused(1, &["compared by equality"]);
}
