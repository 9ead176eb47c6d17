//! Files copied from one folder to another and hashed on the way, durable when done.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use hashward::store::BackupFile;

use super::progress::Progress;

/// Bytes that are read, hashed and written at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Copies `from`/`path` to `to`/`path`, which must not exist, or only reads it if there is no `to`.
pub(super) fn copy(from: &Path, to: Option<&Path>, path: &str, progress: &Progress) -> anyhow::Result<BackupFile> {
    let source = from.join(path);
    let mut input = File::open(&source).with_context(|| format!("cannot open {}", source.display()))?;
    let target = to.map(|to| to.join(path));
    let output = target.as_ref().map(|target| {
        let parent = target.parent().unwrap_or(target);
        fs::create_dir_all(parent).and_then(|()| File::create_new(target))
    });
    let written = |error: io::Error| {
        anyhow::Error::new(error).context(format!("cannot write {}", target.as_deref().unwrap_or(&source).display()))
    };
    let mut output = output.transpose().map_err(written)?;
    let mut hasher = blake3::Hasher::new();
    let (mut block, mut bytes) = (vec![0; BLOCK_BYTES], 0);
    loop {
        let read = match input.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", source.display())),
        };
        hasher.update_rayon(&block[..read]);
        if let Some(output) = &mut output {
            output.write_all(&block[..read]).map_err(written)?;
        }
        bytes += read as u64;
        progress.advance(read as u64);
    }
    if let Some(output) = output {
        output.sync_all().map_err(written)?;
    }
    Ok(BackupFile { path: path.to_owned(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// The same, of a file that must be what it was.
pub(super) fn copy_expected(
    from: &Path,
    to: Option<&Path>,
    expected: &BackupFile,
    progress: &Progress,
) -> anyhow::Result<()> {
    let found = copy(from, to, &expected.path, progress)?;
    ensure!(
        found == *expected,
        "the backup is damaged: {}: expected {} bytes with BLAKE3 {}, found {} bytes with {}; nothing was changed; use \
         another backup",
        from.join(&expected.path).display(),
        expected.bytes,
        expected.blake3,
        found.bytes,
        found.blake3
    );
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}
