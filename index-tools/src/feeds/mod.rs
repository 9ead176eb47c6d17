//! Feeds: what sources on the network say, applied to lists.
//!
//! ```text
//! config ─▶ service ─▶ window ─▶ page ─▶ states of entries ─▶ keeper: applied, with the checkpoint at a window's end
//!              ▲                  │
//!              └──── http ◀───────┘ next link or token
//! ```
//!
//! One file per service, each a pure parser of its pages and what [`Service`](service::Service) asks of it:
//! [`ncmec`], [`stopncii`], [`threatexchange`]. `sync` walks through windows and pages; `files` fetches list files,
//! which are then imported as with `import`; `http` is the only one that speaks to the network, `secrets` keeps
//! credentials out of all that is printed or kept, and `folder` is where a page lies that cannot be read.
//!
//! A service's bytes are hostile until proven otherwise: pages are bounded, a bad record is skipped, reported and noted
//! with the list as a fault, and a page that cannot be read ends the sync without its checkpoint.

mod error;
mod files;
mod folder;
mod http;
pub mod ncmec;
mod page;
mod report;
mod secrets;
mod service;
pub mod stopncii;
mod sync;
pub mod threatexchange;

use std::time::Duration;

use hashward::feed::{FeedConfig, FeedSource, Location, Secret};
use hashward::fingerprint::Encoding;
use hashward::list::Roles;
use hashward::moment;
use hashward::store::command::{FeedNote, FeedState};
use hashward::store::{Command, Outcome};
use ureq::http::{HeaderMap, HeaderValue, header};

pub use error::SyncError;
pub use files::Fetched;
pub use http::{HttpError, Patience};
pub use page::{Link, Page, Rejected, State};
pub use report::{Report, UNCATEGORISED};
pub use secrets::Secrets;

use crate::keeper::Keeper;
use folder::Folder;
use http::Client;
use sync::Reader;

/// Of a service whose windows have ends, the last seconds are left to the next sync: it may still be writing them down.
const SETTLED_S: i64 = 60;

/// How a feed is read.
#[derive(Clone, Copy, Debug)]
pub struct SyncOptions {
    /// In whose place the clock stands, in seconds since 1970-01-01 UTC.
    pub until_s: Option<i64>,
    /// How long the service is waited for.
    pub patience: Patience,
}

/// A feed that is being read; no other process reads it meanwhile.
pub struct Feed<'a> {
    config: &'a FeedConfig,
    keeper: &'a Keeper,
    folder: Folder,
    client: Option<Client>,
    secrets: Secrets,
    state: FeedState,
    options: SyncOptions,
}

/// The credentials of a feed.
///
/// # Errors
/// [`SyncError::Secret`].
pub fn credentials(config: &FeedConfig) -> Result<(Secrets, Credentials), SyncError> {
    let mut secrets = Secrets::default();
    let password = config.password.as_ref().map(|source| source.read()).transpose()?;
    let token = config.token.as_ref().map(|source| source.read()).transpose()?;
    if let Some(password) = &password {
        secrets.add(password);
        let user = config.user.as_deref().unwrap_or_default();
        secrets.add(&Secret::from(format!("{user}:{}", password.expose())));
    }
    if let Some(token) = &token {
        secrets.add(token);
        token.expose().split_ascii_whitespace().for_each(|part| secrets.add(&Secret::from(part.to_owned())));
    }
    Ok((secrets, Credentials { password, token }))
}

/// What a feed shows to its service.
#[derive(Clone, Debug)]
pub struct Credentials {
    password: Option<Secret>,
    token: Option<Secret>,
}

impl Credentials {
    /// The headers of each request. StopNCII takes one or two keys: the token is both, with a space between.
    fn headers(&self, config: &FeedConfig) -> Result<HeaderMap, SyncError> {
        let mut headers = HeaderMap::new();
        let mut put = |name: header::HeaderName, value: &str, what| {
            let mut value = HeaderValue::from_str(value).map_err(|_| SyncError::Credentials(what))?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok::<_, SyncError>(())
        };
        if let Some(password) = &self.password {
            let both = format!("{}:{}", config.user.as_deref().unwrap_or_default(), password.expose());
            put(header::AUTHORIZATION, &format!("Basic {}", Encoding::Base64.encode(both.as_bytes())), "password")?;
        }
        match &self.token {
            Some(token) if config.source == FeedSource::StopNcii => {
                let names = ["x-functions-key", "ocp-apim-subscription-key"].map(header::HeaderName::from_static);
                for (name, key) in names.into_iter().zip(token.expose().split_ascii_whitespace()) {
                    put(name, key, "token")?;
                }
            }
            Some(token) => put(header::AUTHORIZATION, &format!("Bearer {}", token.expose()), "token")?,
            None => {}
        }
        Ok(headers)
    }
}

