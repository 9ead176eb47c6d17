//! The examples in `docs/protocol.md` are what the code writes and reads.

use std::collections::BTreeMap;

use hashward::access::Rights;
use hashward::fingerprint::{Encoding, Fingerprint, Kind, Radii, hash_bytes};
use hashward::list::{Category, Flag, Flags, Role};
use hashward::matching::{Answer, Answers, Match, Neighbour, Reason, Verdict};
use hashward::protocol::{
    ContentFrame, ContentOptions, ErrorCode, Failure, HEADER_BYTES, Header, Hello, LookupFrame, Op, PROTOCOL_VERSION,
    RequestId, Welcome, decode_answers, encode_answers, encode_busy, encode_content, encode_error, encode_frame,
    encode_lookup,
};

const PAGE: &str = include_str!("../docs/protocol.md");

/// The fenced blocks ```` ```vector NAME ```` of the page, as bytes.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    for block in PAGE.split("```vector ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a name ends with its line");
        let (hex, _) = rest.split_once("```").expect("a block ends");
        let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"));
        assert!(vectors.insert(name, bytes.collect()).is_none(), "two vectors are called {name}");
    }
    vectors
}

/// Takes the vector `name`, checks that it is one whole frame of `op` and `id` and what `encode` writes, and returns
/// its payload for decoding.
fn check(
    vectors: &mut BTreeMap<&'static str, Vec<u8>>,
    name: &str,
    op: Op,
    id: u32,
    encode: impl FnOnce(&mut Vec<u8>, RequestId),
) -> Vec<u8> {
    let frame = vectors.remove(name).unwrap_or_else(|| panic!("docs/protocol.md has no vector {name}"));
    let mut written = Vec::new();
    encode(&mut written, RequestId(id));
    assert_eq!(hex(&written), hex(&frame), "what the code writes is on the left; vector {name}");
    let header = Header::decode(frame.first_chunk::<HEADER_BYTES>().unwrap(), 1 << 20).unwrap();
    assert_eq!(
        (Op::from_code(header.op), header.version, header.id),
        (Some(op), PROTOCOL_VERSION, RequestId(id)),
        "{name}"
    );
    assert_eq!(header.frame_bytes(), frame.len(), "{name}");
    frame[HEADER_BYTES..].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

fn answers(name: &str) -> (u32, Answers) {
    match name {
        "answers" => {
            let degenerate = Match {
                kind: Kind::Md5,
                list: "hashward-degenerate".parse().unwrap(),
                role: Role::Ignorable,
                category: None,
                flags: Flags::NONE,
                distance: None,
            };
            let answers = Answers {
                generation: 7,
                rows: 2,
                checked: vec![Kind::Md5],
                incomplete: vec![],
                miss: Verdict::Unknown,
                distinct: vec![Answer::of(vec![degenerate], Verdict::Unknown)],
                hits: vec![(0, 0)],
            };
            (2, answers)
        }
        "answers-category" => {
            let found = Match {
                kind: Kind::Md5,
                list: "a".parse().unwrap(),
                role: Role::Illegal,
                category: Some(Category::new(Some("US"), "1")),
                flags: Flags::NONE.with(Flag::Precategorized, true).with(Flag::Distributed, true),
                distance: None,
            };
            let answers = Answers {
                generation: 1,
                rows: 1,
                checked: vec![Kind::Md5],
                incomplete: vec![(Kind::Sha256, Reason::Failed)],
                miss: Verdict::Undecided(Reason::Failed),
                distinct: vec![Answer { watched: true, ..Answer::of(vec![found], Verdict::Unknown) }],
                hits: vec![(0, 0)],
            };
            (3, answers)
        }
        "answers-near" => {
            let found = Match {
                kind: Kind::Phash64,
                list: "a".parse().unwrap(),
                role: Role::Illegal,
                category: None,
                flags: Flags::NONE,
                distance: Some(2),
            };
            let fingerprint = Fingerprint::parse(Kind::Phash64, "0011223344556674", Encoding::Hex).unwrap();
            let nearest = vec![Neighbour { distance: 2, fingerprint }];
            let answers = Answers {
                generation: 1,
                rows: 1,
                checked: vec![Kind::Phash64],
                incomplete: vec![],
                miss: Verdict::Unknown,
                distinct: vec![Answer { nearest, further: 5, ..Answer::of(vec![found], Verdict::Unknown) }],
                hits: vec![(0, 0)],
            };
            (7, answers)
        }
        "answers-suppressed" => {
            let answers = Answers {
                generation: 9,
                rows: 1,
                checked: vec![Kind::Md5],
                incomplete: vec![],
                miss: Verdict::Unknown,
                distinct: vec![Answer { suppressed: true, ..Answer::of(vec![], Verdict::Unknown) }],
                hits: vec![(0, 0)],
            };
            (9, answers)
        }
        "answers-undecided" => {
            let answers = Answers {
                generation: 0,
                rows: 1,
                checked: vec![],
                incomplete: vec![(Kind::Md5, Reason::NoListForKind)],
                miss: Verdict::Undecided(Reason::NoListForKind),
                distinct: vec![],
                hits: vec![],
            };
            (4, answers)
        }
        other => panic!("no such example: {other}"),
    }
}

#[test]
fn the_page_and_the_code_agree() {
    let mut vectors = vectors();
    let vectors = &mut vectors;

    let hello = Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token: None };
    let payload = check(vectors, "hello", Op::Hello, 1, |out, id| hello.encode(out, id));
    assert_eq!(Hello::decode(&payload), Ok(hello));

    let welcome = Welcome {
        version: PROTOCOL_VERSION,
        rights: Rights::LOOKUP,
        max_frame_bytes: 16 << 20,
        max_values: 65_536,
        max_commands: 4,
        max_near_values: 1_024,
        max_content_bytes: 4 << 30,
    };
    let payload = check(vectors, "welcome", Op::Welcome, 1, |out, id| welcome.encode(out, id));
    assert_eq!(Welcome::decode(&payload), Ok(welcome));

    let empty = hash_bytes(Kind::Md5, b"");
    let other: Vec<u8> = (0..16).map(|digit| digit * 0x11).collect();
    let values = [empty.value(), &other].concat();
    let payload = check(vectors, "lookup", Op::Lookup, 2, |out, id| {
        encode_lookup(out, id, &[Kind::Md5], &Radii::none(), &values)
    });
    let lookup = LookupFrame { kinds: vec![Kind::Md5], radii: Radii::none(), rows: 2, values: &values };
    assert_eq!(LookupFrame::decode(&payload), Ok(lookup));

    let radii: Radii = ["phash64=6".parse().unwrap()].into_iter().collect::<Radii>();
    let code: Vec<u8> = (0..8).map(|digit| digit * 0x11).collect();
    let payload =
        check(vectors, "lookup-near", Op::Lookup, 7, |out, id| encode_lookup(out, id, &[Kind::Phash64], &radii, &code));
    let lookup = LookupFrame { kinds: vec![Kind::Phash64], radii, rows: 1, values: &code };
    assert_eq!(LookupFrame::decode(&payload), Ok(lookup));

    let options = ContentOptions { dihedral: true, radii: Radii::none() };
    let content = ContentFrame { options, more: false, descriptor: false, bytes: b"abc" };
    let payload = check(vectors, "content", Op::Content, 8, |out, id| encode_content(out, id, &content));
    assert_eq!(ContentFrame::decode(&payload), Ok(content));

    for name in ["answers", "answers-category", "answers-near", "answers-suppressed", "answers-undecided"] {
        let (id, answers) = answers(name);
        let payload = check(vectors, name, Op::Answers, id, |out, id| encode_answers(out, id, &answers).unwrap());
        assert_eq!(decode_answers(&payload), Ok(answers));
    }

    let lists = br#"{"command":"lists"}"#;
    let payload = check(vectors, "command", Op::Command, 5, |out, id| encode_frame(out, Op::Command, id, lists));
    assert_eq!(payload, lists);

    let failure = Failure::new(ErrorCode::Forbidden, "lookup only");
    let payload = check(vectors, "error", Op::Error, 6, |out, id| encode_error(out, id, &failure));
    assert_eq!(Failure::decode(&payload), Ok(failure));

    let payload = check(vectors, "busy", Op::Busy, 0, |out, id| encode_busy(out, id, "256 connections"));
    assert_eq!(payload, b"256 connections");

    assert!(vectors.is_empty(), "the page has vectors that no test reads: {:?}", vectors.keys());
}
