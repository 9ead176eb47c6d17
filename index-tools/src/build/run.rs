//! Runs: sorted rows of one kind, in memory or spilled to a file of the folder that the version is built in.
//!
//! A run file is read once, front to back, in blocks, and is never mapped, so that what it takes of memory is the
//! block. It holds bare rows: it lives for seconds, and what is built from it carries checksums.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use hashward::fingerprint::Kind;

use super::BuildError;
use super::rows::{RowBuffer, prefix, row_bytes};

/// A run on disk. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
    bytes: u64,
}

impl RunFile {
    /// Writes `rows`, which must be sorted, as one run.
    pub(super) fn write(path: PathBuf, rows: &RowBuffer) -> Result<RunFile, BuildError> {
        let mut writer = RunWriter::create(path)?;
        writer.write(rows.as_bytes())?;
        Ok(writer.finish())
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // The folder is removed as a whole at the latest when the version is published or given up.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes a run file in large pieces.
pub(super) struct RunWriter {
    run: RunFile,
    file: File,
}

impl RunWriter {
    pub(super) fn create(path: PathBuf) -> Result<RunWriter, BuildError> {
        let file = File::options().write(true).create_new(true).open(&path);
        match file {
            Ok(file) => Ok(RunWriter { run: RunFile { path, bytes: 0 }, file }),
            Err(source) => Err(BuildError::Spill { path, source }),
        }
    }

    /// Appends whole rows.
    pub(super) fn write(&mut self, rows: &[u8]) -> Result<(), BuildError> {
        self.file.write_all(rows).map_err(|source| BuildError::Spill { path: self.run.path.clone(), source })?;
        self.run.bytes += rows.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> RunFile {
        self.run
    }
}

/// Where a merge stands in one run.
pub(super) struct Cursor {
    row: usize,
    /// The rows at hand; `at..end` are still to come.
    block: Block,
    at: usize,
    end: usize,
    /// The current row's first eight bytes, cached beside the others' for the comparison.
    pub(super) prefix: u64,
}

enum Block {
    Memory(RowBuffer),
    File { block: Vec<u8>, file: File, left_bytes: u64, run: RunFile },
}

impl Cursor {
    /// A cursor on the first row of sorted rows in memory.
    pub(super) fn in_memory(rows: RowBuffer) -> Cursor {
        let (row, end) = (row_bytes(rows.kind()), rows.as_bytes().len());
        let mut cursor = Cursor { row, block: Block::Memory(rows), at: 0, end, prefix: 0 };
        cursor.note_prefix();
        cursor
    }

    /// A cursor on the first row of a file, which is read `block_bytes` at a time (at least a row).
    pub(super) fn in_file(kind: Kind, run: RunFile, block_bytes: usize) -> Result<Cursor, BuildError> {
        let file = File::open(&run.path).map_err(|source| BuildError::Spill { path: run.path.clone(), source })?;
        let row = row_bytes(kind);
        let block = vec![0; (block_bytes / row).max(1) * row];
        let left_bytes = run.bytes;
        let mut cursor = Cursor { row, block: Block::File { block, file, left_bytes, run }, at: 0, end: 0, prefix: 0 };
        cursor.refill()?;
        Ok(cursor)
    }

    /// The row it stands on; `None` at the end.
    #[inline]
    pub(super) fn row(&self) -> Option<&[u8]> {
        if self.at == self.end {
            return None;
        }
        let bytes = match &self.block {
            Block::Memory(rows) => rows.as_bytes(),
            Block::File { block, .. } => block,
        };
        Some(&bytes[self.at..self.at + self.row])
    }

    /// Steps to the next row.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<(), BuildError> {
        self.at += self.row;
        if self.at == self.end {
            return self.refill();
        }
        self.note_prefix();
        Ok(())
    }

    fn refill(&mut self) -> Result<(), BuildError> {
        if let Block::File { block, file, left_bytes, run } = &mut self.block {
            let wanted = (block.len() as u64).min(*left_bytes) as usize;
            file.read_exact(&mut block[..wanted]).map_err(|source| short_run(&run.path, source))?;
            *left_bytes -= wanted as u64;
            (self.at, self.end) = (0, wanted);
        }
        self.note_prefix();
        Ok(())
    }

    /// The prefix of an ended cursor is the greatest; the full comparison knows the end from a digest of ones.
    fn note_prefix(&mut self) {
        self.prefix = self.row().map_or(u64::MAX, prefix);
    }
}

fn short_run(path: &Path, source: std::io::Error) -> BuildError {
    let source = match source.kind() {
        ErrorKind::UnexpectedEof => std::io::Error::new(ErrorKind::UnexpectedEof, "it is shorter than it was written"),
        _ => source,
    };
    BuildError::Spill { path: path.to_owned(), source }
}
