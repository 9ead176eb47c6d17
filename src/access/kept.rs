//! What was used of daily budgets, kept in a file of the data folder, so that a new start gives nobody a second day.
//!
//! ```text
//! {"version":1,"used":{"scanner":{"day":20786,"near":12,"content":3}}}     days since 1970-01-01 UTC
//! 5d1f0c…                                                                  BLAKE3 of the line above, in hex
//! ```
//!
//! It is written beside its place and renamed there, so a crash leaves it whole, as it was some moment before. A file that
//! is not as it was written was changed by somebody, or lost by the disk: what was used is not known then, and whoever reads
//! it takes all as spent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{PrincipalName, UsedDay};
use crate::durable;

/// The file's name in the data folder.
const FILE: &str = "budgets";

/// The version of the format that is written, and read.
const VERSION: u32 = 1;

/// What was used, by whom.
type Used = BTreeMap<PrincipalName, UsedDay>;

/// The file. See the module's documentation.
#[derive(Debug)]
pub struct KeptBudgets {
    folder: PathBuf,
    /// What stands there.
    kept: Mutex<Used>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    used: Used,
}

/// A file of which nobody knows what it said.
#[derive(Debug, thiserror::Error)]
#[error("{}: {found}; stop the daemon and remove it, and what is used counts from 0", path.display())]
pub struct BadKept {
    path: PathBuf,
    found: String,
}

impl KeptBudgets {
    /// The file in a data folder, which need not exist yet.
    pub fn in_folder(data: &Path) -> KeptBudgets {
        KeptBudgets { folder: data.to_owned(), kept: Mutex::default() }
    }

    /// What was used when it was last written; nothing if it never was.
    ///
    /// # Errors
    /// [`BadKept`].
    pub fn read(&self) -> Result<Used, BadKept> {
        let path = self.folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Used::new()),
            read => read.map_err(|error| error.to_string()).and_then(|text| parse(&text)),
        };
        text.map_err(|found| BadKept { path, found })
    }

    /// Writes what was used, unless it stands there already. From then on it survives a loss of power.
    ///
    /// # Errors
    /// The system's; then what stood there stands there still.
    pub fn write(&self, used: Used) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == used {
            return Ok(());
        }
        let document = serde_json::to_string(&Document { version: VERSION, used: used.clone() })?;
        let text = format!("{document}\n{}\n", blake3::hash(document.as_bytes()));
        durable::put(&self.folder.join(FILE), text.as_bytes())?;
        *kept = used;
        Ok(())
    }
}

fn parse(text: &str) -> Result<Used, String> {
    let (document, checksum) = text.trim_end().split_once('\n').ok_or("expected two lines, found fewer")?;
    if blake3::hash(document.as_bytes()).to_hex().as_str() != checksum {
        return Err("it is not what was written".to_owned());
    }
    let Document { version, used } = serde_json::from_str(document).map_err(|error| error.to_string())?;
    if version == VERSION { Ok(used) } else { Err(format!("expected version {VERSION}, found {version}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Budget, Clocks, Cost, Meter};

    fn used() -> Used {
        let (meter, cost) = (Meter::default(), Cost { near: 7, content: 3, questions: 10 });
        meter.take(&Budget::default(), cost, Clocks { utc_ms: 5, steady_ms: 5 }).unwrap();
        [("scanner".to_owned().try_into().unwrap(), meter.used(5))].into()
    }

    #[test]
    fn what_was_written_is_read_and_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || KeptBudgets::in_folder(folder.path());
        assert_eq!(kept().read().unwrap(), Used::new());
        kept().write(used()).unwrap();
        assert_eq!(kept().read().unwrap(), used());

        let path = folder.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let error = kept().read().unwrap_err().to_string();
            assert!(error.contains("budgets: ") && error.contains("remove it"), "{at}: {error}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(kept().read().is_err(), "cut after {at} bytes");
        }
    }

    #[test]
    fn it_is_written_when_something_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, path) = (KeptBudgets::in_folder(folder.path()), folder.path().join(FILE));
        kept.write(Used::new()).unwrap();
        assert!(!path.exists());
        kept.write(used()).unwrap();
        fs::remove_file(&path).unwrap();
        kept.write(used()).unwrap();
        assert!(!path.exists(), "nothing has changed");
        // What cannot be written is tried again.
        fs::create_dir(&path).unwrap();
        kept.write(Used::new()).unwrap_err();
        fs::remove_dir(&path).unwrap();
        kept.write(Used::new()).unwrap();
        assert_eq!(kept.read().unwrap(), Used::new());
        assert!(path.exists());
    }
}
