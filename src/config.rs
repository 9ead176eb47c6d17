//! The daemon's configuration: a TOML file and its `conf.d` (see `hashward::settings`), read whole, checked whole, or
//! refused.
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

mod weak;

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::access::{Access, BadPrincipal, PrincipalConfig, UserId};
use crate::audit::{AuditConfig, Permit};
use crate::events::EventsConfig;
use crate::feed::{FeedConfig, FeedSection};
use crate::log::LogConfig;
use crate::media::worker::WorkerConfig;
use crate::protocol::{Address, DEFAULT_DATA, SOCKET_NAME};
use crate::server::{Limits, Listen, Protocol};
use crate::settings::{Mistake, Settings, SettingsError};
use crate::store::GateLimits;

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
    /// The match events.
    pub events: EventsConfig,
    /// The log; read at start.
    pub log: LogConfig,
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
    events: EventsConfig,
    log: LogConfig,
    limits: Limits,
    gate: GateLimits,
    pictures: WorkerConfig,
    near_threads: Option<NonZeroUsize>,
    feed: Vec<FeedSection>,
    index_program: Option<PathBuf>,
}

impl Config {
    /// The configuration of the file and its `conf.d`, or the defaults without one; `data` and `listen` go before what
    /// it says.
    ///
    /// # Errors
    /// [`SettingsError`], with all that is wrong.
    pub fn resolve(file: Option<&Path>, data: Option<&Path>, listen: &[Address]) -> Result<Config, SettingsError> {
        let settings = file.map(Settings::read).transpose()?;
        let mut parsed: File = settings.as_ref().map(Settings::parse).transpose()?.unwrap_or_default();
        let folder = settings.as_ref().map_or(Path::new(""), Settings::folder);
        parsed.below(folder);
        let data = data.map(Path::to_owned).or(parsed.data).unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
        if !listen.is_empty() {
            parsed.listen = listen.iter().cloned().map(Listen::at).collect();
        }
        if parsed.listen.is_empty() {
            parsed.listen = vec![Listen::at(Address::Unix(data.join(SOCKET_NAME)))];
        }
        let near_threads = parsed.near_threads.or_else(|| std::thread::available_parallelism().ok());
        let (feeds, bad_feeds) =
            settings.as_ref().map(|settings| FeedSection::resolve_all(parsed.feed, settings)).unwrap_or_default();
        let config = Config {
            data,
            plaintext_beyond_loopback: parsed.plaintext_beyond_loopback,
            listen: parsed.listen,
            principals: parsed.principal,
            audit: parsed.audit,
            events: parsed.events,
            log: parsed.log,
            limits: parsed.limits,
            gate: parsed.gate,
            pictures: parsed.pictures,
            near_threads: near_threads.map_or(1, NonZeroUsize::get),
            feeds,
            index_program: parsed.index_program.map(|program| folder.join(program)),
        };
        let mut checked = Checked { settings: settings.as_ref(), mistakes: bad_feeds };
        config.check(&mut checked);
        checked.done().map(|()| config)
    }

    /// Reads the certificates and keys that listeners name, in the config that stands in `settings`. Gives what there is
    /// to warn of.
    ///
    /// # Errors
    /// [`SettingsError::Refused`], with all that cannot be used.
    pub fn check_certificates(&self, settings: Option<&Settings>) -> Result<Vec<String>, SettingsError> {
        let (mut checked, mut warnings) = (Checked { settings, mistakes: Vec::new() }, Vec::new());
        for (number, entry) in self.listen.iter().enumerate() {
            match entry.load_tls() {
                Ok(identity) => {
                    let warning = identity.and_then(|identity| identity.warning());
                    warnings.extend(warning.map(|warning| format!("{}: {warning}", entry.address)));
                }
                Err(bad) => checked.note(&["listen", &number.to_string(), "tls"], Some(bad)),
            }
        }
        checked.done().map(|()| warnings)
    }

    /// Who may do what, where this process is the daemon.
    ///
    /// # Errors
    /// [`BadPrincipal`]; a config that was resolved has none.
    pub fn access(&self) -> Result<Access, BadPrincipal> {
        Access::new(UserId(rustix::process::geteuid().as_raw()), &self.principals)
    }

    /// What it allows, as the audit trail says it.
    pub fn permits(&self) -> Vec<Permit> {
        let listeners = self.listen.iter().map(Listen::permit);
        listeners.chain(self.principals.iter().map(Permit::from)).collect()
    }

    /// As much of this config as a daemon that was started with `running` can take on, and the names of what it cannot.
    pub fn taken_on_by(mut self, running: &Config) -> (Config, Vec<&'static str>) {
        fn keep<T: Clone + PartialEq>(value: &mut T, running: &T) -> bool {
            let differs = value != running;
            value.clone_from(running);
            differs
        }
        let waiting = [
            ("data", keep(&mut self.data, &running.data)),
            ("audit.file_bytes", keep(&mut self.audit.file_bytes, &running.audit.file_bytes)),
            ("events.file_bytes", keep(&mut self.events.file_bytes, &running.events.file_bytes)),
            ("events.files_kept", keep(&mut self.events.files_kept, &running.events.files_kept)),
            ("[log]", keep(&mut self.log, &running.log)),
            ("[gate]", keep(&mut self.gate, &running.gate)),
            ("[pictures]", keep(&mut self.pictures, &running.pictures)),
            ("near_threads", keep(&mut self.near_threads, &running.near_threads)),
        ];
        let names = waiting.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        (self, names)
    }

