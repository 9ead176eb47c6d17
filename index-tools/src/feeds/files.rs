//! List files as a feed: a file at an address, fetched if it has changed, or files in a folder.
//!
//! They become a file list's new version in the same way as with `import`. The checkpoint says of which state the
//! current version was made: the server's validators, or the files' names, sizes and times; and how they were read,
//! for another format or another role is a change too.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hashward::feed::{FeedConfig, Location};
use serde::{Deserialize, Serialize};

use super::error::SyncError;
use super::folder::Folder;
use super::http::{Answer, Client, Validators};

/// Bytes of a file that is fetched: far more than any list has, far less than any disk.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// Files of a folder.
const FILES_MAX: usize = 10_000;
/// The name of a file whose address has none.
const UNNAMED: &str = "list";

/// Files that are to be imported, for the list to say what its source says.
#[derive(Debug)]
pub struct Fetched {
    /// The files, in the order of their names.
    pub files: Vec<PathBuf>,
    /// What the next sync compares with, for [`super::Feed::note`] after the import.
    pub checkpoint: String,
}

/// Which state of the source was read, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// A digest of what of the config decides how files are read.
    read_as: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validators: Option<Validators>,
    /// A digest of the names, sizes and times of a folder's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
}

/// The files of the feed; none if nothing has changed since `checkpoint`.
///
/// # Errors
/// [`SyncError`].
pub(super) fn fetch(
    feed: &FeedConfig,
    client: Option<&Client>,
    folder: &Folder,
    checkpoint: Option<&str>,
) -> Result<Option<Fetched>, SyncError> {
    let read_as = digest(&format!("{:?} {:?} {:?} {}", feed.format, feed.kind, feed.roles, feed.location));
    // A checkpoint of another kind of source says nothing here.
    let known: Checkpoint = checkpoint.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let known = if known.read_as == read_as { known } else { Checkpoint::default() };
    let (files, now) = match (&feed.location, client) {
        (Location::Url(url), Some(client)) => {
            let path = folder.fetched()?.join(name_of(url));
            let mut file = File::create(&path).map_err(|error| SyncError::Disk { path: path.clone(), error })?;
            let validators = known.validators.unwrap_or_default();
            match client.get(url, &validators, FILE_BYTES_MAX, &mut file)? {
                Answer::NotModified => return Ok(None),
                Answer::Body(validators) => (vec![path], Checkpoint { validators: Some(validators), ..known }),
            }
        }
        (location, _) => {
            let path = PathBuf::from(location.to_string());
            let (files, now) = look_through(&path)?;
            if known.folder.as_ref() == Some(&now) {
                return Ok(None);
            }
            (files, Checkpoint { folder: Some(now), ..known })
        }
    };
    let checkpoint = serde_json::json!(Checkpoint { read_as, ..now }).to_string();
    Ok(Some(Fetched { files, checkpoint }))
}

/// The files of a folder, or the one file, with a digest of their state. Hidden ones, folders and links are passed
/// over.
fn look_through(path: &Path) -> Result<(Vec<PathBuf>, String), SyncError> {
    let disk = |error| SyncError::Disk { path: path.to_owned(), error };
    let mut files = Vec::new();
    if fs::metadata(path).map_err(disk)?.is_dir() {
        for entry in fs::read_dir(path).map_err(disk)? {
            let entry = entry.map_err(disk)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if hidden || !entry.file_type().map_err(disk)?.is_file() {
                continue;
            }
            if files.len() == FILES_MAX {
                return Err(SyncError::TooManyFiles(path.to_owned(), FILES_MAX));
            }
            files.push(entry.path());
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    if files.is_empty() {
        return Err(SyncError::NoFiles(path.to_owned()));
    }
    let mut state = String::new();
    for file in &files {
        let metadata = fs::metadata(file).map_err(disk)?;
        let (size, inode) = (metadata.len(), metadata.ino());
        state.push_str(&format!("{file:?} {size} {inode} {}.{}\n", metadata.mtime(), metadata.mtime_nsec()));
    }
    Ok((files, digest(&state)))
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The file's name in an address, made of harmless characters: its end may say what kind of hashes it holds.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.rsplit_once('/').map_or("", |(_, name)| name);
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().take(200).map(harmless).collect();
    if name.trim_matches('.').is_empty() { UNNAMED.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_are_harmless() {
        for (url, name) in [
            ("https://h/a/md5s.md5.gz?x=/y", "md5s.md5.gz"),
            ("https://h/", "list"),
            ("https://h", "list"),
            ("https://h/..", "list"),
            ("https://h/a%2F..b", "a_2F..b"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
    }
}
