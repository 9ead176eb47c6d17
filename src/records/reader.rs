//! Reading a records file: one block at a time, each part checked against its BLAKE3 before it is believed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::block::{Cursor, Fault, Values, key};
use super::layout::{BlockRow, HEADER_BYTES, Header, Part, ROW_BYTES};
use super::{RecordsError, RecordsSummary, StoredRecord};
use crate::fingerprint::{Fingerprint, FingerprintSet};
use crate::index::exact::filter::Filter;
use crate::segment::Flaw;

/// An open records file. Its directory is in memory, some 136 bytes for each block; everything else stays on disk.
pub struct RecordsReader {
    path: PathBuf,
    file: File,
    summary: RecordsSummary,
    blocks: Vec<Block>,
}

/// Where a block stands, and what it must be.
struct Block {
    offset: u64,
    row: BlockRow,
}

impl RecordsReader {
    /// Opens a file and checks its header and directory.
    ///
    /// # Errors
    /// [`RecordsError`]: it cannot be read, is no records file, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<RecordsReader, RecordsError> {
        let path = path.as_ref().to_owned();
        let file = File::open(&path).map_err(RecordsError::io(&path, "open"))?;
        let bytes = file.metadata().map_err(RecordsError::io(&path, "read"))?.len();
        let mut start = vec![0; bytes.min(HEADER_BYTES as u64) as usize];
        file.read_exact_at(&mut start, 0).map_err(RecordsError::io(&path, "read"))?;
        let (header, digest) = Header::decode(&path, &start, bytes)?;
        // Not more than the file has, as the header's check says.
        let mut directory = vec![0; header.blocks as usize * ROW_BYTES];
        file.read_exact_at(&mut directory, header.directory_at).map_err(RecordsError::io(&path, "read"))?;
        let blocks = decode_directory(&header, &directory);
        let blocks = blocks.map_err(|flaw| RecordsError::damaged(&path, "directory", flaw))?;
        let summary = RecordsSummary { records: header.records, bytes, digest };
        Ok(RecordsReader { path, file, summary, blocks })
    }

    /// What the file holds.
    pub fn summary(&self) -> RecordsSummary {
        self.summary
    }

    /// Reads and checks all of it, on all cores.
    ///
    /// # Errors
    /// [`RecordsError`] that names the first damage found.
    pub fn verify(&self) -> Result<(), RecordsError> {
        (0..self.blocks.len()).into_par_iter().try_for_each(|index| {
            let filter = self.read(index, Part::Filter)?;
            let values = self.read(index, Part::Values)?;
            let filter = Filter::new(self.blocks[index].row.filter, &filter);
            let passes = |value: &[u8]| filter.may_hold(&filter.prepare(key(value)));
            // A filter that says no would hide a record.
            for found in Values(&values) {
                let (kind, value, _) = found.map_err(|flaw| self.fault(index, (Part::Values, flaw)))?;
                if !passes(value) {
                    let flaw = Flaw::new(format_args!("a filter that lets each {kind} pass"), "one that does not");
                    return Err(self.fault(index, (Part::Filter, flaw)));
                }
            }
            let mut cursor = self.cursor(index, values)?;
            while cursor.advance().map_err(|fault| self.fault(index, fault))? {}
            Ok(())
        })
    }

    /// All records, in the order in which they were written.
    pub fn iter(&self) -> Records<'_> {
        Records { reader: self, wanted: None, next_block: 0, open: None }
    }

    /// The records that have this fingerprint, in the order in which they were written. They are looked for as they are
    /// asked for: a list may hold a file a hundred thousand times.
    pub fn find(&self, fingerprint: &Fingerprint) -> Records<'_> {
        self.find_any(std::slice::from_ref(fingerprint))
    }

    /// The records that have one of these fingerprints, each once, in the order in which they were written. Whatever their
    /// number, the file is gone through once.
    pub fn find_any(&self, fingerprints: &[Fingerprint]) -> Records<'_> {
        Records { reader: self, wanted: Some(fingerprints.to_vec()), next_block: 0, open: None }
    }

    /// Reads and checks a part of a block.
    fn read(&self, index: usize, part: Part) -> Result<Vec<u8>, RecordsError> {
        let Block { offset, row } = &self.blocks[index];
        let before = &row.lengths[..part as usize];
        let offset = offset + before.iter().map(|length| u64::from(*length)).sum::<u64>();
        let mut bytes = vec![0; row.lengths[part as usize] as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(RecordsError::io(&self.path, "read"))?;
        let (expected, found) = (row.hashes[part as usize], blake3::hash(&bytes));
        if found == expected {
            return Ok(bytes);
        }
        let flaw = Flaw::new(format_args!("BLAKE3 {}", expected.to_hex()), found.to_hex());
        Err(self.fault(index, (part, flaw)))
    }

    /// A block, to be read record by record.
    fn cursor(&self, index: usize, values: Vec<u8>) -> Result<Cursor, RecordsError> {
        let texts = self.read(index, Part::Texts)?;
        let row = &self.blocks[index].row;
        let cursor = Cursor::new(row.records, values, &texts, row.unfolded as usize);
        cursor.map_err(|fault| self.fault(index, fault))
    }

    /// The block, if it holds one of the fingerprints; any block, if none is wanted.
    fn open_block(&self, index: usize, wanted: Option<&[Fingerprint]>) -> Result<Option<Cursor>, RecordsError> {
        let Some(wanted) = wanted else { return self.cursor(index, self.read(index, Part::Values)?).map(Some) };
        let filter = self.read(index, Part::Filter)?;
        let filter = Filter::new(self.blocks[index].row.filter, &filter);
        let may_hold = |wanted: &&Fingerprint| filter.may_hold(&filter.prepare(key(wanted.value())));
        let wanted: FingerprintSet = wanted.iter().filter(may_hold).cloned().collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let values = self.read(index, Part::Values)?;
        let mut found = false;
        for value in Values(&values) {
            let (kind, value, _) = value.map_err(|flaw| self.fault(index, (Part::Values, flaw)))?;
            found |= wanted.contains(kind, value);
        }
        if !found {
            return Ok(None);
        }
        self.cursor(index, values).map(Some)
    }

    fn fault(&self, index: usize, (part, flaw): Fault) -> RecordsError {
        RecordsError::damaged(&self.path, format_args!("{} of block {index}", part.name()), flaw)
    }
}

