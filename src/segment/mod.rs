//! The container on disk: one immutable, checksummed file that holds the fingerprints of one kind.
//!
//! [`layout`] draws the file byte by byte and is its only specification. [`LabelTable`] is what the label-set ids
//! beside the digests mean. How a digest's place is found in the file is not known here: that is
//! [`crate::index::exact`]. Nothing in this folder trusts a number from a file before it has held it against the
//! file's real size, and whatever is wrong is told as a [`SegmentError`] that names the file and the section.

mod error;
mod labels;
pub mod layout;
mod map;
mod packed;
mod stream;

pub(crate) use error::hex;
pub use error::{Flaw, SegmentError};
pub use labels::{LabelSetId, LabelTable};
pub use map::Mapping;
pub(crate) use packed::{BitReader, BitWriter, bits_for, packed_bytes, unpack};
pub(crate) use stream::{SectionReader, SectionWriter, check_hash};
