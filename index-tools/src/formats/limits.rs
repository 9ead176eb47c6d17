//! How much a hostile list may make us hold or do. Every limit is far above what real lists need.

/// Bytes of one record of a text list. Names are a path at most; the rest is digests.
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 20;

/// Bytes of one element of a JSON list. A picture found in ten thousand places lists them all in its element.
pub(super) const MAX_ELEMENT_BYTES: usize = 16 << 20;

/// Nested arrays and objects in JSON. VICS needs eight.
pub(super) const MAX_JSON_DEPTH: u32 = 64;

/// Nested elements in XML. DFXML needs eight.
pub(super) const MAX_XML_DEPTH: u32 = 64;

/// Bytes of a category or scheme: they are codes, and each distinct one is kept in memory.
pub(crate) const MAX_CATEGORY_BYTES: usize = 256;

/// Fingerprints in one record.
pub(crate) const MAX_VALUES: usize = 256;

/// Hash sets that a HashKeeper list's companion may describe: each one is kept in memory.
pub(super) const MAX_HASH_SETS: usize = 1 << 16;

/// Objects that belong to packages in a full NSRL set: each one's number is kept in memory. Sets have some hundred
/// thousand.
pub(super) const MAX_PACKAGE_OBJECTS: usize = 1 << 24;

/// Bytes of memory that the rows which an NSRL delta touches may take, some 200 each.
pub(super) const MAX_DELTA_BYTES: usize = 1 << 30;

/// Instructions of SQLite's to read a database's schema. NSRL's takes some hundred.
pub(super) const MAX_SCHEMA_STEPS: i32 = 1_000_000;

/// Kinds that hashward lacks and that are told apart.
pub(crate) const MAX_FOREIGN_KINDS: usize = 64;

/// Rejected records, without a single good one before them, after which a file counts as no list of its format.
pub(super) const MAX_REJECTED_AT_START: u64 = 1000;

/// Characters of a file's text that are quoted in a message.
pub(crate) const EXCERPT_CHARS: usize = 40;

/// Bytes of a file's start that are looked at to recognise its format.
pub(super) const HEAD_BYTES: usize = 64 << 10;

const _: () = assert!(MAX_RECORD_BYTES <= MAX_ELEMENT_BYTES && MAX_CATEGORY_BYTES < HEAD_BYTES);
