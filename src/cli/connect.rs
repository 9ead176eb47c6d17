//! Reaching the daemon, with words that help when it cannot be reached.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::access::Token;
use crate::fingerprint::{Kind, KindRadius, Radii};
use crate::matching::Answers;
use crate::protocol::{Address, Client, ClientError, DEFAULT_DATA, SOCKET_NAME};

/// How long a busy daemon is asked again.
const BUSY_PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Which daemon to ask.
#[derive(clap::Args)]
pub(super) struct Socket {
    /// The daemon's address: unix:PATH, tcp:IP:PORT, or tls:HOST:PORT with the name in its certificate
    #[arg(long, value_name = "S", default_value_t = Address::Unix(Path::new(DEFAULT_DATA).join(SOCKET_NAME)))]
    socket: Address,
    /// The file with the token to ask with; without one, the daemon goes by the user who asks
    #[arg(long, value_name = "F")]
    token_file: Option<PathBuf>,
    /// The file with the certificates, in PEM, of whom to trust over TLS, instead of those that the system trusts
    #[arg(long, value_name = "F")]
    ca: Option<PathBuf>,
}

impl Socket {
    /// Connects. Inside, why the daemon cannot be reached; outside, what is wrong here.
    pub(super) fn try_connect(&self) -> Result<Result<Client, ClientError>> {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Client::connect_trusting(&self.socket, token.as_ref(), self.ca.as_deref()))
    }

    /// Connects.
    pub(super) fn connect(&self) -> Result<Client> {
        self.try_connect()?.map_err(|error| {
            let remedy = match &error {
                ClientError::Connect { source, .. } => match source.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        "no daemon listens there; start one with `hashward serve`, or name its socket with --socket"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "the socket belongs to another user; its group may look up, so join the group"
                    }
                    io::ErrorKind::InvalidData => {
                        "over TLS, the name in the address must be one in the daemon's certificate, and --ca names whom to \
                         trust for it"
                    }
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                        "the daemon has no room for one more, or speaks no TLS there"
                    }
                    _ => "check the address given with --socket",
                },
                ClientError::TokenInTheClear(_) => "see \"Over the network\" in docs/operations.md",
                ClientError::Busy(_) => "try again later, or raise limits.connections in the daemon's config",
                _ => "is the daemon a hashward of this version?",
            };
            anyhow::anyhow!("{error}; {remedy}")
        })
    }
}

fn read_token(path: &Path) -> Result<Token> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the token in {}", path.display()))?;
    Token::parse(text.trim_end()).with_context(|| {
        format!("expected a token in {}, found something else; `hashward token` makes one", path.display())
    })
}

/// How far to search.
#[derive(clap::Args)]
pub(super) struct Search {
    /// Search perceptual kinds within this many bits, instead of as each list says; the daemon's config bounds it
    #[arg(long, value_name = "KIND=BITS", value_delimiter = ',')]
    radius: Vec<KindRadius>,
}

impl Search {
    pub(super) fn radii(&self) -> Radii {
        self.radius.iter().copied().collect()
    }
}

/// Asks, and asks again while the daemon is busy.
pub(super) fn ask(client: &mut Client, kinds: &[Kind], radii: &Radii, rows: &[u8]) -> Result<Answers> {
    let started_at = Instant::now();
    loop {
        match client.lookup(kinds, radii, rows) {
            Err(ClientError::Busy(_)) if started_at.elapsed() < BUSY_PATIENCE => std::thread::sleep(BUSY_PAUSE),
            answered => return answered.context("the lookup has no answer"),
        }
    }
}
