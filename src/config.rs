//! The daemon's configuration: a TOML file, read whole, checked whole, or refused.
//!
//! ```toml
//! data = "hashward-data"              # relative to the folder of this file
//!
//! [[listen]]
//! address = "unix:hashward-data/hashward.sock"
//! protocol = "frame"
//! rights = ["lookup"]                 # of others than the daemon's own user and root
//!
//! [[listen]]
//! address = "tcp:0.0.0.0:7172"
//! tls = { certificate = "chain.pem", key = "key.pem" }   # relative to the folder of this file
//!
//! [[principal]]                       # see `hashward::access::PrincipalConfig`
//! name = "scanner"
//! token = "blake3:…"                  # as `hashward token` prints it
//! rights = ["lookup"]
//!
//! [limits]                            # see `hashward::server::Limits` for all of them
//! connections = 256
//!
//! [gate]                              # see `hashward::store::GateLimits`
//! shrink = { share = 0.1, entries = 10 }
//!
//! [pictures]                          # see `hashward::media::worker::WorkerConfig`
//! deadline_s = 10
//!
//! index_program = "/usr/bin/hashward-index"   # what reads feeds; without it, the one beside the daemon's own program
//!
//! [[feed]]                            # see `hashward::feed`
//! ```

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::access::{Access, BadAccess, PrincipalConfig, UserId};
use crate::audit::{AuditConfig, Permit};
use crate::feed::{FeedConfig, FeedError, FeedSection, place_and_message};
use crate::media::worker::{BadWorkerConfig, WorkerConfig};
use crate::protocol::{Address, DEFAULT_DATA, SOCKET_NAME};
use crate::server::{BadLimit, BadListen, Limits, Listen};
use crate::store::{BadGateLimit, GateLimits};

/// What a daemon is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Whether a `[[listen]]` with `plaintext = true` may listen beyond loopback without TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plaintext_beyond_loopback: bool,
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// Who may do what.
    #[serde(rename = "principal", skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<PrincipalConfig>,
    /// The audit trail.
    pub audit: AuditConfig,
    /// The bounds.
    pub limits: Limits,
    /// What new versions of lists must keep to; read at start.
    pub gate: GateLimits,
    /// The processes in which pictures are decoded; read at start.
    pub pictures: WorkerConfig,
    /// Threads for questions by distance and the hashing of content; read at start. Default: one a processor.
    pub near_threads: usize,
    /// What lists are filled from, over and over.
    pub feeds: Vec<FeedConfig>,
    /// `hashward-index`, which reads feeds; without it, the one beside the daemon's own program.
    pub index_program: Option<PathBuf>,
}

