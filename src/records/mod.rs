//! Records files: what stands behind a version's fingerprints, record by record, in the order of its sources.
//!
//! A segment says that a list names a fingerprint, and in which category; it does not say which entry that was, what
//! the file was called, or which other fingerprints it has. A records file does. It is written while a list is read,
//! and asked only by those who explain, export or suppress: never on the path of a question.
//!
//! Some ten thousand records make a *block*, with a filter over its fingerprints, so that [`RecordsReader::find`] reads
//! few blocks beside those that hold what is looked for. Writing and reading hold one block or a few, whatever the size
//! of the file. [`layout`] draws the file byte by byte.

mod block;
mod error;
pub mod layout;
mod reader;
mod writer;

pub use error::RecordsError;
pub use reader::{Records, RecordsReader};
pub use writer::{RecordsSummary, RecordsWriter};

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, Kind};
use crate::list::{Attributes, Category, Flags, PackedAttributes};

/// A record to be written, borrowed from whoever read it.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Its distinct fingerprints: at least one, [`Kind::width`] bytes each.
    pub fingerprints: &'a [(Kind, &'a [u8])],
    /// Whose category code it is, as the list names it; counts only with a category.
    pub scheme: Option<&'a str>,
    /// The issuer's raw category, where it gave one.
    pub category: Option<&'a str>,
    /// What else the issuer says of it.
    pub flags: Flags,
    /// What else the list says.
    pub attributes: &'a PackedAttributes,
}

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// At least one.
    pub fingerprints: Vec<Fingerprint>,
    /// The issuer's raw category, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// What else the issuer says of it.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// What else the list says.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}
