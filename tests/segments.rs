//! Segments through their public face, held against a plain map in memory.
//!
//! Whatever the digests, the locator and the batch: both locators say what the map says, a file reads back what was
//! written, and damaged bytes are refused or answered right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashward::fingerprint::{Kind, Radius};
use hashward::index::sealed::{
    Found, LocatorKind, Segment, SegmentReader, SegmentSummary, SegmentWriter, WriteOptions, verify_file,
};
use hashward::list::{Category, Flags, Label, ListId, Source, VersionNumber};
use hashward::segment::{LabelSetId, LabelTable, SegmentError};
use proptest::collection::vec;
use proptest::prelude::*;

/// Values with their label sets.
type Model = BTreeMap<Vec<u8>, LabelSetId>;

/// A table with `sets` label sets of one label each.
fn table(sets: usize) -> LabelTable {
    let mut table = LabelTable::new();
    for number in 0..sets {
        let label = table.intern_label(Label {
            source: Source { list: ListId(16 + number as u32 % 3), version: VersionNumber(1) },
            category: Some(Category::new(Some("XX"), &number.to_string())),
            flags: Flags::NONE,
        });
        table.intern_set(&[label]);
    }
    table
}

fn write(path: &Path, kind: Kind, locator: Option<LocatorKind>, model: &Model, labels: &LabelTable) -> SegmentSummary {
    let mut writer = SegmentWriter::create(path, kind, WriteOptions { locator, applied_seq: 7 }).unwrap();
    for (digest, set) in model {
        writer.push(digest, *set).unwrap();
    }
    writer.finish(labels).unwrap()
}

/// Whether everything that `segment` says of `questions` is what `model` says.
fn answers_right(segment: &Segment, model: &Model, questions: &[Vec<u8>]) -> bool {
    let mut found = vec![];
    segment.find_batch(&questions.concat(), &mut found);
    let expected = questions.iter().enumerate().filter_map(|(row, digest)| Some((row as u32, *model.get(digest)?)));
    expected.eq(found.iter().map(|found: &Found| (found.row, found.set)))
        && found.iter().all(|found| {
            found.place.0 < segment.place_bound()
                && segment.find(&questions[found.row as usize]) == Some((found.place, found.set))
        })
        && questions.iter().all(|digest| segment.find(digest).map(|(_, set)| set) == model.get(digest).copied())
        && near_right(segment, model, questions)
}

/// Whether everything that a segment of a perceptual kind says of what lies near is what a scan of `model` says.
fn near_right(segment: &Segment, model: &Model, questions: &[Vec<u8>]) -> bool {
    let Some(max) = segment.kind().radius_max() else { return true };
    let bits = |one: &[u8], other: &[u8]| one.iter().zip(other).map(|(a, b)| (a ^ b).count_ones() as u16).sum::<u16>();
    let questions = &questions[..questions.len().min(20)];
    [0, 1, max.0 / 2, max.0].into_iter().all(|radius| {
        let mut found = vec![];
        segment.find_near(&questions.concat(), Radius(radius), &mut found);
        let mut said: Vec<_> = found
            .iter()
            .map(|near| (near.row, segment.code_at(near.place).to_vec(), near.set, near.distance))
            .collect();
        said.sort();
        let expected = questions.iter().zip(0..).flat_map(|(question, row)| {
            let of_row = model.iter().map(move |(code, set)| (row, code.clone(), *set, bits(question, code)));
            of_row.filter(move |(.., distance)| *distance <= radius)
        });
        said == expected.collect::<Vec<_>>()
    })
}