impl<'a> Feed<'a> {
    /// Takes hold of a feed.
    ///
    /// # Errors
    /// [`SyncError`]: another process reads it, or its credentials or its list cannot be had.
    pub fn open(
        config: &'a FeedConfig,
        keeper: &'a Keeper,
        options: SyncOptions,
        credentials: &Credentials,
        secrets: Secrets,
    ) -> Result<Feed<'a>, SyncError> {
        let folder = Folder::lock(keeper.data(), &config.name)?;
        let client = match &config.location {
            Location::Url(url) => {
                let headers = credentials.headers(config)?;
                // A file may be as large as the whole sync has time for, a page not.
                let body_max = match config.source {
                    FeedSource::Files => Duration::from_secs(config.deadline_s),
                    _ => options.patience.total,
                };
                Some(Client::new(url, headers, secrets.clone(), options.patience, body_max)?)
            }
            Location::Path(_) => None,
        };
        let state = match keeper.execute(Command::FeedState { list: config.list.clone() }) {
            Ok(Outcome::FeedState(state)) => state,
            Ok(other) => return Err(SyncError::Answer(format!("{other:?}"))),
            Err(error) if SyncError::is_no_list(&error) => FeedState::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Feed { config, keeper, folder, client, secrets, state, options })
    }

    /// Reads all changes of a service up to now, and applies them. `watch` is told of the report after each page.
    ///
    /// # Errors
    /// [`SyncError`]; what was applied until then stays.
    pub fn sync(&self, report: &mut Report, watch: &dyn Fn(&Report)) -> Result<(), SyncError> {
        report.checkpoint.clone_from(&self.state.checkpoint);
        let base = self.config.location.to_string();
        let (Some(service), Some(client)) = (service::service_of(self.config, &base), &self.client) else {
            return Ok(());
        };
        let now_s = now_s();
        let (until_s, now_s) = self.options.until_s.map_or((now_s - SETTLED_S, now_s), |until_s| (until_s, until_s));
        let mut reader = Reader {
            feed: self.config,
            keeper: self.keeper,
            client,
            secrets: &self.secrets,
            folder: &self.folder,
            roles: self.roles()?,
            report,
            watch,
            faulty: self.state.faults.iter().map(|faulty| faulty.item.clone()).collect(),
            stands: self.state.checkpoint.clone(),
        };
        reader.read(&*service, &self.state, until_s, now_s)
    }

    /// The files of a feed of files; none if nothing has changed.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn fetch_files(&self, report: &mut Report) -> Result<Option<Fetched>, SyncError> {
        report.checkpoint.clone_from(&self.state.checkpoint);
        let checkpoint = self.state.checkpoint.as_deref();
        let fetched = files::fetch(self.config, self.client.as_ref(), &self.folder, checkpoint);
        if let Some(client) = &self.client {
            (report.requests, report.retries) = client.counts();
        }
        fetched
    }

    /// Notes with the list how the sync ended. A list that does not exist yet has no place for that.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn note(&self, checkpoint: Option<String>, fault: Option<String>) -> Result<(), SyncError> {
        self.folder.clear();
        if fault.is_none() {
            self.folder.drop_page();
        }
        let list = self.config.list.clone();
        match self.keeper.execute(Command::NoteFeed(FeedNote { list, checkpoint, fault })) {
            Ok(Outcome::FeedNoted) => Ok(()),
            Ok(other) => Err(SyncError::Answer(format!("{other:?}"))),
            Err(error) if SyncError::is_no_list(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The roles that the config names, or those that the list has.
    fn roles(&self) -> Result<Roles, SyncError> {
        if let Some(roles) = &self.config.roles {
            return Ok(roles.clone());
        }
        let lists = match self.keeper.execute(Command::Lists) {
            Ok(Outcome::Lists { lists }) => lists,
            Ok(other) => return Err(SyncError::Answer(format!("{other:?}"))),
            Err(error) if error.is_no_store() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let list = lists.into_iter().find(|list| list.name == self.config.list);
        list.map(|list| list.roles).ok_or_else(|| SyncError::NoRole(self.config.list.clone()))
    }
}

fn now_s() -> i64 {
    i64::try_from(moment::now()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use hashward::feed::SecretSource;

    use super::*;

    #[test]
    fn credentials_are_shown_to_the_service_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("hashward.toml");
        let feed = "[[feed]]\nname = 'feed'\nurl = 'https://h'\n";
        std::fs::write(folder.path().join("secret"), "key-one key-two\n").unwrap();
        for (source, more, names) in [
            ("ncmec", "user = 'lab'\npassword = { file = 'secret' }", &["authorization"][..]),
            ("threatexchange", "token = { file = 'secret' }", &["authorization"]),
            ("stopncii", "token = { file = 'secret' }", &["x-functions-key", "ocp-apim-subscription-key"]),
        ] {
            std::fs::write(&config, format!("{feed}source = '{source}'\n{more}\n")).unwrap();
            let feeds = FeedConfig::read_all(&config).unwrap();
            let (secrets, credentials) = credentials(&feeds.feeds[0]).unwrap();
            let headers = credentials.headers(&feeds.feeds[0]).unwrap();
            assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), names);
            let shown = format!("{secrets:?} {credentials:?} {headers:?} {:?}", feeds.feeds[0]);
            assert!(!shown.contains("key-one") && !shown.contains("key-two"), "{shown}");
            assert_eq!(secrets.hide("key-one key-two"), "[secret]");
        }
        let absent = FeedConfig {
            token: Some(SecretSource::File(folder.path().join("absent"))),
            ..FeedConfig::read_all(&config).unwrap().feeds.remove(0)
        };
        assert!(matches!(credentials(&absent), Err(SyncError::Secret(_))));
    }
}