/// What stands in the file: everything may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    plaintext_beyond_loopback: bool,
    listen: Vec<Listen>,
    principal: Vec<PrincipalConfig>,
    audit: AuditConfig,
    limits: Limits,
    gate: GateLimits,
    pictures: WorkerConfig,
    near_threads: Option<NonZeroUsize>,
    feed: Vec<FeedSection>,
    index_program: Option<PathBuf>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML, or has a key or a value that hashward does not know.
    #[error("the config {} is refused: {found}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why; without the line itself, which may hold a secret that does not belong there.
        found: String,
    },
    /// An address that must not be listened at.
    #[error(transparent)]
    Listen(#[from] BadListen),
    /// The same address twice.
    #[error("listen address {0} stands twice; expected each once")]
    Repeated(Address),
    /// Principals that cannot be told apart.
    #[error(transparent)]
    Principal(#[from] BadAccess),
    /// A bound that leaves no room.
    #[error(transparent)]
    Limit(#[from] BadLimit),
    /// A limit of the gate that is none.
    #[error(transparent)]
    Gate(#[from] BadGateLimit),
    /// A bound of the workers with which no picture could be decoded.
    #[error(transparent)]
    Pictures(#[from] BadWorkerConfig),
    /// A feed that could not work.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl Config {
    /// The configuration of the file, or the defaults without one; `data` and `listen` go before what it says.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(file: Option<&Path>, data: Option<&Path>, listen: &[Address]) -> Result<Config, ConfigError> {
        let mut parsed = file.map(read).transpose()?.unwrap_or_default();
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let data = data.map(Path::to_owned).or(parsed.data).unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
        if !listen.is_empty() {
            parsed.listen = listen.iter().cloned().map(Listen::at).collect();
        }
        if parsed.listen.is_empty() {
            parsed.listen = vec![Listen::at(Address::Unix(data.join(SOCKET_NAME)))];
        }
        let near_threads = parsed.near_threads.or_else(|| std::thread::available_parallelism().ok());
        let config = Config {
            data,
            plaintext_beyond_loopback: parsed.plaintext_beyond_loopback,
            listen: parsed.listen,
            principals: parsed.principal,
            audit: parsed.audit,
            limits: parsed.limits,
            gate: parsed.gate,
            pictures: parsed.pictures,
            near_threads: near_threads.map_or(1, NonZeroUsize::get),
            feeds: FeedSection::resolve_all(parsed.feed, folder)?,
            index_program: parsed.index_program.map(|program| folder.join(program)),
        };
        config.check()?;
        Ok(config)
    }

    /// Who may do what, where this process is the daemon.
    ///
    /// # Errors
    /// [`BadAccess`]; a config that was resolved has none.
    pub fn access(&self) -> Result<Access, BadAccess> {
        Access::new(UserId(rustix::process::geteuid().as_raw()), &self.principals)
    }

    /// What it allows, as the audit trail says it.
    pub fn permits(&self) -> Vec<Permit> {
        let listeners = self.listen.iter().map(Listen::permit);
        listeners.chain(self.principals.iter().map(Permit::from)).collect()
    }

    /// BLAKE3 of all that it says, in hex: what the trail and the status name it by.
    pub fn digest(&self) -> String {
        let text = toml::to_string(self).expect("a config is plain data");
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (index, entry) in self.listen.iter().enumerate() {
            entry.check(self.plaintext_beyond_loopback)?;
            if self.listen[..index].iter().any(|earlier| earlier.address == entry.address) {
                return Err(ConfigError::Repeated(entry.address.clone()));
            }
        }
        self.access()?;
        self.limits.check()?;
        self.gate.check()?;
        Ok(self.pictures.check()?)
    }
}

/// Reads a file; relative paths in it are relative to its folder.
fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let parse = |error| ConfigError::Parse { path: path.to_owned(), found: place_and_message(&text, &error) };
    let mut file: File = toml::from_str(&text).map_err(parse)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    file.data = file.data.map(|data| folder.join(data));
    for entry in &mut file.listen {
        if let Address::Unix(socket) = &mut entry.address {
            *socket = folder.join(&*socket);
        }
        entry.tls = entry.tls.take().map(|files| files.in_folder(folder));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Right;
    use crate::store::Limit;

    fn resolve(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        std::fs::write(&path, text).unwrap();
        let strip = |path: &Path| path.strip_prefix(folder.path()).unwrap_or(path).to_owned();
        let mut config = Config::resolve(Some(&path), None, &[]).map_err(|error| error.to_string())?;
        config.data = strip(&config.data);
        for entry in &mut config.listen {
            if let Address::Unix(socket) = &mut entry.address {
                *socket = strip(socket);
            }
        }
        Ok(config)
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let config = Config::resolve(None, None, &[]).unwrap();
        assert_eq!(config.listen, [Listen::at("hashward-data/hashward.sock".parse().unwrap())]);
        assert_eq!(
            config,
            resolve("data = \"hashward-data\"")
                .map(|read| Config { data: config.data.clone(), listen: config.listen.clone(), ..read })
                .unwrap()
        );
    }

    #[test]
    fn the_file_is_read_and_options_go_before_it() {
        let config = resolve(
            "data = 'd'\n[[listen]]\naddress = 'unix:s'\n[[listen]]\naddress = 'tcp:127.0.0.1:1'\n\
             rights = ['lookup', 'admin']\n[limits]\nconnections = 3\n\
             [gate]\ngrowth = { share = 2, entries = 5 }\n",
        )
        .unwrap();
        assert_eq!(config.gate, GateLimits { growth: Limit::new(2.0, 5), ..GateLimits::default() });
        assert_eq!((config.data.to_str(), config.limits.connections), (Some("d"), 3));
        assert_eq!(config.listen[0], Listen::at("unix:s".parse().unwrap()));
        assert_eq!(config.listen[1].rights, [Right::Lookup, Right::Admin]);

        let listen = ["tcp:[::1]:5".parse().unwrap()];
        let config = Config::resolve(None, Some(Path::new("x")), &listen).unwrap();
        assert_eq!((config.data.to_str(), &config.listen[0].address), (Some("x"), &listen[0]));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_remedy() {
        for (text, expected) in [
            ("[[listen]]\naddress = 'tcp:0.0.0.0:1'", "expected `tls` beside it, or a loopback address"),
            ("[[listen]]\naddress = 'tcp:0.0.0.0:1'\nplaintext = true", "plaintext_beyond_loopback = true"),
            ("plaintext_beyond_loopback = true\n[[listen]]\naddress = 'tcp:0.0.0.0:1'", "plaintext = true"),
            ("[[listen]]\naddress = 'a'\nplaintext = true", "for TCP only"),
            ("[[listen]]\naddress = 'a'\ntls = { certificate = 'c', key = 'k' }", "for TCP only"),
            ("[[listen]]\naddress = 'tls:h:1'", "expected tcp:IP:PORT"),
            ("[[listen]]\naddress = 'tcp:0.0.0.0:1'\ntls = { key = 'k' }", "missing field `certificate`"),
            ("[[listen]]\naddress = 'a'\n[[listen]]\naddress = 'unix:a'", "stands twice"),
            ("[[listen]]\naddress = 'a'\nrights = ['all']", "unknown variant `all`"),
            ("[[listen]]\naddress = 'a'\nprotocol = 'smtp'", "unknown variant `smtp`"),
            ("[[principal]]\nname = 'a'\nrights = []", "expected exactly one of uid, gid, token"),
            ("[[principal]]\nname = 'a'\ntoken = 'secret'\nrights = []", "expected the digest of a token"),
            ("[limits]\nconnections = 0", "limits.connections: expected at least 1"),
            ("[limits]\nconections = 1", "unknown field `conections`"),
            ("[limits]\nradii = { pdq = 64 }", "expected at most 63"),
            ("[gate]\nshrink = { share = -0.1, entries = 1 }", "gate.shrink.share: expected a share from 0"),
            ("[gate]\nshrink = { share = 0.1 }", "missing field `entries`"),
            ("[gate]\nshrinking = 1", "unknown field `shrinking`"),
            ("[pictures]\nworkers = 0", "pictures.workers: expected 1"),
            ("near_threads = 0", "nonzero"),
            ("data = 1", "invalid type"),
            ("data = ", "refused"),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