    /// The first Unix socket where the daemon speaks frames: through it feeds are written.
    pub fn feed_socket(&self) -> Option<&Path> {
        let frames = self.listen.iter().filter(|listen| listen.protocol == Protocol::Frame);
        frames.into_iter().find_map(|listen| match &listen.address {
            Address::Unix(path) => Some(path.as_path()),
            Address::Tcp(_) | Address::Tls(..) => None,
        })
    }

    /// BLAKE3 of all that it says, in hex: what the trail, the status and `check-config` name it by.
    pub fn digest(&self) -> String {
        let text = toml::to_string(self).expect("a config is plain data");
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    fn check(&self, checked: &mut Checked<'_>) {
        for (index, entry) in self.listen.iter().enumerate() {
            let number = index.to_string();
            let twice = self.listen[..index].iter().any(|earlier| earlier.address == entry.address);
            let twice = twice.then(|| format!("listen address {} stands twice; expected each once", entry.address));
            checked.note(&["listen", &number, "address"], entry.check(self.plaintext_beyond_loopback).err());
            checked.note(&["listen", &number, "address"], twice);
        }
        let bad_principal = self.access().err();
        let number = bad_principal.as_ref().map_or(0, |bad| bad.number).to_string();
        checked.note(&["principal", &number], bad_principal);
        checked.note(&["log", "filter"], self.log.check().err());
        let (limits, gate, pictures) = (self.limits.check(), self.gate.check(), self.pictures.check());
        checked.note(&["events", "files_kept"], self.events.check().err());
        checked.note(&["limits", limits.as_ref().map_or_else(|bad| bad.name, |()| "")], limits.err());
        checked.note(&["gate", gate.as_ref().map_or_else(|bad| bad.name, |()| ""), "share"], gate.err());
        checked.note(&["pictures", pictures.as_ref().map_or_else(|bad| bad.name, |()| "")], pictures.err());
    }
}

/// What was found wrong so far.
struct Checked<'s> {
    settings: Option<&'s Settings>,
    mistakes: Vec<Mistake>,
}

impl Checked<'_> {
    /// Notes what is wrong, if anything is, with what stands at `path`.
    fn note(&mut self, path: &[&str], bad: Option<impl Display>) {
        let Some(bad) = bad else { return };
        self.mistakes.push(match self.settings {
            Some(settings) => settings.mistake_at(path, bad),
            None => Mistake { place: None, what: bad.to_string() },
        });
    }

    fn done(self) -> Result<(), SettingsError> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(SettingsError::Refused(self.mistakes)) }
    }
}

impl File {
    /// Relative paths are relative to `folder`.
    fn below(&mut self, folder: &Path) {
        self.data = self.data.take().map(|data| folder.join(data));
        for entry in &mut self.listen {
            if let Address::Unix(socket) = &mut entry.address {
                *socket = folder.join(&*socket);
            }
            entry.tls = entry.tls.take().map(|files| files.in_folder(folder));
        }
    }
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
    fn all_that_cannot_work_is_told_at_once_with_its_place() {
        let text = "[limits]\ncommands = 1\nconnections = 0\n[[listen]]\naddress = 'a'\n[[listen]]\n\
                    address = 'tcp:0.0.0.0:1'\n[gate]\ngrowth = { share = -1, entries = 1 }\n\
                    [pictures]\nqueue = 0\n[[feed]]\nname = 'f'\nsource = 'ncmec'\nurl = 'h'\n\
                    [[principal]]\nname = 'a'\nuid = 1\nrights = []\n[[principal]]\nname = 'a'\nuid = 2\nrights = []\n";
        let error = resolve(text).unwrap_err();
        let places: Vec<&str> = error.lines().map(|line| line.split_once("toml:").unwrap().1).collect();
        let expected = [
            ("15:1", "feed `f`: url"),
            ("7:1", "listen address"),
            ("20:1", "principal a: its name stands twice"),
            ("3:1", "limits.connections"),
            ("9:12", "gate.growth.share"),
            ("11:1", "pictures.queue"),
        ];
        for (found, (place, what)) in places.iter().zip(expected) {
            assert!(found.starts_with(&format!("{place}: {what}")), "{found}: {place} {what}");
        }
        assert_eq!(places.len(), expected.len(), "{error}");
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
            ("[limits]\nidle_s = 9223372036854775807", "limits.idle_s: expected 1 to 31536000"),
            ("[events]\nfiles_kept = 1", "events.files_kept: expected at least 2"),
            ("[limits]\nconections = 1", "unknown field `conections`"),
            ("[limits]\nradii = { pdq = 64 }", "expected at most 63"),
            ("[gate]\nshrink = { share = -0.1, entries = 1 }", "gate.shrink.share: expected a share from 0"),
            ("[gate]\nshrink = { share = 0.1 }", "missing field `entries`"),
            ("[gate]\nshrinking = 1", "unknown field `shrinking`"),
            ("[pictures]\nworkers = 0", "pictures.workers: expected 1"),
            ("near_threads = 0", "nonzero"),
            ("data = 1", "invalid type"),
            ("data = ", "hashward.toml:1:8"),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
