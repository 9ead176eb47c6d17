//! The same questions by frames and by HTTP, as a document, as lines and one by one: the same answers in all they tell.

mod daemon_support;
mod pictures_support;

use daemon_support::http::Http;
use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius, hash_bytes};
use hashward::list::TEST_CONTENT;
use hashward::matching::{Answer, Answers};
use hashward::protocol::{Client, ContentOptions};
use pictures_support::{mirrored, pdq, photo, png};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, Value, json};

/// Codes of 64 bits that the list `bad` holds.
const CODES: [[u8; 8]; 2] = [[0x0F, 0x1E, 0x2D, 0x3C, 0x4B, 0x5A, 0x69, 0x78], [0xA5; 8]];

/// Files that lists know by their bytes, in all that lists can say; and some that none does.
fn file(number: usize) -> Vec<u8> {
    let names = ["bad 0", "bad 1", "good", "both", "eye", "ghost", "gone", "vetoed", "nobody knows", "", TEST_CONTENT];
    names[number % names.len()].as_bytes().to_vec()
}

/// How many files there are.
const FILES: usize = 11;

/// A daemon whose lists say all that lists can.
fn server() -> Http {
    let http = Http::start("");
    let add = |list: &str, role: &str, kinds: &[Kind], files: &[usize]| {
        let entry = |file_number: &usize| {
            let fingerprints: Vec<Fingerprint> =
                kinds.iter().map(|kind| hash_bytes(*kind, &file(*file_number))).collect();
            json!({"source_id": file_number.to_string(), "fingerprints": fingerprints, "category": "US:1",
                "flags": if file_number.is_multiple_of(2) { json!(["distributed"]) } else { json!([]) }})
        };
        let entries: Vec<Value> = files.iter().map(entry).collect();
        let added = http.post(&format!("/v1/lists/{list}/entries"), &json!({"role": role, "entries": entries}));
        assert_eq!(added.status, 200, "{added:?}");
    };
    add("bad", "illegal", &[Kind::Md5, Kind::Sha1, Kind::Sha256], &[0, 1, 3, 7]);
    add("good", "ignorable", &[Kind::Md5, Kind::Sha256], &[2, 3]);
    add("eyes", "watch", &[Kind::Md5], &[0, 4]);
    add("ghost", "illegal", &[Kind::Md5, Kind::Blake3], &[5]);
    add("gone", "illegal", &[Kind::Md5], &[6]);
    let near = [
        Fingerprint::new(Kind::Phash64, &CODES[0]).unwrap(),
        Fingerprint::new(Kind::Phash64, &CODES[1]).unwrap(),
        pdq(&photo(1)),
    ];
    http.daemon.add("bad", near);
    let ask = |method: &str, path: &str, body: Value| {
        let answer = http.request(method, path, "", body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    ask("PUT", "/v1/lists/ghost/state", json!({"state": "shadow"}));
    ask("PUT", "/v1/lists/gone/state", json!({"state": "disabled"}));
    ask("PUT", "/v1/lists/bad/radii/phash64", json!({"radius": 6}));
    let veto = json!({"fingerprint": hash_bytes(Kind::Md5, &file(7)), "scope": "entry", "author": "a", "reason": "b"});
    ask("POST", "/v1/suppressions", veto);
    http
}

/// What HTTP should say of a row, from what a frame said.
fn expected(answers: &Answers, answer: Option<&Answer>) -> Value {
    let verdict = answer.map_or(answers.miss, |answer| answer.verdict);
    let mut said = Map::new();
    said.insert("verdict".to_owned(), json!(verdict.name()));
    if let Some(reason) = verdict.reason() {
        said.insert("reason".to_owned(), json!(reason.name()));
    }
    let Some(answer) = answer else { return Value::Object(said) };
    for (name, holds) in [("watched", answer.watched), ("suppressed", answer.suppressed)] {
        if holds {
            said.insert(name.to_owned(), json!(true));
        }
    }
    let matches = answer.matches.iter().map(|found| {
        let category = found.category.as_ref();
        let mut one = json!({"list": found.list, "role": found.role.name(), "flags": found.flags.names(),
            "category": category.map(|category| &*category.code), "kind": found.kind.name(),
            "scheme": category.and_then(|category| category.scheme.as_deref())});
        if let Some(distance) = found.distance {
            one["distance"] = json!(distance);
        }
        one
    });
    let nearest = answer.nearest.iter().map(|near| {
        let value = near.fingerprint.to_hex();
        json!({"kind": near.fingerprint.kind().name(), "hash": value, "distance": near.distance})
    });
    for (name, items) in [("matches", matches.collect::<Vec<_>>()), ("nearest", nearest.collect())] {
        if !items.is_empty() {
            said.insert(name.to_owned(), json!(items));
        }
    }
    if answer.further > 0 {
        said.insert("further".to_owned(), json!(answer.further));
    }
    Value::Object(said)
}

/// The same with what holds for all rows, as it stands in an answer of its own.
fn expected_alone(answers: &Answers, answer: Option<&Answer>) -> Value {
    let mut said = expected(answers, answer);
    let incomplete = answers.incomplete.iter().map(|(kind, reason)| json!({"kind": kind, "reason": reason.name()}));
    said["incomplete"] = incomplete.collect();
    said["checked"] = json!(answers.checked);
    said["generation"] = json!(answers.generation);
    said
}

/// A question: kinds, radii, and of each row a file for its exact kinds, and a code and how many bits of it are flipped.
#[derive(Clone, Debug)]
struct Asked {
    kinds: Vec<Kind>,
    radii: Vec<(Kind, u16)>,
    rows: Vec<(usize, usize, usize)>,
}

impl Asked {
    fn values(&self) -> Vec<Vec<Fingerprint>> {
        let value = |kind: Kind, (file_number, code, flipped): (usize, usize, usize)| match kind {
            Kind::Pdq | Kind::Phash64 | Kind::Dhash64 | Kind::Blockhash64 => {
                let mut bytes = match (kind, code % 3) {
                    (Kind::Pdq, 0) => pdq(&photo(1)).value().to_vec(),
                    (Kind::Pdq, _) => vec![0x33; 32],
                    (_, 2) => vec![0x33; 8],
                    (_, code) => CODES[code].to_vec(),
                };
                (0..flipped).for_each(|bit| bytes[bit * 7 % kind.width()] ^= 1 << (bit * 7 / kind.width() % 8));
                Fingerprint::new(kind, &bytes).unwrap()
            }
            Kind::PhotoDna | Kind::Btih => Fingerprint::new(kind, &vec![code as u8; kind.width()]).unwrap(),
            computed => hash_bytes(computed, &file(file_number)),
        };
        self.rows.iter().map(|row| self.kinds.iter().map(|kind| value(*kind, *row)).collect()).collect()
    }

    fn radii(&self) -> Radii {
        let mut radii = Radii::none();
        self.radii.iter().for_each(|(kind, bits)| radii.set(*kind, Radius(*bits)).unwrap());
        radii
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    // Mostly kinds that some list holds.
    let kinds = prop_oneof![
        Just(vec![Kind::Md5]),
        Just(vec![Kind::Phash64]),
        Just(vec![Kind::Md5, Kind::Sha1]),
        proptest::sample::subsequence(Kind::ALL.to_vec(), 1..4),
    ];
    let rows = vec((0..FILES, 0..3usize, 0..12usize), 0..8);
    let radii = vec((proptest::sample::select(Kind::PERCEPTUAL.to_vec()), 0..9u16), 0..2);
    (kinds.prop_shuffle(), radii, rows).prop_map(|(kinds, radii, rows)| Asked { kinds, radii, rows })
}

fn check(http: &Http, client: &mut Client, asked: &Asked) -> Result<(), TestCaseError> {
    let (values, radii) = (asked.values(), asked.radii());
    let packed: Vec<u8> = values.iter().flatten().flat_map(|value| value.value().to_vec()).collect();
    let frame = client.lookup(&asked.kinds, &radii, &packed).unwrap();
    let hashes = |row: &Vec<Fingerprint>| row.iter().map(Fingerprint::to_hex).collect::<Vec<_>>();
    let rows: Vec<Value> =
        values.iter().map(|row| if row.len() == 1 { json!(row[0].to_hex()) } else { json!(hashes(row)) }).collect();
    let document = http.post("/v1/lookup", &json!({"kinds": asked.kinds, "radii": radii, "rows": rows}));
    prop_assert_eq!(document.status, 200, "{:?}", document);
    let mut whole = expected_alone(&frame, None);
    let fields = whole.as_object_mut().unwrap();
    fields.retain(|name, _| !["verdict", "reason"].contains(&name.as_str()));
    whole["answers"] = frame.iter().map(|answer| expected(&frame, answer)).collect();
    prop_assert_eq!(document.json(), whole);
    if asked.kinds.len() > 1 || !radii.is_empty() {
        return Ok(());
    }
    // Lines, some of them of another kind, and each hash in a path of its own.
    let md5 = hash_bytes(Kind::Md5, &file(0));
    let alone = client.lookup(&[Kind::Md5], &Radii::none(), md5.value()).unwrap();
    let between = expected_alone(&alone, alone.iter().next().unwrap());
    let (mut lines, mut answers) = (String::new(), Vec::new());
    for (number, (row, answer)) in values.iter().zip(frame.iter()).enumerate() {
        let line = |value: &Fingerprint| format!("{}\n", json!({"kind": value.kind(), "hash": value.to_hex()}));
        lines.push_str(&line(&row[0]));
        answers.push(expected_alone(&frame, answer));
        if number % 3 == 1 {
            lines.push_str(&line(&md5));
            answers.push(between.clone());
        }
        let one = http.get(&format!("/v1/lookup/{}/{}", row[0].kind(), row[0].to_hex()));
        prop_assert_eq!((one.status, one.json()), (200, expected_alone(&frame, answer)));
    }
    let streamed = http.request("POST", "/v1/lookup", "content-type: application/x-ndjson\r\n", lines.as_bytes());
    let text = String::from_utf8(streamed.body).unwrap();
    let said: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    prop_assert_eq!((streamed.status, said), (200, answers));
    Ok(())
}

#[test]
fn frames_and_http_say_the_same_of_hashes() {
    let http = server();
    let mut client = http.daemon.client();
    // Once for each file, so that all that lists can say is said.
    let all = (0..FILES).map(|number| (number, number, number)).collect();
    check(&http, &mut client, &Asked { kinds: vec![Kind::Md5], radii: Vec::new(), rows: all }).unwrap();
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let client = std::cell::RefCell::new(client);
    runner.run(&asked(), |asked| check(&http, &mut client.borrow_mut(), &asked)).unwrap();
}

#[test]
fn frames_and_http_say_the_same_of_files() {
    let http = server();
    let mut client = http.daemon.client();
    let picture = photo(1);
    let turned = png(&mirrored(&picture));
    let files = (0..FILES).map(file).chain([png(&picture), turned.clone(), b"\xFF\xD8\xFF\xE0 no picture".to_vec()]);
    for bytes in files {
        for (dihedral, radii) in [(false, ""), (true, ""), (true, "pdq=12")] {
            let options = ContentOptions {
                dihedral,
                radii: radii.split(',').filter(|one| !one.is_empty()).map(|one| one.parse().unwrap()).collect(),
            };
            let frame = client.content(&options, &bytes[..]).unwrap();
            let answer = http.request("POST", &format!("/v1/match?dihedral={dihedral}&radii={radii}"), "", &bytes);
            let expected = expected_alone(&frame, frame.iter().next().unwrap());
            assert_eq!((answer.status, answer.json()), (200, expected), "dihedral: {dihedral}");
        }
    }
    // The questions are such that something comes of them.
    let known = |dihedral| {
        let answers = client.content(&ContentOptions { dihedral, radii: Radii::none() }, &turned[..]).unwrap();
        answers.iter().next().unwrap().map_or(answers.miss, |answer| answer.verdict).name()
    };
    assert_eq!([false, true].map(known), ["unknown", "known"]);
}
