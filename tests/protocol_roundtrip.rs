//! Any value survives the wire, and no bytes from the wire make the codec panic.

use std::sync::Arc;

use hashward::access::Rights;
use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius};
use hashward::list::{Category, Flags, Role};
use hashward::matching::{Answer, Answers, Match, NEAREST_MAX, Neighbour, Reason, Verdict};
use hashward::protocol::{
    ContentFrame, ContentOptions, ErrorCode, Failure, HEADER_BYTES, Header, Hello, LookupFrame, MAX_VALUES, Op,
    RequestId, Welcome, decode_answers, encode_answers, encode_content, encode_error, encode_lookup,
};
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = Kind> {
    (0..Kind::ALL.len()).prop_map(|index| Kind::ALL[index])
}

fn kinds(least: usize) -> impl Strategy<Value = Vec<Kind>> {
    proptest::sample::subsequence(Kind::ALL.to_vec(), least..=Kind::ALL.len()).prop_shuffle()
}

fn reason() -> impl Strategy<Value = Reason> {
    (0..Reason::ALL.len()).prop_map(|index| Reason::ALL[index])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let decided = [Verdict::Known, Verdict::Conflict, Verdict::Ignorable, Verdict::Unknown];
    prop_oneof![4 => (0..4usize).prop_map(move |index| decided[index]), 1 => reason().prop_map(Verdict::Undecided)]
}

fn category() -> impl Strategy<Value = Category> {
    (proptest::option::of(".{0,12}"), ".{0,40}")
        .prop_map(|(scheme, code)| Category { scheme: scheme.map(Arc::from), code: Arc::from(code) })
}

