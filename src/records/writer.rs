//! Writing a records file while its records come: a block that is full goes to a thread that packs and writes it while
//! the next one fills. Nothing is allocated per record.

use std::fs::{File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::NamedTempFile;

use super::block::{Columns, Packer};
use super::layout::{BlockRow, HEADER_BYTES, Header};
use super::{NewRecord, RecordsError};

/// Full blocks that wait for the packing thread.
const WAITING_MAX: usize = 1;

/// What a writer wrote, or a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsSummary {
    /// How many records there are.
    pub records: u64,
    /// The file's length.
    pub bytes: u64,
    /// BLAKE3 of the header, which covers everything else.
    pub digest: blake3::Hash,
}

/// Writes a records file. Nothing stands at its path before [`RecordsWriter::finish`] has succeeded. Memory: four
/// blocks of at most 6 MiB, whatever the number of records.
pub struct RecordsWriter {
    path: PathBuf,
    filling: Columns,
    full: Sender<Columns>,
    emptied: Receiver<Columns>,
    packer: Option<JoinHandle<Result<Written, RecordsError>>>,
}

/// What the packing thread leaves.
struct Written {
    partial: NamedTempFile,
    rows: Vec<BlockRow>,
}

impl RecordsWriter {
    /// Starts a file for `path`, whose folder must exist. What stands there is replaced by [`RecordsWriter::finish`].
    ///
    /// # Errors
    /// [`RecordsError::Io`] if no file can be created beside it, or no thread started.
    pub fn create(path: impl AsRef<Path>) -> Result<RecordsWriter, RecordsError> {
        let path = path.as_ref().to_owned();
        let partial = start(&path).map_err(RecordsError::io(&path, "create"))?;
        let (full, blocks) = bounded(WAITING_MAX);
        let (spent, emptied) = bounded(WAITING_MAX + 1);
        let work = {
            let path = path.clone();
            move || write_blocks(&path, partial, &blocks, &spent)
        };
        let thread = std::thread::Builder::new().name("records".to_owned()).spawn(work);
        let packer = thread.map_err(RecordsError::io(&path, "start a thread for"))?;
        Ok(RecordsWriter { path, filling: Columns::default(), full, emptied, packer: Some(packer) })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`RecordsError::BadRecord`] if it has no fingerprint, or is larger than any real one; [`RecordsError::Io`] if an
    /// earlier block could not be written.
    #[inline]
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), RecordsError> {
        self.filling.push(record).map_err(|flaw| RecordsError::BadRecord {
            file: self.path.clone(),
            expected: flaw.expected,
            found: flaw.found,
        })?;
        if self.filling.is_full() { self.hand_over() } else { Ok(()) }
    }

    /// Gives the block to the packing thread and goes on with an empty one.
    fn hand_over(&mut self) -> Result<(), RecordsError> {
        let next = self.emptied.try_recv().unwrap_or_default();
        let block = std::mem::replace(&mut self.filling, next);
        if self.full.send(block).is_ok() {
            return Ok(());
        }
        // The thread has given up; what it says of it counts.
        match self.join()? {
            Ok(_) => Err(RecordsError::PackerStopped { file: self.path.clone() }),
            Err(error) => Err(error),
        }
    }

    fn join(&mut self) -> Result<Result<Written, RecordsError>, RecordsError> {
        let stopped = || RecordsError::PackerStopped { file: self.path.clone() };
        let packer = self.packer.take().ok_or_else(stopped)?;
        packer.join().map_err(|_| stopped())
    }

    /// Writes what is left and makes the file durable; its folder is for the caller to sync.
    ///
    /// # Errors
    /// [`RecordsError::Io`] if something cannot be written. Nothing is left behind then.
    pub fn finish(mut self) -> Result<RecordsSummary, RecordsError> {
        if !self.filling.is_empty() {
            self.hand_over()?;
        }
        self.close();
        let Written { partial, rows } = self.join()??;
        finish(partial, &rows, &self.path).map_err(RecordsError::io(&self.path, "write"))
    }

    /// Tells the packing thread that nothing more comes.
    fn close(&mut self) {
        let (closed, _) = bounded(0);
        self.full = closed;
    }
}

/// Waits for the packing thread, so that no file appears in the folder afterwards.
impl Drop for RecordsWriter {
    fn drop(&mut self) {
        self.close();
        // What it wrote goes with its temporary file.
        drop(self.join());
    }
}

/// An unnamed place beside `path`, with room for the header.
fn start(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut partial = tempfile::Builder::new()
        .prefix(path.file_name().unwrap_or_default())
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o640))
        .tempfile_in(folder)?;
    partial.seek(std::io::SeekFrom::Start(HEADER_BYTES as u64))?;
    Ok(partial)
}

fn write_blocks(
    path: &Path,
    partial: NamedTempFile,
    blocks: &Receiver<Columns>,
    spent: &Sender<Columns>,
) -> Result<Written, RecordsError> {
    let mut rows = Vec::new();
    let mut packer = Packer::new().map_err(RecordsError::io(path, "compress"))?;
    for mut block in blocks {
        let row = write_block(partial.as_file(), &mut packer, &block);
        rows.push(row.map_err(RecordsError::io(path, "write"))?);
        block.clear();
        // Where nobody waits for it, its memory goes back.
        let _ = spent.try_send(block);
    }
    Ok(Written { partial, rows })
}

fn write_block(mut file: &File, packer: &mut Packer, block: &Columns) -> std::io::Result<BlockRow> {
    let packed = packer.pack(block)?;
    packed.parts.iter().try_for_each(|part| file.write_all(part))?;
    Ok(BlockRow {
        filter: packed.filter,
        records: block.records(),
        lengths: packed.parts.map(|part| part.len() as u32),
        unfolded: packed.unfolded,
        hashes: packed.parts.map(blake3::hash),
    })
}

/// Writes directory and header, and puts the file in its place.
fn finish(mut partial: NamedTempFile, rows: &[BlockRow], path: &Path) -> std::io::Result<RecordsSummary> {
    let directory: Vec<u8> = rows.iter().flat_map(BlockRow::encode).collect();
    partial.write_all(&directory)?;
    let directory_at = HEADER_BYTES as u64 + rows.iter().map(BlockRow::bytes).sum::<u64>();
    let records = rows.iter().map(|row| u64::from(row.records)).sum();
    let directory_hash = blake3::hash(&directory);
    let (header, digest) = Header { records, blocks: rows.len() as u64, directory_at, directory_hash }.encode();
    partial.as_file().write_all_at(&header, 0)?;
    partial.as_file().sync_all()?;
    partial.persist(path).map_err(|error| error.error)?;
    Ok(RecordsSummary { records, bytes: directory_at + directory.len() as u64, digest })
}
