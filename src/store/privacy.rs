//! Who may read what a program here writes: its owner, whatever the shell says that it was started from. Data folders and
//! backups hold what lists hold.

use rustix::fs::Mode;

/// What nobody but the owner may do with new files and folders. A group may pass through a folder, for sockets that stand
/// in it have modes of their own; it reads nothing there, nor can it list it.
const UMASK: u32 = 0o067;

/// From now on, what this process makes is its owner's alone.
pub fn keep_to_the_owner() {
    rustix::process::umask(Mode::from_raw_mode(UMASK));
}
