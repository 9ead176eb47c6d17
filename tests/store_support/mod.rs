//! What the tests of the store share: building and publishing versions as a tool does, and asking.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod backup;
pub mod feed;
pub mod model;

use std::collections::{BTreeMap, BTreeSet};

use hashward::fingerprint::{Fingerprint, Kind, KindRadius, Radii, hash_bytes};
use hashward::index::sealed::{SegmentReader, SegmentWriter, WriteOptions};
use hashward::index::snapshot::Snapshot;
use hashward::list::{
    Attribute, Category, Entry, Flags, Label, ListId, ListName, PackedAttributes, Role, Roles, Source,
    SuppressionScope, VersionNumber,
};
use hashward::matching::{Match, Question, Verdict, answer};
use hashward::records::{NewRecord, RecordsWriter};
use hashward::segment::LabelTable;
use hashward::store::command::{ImportCounts, IncomingSegment, Lifting, Page};
use hashward::store::{Command, GateLimits, Incoming, Outcome, Publish, Store, StoreError, StoreOptions};

/// Two exact kinds, to see them apart, and a perceptual one.
pub const KINDS: [Kind; 3] = [Kind::Md5, Kind::Sha1, Kind::Pdq];

/// What a list says: of each fingerprint, the codes of its categories; 0 stands for none.
pub type Said = BTreeMap<Fingerprint, BTreeSet<u8>>;

/// The fingerprint of a made-up file.
pub fn fingerprint(kind: Kind, number: u32) -> Fingerprint {
    hash_bytes(kind, format!("made-up file {number}").as_bytes())
}

pub fn category(code: u8) -> Option<Category> {
    (code > 0).then(|| Category::new(Some("XX"), &code.to_string()))
}

pub fn entry(source_id: &str, fingerprints: Vec<Fingerprint>, code: u8) -> Entry {
    Entry { source_id: source_id.to_owned(), fingerprints, category: category(code), ..Entry::default() }
}

pub fn name(name: &str) -> ListName {
    name.parse().unwrap()
}

/// A store whose gate holds only what empties a list.
pub fn options(serve: bool) -> StoreOptions {
    StoreOptions { create: true, serve, seal_at: 6, gate: GateLimits::NONE, ..StoreOptions::default() }
}

/// `pdq=40,phash64=6`; nothing for none.
pub fn radii(given: &str) -> Radii {
    given.split(',').filter(|given| !given.is_empty()).map(|given| given.parse::<KindRadius>().unwrap()).collect()
}

/// A record of a file list: the fingerprints that it holds together, and the code of its category.
pub type Together = (Vec<Fingerprint>, u8);

/// Builds a version of these records as the tool does, and publishes it.
pub fn import_records(
    store: &Store,
    list: &ListName,
    records: &[Together],
    role: Role,
    source: &str,
    adds: bool,
) -> Result<Outcome, StoreError> {
    let mut said = Said::new();
    for (fingerprint, code) in records.iter().flat_map(|(held, code)| held.iter().map(move |held| (held, code))) {
        said.entry(fingerprint.clone()).or_default().insert(*code);
    }
    publish(store, list, &said, records, role, source, adds, Radii::none())
}

/// The same of records of one fingerprint each.
pub fn import(
    store: &Store,
    list: &ListName,
    said: &Said,
    role: Role,
    source: &str,
    adds: bool,
) -> Result<Outcome, StoreError> {
    import_with(store, list, said, role, source, adds, Radii::none())
}

/// The same, with radii for the list.
pub fn import_with(
    store: &Store,
    list: &ListName,
    said: &Said,
    role: Role,
    source: &str,
    adds: bool,
    radii: Radii,
) -> Result<Outcome, StoreError> {
    publish(store, list, said, &one_each(said), role, source, adds, radii)
}

#[expect(clippy::too_many_arguments, reason = "what a version is made from")]
fn publish(
    store: &Store,
    list: &ListName,
    said: &Said,
    records: &[Together],
    role: Role,
    source: &str,
    adds: bool,
    radii: Radii,
) -> Result<Outcome, StoreError> {
    let Outcome::ImportBegun(begun) = store.execute(Command::BeginImport { list: list.clone() })? else { panic!() };
    let mut all = said.clone();
    if let Some(current) = begun.current.as_ref().filter(|_| adds) {
        let withdrawals = Command::Withdrawals { list: list.clone(), version: current.version, after: None };
        let Outcome::Withdrawals(Page { items: withdrawn, more: false }) = store.execute(withdrawals)? else {
            panic!()
        };
        for file in current.segments.values() {
            let mut reader = SegmentReader::open(store.folder().join(file)).unwrap();
            let labels = reader.labels().clone();
            let kind = reader.kind();
            while let Some((digest, _, set)) = reader.next().unwrap() {
                let held = Fingerprint::new(kind, digest).unwrap();
                if !withdrawn.contains(&held) {
                    let codes = labels.set(set).map(|l| l.category.as_ref().map_or(0, |c| c.code.parse().unwrap()));
                    all.entry(held).or_default().extend(codes);
                }
            }
        }
    }
    let incoming = Incoming::create(store.folder(), list.as_str()).unwrap();
    let label = Source { list: begun.list_id, version: begun.version };
    let segments = write_version(&incoming, &all, label, begun.applied_seq);
    let records = Some(write_together(&incoming, records));
    let base = begun.current.as_ref().map_or(VersionNumber::LIVE, |current| current.version);
    store.execute(Command::Publish(Publish {
        list: list.clone(),
        list_id: begun.list_id,
        version: begun.version,
        base: adds.then_some(base),
        incoming: incoming.name().to_owned(),
        segments,
        records,
        roles: Roles::uniform(role),
        source: source.to_owned(),
        adds,
        radii,
        counts: ImportCounts { records: said.len() as u64, ..ImportCounts::default() },
    }))
}

