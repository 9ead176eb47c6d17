//! Closing what a process was handed without knowing. The one call of the workers that the compiler cannot check.
#![allow(unsafe_code)]

use std::io;

/// The first descriptor after the standard three.
const FIRST: libc::c_uint = 3;

/// Closes all descriptors but the standard three. What hashward opens is closed by `exec` anyway; what whoever started
/// hashward left open is not.
///
/// To be called before anything else: an object that owned one of the descriptors would close, later, one that is not
/// its own.
///
/// # Errors
/// A kernel without `close_range` (before 5.9), as [`io::ErrorKind::Unsupported`].
pub(super) fn close() -> io::Result<()> {
    // SAFETY: the call takes numbers only and touches no memory. That nobody owns what it closes is the caller's part:
    // it has opened nothing yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0 as libc::c_uint) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