/// Holds one segment against the model in every way; returns its locator.
fn check(kind: Kind, locator: Option<LocatorKind>, model: &Model, sets: usize, strangers: &[Vec<u8>]) -> LocatorKind {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000001.seg");
    let labels = table(sets);
    let summary = write(&path, kind, locator, model, &labels);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the segment");
    assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(verify_file(&path).unwrap(), summary);

    let segment = Segment::open(&path).unwrap();
    segment.verify().unwrap();
    assert_eq!((segment.digest(), segment.len(), segment.kind()), (summary.digest, model.len() as u64, kind));
    assert_eq!((segment.labels(), segment.applied_seq()), (&labels, 7));
    assert_eq!(segment.sources(), labels.sources());

    // Hits and misses in turn, in batches of every interesting length.
    let neighbours = model.keys().map(|digest| {
        let mut other = digest.clone();
        *other.last_mut().unwrap() ^= 1;
        other
    });
    let mut questions: Vec<Vec<u8>> =
        model.keys().cloned().chain(neighbours).chain(strangers.iter().cloned()).collect();
    questions.sort_by_key(|digest| blake3::hash(digest).to_hex());
    for length in [0, 1, 63, 64, 65, 1000] {
        let batch: Vec<Vec<u8>> = questions.iter().cycle().take(length).cloned().collect();
        assert!(questions.is_empty() || answers_right(&segment, model, &batch), "a batch of {length}");
    }
    assert!(answers_right(&segment, model, &questions));

    let mut reader = SegmentReader::open(&path).unwrap();
    let mut read = Model::new();
    let mut last_place = None;
    while let Some((digest, place, set)) = reader.next().unwrap() {
        assert_eq!(segment.find(digest), Some((place, set)));
        assert!(last_place < Some(place), "places ascend with the digests");
        last_place = Some(place);
        read.insert(digest.to_vec(), set);
    }
    assert_eq!(&read, model);
    assert_eq!(reader.labels(), &labels);
    summary.locator
}

/// Digests of one kind: spread evenly, or with a shared beginning, or of few bytes' values, or all of these.
fn any_digests(kind: Kind, sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let shared = prop_oneof![Just(0usize), Just(1), Just(8), Just(16)];
    let byte = prop_oneof![any::<u8>().boxed(), (0..2u8).boxed(), Just(0).boxed()];
    (
        shared,
        any::<u8>(),
        byte.prop_flat_map(move |top| {
            let byte = if top < 2 { (0..2u8).boxed() } else { any::<u8>().boxed() };
            vec(vec(byte, kind.width()), sizes.clone())
        }),
    )
        .prop_map(|(shared, prefix, mut digests)| {
            for digest in &mut digests {
                let shared = shared.min(digest.len());
                digest[..shared].fill(prefix);
            }
            digests
        })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::ALL[..])
}

fn any_model() -> impl Strategy<Value = (Kind, Model, usize, Vec<Vec<u8>>)> {
    (
        any_kind(),
        prop_oneof![Just(1usize), Just(2), Just(5), Just(300)],
        prop_oneof![0..3usize, 0..70usize, 300..700usize],
    )
        .prop_flat_map(|(kind, sets, size)| {
            let labelled = any_digests(kind, size..size + 1).prop_flat_map(move |digests| {
                let ids = vec(0..sets as u32, digests.len());
                ids.prop_map(move |ids| digests.iter().cloned().zip(ids.into_iter().map(LabelSetId)).collect::<Model>())
            });
            (Just(kind), labelled, Just(sets), any_digests(kind, 0..40))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn all_locators_say_what_a_map_says((kind, model, sets, strangers) in any_model()) {
        for locator in LocatorKind::ALL.into_iter().filter(|locator| locator.serves(kind)) {
            let found = check(kind, Some(locator), &model, sets, &strangers);
            // Some digests are not for `bucket`.
            prop_assert!(found == locator || (locator, found) == (LocatorKind::Bucket, LocatorKind::Fst));
        }
    }
}

#[test]
fn every_exact_kind_is_found_by_every_locator_that_serves_it() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_exact()) {
        let even = |number: u64| {
            let mut digest = vec![0; kind.width()];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut digest);
            (digest, LabelSetId(0))
        };
        let model: Model = (0..300).map(even).collect();
        let strangers: Vec<_> = (300..340).map(|number| even(number).0).collect();
        for locator in LocatorKind::ALL.into_iter().filter(|locator| locator.serves(kind)) {
            assert_eq!(check(kind, Some(locator), &model, 1, &strangers), locator, "{kind}");
        }
    }
}

#[test]
fn digests_that_bucket_cannot_hold_are_written_with_fst() {
    let even = |number: u64| {
        let digest = blake3::hash(&number.to_le_bytes()).as_bytes()[..16].to_vec();
        (digest, LabelSetId(0))
    };
    let mut model: Model = (0..5000).map(even).collect();
    assert_eq!(check(Kind::Md5, Some(LocatorKind::Bucket), &model, 1, &[]), LocatorKind::Bucket);
    assert_eq!(check(Kind::Md5, None, &model, 1, &[]), LocatorKind::Fst);
    model.insert(vec![0; 16], LabelSetId(0));
    assert_eq!(check(Kind::Md5, Some(LocatorKind::Bucket), &model, 1, &[]), LocatorKind::Fst);

    let skewed = |number: u32| ([&[9; 12][..], &number.to_be_bytes()].concat(), LabelSetId(0));
    let model: Model = (0..5000).map(skewed).collect();
    assert_eq!(check(Kind::Md5, Some(LocatorKind::Bucket), &model, 1, &[vec![9; 16]]), LocatorKind::Fst);
}

