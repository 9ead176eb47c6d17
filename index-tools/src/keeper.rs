//! Whom a verb asks: the daemon that holds the data folder, or, where none runs, the store itself, opened here for the
//! one command. The same [`Command`] and [`Outcome`] go both ways, so a verb never knows the difference.
//!
//! Each command finds its keeper anew. An import therefore holds no lock while it parses and sorts, and a daemon that
//! was started meanwhile gets to publish.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use hashward::protocol::DEFAULT_DATA;
use hashward::protocol::{Address, Client, ClientError, SOCKET_NAME};
use hashward::store::{CATALOGUE, Command, Outcome, Store, StoreError, StoreOptions};

/// How long a busy daemon is asked again: a start with a large generation, or another's long command, may pass.
const BUSY_MAX: Duration = Duration::from_secs(60);
/// How long a locked store is tried again: tools hold the lock for one command.
const LOCKED_MAX: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// A socket was named, but not the folder it belongs to.
    #[error(
        "expected {} to lie in the daemon's data folder, found no catalogue beside it; name the folder with --data \
         as well",
        socket.display()
    )]
    SocketElsewhere {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket that was named does not answer.
    #[error("{source}; is the daemon running? Without one, name the folder alone (--data)")]
    NoDaemon {
        /// What the client says.
        source: ClientError,
    },
    /// Somebody holds the folder, but no daemon answers at its socket.
    #[error(
        "{} is in use by process {holder}, and no daemon answers at {}; wait for that process, or name the daemon's \
         socket with --socket",
        data.display(), socket.display()
    )]
    Locked {
        /// The folder.
        data: PathBuf,
        /// The process that holds the lock, as far as known.
        holder: String,
        /// Where a daemon was looked for.
        socket: PathBuf,
    },
    /// The daemon refused, or the connection failed.
    #[error(transparent)]
    Daemon(ClientError),
    /// The daemon and this program do not understand each other.
    #[error("the daemon's answer cannot be read: {0}; are daemon and hashward-index of the same version?")]
    Answer(#[from] serde_json::Error),
    /// The store refused.
    #[error(transparent)]
    Store(StoreError),
}

impl KeeperError {
    /// Whether the error is only that nothing was kept here yet.
    pub fn is_no_store(&self) -> bool {
        matches!(self, KeeperError::Store(StoreError::NoStore { .. }))
    }
}

/// Where lists are kept.
#[derive(Clone, Debug)]
pub struct Keeper {
    data: PathBuf,
    socket: PathBuf,
    /// A socket that was named must answer; the usual one may be absent.
    daemon_only: bool,
}

impl Keeper {
    /// The keeper of `data`, or of the folder that `socket` lies in, or of [`DEFAULT_DATA`].
    ///
    /// # Errors
    /// [`KeeperError::SocketElsewhere`].
    pub fn find(data: Option<&Path>, socket: Option<&Path>) -> Result<Keeper, KeeperError> {
        let data = match (data, socket) {
            (Some(data), _) => data.to_owned(),
            (None, None) => PathBuf::from(DEFAULT_DATA),
            (None, Some(socket)) => {
                let folder = match socket.parent() {
                    Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
                    Some(parent) => parent,
                    None => socket,
                };
                if !folder.join(CATALOGUE).exists() {
                    return Err(KeeperError::SocketElsewhere { socket: socket.to_owned() });
                }
                folder.to_owned()
            }
        };
        let daemon_only = socket.is_some();
        let socket = socket.map_or_else(|| data.join(SOCKET_NAME), Path::to_owned);
        Ok(Keeper { data, socket, daemon_only })
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whether a daemon answers now.
    pub fn daemon_answers(&self) -> bool {
        matches!(self.connect(), Ok(Some(_)))
    }

    /// Has a command carried out on a data folder that exists.
    ///
    /// # Errors
    /// [`KeeperError`]; nothing was changed then.
    pub fn execute(&self, command: Command) -> Result<Outcome, KeeperError> {
        self.carry_out(command, false, &mut None)
    }

    /// The same, making the data folder if there is none.
    ///
    /// # Errors
    /// As [`Keeper::execute`].
    pub fn execute_or_create(&self, command: Command) -> Result<Outcome, KeeperError> {
        self.carry_out(command, true, &mut None)
    }

    /// Several commands in a row.
    pub fn session(&self) -> Session<'_> {
        Session { keeper: self, opened: None }
    }

    /// `opened` is the store that an earlier command opened, or the place for the one that this opens.
    fn carry_out(&self, command: Command, create: bool, opened: &mut Option<Store>) -> Result<Outcome, KeeperError> {
        let asked = Instant::now();
        loop {
            if let Some(store) = opened {
                return store.execute(command).map_err(KeeperError::Store);
            }
            if let Some(mut client) = self.connect()? {
                match client.command_json(&serde_json::to_vec(&command)?) {
                    Ok(answer) => return Ok(serde_json::from_slice(&answer)?),
                    // Nothing was done: it is still loading, or has as many commands as it takes.
                    Err(ClientError::Busy(_)) if asked.elapsed() < BUSY_MAX => {}
                    Err(error) => return Err(KeeperError::Daemon(error)),
                }
            } else {
                let refused = match &command {
                    // Also a store that cannot be opened any more is restored.
                    Command::Restore { incoming } => match Store::restore_closed(&self.data, incoming) {
                        Ok(restored) => return Ok(Outcome::Restored(restored)),
                        Err(error) => error,
                    },
                    command => match self.open(create, command) {
                        Ok(store) => {
                            *opened = Some(store);
                            continue;
                        }
                        Err(error) => error,
                    },
                };
                match refused {
                    // Another tool holds it for one command, or a daemon that is just starting.
                    StoreError::Locked { .. } if asked.elapsed() < LOCKED_MAX => {}
                    StoreError::Locked { folder, holder } => {
                        return Err(KeeperError::Locked { data: folder, holder, socket: self.socket.clone() });
                    }
                    error => return Err(KeeperError::Store(error)),
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The store itself, where no daemon has it.
    fn open(&self, create: bool, command: &Command) -> Result<Store, StoreError> {
        // What is behind a match is seen only where questions are answered.
        let serve = matches!(command, Command::Explain { .. });
        let store = Store::open(&self.data, StoreOptions { create, serve, ..StoreOptions::default() })?;
        store.load().map(|()| store)
    }

    /// A connection to the daemon; `None` if none runs.
    fn connect(&self) -> Result<Option<Client>, KeeperError> {
        match Client::connect(&Address::Unix(self.socket.clone())) {
            Ok(client) => Ok(Some(client)),
            Err(source) if self.daemon_only => Err(KeeperError::NoDaemon { source }),
            // A socket file without a listener is what a killed daemon leaves behind.
            Err(ClientError::Connect { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(KeeperError::Daemon(error)),
        }
    }
}

/// Commands in a row to one keeper. Where no daemon runs, the store that is opened for the first command stays open,
/// and locked, until this is dropped: opening one checks its whole catalogue.
pub struct Session<'k> {
    keeper: &'k Keeper,
    opened: Option<Store>,
}

impl Session<'_> {
    /// Has a command carried out on a data folder that exists.
    ///
    /// # Errors
    /// As [`Keeper::execute`].
    pub fn execute(&mut self, command: Command) -> Result<Outcome, KeeperError> {
        self.keeper.carry_out(command, false, &mut self.opened)
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.keeper.data()
    }
}
