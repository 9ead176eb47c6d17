//! Records files from outside: what was written is read back and found, block by block, and damaged bytes are refused
//! or answered right.

use std::path::{Path, PathBuf};

use hashward::fingerprint::{Fingerprint, Kind, hash_bytes};
use hashward::list::{Attribute, Attributes, Category, Flags, PackedAttributes};
use hashward::records::{NewRecord, RecordsError, RecordsReader, RecordsSummary, RecordsWriter, StoredRecord};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Writes records as an import does.
fn write(path: &Path, records: &[StoredRecord]) -> RecordsSummary {
    let mut writer = RecordsWriter::create(path).unwrap();
    for record in records {
        let fingerprints: Vec<_> = record.fingerprints.iter().map(|held| (held.kind(), held.value())).collect();
        let mut attributes = PackedAttributes::new();
        for attribute in Attribute::ALL {
            attributes.push(attribute, record.attributes.get(attribute.name()).map_or(&[], |value| value.as_bytes()));
        }
        let category = record.category.as_ref();
        writer
            .push(&NewRecord {
                fingerprints: &fingerprints,
                scheme: category.and_then(|category| category.scheme.as_deref()),
                category: category.map(|category| &*category.code),
                flags: record.flags,
                attributes: &attributes,
            })
            .unwrap();
    }
    writer.finish().unwrap()
}

fn found(reader: &RecordsReader, fingerprint: &Fingerprint) -> Result<Vec<StoredRecord>, RecordsError> {
    reader.find(fingerprint).collect()
}

fn with(records: &[StoredRecord], fingerprint: &Fingerprint) -> Vec<StoredRecord> {
    records.iter().filter(|record| record.fingerprints.contains(fingerprint)).cloned().collect()
}

/// A value of few, so that records share some.
fn fingerprint(kind: usize, number: u32) -> Fingerprint {
    let kind = Kind::ALL[kind % Kind::ALL.len()];
    let mut value = vec![0; kind.width()];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut value);
    Fingerprint::new(kind, &value).unwrap()
}