#[test]
fn a_head_of_zeros_is_not_mistaken_for_an_empty_slot() {
    let model: Model = [(vec![1; 20], LabelSetId(0)), (vec![200; 20], LabelSetId(0))].into();
    let mut question = vec![0; 20];
    assert_eq!(check(Kind::Sha1, Some(LocatorKind::Bucket), &model, 1, &[question.clone()]), LocatorKind::Bucket);
    question[19] = 1;
    check(Kind::Sha1, Some(LocatorKind::Bucket), &model, 1, &[question]);
}

#[test]
fn the_writer_refuses_disorder_wrong_widths_and_unknown_sets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.seg");
    let create = || SegmentWriter::create(&path, Kind::Md5, WriteOptions::default()).unwrap();
    let mut writer = create();
    writer.push(&[2; 16], LabelSetId(0)).unwrap();
    for digest in [[2; 16], [1; 16]] {
        let error = writer.push(&digest, LabelSetId(0)).unwrap_err();
        assert!(matches!(&error, SegmentError::Disorder { .. }), "{error}");
        assert!(error.to_string().contains(&"02".repeat(16)), "{error}");
    }
    assert!(matches!(writer.push(&[3; 20], LabelSetId(0)), Err(SegmentError::Width { found: 20, .. })));
    assert!(matches!(writer.finish(&table(0)), Err(SegmentError::UnknownSet { set: 0, sets: 0 })));
    let mut writer = create();
    writer.push(&[2; 16], LabelSetId(3)).unwrap();
    assert!(matches!(writer.finish(&table(3)), Err(SegmentError::UnknownSet { set: 3, sets: 3 })));
    drop(create());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn files_that_are_no_segments_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.seg");
    assert!(matches!(Segment::open(&path), Err(SegmentError::Io { .. })));
    for bytes in [&b""[..], b"hwseg", &[b'x'; 5000]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Segment::open(&path), Err(SegmentError::NotASegment { .. })));
    }
    write(&path, Kind::Md5, None, &Model::new(), &table(0));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Segment::open(&path), Err(SegmentError::Version { found: 2, .. })));
}

/// The kind of a golden file.
fn golden_kind(locator: LocatorKind) -> Kind {
    if locator.serves(Kind::Sha1) { Kind::Sha1 } else { Kind::Phash64 }
}

/// What the golden files hold: nine values, three label sets.
fn golden_model(locator: LocatorKind) -> Model {
    let digest = |number: u8| blake3::hash(&[number]).as_bytes()[..golden_kind(locator).width()].to_vec();
    (0..9).map(|number| (digest(number), LabelSetId(u32::from(number) % 3))).collect()
}

fn golden_path(locator: LocatorKind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/segment-v1-{locator}.seg"))
}

/// Files of format 1, as they were first written: every later version must open them, and as long as it writes
/// format 1, write them byte for byte.
#[test]
fn golden_files_are_read_and_written() {
    for locator in LocatorKind::ALL {
        let model = golden_model(locator);
        let golden = Segment::open(golden_path(locator)).unwrap();
        golden.verify().unwrap();
        assert_eq!((golden.locator(), golden.len(), golden.labels()), (locator, 9, &table(3)));
        assert!(answers_right(&golden, &model, &model.keys().cloned().collect::<Vec<_>>()));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.seg");
        write(&path, golden_kind(locator), Some(locator), &model, &table(3));
        assert!(std::fs::read(&path).unwrap() == std::fs::read(golden_path(locator)).unwrap(), "{locator}");
    }
}

/// A damaged copy of a golden file, in one file that is written over and over.
struct Damaged {
    folder: tempfile::TempDir,
    model: Model,
    questions: Vec<Vec<u8>>,
}

impl Damaged {
    fn new(locator: LocatorKind) -> Damaged {
        let model = golden_model(locator);
        let width = golden_kind(locator).width();
        let stranger = |number: u8| blake3::hash(&[number, number]).as_bytes()[..width].to_vec();
        let questions =
            model.keys().cloned().chain((0..20).map(stranger)).chain([vec![0; width], vec![255; width]]).collect();
        Damaged { folder: tempfile::tempdir().unwrap(), model, questions }
    }

