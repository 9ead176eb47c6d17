//! What a list keeper asks of what is there: which lists, in what versions differ, what lists share.

mod program;

use std::collections::{BTreeMap, BTreeSet};

use hashward::fingerprint::{Fingerprint, Kind};
use program::{Folder, hex_list, md5};
use proptest::prelude::*;
use serde_json::{Value, json};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// A CSV of MD5s with their categories.
fn csv(rows: impl IntoIterator<Item = (u32, &'static str)>) -> String {
    let rows = rows.into_iter().map(|(number, category)| format!("{},{category}\n", md5(number).to_hex()));
    "md5,category\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn versions_are_compared() {
    let folder = Folder::new();
    folder.write("a.csv", csv((0..20).map(|number| (number, if number < 5 { "1" } else { "2" }))));
    folder.write("b.csv", csv((10..30).map(|number| (number, if number < 12 { "3" } else { "2" }))));
    let diff = |more: &[&str]| folder.run(&[&["diff", "region"], more].concat());
    folder.run(&["import", "region", "a.csv", "--role", "watch", "--all-categories"]).done();
    diff(&[]).refused(1, &["a version of `region` before 1", "found none"]);
    folder.run(&["withdraw", "region", &md5(0).to_string()]).done();
    folder.run(&["import", "region", "b.csv"]).done();

    let text = diff(&[]).done();
    assert!(text.starts_with("region: version 2 against version 1\n"), "{text}");
    let cells: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(cells, ["md5", "10", "9", "2", "8"], "what was withdrawn is not removed once more");
    let found = diff(&["--format", "json"]).json();
    let kinds = json!({"md5": {"added": 10, "removed": 9, "changed": 2, "same": 8}});
    assert_eq!(found, json!({"list": "region", "from": 1, "to": 2, "kinds": kinds}));
    // The other way round.
    let found = diff(&["2", "1", "--format", "json"]).json();
    assert_eq!(found["kinds"], json!({"md5": {"added": 9, "removed": 10, "changed": 2, "same": 8}}));
    assert_eq!(diff(&["1", "1", "--format", "json"]).json()["kinds"]["md5"]["same"], 19);

    let found = lines(&diff(&["1", "--entries", "--format", "json"]).done());
    let with_sign = |sign: &str| {
        let of_sign = found.iter().filter(|line| line["sign"] == sign);
        of_sign.map(|line| line["value"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let hex = |range: std::ops::Range<u32>| range.map(|number| md5(number).to_hex()).collect::<BTreeSet<_>>();
    assert_eq!((with_sign("+"), with_sign("-"), with_sign("~")), (hex(20..30), hex(1..10), hex(10..12)));
    let changed = found.iter().find(|line| line["sign"] == "~").unwrap();
    assert_eq!((&changed["labels"], &changed["before"]), (&json!([{"category": "3"}]), &json!([{"category": "2"}])));
    let text = diff(&["--entries", "--format", "tsv"]).done();
    assert!(text.contains(&format!("~\tmd5\t{}\t3\t2\n", md5(11).to_hex())), "{text}");
    let text = diff(&["--entries"]).done();
    assert!(text.contains(&format!("+ md5:{}  2\n", md5(25).to_hex())), "{text}");

    diff(&["7"]).refused(1, &["no version 7", "1, 2"]);
    folder.run(&["add", "cases", &md5(1).to_string(), "--role", "watch"]).done();
    folder.run(&["diff", "cases"]).refused(1, &["feed list", "no versions"]);
}

#[test]
fn lists_are_held_against_each_other() {
    let folder = Folder::new();
    folder.write("small.csv", csv((0..50).map(|number| (number, if number < 10 { "1" } else { "2" }))));
    folder.write("large.md5", hex_list(40..400));
    folder.run(&["import", "region", "small.csv", "--role", "watch", "--all-categories"]).done();
    folder.run(&["import", "debian", "large.md5", "--role", "ignorable"]).done();
    let own: Vec<_> = [5, 45, 900].map(|number| md5(number).to_string()).into();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    folder.run(&[&["add", "cases", "--role", "illegal", "--category", "XX:9"], &own[..]].concat()).done();
    folder.run(&["withdraw", "debian", &md5(41).to_string()]).done();
    folder.run(&["withdraw", "region", &md5(42).to_string()]).done();

    let overlap = |list: &str, more: &[&str]| folder.run(&[&["overlap", list], more].concat());
    let found = lines(&overlap("region", &["--format", "json"]).done());
    let pair = |category: Value, other: Value, count: u64| json!({"category": category, "other_category": other, "fingerprints": count});
    let cases = [pair(json!("1"), json!("XX:9"), 1), pair(json!("2"), json!("XX:9"), 1)];
    let common = json!({"list": "region", "kind": "md5", "fingerprints": 49});
    let expect = |other: &str, shared: u64, categories: &[Value]| {
        let mut expected = common.clone();
        expected["other"] = json!(other);
        expected["shared"] = json!(shared);
        expected["categories"] = json!(categories);
        expected
    };
    assert_eq!(
        found,
        [
            expect("cases", 2, &cases),
            // 40 to 49 without what either has withdrawn.
            expect("debian", 8, &[pair(json!("2"), Value::Null, 8)]),
        ]
    );
    // From the larger list's side.
    let found = lines(&overlap("debian", &["region", "--format", "json"]).done());
    assert_eq!((&found[0]["shared"], &found[0]["fingerprints"]), (&json!(8), &json!(359)));
    assert_eq!(found[0]["categories"], json!([pair(Value::Null, json!("2"), 8)]));

    for (list, other) in [("region", "debian"), ("debian", "region")] {
        let found = lines(&overlap(list, &[other, "--entries", "--format", "json"]).done());
        let values: BTreeSet<_> = found.iter().map(|line| line["value"].as_str().unwrap().to_owned()).collect();
        let expected = (40..50).filter(|number| ![41, 42].contains(number));
        assert_eq!(values, expected.map(|number| md5(number).to_hex()).collect());
    }
    let text = overlap("region", &[]).done();
    assert!(text.lines().any(|line| line.starts_with("debian  md5   8       49  16.3 %")), "{text}");
    let text = overlap("region", &["--format", "tsv"]).done();
    assert!(text.contains("cases\tmd5\t1\tXX:9\t1\t2\n"), "{text}");
    let text = overlap("region", &["cases", "--entries"]).done();
    assert!(text.contains(&format!("md5:{}  1; cases: XX:9\n", md5(5).to_hex())), "{text}");
    overlap("region", &["region"]).refused(2, &["found itself"]);
    overlap("region", &["nothing"]).refused(1, &["nothing"]);
    overlap("hashward-test", &[]).refused(1, &["part of hashward"]);
}

#[test]
fn perceptual_hashes_are_compared_by_equality_or_distance() {
    let folder = Folder::new();
    // Code n has its first n bits set, so two codes lie as far apart as their numbers.
    let code = |bits: u32| {
        let mut value = [0u8; 32];
        (0..bits as usize).for_each(|bit| value[bit / 8] |= 1 << (bit % 8));
        Fingerprint::new(Kind::Pdq, &value).unwrap()
    };
    let list = |bits: &[u32]| "pdq\n".to_owned() + &bits.iter().map(|n| code(*n).to_hex() + "\n").collect::<String>();
    folder.write("a.csv", list(&[0, 100, 200]));
    folder.write("b.csv", list(&[0, 120, 150, 232, 240, 250]));
    folder.run(&["import", "one", "a.csv", "--role", "watch"]).done();
    folder.run(&["import", "two", "b.csv", "--role", "watch"]).done();
    let shared = |more: &[&str]| {
        let found = lines(&folder.run(&[&["overlap", "one", "--format", "json"], more].concat()).done());
        (found[0]["shared"].as_u64().unwrap(), found[0]["radius"].as_u64())
    };
    assert_eq!(shared(&[]), (1, None));
    assert_eq!(shared(&["--near"]), (2, Some(31)));
    folder.run(&["radius", "two", "pdq=40"]).done();
    assert_eq!(shared(&["--near"]), (3, Some(40)));
    folder.run(&["withdraw", "two", &code(120).to_string()]).done();
    assert_eq!(shared(&["--near"]), (2, Some(40)));
    let found = lines(&folder.run(&["overlap", "one", "--near", "--entries", "--format", "json"]).done());
    let distances: Vec<_> = found.iter().map(|line| line["distance"].as_u64().unwrap()).collect();
    assert_eq!(distances.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&0, &32]));
}

#[test]
fn lists_tell_what_they_hold() {
    let folder = Folder::new();
    folder.write("a.csv", csv([(1, "7"), (2, "9"), (3, "")]));
    folder.run(&["import", "seized", "a.csv", "--role", "watch", "--roles", "7=illegal"]).done();
    folder.run(&["add", "cases", &md5(1).to_string(), "--role", "illegal", "--category", "XX:9"]).done();
    folder.run(&["add", "cases", &md5(2).to_string()]).done();

    let text = folder.run(&["lists"]).done();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("cases").contains(" s ago  md5 2") && line("list").contains("entries"), "{text}");
    let text = folder.run(&["lists", "--categories"]).done();
    let cells: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        cells[1..],
        [
            ["cases", "XX:9", "illegal", "1"],
            ["cases", "-", "illegal", "1"],
            ["seized", "7", "illegal", "1"],
            ["seized", "9", "watch", "1"],
            ["seized", "-", "watch", "1"],
        ]
    );
    let found = lines(&folder.run(&["lists", "--categories", "--format", "json"]).done());
    assert_eq!(found[0]["categories"], json!({"by_category": {"XX:9": 1}, "uncategorised": 1}));
    let text = folder.run(&["inspect", "seized"]).done();
    assert!(text.contains("\ncategories\n") && text.contains(" s ago)"), "{text}");
    assert_eq!(folder.run(&["inspect", "cases", "--format", "json"]).json()["categories"]["uncategorised"], 1);
}