fn any_record() -> impl Strategy<Value = StoredRecord> {
    let fingerprints = vec((0..Kind::ALL.len(), 0..40u32), 1..5);
    let category = option::of((option::of("[A-Z]{0,2}"), "[0-9:é]{0,2}"));
    let attributes = vec((0..Attribute::ALL.len(), "[a-zé/ ]{1,30}"), 0..5);
    (fingerprints, category, 0..3u8, attributes).prop_map(|(fingerprints, category, flags, attributes)| StoredRecord {
        fingerprints: fingerprints.into_iter().map(|(kind, number)| fingerprint(kind, number)).collect(),
        category: category.map(|(scheme, code)| Category::new(scheme.as_deref(), &code)),
        flags: Flags(flags),
        attributes: attributes.into_iter().map(|(at, text)| (Attribute::ALL[at].name().to_owned(), text)).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_read_back_and_are_found(records in vec(any_record(), 0..120), absent in 40..50u32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.rec");
        let written = write(&path, &records);
        let reader = RecordsReader::open(&path).unwrap();
        reader.verify().unwrap();
        prop_assert_eq!(reader.summary(), written);
        prop_assert_eq!(written.records, records.len() as u64);
        prop_assert_eq!(written.bytes, path.metadata().unwrap().len());
        prop_assert_eq!(reader.iter().collect::<Result<Vec<_>, _>>().unwrap(), records.clone());
        for kind in 0..Kind::ALL.len() {
            for number in (0..40).chain([absent]) {
                let asked = fingerprint(kind, number);
                prop_assert_eq!(found(&reader, &asked).unwrap(), with(&records, &asked));
            }
        }
        let asked: Vec<_> = (0..Kind::ALL.len()).map(|kind| fingerprint(kind, kind as u32)).collect();
        let of_any = |record: &&StoredRecord| record.fingerprints.iter().any(|held| asked.contains(held));
        let expected: Vec<_> = records.iter().filter(of_any).cloned().collect();
        prop_assert_eq!(reader.find_any(&asked).collect::<Result<Vec<_>, _>>().unwrap(), expected);
    }
}

/// Several blocks: by their number of records, and by their bytes.
#[test]
fn blocks_hold_what_was_given_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.rec");
    let name = |number: u32| if number < 40_000 { number.to_string() } else { number.to_string().repeat(800) };
    let record = |number: u32| StoredRecord {
        fingerprints: vec![fingerprint(0, number), fingerprint(1, number % 20_000)],
        category: (!number.is_multiple_of(3)).then(|| Category::new(Some("XX"), &(number % 3).to_string())),
        flags: Flags::NONE,
        attributes: [("name".to_owned(), name(number)), ("size".to_owned(), number.to_string())].into(),
    };
    let records: Vec<_> = (0..42_000).map(record).collect();
    write(&path, &records);
    let reader = RecordsReader::open(&path).unwrap();
    reader.verify().unwrap();
    assert!(reader.iter().map(Result::unwrap).eq(records.iter().cloned()));
    for number in [0, 16_383, 16_384, 19_999, 39_999, 41_999] {
        assert_eq!(found(&reader, &fingerprint(0, number)).unwrap(), [record(number)]);
    }
    let shared = fingerprint(1, 500);
    assert_eq!(found(&reader, &shared).unwrap(), [record(500), record(20_500), record(40_500)]);
    assert_eq!(found(&reader, &fingerprint(0, 50_000)).unwrap(), []);
}

static NO_ATTRIBUTES: PackedAttributes = PackedAttributes::new();

/// A record that says nothing but its fingerprints.
fn bare<'a>(fingerprints: &'a [(Kind, &'a [u8])]) -> NewRecord<'a> {
    let (scheme, category, flags, attributes) = (None, None, Flags::NONE, &NO_ATTRIBUTES);
    NewRecord { fingerprints, scheme, category, flags, attributes }
}

#[test]
fn what_no_file_can_hold_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.rec");
    let mut writer = RecordsWriter::create(&path).unwrap();
    for bad in [&[][..], &[(Kind::Md5, &[0; 20][..])][..], &vec![(Kind::PhotoDna, &[0; 144][..]); 10_000][..]] {
        let error = writer.push(&bare(bad)).unwrap_err();
        assert!(matches!(error, RecordsError::BadRecord { .. }), "{error}");
    }
    let long = "x".repeat(70_000);
    let refused = writer.push(&NewRecord { category: Some(&long), ..bare(&[(Kind::Md5, &[0; 16])]) });
    assert!(matches!(refused, Err(RecordsError::BadRecord { .. })));
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = RecordsWriter::create(folder.path().join("absent/x.rec")).map(drop).unwrap_err();
    assert!(error.to_string().contains("absent/x.rec"), "{error}");
    // What was refused did not spoil what comes after.
    let mut writer = RecordsWriter::create(&path).unwrap();
    writer.push(&bare(&[])).unwrap_err();
    writer.push(&bare(&[(Kind::Md5, &[7; 16])])).unwrap();
    assert_eq!(writer.finish().unwrap().records, 1);
    RecordsReader::open(&path).unwrap().verify().unwrap();
}

/// The format never changes under its version: what an earlier program wrote is read.
fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/records-v1.rec")
}

fn golden_records() -> Vec<StoredRecord> {
    let record = |number: u32| StoredRecord {
        fingerprints: [Kind::Md5, Kind::Sha1]
            .into_iter()
            .take(1 + number as usize % 2)
            .map(|kind| hash_bytes(kind, &number.to_le_bytes()))
            .collect(),
        category: [None, Some(Category::new(None, "7")), Some(Category::new(Some("XX"), "1"))][number as usize / 3 % 3]
            .clone(),
        flags: Flags((number / 5) as u8),
        attributes: [("name".to_owned(), format!("C:\\files\\{number}.jpg")), ("size".to_owned(), number.to_string())]
            .into_iter()
            .take(number as usize % 3)
            .collect::<Attributes>(),
    };
    (0..12).map(record).collect()
}

#[test]
fn the_golden_file_is_read() {
    let reader = RecordsReader::open(golden_path()).unwrap();
    reader.verify().unwrap();
    assert_eq!(reader.iter().collect::<Result<Vec<_>, _>>().unwrap(), golden_records());
}

/// Writes the golden file; for a new format version only.
#[test]
#[ignore = "writes the file that other tests read"]
fn write_the_golden_file() {
    write(&golden_path(), &golden_records());
}

/// A damaged copy of the golden file, in one file that is written over and over.
struct Damaged {
    folder: tempfile::TempDir,
    records: Vec<StoredRecord>,
}

impl Damaged {
    fn new() -> Damaged {
        Damaged { folder: tempfile::tempdir().unwrap(), records: golden_records() }
    }

    fn open(&self, bytes: &[u8]) -> Result<RecordsReader, RecordsError> {
        let path = self.folder.path().join("damaged.rec");
        std::fs::write(&path, bytes).unwrap();
        RecordsReader::open(path)
    }

    /// The bytes are refused: by `open` or `verify`, and by each question that reads the damage; one that does not is
    /// answered right.
    fn check(&self, bytes: &[u8], what: &str) {
        let reader = match self.open(bytes) {
            Ok(reader) => reader,
            Err(error) => return assert!(error.to_string().contains("damaged.rec"), "{what}: {error}"),
        };
        let error = reader.verify().expect_err(what).to_string();
        assert!(error.contains("damaged.rec: section `"), "{what}: {error}");
        let told: Vec<_> = reader.iter().take_while(Result::is_ok).map(Result::unwrap).collect();
        assert!(told.is_empty() || told == self.records, "{what}: wrong records");
        for asked in self.records.iter().flat_map(|record| &record.fingerprints) {
            if let Ok(told) = found(&reader, asked) {
                assert_eq!(told, with(&self.records, asked), "{what}: a wrong answer");
            }
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let damaged = Damaged::new();
    let golden = std::fs::read(golden_path()).unwrap();
    for at in 0..golden.len() {
        for bit in 0..8 {
            let mut bytes = golden.clone();
            bytes[at] ^= 1 << bit;
            damaged.check(&bytes, &format!("byte {at}, bit {bit}"));
        }
        damaged.check(&golden[..at], &format!("{at} bytes"));
    }
    damaged.check(&[&golden[..], &[0]].concat(), "a byte more");
}

/// The file with right hashes in it, whatever else is wrong: what a forger could write.
fn forge(bytes: &mut [u8]) {
    const HEADER_BYTES: usize = 104;
    const ROW_BYTES: usize = 136;
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let row = bytes.len() - ROW_BYTES;
    let mut part = HEADER_BYTES;
    for (length_at, hash_at) in [(20, 40), (24, 72), (28, 104)] {
        let end = part.saturating_add(number(bytes, row + length_at));
        if let Some(bytes_of_part) = bytes.get(part..end) {
            let hash = blake3::hash(bytes_of_part);
            bytes[row + hash_at..row + hash_at + 32].copy_from_slice(hash.as_bytes());
        }
        part = end;
    }
    let hash = blake3::hash(&bytes[row..]);
    bytes[40..72].copy_from_slice(hash.as_bytes());
    let hash = blake3::hash(&bytes[..72]);
    bytes[72..HEADER_BYTES].copy_from_slice(hash.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    /// Hashes do not protect from who can compute them: whatever passes has as many records as it says, and each of
    /// them is found by its fingerprints.
    #[test]
    fn forged_bytes_are_refused_or_make_a_records_file(
        changes in vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let damaged = Damaged::new();
        let mut bytes = std::fs::read(golden_path()).unwrap();
        for (at, byte, bit) in changes {
            let at = at.index(bytes.len());
            bytes[at] = if bit { bytes[at] ^ 1 << (byte % 8) } else { byte };
        }
        forge(&mut bytes);
        let Ok(reader) = damaged.open(&bytes) else { return Ok(()) };
        let verified = reader.verify().is_ok();
        let records: Result<Vec<_>, _> = reader.iter().collect();
        if verified {
            let records = records.unwrap();
            prop_assert_eq!(records.len() as u64, reader.summary().records);
            for asked in records.iter().flat_map(|record| &record.fingerprints) {
                prop_assert_eq!(found(&reader, asked).unwrap(), with(&records, asked));
            }
        }
    }
}
