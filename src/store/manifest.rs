//! The manifest: which segments answer, and which version of each list. Renaming it into place is the commit point of
//! everything that changes the generation.
//!
//! The file is JSON for people to read, and its last line is the BLAKE3 of all that precedes, in hex.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::catalogue::SegmentFile;
use crate::fingerprint::Kind;
use crate::list::{ListId, Source, VersionNumber};

/// The manifest in force.
pub(super) const MANIFEST: &str = "manifest";
/// The one before.
pub(super) const PREVIOUS: &str = "manifest.previous";

/// The version of the format below.
const FORMAT: u32 = 1;

/// A manifest larger than this is none: a segment takes a few hundred bytes.
const BYTES_MAX: u64 = 64 << 20;

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// Counts manifests, from 1.
    pub(super) generation: u64,
    /// Each (kind, source) stands whole in one of these, except that a feed list's labels stand in many.
    pub(super) segments: Vec<ManifestSegment>,
    /// The current version of each file list.
    pub(super) current: BTreeMap<ListId, VersionNumber>,
    /// Feed changes of later batches stand in no segment.
    pub(super) sealed_seq: u64,
    /// The number of the next segment file; never goes back, so that a name means one file for ever.
    pub(super) next_file: u64,
    /// A batch that the catalogue must hold.
    pub(super) batch: NamedBatch,
}

/// One segment of the generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestSegment {
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) file: SegmentFile,
    /// All sources whose labels stand in it.
    pub(super) sources: Vec<Source>,
}

/// A batch by its number and its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedBatch {
    pub(super) seq: u64,
    pub(super) checksum: String,
}

impl Manifest {
    /// The manifest of a store without lists.
    pub(super) fn empty(batch: NamedBatch) -> Manifest {
        Manifest {
            format: FORMAT,
            generation: 1,
            segments: Vec::new(),
            current: BTreeMap::new(),
            sealed_seq: 0,
            next_file: 1,
            batch,
        }
    }

    /// Whether labels of this source decide, given which feed lists there are.
    pub(super) fn counts(&self, source: &Source, feeds: &BTreeSet<ListId>) -> bool {
        if source.version == VersionNumber::LIVE {
            feeds.contains(&source.list)
        } else {
            self.current.get(&source.list) == Some(&source.version)
        }
    }

    /// Leaves out segments none of whose sources count.
    pub(super) fn drop_dead(&mut self, feeds: &BTreeSet<ListId>) {
        let mut segments = std::mem::take(&mut self.segments);
        segments.retain(|segment| segment.sources.iter().any(|source| self.counts(source, feeds)));
        self.segments = segments;
    }

    /// The segment that holds all of a version's fingerprints of a kind.
    pub(super) fn segment_of(&self, kind: Kind, source: &Source) -> Option<&ManifestSegment> {
        self.segments.iter().find(|segment| segment.kind == kind && segment.sources.contains(source))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest is plain data with text keys");
        bytes.push(b'\n');
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.to_hex().as_bytes());
        bytes.push(b'\n');
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        /// A BLAKE3 in hex and a line end.
        const LAST_LINE_BYTES: usize = 2 * blake3::OUT_LEN + 1;
        let split =
            bytes.len().checked_sub(LAST_LINE_BYTES).ok_or("expected a checksum as the last line, found less")?;
        let (body, last) = bytes.split_at(split);
        if last != format!("{}\n", blake3::hash(body).to_hex()).as_bytes() {
            return Err("its last line is not the checksum of what precedes".to_owned());
        }
        let format = serde_json::from_slice::<serde_json::Value>(body)
            .map_err(|error| error.to_string())?
            .get("format")
            .and_then(serde_json::Value::as_u64);
        if format != Some(FORMAT.into()) {
            return Err(format!("expected format {FORMAT}, found {format:?}, which another hashward wrote"));
        }
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// Reads the manifest at `path`; `None` if there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Manifest>, StoreError> {
        let bytes = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() > BYTES_MAX => {
                let found = format!("expected at most {BYTES_MAX} bytes, found {}", meta.len());
                return Err(StoreError::Manifest { path: path.to_owned(), found });
            }
            _ => fs::read(path).map_err(StoreError::io("read", path))?,
        };
        let manifest = Manifest::decode(&bytes);
        manifest.map(Some).map_err(|found| StoreError::Manifest { path: path.to_owned(), found })
    }

    /// When the manifest in `folder` came into force, in seconds since 1970-01-01 UTC, if the file system says so.
    pub(super) fn written_at(folder: &Path) -> Option<u64> {
        let modified = fs::metadata(folder.join(MANIFEST)).and_then(|meta| meta.modified()).ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
    }

    /// Puts this manifest into force in `folder`, in place of `previous`.
    pub(super) fn commit(&self, folder: &Path, previous: Option<&Manifest>) -> Result<(), CommitError> {
        if let Some(previous) = previous {
            write_new(&folder.join(PREVIOUS), &previous.encode())
                .and_then(|new| rename(&new, &folder.join(PREVIOUS)))
                .map_err(CommitError::Before)?;
        }
        let path = folder.join(MANIFEST);
        let new = write_new(&path, &self.encode()).map_err(CommitError::Before)?;
        rename(&new, &path).map_err(CommitError::Before)?;
        sync_folder(folder).map_err(CommitError::After)
    }
}

/// Whether a manifest that could not be committed may be in force all the same.
pub(super) enum CommitError {
    /// It is not.
    Before(StoreError),
    /// It may be.
    After(StoreError),
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> StoreError {
        match error {
            CommitError::Before(error) | CommitError::After(error) => error,
        }
    }
}

/// Writes `bytes` durably beside `path`, and returns where.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<std::path::PathBuf, StoreError> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(StoreError::io("create", &new))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(StoreError::io("write", &new))?;
    Ok(new)
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("rename", from))
}

/// Makes what a file holds durable.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))
}

/// Makes new names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Manifest {
        let source = Source { list: ListId(16), version: VersionNumber(2) };
        let file = SegmentFile {
            file: "00000003.seg".to_owned(),
            digests: 5,
            bytes: 600,
            applied_seq: 4,
            blake3: "ab".to_owned(),
        };
        Manifest {
            segments: vec![ManifestSegment { kind: Kind::Md5, file, sources: vec![source] }],
            current: [(ListId(16), VersionNumber(2))].into(),
            ..Manifest::empty(NamedBatch { seq: 9, checksum: "cd".to_owned() })
        }
    }

    #[test]
    fn a_manifest_is_read_as_written_and_the_previous_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MANIFEST);
        assert!(Manifest::read(&path).unwrap().is_none());
        let first = sample();
        first.commit(folder.path(), None).ok().unwrap();
        let second = Manifest { generation: 2, ..sample() };
        second.commit(folder.path(), Some(&first)).ok().unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), Some(second));
        assert_eq!(Manifest::read(&folder.path().join(PREVIOUS)).unwrap(), Some(first));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let sound = sample().encode();
        assert_eq!(Manifest::decode(&sound), Ok(sample()));
        for at in 0..sound.len() {
            for bit in 0..8 {
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                assert!(Manifest::decode(&damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Manifest::decode(&sound[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in any::<Vec<u8>>(), sum in any::<bool>()) {
            let mut bytes = body.clone();
            if sum {
                bytes.extend_from_slice(format!("{}\n", blake3::hash(&body).to_hex()).as_bytes());
            }
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }
}