    /// The bytes are refused, by a mapping and by buffered reads alike, or nothing about them is wrong. What was
    /// not verified may say anything, but may not panic.
    fn check(&self, bytes: &[u8], what: &str) {
        let path = self.folder.path().join("damaged.seg");
        std::fs::write(&path, bytes).unwrap();
        let mapped = Segment::open(&path).and_then(|segment| {
            answers_right(&segment, &self.model, &self.questions);
            segment.verify()?;
            assert!(answers_right(&segment, &self.model, &self.questions), "{what}: a wrong answer");
            Ok(())
        });
        let buffered = verify_file(&path).map(drop);
        assert_eq!(mapped.is_ok(), buffered.is_ok(), "{what}: {mapped:?}, {buffered:?}");
        for error in [&mapped, &buffered].into_iter().filter_map(|result| result.as_ref().err()) {
            assert!(error.to_string().contains("damaged.seg"), "{what}: {error}");
        }
        if let Ok(mut reader) = SegmentReader::open(&path) {
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for locator in LocatorKind::ALL {
        let damaged = Damaged::new(locator);
        let golden = std::fs::read(golden_path(locator)).unwrap();
        for at in 0..golden.len() {
            // Between sections lie kilobytes of zeros; a sample of those is enough.
            if at % 64 != 0 && golden[at.saturating_sub(64)..golden.len().min(at + 64)].iter().all(|byte| *byte == 0) {
                continue;
            }
            for bit in 0..8 {
                let mut bytes = golden.clone();
                bytes[at] ^= 1 << bit;
                damaged.check(&bytes, &format!("{locator}: byte {at}, bit {bit}"));
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for locator in LocatorKind::ALL {
        let damaged = Damaged::new(locator);
        let golden = std::fs::read(golden_path(locator)).unwrap();
        for length in (0..golden.len()).filter(|length| *length < 1024 || length % 4096 < 1024 || length % 16 == 0) {
            damaged.check(&golden[..length], &format!("{locator}: {length} bytes"));
        }
        damaged.check(&[&golden[..], &[0]].concat(), "a byte more");
    }
}

/// The file with right hashes in it, whatever else is wrong: what a forger could write.
fn forge(bytes: &mut [u8]) {
    const TABLE: std::ops::Range<usize> = 64..344;
    for row in TABLE.step_by(56) {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (offset, length) = (number(row + 8) as usize, number(row + 16) as usize);
        if let Some(section) = offset.checked_add(length).and_then(|end| bytes.get(offset..end)) {
            let hash = if bytes[row] == 0 { [0; 32] } else { *blake3::hash(section).as_bytes() };
            bytes[row + 24..row + 56].copy_from_slice(&hash);
        }
    }
    let hash = blake3::hash(&bytes[..TABLE.end]);
    bytes[TABLE.end..TABLE.end + 32].copy_from_slice(hash.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// Hashes do not protect from who can compute them: the rules that lookups rely on are checked beside them.
    /// What passes is a segment, though perhaps not the one it was.
    #[test]
    fn forged_bytes_are_refused_or_make_a_segment(
        locator in proptest::sample::select(&LocatorKind::ALL[..]),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let damaged = Damaged::new(locator);
        let mut bytes = std::fs::read(golden_path(locator)).unwrap();
        // Bytes that mean something: the header up to its hash, and whatever is not zero.
        let meant: Vec<usize> = (0..bytes.len()).filter(|at| *at < 344 || bytes[*at] != 0).collect();
        for (at, byte, bit) in changes {
            let at = meant[at.index(meant.len())];
            bytes[at] = if bit { bytes[at] ^ 1 << (byte % 8) } else { byte };
        }
        forge(&mut bytes);
        let path = damaged.folder.path().join("forged.seg");
        std::fs::write(&path, &bytes).unwrap();
        let verified = Segment::open(&path).map(|segment| {
            if segment.kind().width() == golden_kind(locator).width() {
                answers_right(&segment, &damaged.model, &damaged.questions);
            }
            (segment.verify().is_ok(), segment)
        });
        let passed = matches!(verified, Ok((true, _)));
        prop_assert_eq!(passed, verify_file(&path).is_ok());
        if let Ok((true, segment)) = verified {
            let mut model = Model::new();
            let mut reader = SegmentReader::open(&path).unwrap();
            while let Some((digest, _, set)) = reader.next().unwrap() {
                model.insert(digest.to_vec(), set);
            }
            prop_assert_eq!(model.len() as u64, segment.len());
            prop_assert!(answers_right(&segment, &model, &model.keys().cloned().collect::<Vec<_>>()));
        }
    }
}
