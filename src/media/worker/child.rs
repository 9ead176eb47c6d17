//! The worker process itself: into the sandbox, then pictures in and hashes out until its input ends.
//!
//! It has one thread, standard input and standard output, and nothing else. Whatever goes wrong between it and its parent
//! ends it: the parent starts another.

use std::io::{self, Read, Write};

use super::Failed;
use super::sandbox::{self, ProcessLimits, SandboxError};
use super::wire::{self, Answer, REQUEST_BYTES, Request, WireError};
use crate::media::picture::hash_picture;

/// Why a worker ended before its input did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It is not in its sandbox, so it reads nothing.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Its parent is gone, or asks too much.
    #[error("between worker and parent: {0}")]
    Pipe(#[from] io::Error),
    /// Its parent does not speak like one.
    #[error("between worker and parent: {0}")]
    Wire(#[from] WireError),
}

/// Does the work of `hashward worker`, on standard input and output. To be called before the process has opened anything
/// or started a thread.
///
/// # Errors
/// [`ChildError`]; the process must end then.
pub fn run(limits: &ProcessLimits) -> Result<(), ChildError> {
    let report = sandbox::enter(limits)?;
    // A panic is an end like any other, and its message may hold what is in the picture.
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    answers.write_all(&wire::encode_hello(&report))?;
    answers.flush()?;
    let mut picture = Vec::new();
    while let Some(request) = read_request(&mut requests)? {
        // The processor time limit counts from here, so that no picture pays for those before it.
        sandbox::allow_cpu(limits.cpu_s).map_err(io::Error::from)?;
        picture.clear();
        picture.reserve_exact(request.picture_bytes);
        if requests.by_ref().take(request.picture_bytes as u64).read_to_end(&mut picture)? < request.picture_bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let outcome = hash_picture(&picture, &request.hashes, &request.limits).map_err(Failed::from);
        answers.write_all(&Answer { job: request.job, outcome }.encode())?;
        answers.flush()?;
    }
    Ok(())
}

/// The next request; `None` at the end of the input.
fn read_request(requests: &mut impl Read) -> Result<Option<Request>, ChildError> {
    let mut header = [0; REQUEST_BYTES];
    let Some((first, rest)) = header.split_first_mut() else { return Ok(None) };
    if requests.read(std::slice::from_mut(first))? == 0 {
        return Ok(None);
    }
    requests.read_exact(rest)?;
    Ok(Some(Request::decode(&header)?))
}