/// What a list says: the categories of each made-up file.
type Says = BTreeMap<u32, BTreeSet<&'static str>>;

fn any_list() -> impl Strategy<Value = Vec<(u32, &'static str)>> {
    proptest::collection::vec((0..40u32, prop_oneof![Just(""), Just("1"), Just("2")]), 1..60)
}

fn says(rows: &[(u32, &'static str)]) -> Says {
    let mut says = Says::new();
    rows.iter().for_each(|(number, category)| {
        says.entry(*number).or_default().insert(*category);
    });
    says
}

fn hex(number: u32) -> String {
    md5(number).to_hex()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn differences_and_common_parts_are_those_of_a_model(one in any_list(), two in any_list()) {
        let folder = Folder::new();
        folder.write("one.csv", csv(one.iter().copied()));
        folder.write("two.csv", csv(two.iter().copied()));
        let options = ["--role", "watch", "--all-categories"];
        for (list, file) in [("a", "one.csv"), ("a", "two.csv"), ("b", "one.csv")] {
            folder.run(&[&["import", list, file], &options[..]].concat()).done();
        }
        let (one, two) = (says(&one), says(&two));

        let found = lines(&folder.run(&["diff", "a", "1", "2", "--entries", "--format", "json"]).done());
        let sign_and_value = |line: &Value| (line["sign"].to_string(), line["value"].to_string());
        let found: BTreeSet<_> = found.iter().map(sign_and_value).collect();
        let mut expected = BTreeSet::new();
        for number in one.keys().chain(two.keys()) {
            let sign = match (one.get(number), two.get(number)) {
                (None, _) => "+",
                (_, None) => "-",
                (before, after) if before != after => "~",
                _ => continue,
            };
            expected.insert((format!("{sign:?}"), format!("{:?}", hex(*number))));
        }
        prop_assert_eq!(found, expected);

        // Version 2 of `a` says what `two` does.
        let found = folder.run(&["overlap", "a", "b", "--format", "json"]).json();
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let both: Vec<_> = two.keys().filter(|number| one.contains_key(number)).collect();
        for number in &both {
            for category in &two[number] {
                one[number].iter().for_each(|other| *pairs.entry((*category, *other)).or_default() += 1);
            }
        }
        let pair = |pair: &Value| {
            let text = |name: &str| pair[name].as_str().unwrap_or("").to_owned();
            ((text("category"), text("other_category")), pair["fingerprints"].as_u64().unwrap())
        };
        let told: BTreeMap<_, _> = found["categories"].as_array().unwrap().iter().map(pair).collect();
        let owned = |((one, other), count): ((&str, &str), u64)| ((one.to_owned(), other.to_owned()), count);
        let pairs = pairs.into_iter().map(owned).collect();
        prop_assert_eq!(told, pairs);
        prop_assert_eq!(found["shared"].as_u64().unwrap(), both.len() as u64);
        prop_assert_eq!(found["fingerprints"].as_u64().unwrap(), two.len() as u64);
    }
}