/// Writes a version's segments.
pub fn write_version(incoming: &Incoming, said: &Said, source: Source, applied_seq: u64) -> Vec<IncomingSegment> {
    let mut segments = Vec::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = said.iter().filter(|(fingerprint, _)| fingerprint.kind() == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let file = format!("{kind}.seg");
        let path = incoming.path().join(&file);
        let mut writer = SegmentWriter::create(path, kind, WriteOptions { locator: None, applied_seq }).unwrap();
        let mut table = LabelTable::new();
        for (fingerprint, codes) in of_kind {
            let label = |code: &u8| Label { source, category: category(*code), flags: Flags::NONE };
            let labels: Vec<u32> = codes.iter().map(|code| table.intern_label(label(code))).collect();
            writer.push(fingerprint.value(), table.intern_set(&labels)).unwrap();
        }
        writer.finish(&table).unwrap();
        segments.push(IncomingSegment { kind, file });
    }
    segments
}

/// A record for each fingerprint and category.
fn one_each(said: &Said) -> Vec<Together> {
    let record = |held: &Fingerprint, code: &u8| (vec![held.clone()], *code);
    said.iter().flat_map(|(held, codes)| codes.iter().map(move |code| record(held, code))).collect()
}

/// Writes the records of a source: one for each fingerprint and category.
pub fn write_records(incoming: &Incoming, said: &Said) -> String {
    write_together(incoming, &one_each(said))
}

/// Writes records, each with its first fingerprint as its name.
fn write_together(incoming: &Incoming, records: &[Together]) -> String {
    let file = "records.rec".to_owned();
    let mut writer = RecordsWriter::create(incoming.path().join(&file)).unwrap();
    let mut attributes = PackedAttributes::new();
    for (held, code) in records {
        let fingerprints: Vec<_> = held.iter().map(|held| (held.kind(), held.value())).collect();
        attributes.clear();
        attributes.push(Attribute::Name, held[0].to_hex().as_bytes());
        let category = category(*code);
        let category = category.as_ref();
        let record = NewRecord {
            fingerprints: &fingerprints,
            scheme: category.and_then(|category| category.scheme.as_deref()),
            category: category.map(|category| &*category.code),
            flags: Flags::NONE,
            attributes: &attributes,
        };
        writer.push(&record).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// What the records of a version say, all of them being there; withdrawals do not count.
pub fn records_of(store: &Store, list: ListId, version: VersionNumber) -> Result<Said, String> {
    let records = store.records_of(list, version).map_err(|error| error.to_string())?;
    let mut said = Said::new();
    for record in records.files.iter().flat_map(|file| file.iter()) {
        let record = record.map_err(|error| error.to_string())?;
        let code = record.category.map_or(0, |category| category.code.parse().unwrap());
        said.entry(record.fingerprints[0].clone()).or_default().insert(code);
    }
    if records.complete { Ok(said) } else { Err(format!("records of version {version} are not complete")) }
}

/// What is answered of one fingerprint: the verdict, and of each match the list, the role and the category's code.
pub type Told = (Verdict, BTreeSet<(String, Role, u8)>);

/// Asks the snapshot of many fingerprints at once.
pub fn ask(snapshot: &Snapshot, kind: Kind, fingerprints: &[Fingerprint]) -> Vec<Told> {
    let rows: Vec<u8> = fingerprints.iter().flat_map(|fingerprint| fingerprint.value()).copied().collect();
    let answers = answer(snapshot, &Question { kinds: &[kind], rows: &rows, radii: &Radii::none() }).unwrap();
    let told = answers.iter().map(|answer| match answer {
        None => (answers.miss, BTreeSet::new()),
        Some(answer) => {
            let matches: BTreeSet<_> = answer.matches.iter().map(tell).collect();
            assert_eq!(matches.len(), answer.matches.len(), "a match is told twice: {:?}", answer.matches);
            (answer.verdict, matches)
        }
    });
    told.collect()
}

/// Whether the answer says that something which is suppressed matched.
pub fn is_suppressed(snapshot: &Snapshot, asked: &Fingerprint) -> bool {
    let kinds = [asked.kind()];
    let answers = answer(snapshot, &Question { kinds: &kinds, rows: asked.value(), radii: &Radii::none() }).unwrap();
    answers.iter().flatten().any(|answer| answer.suppressed)
}

fn tell(told: &Match) -> (String, Role, u8) {
    let code = told.category.as_ref().map_or(0, |category| category.code.parse().unwrap());
    (told.list.to_string(), told.role, code)
}

/// Suppresses a hash, alone or with the entries that hold it.
pub fn suppress(hash: &Fingerprint, with_entries: bool) -> Command {
    let scope = if with_entries { SuppressionScope::Entry } else { SuppressionScope::Hash };
    let (author, reason) = ("an operator".to_owned(), "a stock photo".to_owned());
    Command::Suppress { fingerprint: hash.clone(), scope, author, reason }
}

/// Ends that.
pub fn lift(hash: &Fingerprint) -> Command {
    let (author, reason) = ("another".to_owned(), "looked at again".to_owned());
    Command::Lift { of: Lifting::Hash(hash.clone()), author, reason }
}

/// Opens the store, verifies, and asks nothing yet.
pub fn open(folder: &std::path::Path, serve: bool) -> Store {
    let store = Store::open(folder, options(serve)).unwrap();
    store.load().unwrap();
    store
}
