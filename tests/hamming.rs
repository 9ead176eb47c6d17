//! Search by distance as a user of the library sees it, and the counts of the shared test data.

use std::path::Path;

use hashward::fingerprint::Radius;
use hashward::index::hamming::{BkTree, Flat, HammingIndex, Mih, Near, mih};

const WIDTH: usize = 32;

fn near(index: &dyn HammingIndex, questions: &[u8], radius: u16) -> Vec<Near> {
    let mut found = vec![];
    index.search(questions, Radius(radius), &mut found);
    found.sort();
    found
}

/// Hex codes, a line each.
fn read(path: &Path) -> Vec<[u8; WIDTH]> {
    let text = std::fs::read_to_string(path).unwrap();
    let code = |line: &str| std::array::from_fn(|at| u8::from_str_radix(&line[at * 2..][..2], 16).unwrap());
    text.split_whitespace().map(code).collect()
}

/// Pairs of needles and haystack codes, as others have counted them by brute force. Codes that stand in the haystack
/// several times count as often; here they are indexed once.
#[test]
fn the_pairs_of_the_shared_test_data_are_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata/pdq/mih");
    if !folder.is_dir() {
        eprintln!("skipped: no test data at {}", folder.display());
        return;
    }
    let (needles, haystack) = (read(&folder.join("needles.txt")), read(&folder.join("haystack.txt")));
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    assert_eq!((needles.len(), haystack.len()), (100, 1350));

    let mut distinct = haystack.clone();
    distinct.sort();
    distinct.dedup();
    let times: Vec<usize> =
        distinct.iter().map(|code| haystack.iter().filter(|other| *other == code).count()).collect();
    let codes = distinct.as_flattened();
    let mut section = vec![];
    mih::build(WIDTH, codes, &mut section).unwrap();
    let mih = Mih::open(WIDTH, codes, &section).unwrap();
    mih.verify().unwrap();
    let mut tree = BkTree::new(WIDTH);
    distinct.iter().for_each(|code| {
        tree.insert(code);
    });
    let structures: [(&str, &dyn HammingIndex); 3] =
        [("flat", &Flat::new(WIDTH, codes)), ("mih", &mih), ("bk_tree", &tree)];
    for (radius, counts) in expected["within"].as_object().unwrap() {
        for (name, index) in structures {
            let found = near(index, needles.as_flattened(), radius.parse().unwrap());
            let pairs: usize = found.iter().map(|near| times[near.ordinal as usize]).sum();
            assert_eq!(pairs as u64, counts["pairs"], "{name}, within {radius}");
            let mut rows: Vec<u32> = found.iter().map(|near| near.row).collect();
            rows.dedup();
            assert_eq!(rows.len() as u64, counts["needles_with_a_match"], "{name}, within {radius}");
        }
    }
}

/// Enough codes that a section is worth asking: what it gives without being scanned is what the scan gives.
#[test]
fn a_planned_section_gives_what_the_scan_gives() {
    const COUNT: u64 = 30_000;
    // Multiples of an odd number, so each code once; the words after it repeat.
    let code = |number: u64| -> [u8; WIDTH] {
        let words = [1, 3, 5, 7].map(|factor: u64| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_mul(factor);
            (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()
        });
        words.as_flattened().try_into().unwrap()
    };
    let mut codes: Vec<[u8; WIDTH]> = (0..COUNT).map(code).collect();
    codes.sort();
    codes.dedup();
    let mut section = vec![];
    mih::build(WIDTH, codes.as_flattened(), &mut section).unwrap();
    let mih = Mih::open(WIDTH, codes.as_flattened(), &section).unwrap();
    mih.verify().unwrap();
    let flat = Flat::new(WIDTH, codes.as_flattened());
    for (at, radius) in (0..=20).enumerate() {
        let mut question = codes[at * 1000];
        (0..radius).for_each(|bit| question[bit * 11 % 32] ^= 1 << (bit % 8));
        let expected = near(&flat, &question, radius as u16);
        assert!(!expected.is_empty());
        assert_eq!(near(&mih, &question, radius as u16), expected, "within {radius}");
    }
}