/// The blocks, which must fill the file up to the directory and hold as many records as the header says.
fn decode_directory(header: &Header, directory: &[u8]) -> Result<Vec<Block>, Flaw> {
    let found = blake3::hash(directory);
    if found != header.directory_hash {
        return Err(Flaw::new(format_args!("BLAKE3 {}", header.directory_hash.to_hex()), found.to_hex()));
    }
    let (mut offset, mut records) = (HEADER_BYTES as u64, 0u64);
    let mut blocks = Vec::with_capacity(directory.len() / ROW_BYTES);
    for row in directory.chunks_exact(ROW_BYTES) {
        let row = BlockRow::decode(row)?;
        // Each is a few million at most, and there are no more of them than the file has bytes: nothing overflows.
        let next = offset + row.bytes();
        records += u64::from(row.records);
        blocks.push(Block { offset, row });
        offset = next;
    }
    if (offset, records) != (header.directory_at, header.records) {
        let expected = format_args!("blocks up to {} with {} records", header.directory_at, header.records).to_string();
        return Err(Flaw::new(expected, format_args!("up to {offset} with {records}")));
    }
    Ok(blocks)
}

/// Records of a file, read as they are asked for. After an error there are no more.
pub struct Records<'r> {
    reader: &'r RecordsReader,
    wanted: Option<Vec<Fingerprint>>,
    next_block: usize,
    open: Option<Cursor>,
}

impl Records<'_> {
    fn find_next(&mut self) -> Result<Option<StoredRecord>, RecordsError> {
        loop {
            if let Some(cursor) = &mut self.open {
                let index = self.next_block - 1;
                while cursor.advance().map_err(|fault| self.reader.fault(index, fault))? {
                    if self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| cursor.has(wanted))) {
                        return Ok(Some(cursor.record()));
                    }
                }
            }
            if self.next_block == self.reader.blocks.len() {
                self.open = None;
                return Ok(None);
            }
            self.next_block += 1;
            self.open = self.reader.open_block(self.next_block - 1, self.wanted.as_deref())?;
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<StoredRecord, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.find_next().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.next_block = self.reader.blocks.len();
            self.open = None;
        }
        found
    }
}
