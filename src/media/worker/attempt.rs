//! Trying to break out of the sandbox, to see that it holds on this kernel.
//!
//! Each attempt is made in a process of its own: once with all layers, once with landlock alone, and once with none.
//! What fails without any sandbox proves nothing about one.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use super::config::WorkerConfig;
use super::process::Program;
use super::sandbox::{self, ProcessLimits, SandboxError};

/// The exit code of a process whose attempt was refused.
const REFUSED: u8 = 3;

/// Something that decoding a picture does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Read a file: the program's own.
    ReadFile,
    /// Open a socket.
    OpenSocket,
    /// Connect to a TCP port of this machine, whether or not anybody listens there.
    ConnectTcp,
    /// Become another program.
    RunProgram,
    /// Start another process.
    StartProcess,
    /// Signal the parent.
    SignalParent,
    /// Take more memory than is granted.
    TakeMemory,
}

impl Attempt {
    /// All attempts.
    pub const ALL: [Attempt; 7] = [
        Attempt::ReadFile,
        Attempt::OpenSocket,
        Attempt::ConnectTcp,
        Attempt::RunProgram,
        Attempt::StartProcess,
        Attempt::SignalParent,
        Attempt::TakeMemory,
    ];

    /// The attempt's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Attempt::ReadFile => "read-file",
            Attempt::OpenSocket => "open-socket",
            Attempt::ConnectTcp => "connect-tcp",
            Attempt::RunProgram => "run-program",
            Attempt::StartProcess => "start-process",
            Attempt::SignalParent => "signal-parent",
            Attempt::TakeMemory => "take-memory",
        }
    }

    fn make(self, limits: &ProcessLimits) -> io::Result<()> {
        let version_of_itself = || {
            let mut command = Command::new("/proc/self/exe");
            command.arg("--version");
            command
        };
        match self {
            Attempt::ReadFile => File::open("/proc/self/exe").map(drop),
            Attempt::OpenSocket => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop),
            Attempt::ConnectTcp => {
                let discard = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
                match TcpStream::connect_timeout(&discard, Duration::from_secs(1)) {
                    Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error),
                    _ => Ok(()),
                }
            }
            Attempt::RunProgram => Err(version_of_itself().exec()),
            Attempt::StartProcess => version_of_itself().status().map(drop),
            Attempt::SignalParent => {
                let parent = rustix::process::getppid().ok_or(io::ErrorKind::NotFound)?;
                Ok(rustix::process::test_kill_process(parent)?)
            }
            Attempt::TakeMemory => {
                Ok(Vec::<u8>::new().try_reserve_exact(limits.address_space_bytes as usize).map_err(io::Error::from)?)
            }
        }
    }
}

/// Which layers of the sandbox an attempt is up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// All that the kernel has: those of a worker.
    All,
    /// Landlock alone.
    Landlock,
    /// None.
    None,
}

impl Layers {
    /// All choices.
    pub const ALL: [Layers; 3] = [Layers::All, Layers::Landlock, Layers::None];

    /// The choice's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Layers::All => "all",
            Layers::Landlock => "landlock",
            Layers::None => "none",
        }
    }
}

/// A name that is none of the attempts, or of the choices of layers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown name `{0}`")]
pub struct UnknownName(String);

impl FromStr for Attempt {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Attempt, UnknownName> {
        Attempt::ALL.into_iter().find(|attempt| attempt.name() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl FromStr for Layers {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Layers, UnknownName> {
        Layers::ALL.into_iter().find(|layers| layers.name() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It succeeded.
    Done,
    /// It failed, and the process went on.
    Refused,
    /// The process was killed for it.
    Killed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fate::Done => "done",
            Fate::Refused => "refused",
            Fate::Killed => "killed",
        })
    }
}

/// Makes an attempt behind `layers`, in this process, which should end thereafter with the code that is returned.
///
/// # Errors
/// The sandbox cannot be entered.
pub fn attempt(attempt: Attempt, layers: Layers) -> Result<u8, SandboxError> {
    let limits = WorkerConfig::default().process_limits();
    match layers {
        Layers::All => drop(sandbox::enter(&limits)?),
        Layers::Landlock => drop(sandbox::restrict_by_landlock()?),
        Layers::None => {}
    }
    Ok(if attempt.make(&limits).is_ok() { 0 } else { REFUSED })
}

/// Makes an attempt behind `layers` in a process of its own.
///
/// # Errors
/// The process cannot be started, or did not get as far as the attempt.
pub fn attempt_apart(program: &Program, attempt: Attempt, layers: Layers) -> io::Result<Fate> {
    let status = program.command().args(["attempt", attempt.name(), layers.name()]).status()?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Fate::Done),
        (Some(code), _) if code == i32::from(REFUSED) => Ok(Fate::Refused),
        (_, Some(libc::SIGSYS)) => Ok(Fate::Killed),
        _ => Err(io::Error::other(format!("the process that was to {} ended: {status}", attempt.name()))),
    }
}
