//! The records files of versions: taken over, opened for those who explain, export or suppress, and verified.

use std::path::Path;

use super::command::KeptRecords;
use super::state::State;
use super::{SEGMENTS, Store, StoreError};
use crate::catalogue::{RecordsFile, VersionRow};
use crate::list::{ListId, VersionNumber};
use crate::records::RecordsReader;

/// What the records files of a version hold, open for reading, so that they may be removed meanwhile.
pub struct VersionRecords {
    /// In the order of the version's sources.
    pub files: Vec<RecordsReader>,
    /// Whether the records of all its sources are there. Versions that an earlier hashward published have none.
    pub complete: bool,
}

impl Store {
    /// Opens the records of a version that is kept. What was withdrawn since stands in them still.
    ///
    /// # Errors
    /// [`StoreError`], also if a file is gone or is not the one that was taken over.
    pub fn records_of(&self, list: ListId, version: VersionNumber) -> Result<VersionRecords, StoreError> {
        loop {
            let (files, complete) = self.state().records_files_of(list, version)?;
            let open = |file: &RecordsFile| open_records(&self.folder.join(SEGMENTS).join(&file.file), file);
            let readers: Result<Vec<_>, _> = files.iter().map(open).collect();
            match readers {
                Ok(files) => return Ok(VersionRecords { files, complete }),
                // Somebody may have removed the version meanwhile, and the files be gone by right.
                Err(_) if self.state().records_files_of(list, version)?.0 != files => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl State {
    /// The records files of a version, and whether there is one for each of its sources.
    pub(super) fn records_files_of(
        &self,
        list: ListId,
        version: VersionNumber,
    ) -> Result<(Vec<RecordsFile>, bool), StoreError> {
        let files = self.catalogue.read().records_files_of(list, version)?;
        let version = self.catalogue.read().version(list, version)?;
        let complete = version.is_some_and(|version| version.sources.len() == files.len());
        Ok((files, complete))
    }

    /// The records files that a new version has: those of its base, if it adds to that, and its own.
    pub(super) fn records_with(
        &self,
        base: Option<&VersionRow>,
        own: Option<RecordsFile>,
    ) -> Result<Vec<RecordsFile>, StoreError> {
        let of_base = base.map(|base| self.catalogue.read().records_files_of(base.list, base.number)).transpose()?;
        Ok(of_base.into_iter().flatten().chain(own).collect())
    }

    /// What is told of a version's records; `None` unless all of them are there.
    pub(super) fn kept_records(&self, list: ListId, version: VersionNumber) -> Result<Option<KeptRecords>, StoreError> {
        let (files, complete) = self.records_files_of(list, version)?;
        let sum = |kept: KeptRecords, file: &RecordsFile| KeptRecords {
            files: kept.files + 1,
            records: kept.records + file.records,
            bytes: kept.bytes + file.bytes,
        };
        Ok(complete.then(|| files.iter().fold(KeptRecords::default(), sum)))
    }
}

/// Verifies all of a file that is new to the store. It has no name yet.
pub(super) fn verify_records(path: &Path) -> Result<RecordsFile, StoreError> {
    let reader = RecordsReader::open(path)?;
    reader.verify()?;
    let summary = reader.summary();
    let blake3 = summary.digest.to_hex().to_string();
    Ok(RecordsFile { file: String::new(), records: summary.records, bytes: summary.bytes, blake3 })
}

/// Opens a file that was meant to be there.
pub(super) fn open_records(path: &Path, expected: &RecordsFile) -> Result<RecordsReader, StoreError> {
    let reader = RecordsReader::open(path)?;
    let digest = reader.summary().digest.to_hex();
    if digest.as_str() != expected.blake3 {
        let found = format!("expected the records file with BLAKE3 {}, found {digest}", expected.blake3);
        return Err(StoreError::BadVersion { path: path.to_owned(), found });
    }
    Ok(reader)
}
