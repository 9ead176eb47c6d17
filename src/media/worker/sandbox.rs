//! What a worker takes from itself before it reads a byte of a picture.
//!
//! | mechanism | what is gone |
//! |---|---|
//! | descriptors | all but standard input, output and error |
//! | limits | memory beyond the limit, processor time, files and their sizes, new processes, core dumps |
//! | no new privileges | set-user-id programs |
//! | not dumpable | other processes of the user, looking into its memory |
//! | death signal | a life after its parent |
//! | landlock | the whole file system, TCP, abstract sockets, signals to others: as far as the kernel's version goes |
//! | seccomp | every system call that hashing a picture does not need; the process is killed at the first |
//!
//! The layers overlap on purpose: each holds where another has a hole. Landlock, seccomp and `close_range` may be missing
//! from a kernel. The worker then goes on without, and its [`SandboxReport`] says so. Anything else that fails ends it.

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

use super::{filter, inherited};

/// The newest version of landlock that is asked for. What the kernel knows of it is used.
const LANDLOCK_ABI: ABI = ABI::V6;

/// How much a worker stands behind other processes when processors are short: lookups go first.
const NICENESS: i32 = 10;

/// What a worker process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes of address space, the program itself included.
    pub address_space_bytes: u64,
    /// Seconds of processor time for one picture.
    pub cpu_s: u64,
    /// Pictures of a whole life: bounds its processor time as no single picture can.
    pub jobs: u32,
}

impl ProcessLimits {
    /// The arguments with which a worker is told them.
    pub(super) fn arguments(&self) -> [String; 3] {
        [
            format!("--address-space-bytes={}", self.address_space_bytes),
            format!("--cpu-s={}", self.cpu_s),
            format!("--jobs={}", self.jobs),
        ]
    }
}

/// Which layers of the sandbox a worker's kernel gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SandboxReport {
    /// The version of landlock in force, if any.
    pub landlock_abi: Option<u8>,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// Whether descriptors left open by others were closed.
    pub descriptors_closed: bool,
}

impl SandboxReport {
    /// What the kernel lacks, in words; empty if nothing.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            (self.landlock_abi.is_none(), "landlock (the file system is closed by the other layers only)"),
            (!self.seccomp, "seccomp (system calls are not filtered)"),
            (!self.descriptors_closed, "close_range (descriptors that others left open stay open)"),
        ]
        .into_iter()
        .filter_map(|(is_missing, text)| is_missing.then_some(text))
        .collect()
    }
}

/// A step that must not fail, and did.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot be entered: {step}: {source}")]
pub struct SandboxError {
    step: &'static str,
    source: io::Error,
}

impl SandboxError {
    pub(super) fn new(step: &'static str, source: impl Into<io::Error>) -> SandboxError {
        SandboxError { step, source: source.into() }
    }
}

/// Enters the sandbox, for good.
///
/// # Errors
/// [`SandboxError`]; the process is then half inside and must end.
pub(super) fn enter(limits: &ProcessLimits) -> Result<SandboxReport, SandboxError> {
    let descriptors_closed = match inherited::close() {
        Ok(()) => true,
        Err(error) if is_missing(&error) => false,
        Err(error) => return Err(SandboxError::new("close_range", error)),
    };
    // The next two are manners, not walls: where the process may not have them, it goes on without. When memory is
    // short, a worker dies first.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let step = |step| move |error: rustix::io::Errno| SandboxError::new(step, error);
    rustix::thread::set_name(c"hashward-worker").map_err(step("name"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(step("death signal"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(step("dumpable"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("no new privileges"))?;
    let landlock_abi = restrict_by_landlock()?;
    limit_resources(limits).map_err(step("limits"))?;
    let seccomp = filter::install()?;
    Ok(SandboxReport { landlock_abi, seccomp, descriptors_closed })
}

/// Denies everything that landlock can deny. There is no rule, so there is no exception.
pub(super) fn restrict_by_landlock() -> Result<Option<u8>, SandboxError> {
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK_ABI)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(LANDLOCK_ABI)))
        .and_then(|ruleset| ruleset.create())
        .and_then(|ruleset| ruleset.restrict_self());
    let status = restricted.map_err(|error| SandboxError::new("landlock", io::Error::other(error)))?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi.min(LANDLOCK_ABI) as u8),
        _ => None,
    })
}

fn limit_resources(limits: &ProcessLimits) -> Result<(), rustix::io::Errno> {
    // Above what all pictures together may use, so that each is ended by the limit on one, which is told apart.
    let life_cpu_s = (u64::from(limits.jobs) + 1).saturating_mul(limits.cpu_s.saturating_add(2));
    for (resource, most) in [
        (Resource::As, limits.address_space_bytes),
        (Resource::Cpu, life_cpu_s),
        (Resource::Nofile, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        // What the process was started under may be less already.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Also for what the first look at the clock needs and the filter will not allow: finding the kernel's fast clock.
    allow_cpu(limits.cpu_s)
}

/// Gives the process `cpu_s` more seconds of processor time from now: SIGXCPU ends it after that. The whole life's limit
/// stays.
///
/// # Errors
/// The kernel's.
pub(super) fn allow_cpu(cpu_s: u64) -> Result<(), rustix::io::Errno> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let maximum = rustix::process::getrlimit(Resource::Cpu).maximum;
    // The limit is compared with whole seconds; one more, so that none of them is lost to rounding.
    let until = (used.tv_sec as u64).saturating_add(cpu_s).saturating_add(1);
    let current = maximum.map_or(until, |maximum| maximum.min(until));
    rustix::process::setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum })
}

/// Whether the kernel has no such mechanism, as opposed to one that failed.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP))
}