fn one_match() -> impl Strategy<Value = Match> {
    let role = (0..3usize).prop_map(|index| [Role::Illegal, Role::Ignorable, Role::Watch][index]);
    let distance = proptest::option::of(0..=256u16);
    (kind(), "[a-z0-9][a-z0-9._-]{0,63}", role, proptest::option::of(category()), any::<u8>(), distance).prop_map(
        |(kind, list, role, category, flags, distance)| Match {
            kind,
            list: list.parse().expect("the pattern is that of list names"),
            role,
            category,
            flags: Flags(flags),
            distance,
        },
    )
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    (kind(), any::<u8>(), any::<u16>()).prop_map(|(kind, byte, distance)| Neighbour {
        distance,
        fingerprint: Fingerprint::new(kind, &vec![byte; kind.width()]).unwrap(),
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let nearest = prop_oneof![
        4 => proptest::collection::vec(neighbour(), 0..3),
        1 => neighbour().prop_map(|near| vec![near; NEAREST_MAX]),
    ];
    let bits = any::<(bool, bool)>();
    (verdict(), bits, proptest::collection::vec(one_match(), 0..4), nearest, any::<u32>()).prop_map(
        |(verdict, (watched, suppressed), matches, nearest, further)| Answer {
            verdict,
            watched,
            suppressed,
            matches,
            nearest,
            further,
        },
    )
}

fn radii() -> impl Strategy<Value = Radii> {
    let of = |kind: Kind| proptest::option::of((0..=kind.radius_max().unwrap().0).prop_map(Radius));
    let [pdq, phash, dhash, blockhash] = Kind::PERCEPTUAL.map(of);
    (pdq, phash, dhash, blockhash).prop_map(|(pdq, phash, dhash, blockhash)| {
        let mut radii = Radii::none();
        for (kind, radius) in Kind::PERCEPTUAL.into_iter().zip([pdq, phash, dhash, blockhash]) {
            radius.into_iter().for_each(|radius| radii.set(kind, radius).unwrap());
        }
        radii
    })
}

/// Answers whose hits name every distinct answer; up to 600 of them, so that both widths of index occur.
fn answers() -> impl Strategy<Value = Answers> {
    let distinct = prop_oneof![
        4 => proptest::collection::vec(answer(), 0..5),
        1 => answer().prop_map(|answer| vec![answer; 600]),
    ];
    (distinct, 0..40u32, any::<u64>(), kinds(0), proptest::collection::vec((kind(), reason()), 0..4), verdict())
        .prop_flat_map(|(distinct, misses, generation, checked, incomplete, miss)| {
            let rows = distinct.len() as u32 + misses;
            let hit_rows = proptest::sample::subsequence((0..rows).collect::<Vec<_>>(), distinct.len());
            hit_rows.prop_map(move |hit_rows| Answers {
                generation,
                rows,
                checked: checked.clone(),
                incomplete: incomplete.clone(),
                miss,
                distinct: distinct.clone(),
                hits: hit_rows.into_iter().zip((0..).map(|index| index % distinct.len().max(1) as u32)).collect(),
            })
        })
}

/// The one frame in `frame`, whose header must say what it is.
fn payload_of(frame: &[u8], op: Op, id: RequestId) -> &[u8] {
    let header = Header::decode(frame.first_chunk::<HEADER_BYTES>().unwrap(), u32::MAX).unwrap();
    assert_eq!((Op::from_code(header.op), header.id, header.frame_bytes()), (Some(op), id, frame.len()));
    &frame[HEADER_BYTES..]
}

/// Gives `payload` to every decoder; they may refuse it.
fn decode_by_all(payload: &[u8]) {
    let _ = Hello::decode(payload);
    let _ = Welcome::decode(payload);
    let _ = LookupFrame::decode(payload);
    let _ = ContentFrame::decode(payload);
    let _ = decode_answers(payload);
    let _ = Failure::decode(payload);
    if let Some(header) = payload.first_chunk::<HEADER_BYTES>() {
        let _ = Header::decode(header, 1 << 20);
    }
}

proptest! {
    #[test]
    fn answers_survive(answers in answers(), id in any::<u32>()) {
        let mut frame = Vec::new();
        encode_answers(&mut frame, RequestId(id), &answers).unwrap();
        prop_assert_eq!(decode_answers(payload_of(&frame, Op::Answers, RequestId(id))).unwrap(), answers);
    }

    #[test]
    fn no_prefix_and_no_addition_reads_as_answers(answers in answers(), cut in any::<proptest::sample::Index>()) {
        let mut frame = Vec::new();
        encode_answers(&mut frame, RequestId(1), &answers).unwrap();
        let mut payload = frame.split_off(HEADER_BYTES);
        prop_assert!(decode_answers(&payload[..cut.index(payload.len())]).is_err());
        payload.push(0);
        prop_assert!(decode_answers(&payload).is_err());
    }

    #[test]
    fn questions_survive(
        kinds in kinds(1),
        radii in radii(),
        rows in 0..50usize,
        byte in any::<u8>(),
        id in any::<u32>(),
    ) {
        let width: usize = kinds.iter().map(|kind| kind.width()).sum();
        let values: Vec<u8> = (0..rows * width).map(|index| (index as u8).wrapping_add(byte)).collect();
        let mut frame = Vec::new();
        encode_lookup(&mut frame, RequestId(id), &kinds, &radii, &values);
        let lookup = LookupFrame::decode(payload_of(&frame, Op::Lookup, RequestId(id))).unwrap();
        prop_assert_eq!(lookup, LookupFrame { kinds, radii, rows: rows as u32, values: &values });
    }

    #[test]
    fn content_survives(
        radii in radii(),
        dihedral: bool,
        flag in 0..3u8,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (more, descriptor) = (flag == 1, flag == 2);
        let bytes = if descriptor { &[][..] } else { &bytes };
        let more = more && !bytes.is_empty();
        let content = ContentFrame { options: ContentOptions { dihedral, radii }, more, descriptor, bytes };
        let mut frame = Vec::new();
        encode_content(&mut frame, RequestId(3), &content);
        prop_assert_eq!(ContentFrame::decode(payload_of(&frame, Op::Content, RequestId(3))).unwrap(), content);
    }

    #[test]
    fn failures_survive(number in 1..=10u16, text in ".{0,200}") {
        let failure = Failure::new(ErrorCode::from_number(number).unwrap(), text);
        let mut frame = Vec::new();
        encode_error(&mut frame, RequestId(9), &failure);
        prop_assert_eq!(Failure::decode(payload_of(&frame, Op::Error, RequestId(9))).unwrap(), failure);
    }

    #[test]
    fn no_bytes_make_the_codec_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode_by_all(&payload);
    }

    #[test]
    fn no_changed_byte_makes_the_codec_panic(answers in answers(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut frame = Vec::new();
        encode_answers(&mut frame, RequestId(1), &answers).unwrap();
        let index = at.index(frame.len());
        frame[index] = byte;
        decode_by_all(&frame[HEADER_BYTES..]);
    }
}

#[test]
fn counts_that_the_bytes_do_not_bear_out_are_refused() {
    // 65,537 rows of md5 claimed, none sent; then 65,536 claimed, one byte short.
    let head = |rows: u32| [&[1, Kind::Md5.code(), 0][..], &rows.to_le_bytes()].concat();
    assert!(LookupFrame::decode(&head(MAX_VALUES + 1)).unwrap_err().to_string().contains("at most 65536"));
    assert!(LookupFrame::decode(&head(u32::MAX)).is_err());
    let mut short = head(MAX_VALUES);
    short.resize(short.len() + MAX_VALUES as usize * 16 - 1, 0);
    assert!(LookupFrame::decode(&short).unwrap_err().to_string().contains("expected 1048576 bytes of values"));
    short.push(0);
    assert_eq!(LookupFrame::decode(&short).unwrap().rows, MAX_VALUES);

    let twice = [2, Kind::Md5.code(), Kind::Md5.code(), 0, 0, 0, 0, 0];
    assert!(LookupFrame::decode(&twice).unwrap_err().to_string().contains("each once"));
    assert!(LookupFrame::decode(&[0, 0, 0, 0, 0]).is_err());
    assert!(LookupFrame::decode(&[1, 99, 0, 0, 0, 0, 0]).is_err());
    let radii = |radii: &[u8]| LookupFrame::decode(&[&[1, Kind::Pdq.code()], radii, &[0, 0, 0, 0]].concat()).map(drop);
    assert!(radii(&[1, Kind::Pdq.code(), 63, 0]).is_ok());
    for bad in [
        &[1, Kind::Pdq.code(), 64, 0][..],
        &[1, Kind::Md5.code(), 1, 0],
        &[2, Kind::Pdq.code(), 1, 0, Kind::Pdq.code(), 2, 0],
    ] {
        assert!(radii(bad).unwrap_err().to_string().contains("radius"), "{bad:?}");
    }
    // A flag without a meaning; more to follow, or bytes, beside a descriptor.
    // And a part without bytes that is not the last.
    for bad in [&[8, 0][..], &[3, 0], &[2, 0, 1], &[1, 0]] {
        assert!(ContentFrame::decode(bad).unwrap_err().to_string().contains("flags"), "{bad:?}");
    }
}

#[test]
fn a_zeroed_answer_is_no_answer() {
    for length in 0..64 {
        assert!(decode_answers(&vec![0; length]).is_err(), "{length} zero bytes");
    }
}

#[test]
fn unknown_rights_are_not_granted() {
    let mut frame = Vec::new();
    let welcome = Welcome {
        version: 1,
        rights: Rights::ALL,
        max_frame_bytes: 1,
        max_values: 2,
        max_commands: 3,
        max_near_values: 4,
        max_content_bytes: 5,
    };
    welcome.encode(&mut frame, RequestId(1));
    let mut payload = payload_of(&frame, Op::Welcome, RequestId(1)).to_vec();
    assert_eq!(Welcome::decode(&payload).unwrap(), welcome);
    payload[2] = 0b1000_0001;
    assert_eq!(Welcome::decode(&payload).unwrap().rights, Rights::LOOKUP);
}
