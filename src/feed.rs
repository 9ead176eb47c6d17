//! Feeds as the config names them: one `[[feed]]` section each, read by the daemon, which starts them when they are
//! due, and by `hashward-index sync`, which fetches them.
//!
//! ```toml
//! [[feed]]
//! name = "ncmec"                                     # what `sync` is told
//! list = "ncmec-industry"                            # the list it fills; without it, one of the feed's name
//! source = "ncmec"                                   # ncmec, stopncii, threatexchange, or files
//! url = "https://hashes.example.org/npo"             # of files also a folder, or file://
//! role = "illegal"                                   # of labels without a category
//! roles = ["ncmec:A1=illegal", "ncmec:B2=watch"]     # or all_categories = true
//! user = "lab"
//! password = { file = "ncmec.password" }             # or { env = "NAME" }; likewise `token`
//! interval_s = 900                                   # without it, only when `sync` is called by hand
//! stale_after_s = 7200
//! ```
//!
//! A secret never stands in the config, and a [`Secret`] never in a message.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::fingerprint::Kind;
use crate::list::{CategoryRole, ListName, Role, Roles};
use crate::moment::days_since_1970;
use crate::settings::{Mistake, Settings, SettingsError};

/// The most bytes of a secret; a file that holds more is not one.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The most entries of a page: a page is one command, which has to fit into a frame.
const PAGE_SIZE_MAX: u32 = 10_000;

/// Who serves a feed, and so how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedSource {
    /// NCMEC's hash sharing, version 2.
    Ncmec,
    /// StopNCII's.
    StopNcii,
    /// Meta's ThreatExchange.
    ThreatExchange,
    /// List files at an address or in a folder, imported as a file list whenever they change.
    Files,
}

impl FeedSource {
    /// The source's name in the config.
    pub const fn name(self) -> &'static str {
        match self {
            FeedSource::Ncmec => "ncmec",
            FeedSource::StopNcii => "stopncii",
            FeedSource::ThreatExchange => "threatexchange",
            FeedSource::Files => "files",
        }
    }
}

impl fmt::Display for FeedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a feed is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// An `https://` address; `http://` only to this machine, unless the config says `plain_http = true`.
    Url(String),
    /// A file or a folder.
    Path(PathBuf),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Url(url) => f.write_str(url),
            Location::Path(path) => path.display().fmt(f),
        }
    }
}

/// One feed, checked; relative paths are already below the config's folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedConfig {
    /// What `sync` is told.
    pub name: ListName,
    /// The list that it fills.
    pub list: ListName,
    /// How it is read.
    pub source: FeedSource,
    /// Where it is.
    pub location: Location,
    /// The roles that the list has from the next sync on; without them, a list that exists keeps its own, and one
    /// that does not is refused.
    pub roles: Option<Roles>,
    /// The user's name, with a password.
    pub user: Option<String>,
    /// Where the password is.
    pub password: Option<SecretSource>,
    /// Where the token is.
    pub token: Option<SecretSource>,
    /// Seconds that one window of changes covers; without it, the source's default.
    pub window_s: Option<u64>,
    /// The start of the first window, in seconds since 1970-01-01 UTC; without it, as far back as the source goes.
    pub start: Option<i64>,
    /// Entries asked for at a time; without it, the source's default.
    pub page_size: Option<u32>,
    /// Seconds between the starts of two syncs; without it, the daemon starts none.
    pub interval_s: Option<u64>,
    /// Seconds after the last complete sync from which on the list is stale; without it, never.
    pub stale_after_s: Option<u64>,
    /// Seconds that one sync may take before the daemon ends it.
    pub deadline_s: u64,
    /// More parameters of each request, by name: the privacy group or the tags of a ThreatExchange feed.
    pub query: BTreeMap<String, String>,
    /// Of [`FeedSource::Files`]: the files' format, as `import --format` takes it.
    pub format: Option<String>,
    /// Of [`FeedSource::Files`]: the kind of the files' hashes, as `import --kind` takes it.
    pub kind: Option<Kind>,
}

/// Feeds with the data folder of the same config.
#[derive(Clone, Debug, PartialEq)]
pub struct Feeds {
    /// The data folder, if the config names one.
    pub data: Option<PathBuf>,
    /// In the order of the config, each name once.
    pub feeds: Vec<FeedConfig>,
}

/// A feed that could not work. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("feed `{feed}`: {key}: expected {expected}, found {found}")]
pub struct BadFeed {
    /// The feed.
    pub feed: ListName,
    /// What of it.
    pub key: &'static str,
    /// What it should be.
    pub expected: String,
    /// What it is; of an address that holds a password, not the address.
    pub found: String,
}

impl FeedConfig {
    /// Refuses a feed that shares its name or its list with an earlier one.
    fn beside(self, earlier: &[FeedConfig]) -> Result<FeedConfig, BadFeed> {
        let bad = |key, expected: &str, found: &ListName| BadFeed {
            feed: self.name.clone(),
            key,
            expected: expected.into(),
            found: found.to_string(),
        };
        if earlier.iter().any(|feed| feed.name == self.name) {
            return Err(bad("name", "each name once", &self.name));
        }
        if earlier.iter().any(|feed| feed.list == self.list) {
            return Err(bad("list", "a list that no other feed fills", &self.list));
        }
        Ok(self)
    }

    /// The data folder and all feeds of a config and its `conf.d`. Other sections are not looked at.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn read_all(path: &Path) -> Result<Feeds, SettingsError> {
        #[derive(Deserialize)]
        struct File {
            data: Option<PathBuf>,
            #[serde(default)]
            feed: Vec<FeedSection>,
        }
        let settings = Settings::read(path)?;
        let file: File = settings.parse()?;
        let data = file.data.map(|data| settings.folder().join(data));
        match FeedSection::resolve_all(file.feed, &settings) {
            (feeds, mistakes) if mistakes.is_empty() => Ok(Feeds { data, feeds }),
            (_, mistakes) => Err(SettingsError::Refused(mistakes)),
        }
    }
}

/// A `[[feed]]` as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedSection {
    name: ListName,
    list: Option<ListName>,
    source: FeedSource,
    url: String,
    #[serde(default)]
    plain_http: bool,
    role: Option<Role>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    all_categories: bool,
    user: Option<String>,
    password: Option<SecretSource>,
    token: Option<SecretSource>,
    window_s: Option<u64>,
    #[serde(default, deserialize_with = "read_start")]
    start: Option<i64>,
    page_size: Option<u32>,
    interval_s: Option<u64>,
    stale_after_s: Option<u64>,
    deadline_s: Option<u64>,
    #[serde(default)]
    query: BTreeMap<String, String>,
    format: Option<String>,
    kind: Option<Kind>,
}

/// How long a sync may take, if the config does not say: a first one reads years.
const DEADLINE_S_DEFAULT: u64 = 6 * 60 * 60;

impl FeedSection {
    /// The feeds of these sections, checked, and what is wrong with the others.
    pub(crate) fn resolve_all(sections: Vec<FeedSection>, settings: &Settings) -> (Vec<FeedConfig>, Vec<Mistake>) {
        let (mut feeds, mut mistakes): (Vec<FeedConfig>, _) = (Vec::with_capacity(sections.len()), Vec::new());
        for (number, section) in sections.into_iter().enumerate() {
            match section.resolve(settings.folder()).and_then(|feed| feed.beside(&feeds)) {
                Ok(feed) => feeds.push(feed),
                Err(bad) => mistakes.push(settings.mistake_at(&["feed", &number.to_string(), bad.key], &bad)),
            }
        }
        (feeds, mistakes)
    }

    fn resolve(self, folder: &Path) -> Result<FeedConfig, BadFeed> {
        self.check()?;
        let below = |source: Option<SecretSource>| source.map(|source| source.below(folder));
        Ok(FeedConfig {
            location: self.location(folder)?,
            roles: self.resolved_roles()?,
            list: self.list.unwrap_or_else(|| self.name.clone()),
            name: self.name,
            source: self.source,
            user: self.user,
            password: below(self.password),
            token: below(self.token),
            window_s: self.window_s,
            start: self.start,
            page_size: self.page_size,
            interval_s: self.interval_s,
            stale_after_s: self.stale_after_s,
            deadline_s: self.deadline_s.unwrap_or(DEADLINE_S_DEFAULT),
            query: self.query,
            format: self.format,
            kind: self.kind,
        })
    }

    fn bad(&self, key: &'static str, expected: &str, found: impl fmt::Display) -> BadFeed {
        BadFeed { feed: self.name.clone(), key, expected: expected.to_owned(), found: found.to_string() }
    }

    fn check(&self) -> Result<(), BadFeed> {
        for (key, value) in [
            ("window_s", self.window_s),
            ("interval_s", self.interval_s),
            ("stale_after_s", self.stale_after_s),
            ("deadline_s", self.deadline_s),
        ] {
            if value == Some(0) {
                return Err(self.bad(key, "at least 1", 0));
            }
        }
        if let Some(size) = self.page_size.filter(|size| !(1..=PAGE_SIZE_MAX).contains(size)) {
            return Err(self.bad("page_size", &format!("1 to {PAGE_SIZE_MAX}"), size));
        }
        let files = self.source == FeedSource::Files;
        for (key, given) in [("format", self.format.is_some()), ("kind", self.kind.is_some())] {
            if given && !files {
                return Err(self.bad(key, "this only with source = \"files\"", self.source));
            }
        }
        for (key, given) in [("window_s", self.window_s.is_some()), ("start", self.start.is_some())] {
            if given && files {
                return Err(self.bad(key, "this only of sources with windows of changes", self.source));
            }
        }
        match (&self.user, &self.password) {
            (Some(_), None) => return Err(self.bad("user", "a password as well", "none")),
            (None, Some(_)) => return Err(self.bad("password", "a user as well", "none")),
            _ => {}
        }
        if self.token.is_some() && self.password.is_some() {
            return Err(self.bad("token", "a token or a password", "both"));
        }
        let secret = |name: &&String| ["access_token", "password", "token"].contains(&name.to_lowercase().as_str());
        if let Some(name) = self.query.keys().find(secret) {
            return Err(self.bad("query", "secrets as `token = { file = … }` or `{ env = … }`", format!("`{name}`")));
        }
        Ok(())
    }

    fn location(&self, folder: &Path) -> Result<Location, BadFeed> {
        if let Some(scheme) = self.url.split_once("://").map(|(scheme, _)| scheme) {
            return match scheme {
                "https" | "http" => self.checked_url().map(Location::Url),
                "file" if self.source == FeedSource::Files => Ok(Location::Path(self.url["file://".len()..].into())),
                _ => Err(self.bad("url", "https://…, or file:// of files", format!("{scheme}://"))),
            };
        }
        if self.source != FeedSource::Files || self.url.is_empty() {
            return Err(self.bad("url", "https://HOST/PATH", "no address"));
        }
        Ok(Location::Path(folder.join(&self.url)))
    }

    fn checked_url(&self) -> Result<String, BadFeed> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(self.bad("url", "no user and password in it, but as keys of their own", "an `@` in the host"));
        }
        let host = match authority.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let unprintable = |c: char| c.is_whitespace() || c.is_control();
        if host.is_empty() || self.url.contains(unprintable) {
            return Err(self.bad("url", "https://HOST/PATH", "no host, or a space"));
        }
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if scheme == "http" && !loopback && !self.plain_http {
            let expected = "https://, for others could read and change what comes (plain_http = true allows it)";
            return Err(self.bad("url", expected, format!("http://{host}")));
        }
        Ok(self.url.clone())
    }

    fn resolved_roles(&self) -> Result<Option<Roles>, BadFeed> {
        let Some(role) = self.role else {
            return match self.roles.is_empty() && !self.all_categories {
                true => Ok(None),
                false => {
                    Err(self.bad("role", "the role of labels without a category beside those of categories", "none"))
                }
            };
        };
        match (self.all_categories, self.roles.is_empty()) {
            (true, true) => Ok(Some(Roles::uniform(role))),
            (false, false) => {
                let parse = |text: &String| text.parse::<CategoryRole>();
                let named: Result<Vec<_>, _> = self.roles.iter().map(parse).collect();
                let named = named.map_err(|error| self.bad("roles", "SCHEME:CODE=ROLE", error))?;
                Ok(Some(Roles::by_category(role, named)))
            }
            (true, false) => Err(self.bad("roles", "roles or all_categories", "both")),
            // Without a word on categories, each of them would be `watch`: a feed that never tells of a match.
            (false, true) => {
                Err(self.bad("role", "roles of categories, or all_categories = true, beside it", "neither"))
            }
        }
    }
}

fn read_start<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let moment = toml::value::Datetime::deserialize(deserializer)?;
    let expected = || de::Error::custom("expected a time with its offset, as 2024-01-01T00:00:00Z");
    let (Some(date), Some(time), Some(offset)) = (moment.date, moment.time, moment.offset) else {
        return Err(expected());
    };
    let offset_minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
    Ok(Some(days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or(0))))
}

/// What must not be told. It is neither printed nor written; [`Secret::expose`] is the one way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is: `{ file = "PATH" }` or `{ env = "NAME" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// A secret that is not where the config says.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the secret from {place}: {found}")]
pub struct SecretError {
    place: String,
    found: String,
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`]: it is not there, empty, no text, or longer than any secret.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let (place, text) = match self {
            SecretSource::File(path) => (path.display().to_string(), read_secret(path)),
            SecretSource::Env(name) => (
                format!("the environment variable {name}"),
                std::env::var(name).map_err(|error| match error {
                    std::env::VarError::NotPresent => "it is not set".to_owned(),
                    std::env::VarError::NotUnicode(_) => "expected text, found other bytes".to_owned(),
                }),
            ),
        };
        let secret = text.and_then(|text| match text.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => Ok(Secret(line.to_owned())),
            _ => Err("expected a secret in its first line, found nothing".to_owned()),
        });
        secret.map_err(|found| SecretError { place, found })
    }

    fn below(self, folder: &Path) -> SecretSource {
        match self {
            SecretSource::File(path) => SecretSource::File(folder.join(path)),
            env => env,
        }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("expected at most {SECRET_BYTES_MAX} bytes, found more"));
    }
    String::from_utf8(bytes).map_err(|_| "expected text, found other bytes".to_owned())
}

/// Derived code would repeat a secret that was written here literally in its message.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretSource, D::Error> {
        const EXPECTED: &str = "expected { file = \"PATH\" } or { env = \"NAME\" }: no secret stands in the config";
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ file = \"PATH\" } or { env = \"NAME\" }")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretSource, E> {
                Err(E::custom(EXPECTED))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
                let source = match map.next_entry::<String, String>()? {
                    Some((key, value)) if key == "file" => SecretSource::File(value.into()),
                    Some((key, value)) if key == "env" => SecretSource::Env(value),
                    _ => return Err(de::Error::custom(EXPECTED)),
                };
                match map.next_key::<de::IgnoredAny>()? {
                    None => Ok(source),
                    Some(_) => Err(de::Error::custom(EXPECTED)),
                }
            }
        }
        deserializer.deserialize_any(Place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feeds(sections: &str) -> Result<Vec<FeedConfig>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        fs::write(&path, sections).unwrap();
        FeedConfig::read_all(&path).map(|read| read.feeds).map_err(|error| error.to_string())
    }

    fn feed(keys: &str) -> Result<FeedConfig, String> {
        let base = [("name", "'n'"), ("source", "'ncmec'"), ("url", "'https://feed.example/v2'")];
        let given = |key: &str| keys.lines().any(|line| line.starts_with(&format!("{key} =")));
        let base: String =
            base.iter().filter(|(key, _)| !given(key)).map(|(key, value)| format!("{key} = {value}\n")).collect();
        feeds(&format!("[[feed]]\n{base}{keys}")).map(|mut feeds| feeds.remove(0))
    }

    #[test]
    fn a_feed_is_read_with_all_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        let text = "data = 'd'\n[[listen]]\naddress = 'unix:x'\n[[feed]]\nname = 'ncmec'\nlist = 'industry'\n\
                    source = 'ncmec'\nurl = 'https://h.example/npo'\nrole = 'illegal'\n\
                    roles = ['ncmec:A1=illegal', 'ncmec:B2=watch']\nuser = 'lab'\npassword = { file = 'p' }\n\
                    window_s = 1\nstart = 2024-02-29T01:00:00+01:00\npage_size = 100\ninterval_s = 900\n\
                    stale_after_s = 7200\nquery = { tags = 'a' }\n\
                    [[feed]]\nname = 'own'\nsource = 'files'\nurl = 'in'\nformat = 'csv'\nkind = 'md5'\n";
        fs::write(&path, text).unwrap();
        let Feeds { data, feeds } = FeedConfig::read_all(&path).unwrap();
        assert_eq!(data, Some(folder.path().join("d")));
        let first = &feeds[0];
        assert_eq!((first.name.as_str(), first.list.as_str()), ("ncmec", "industry"));
        assert_eq!(first.location, Location::Url("https://h.example/npo".to_owned()));
        assert_eq!(first.password, Some(SecretSource::File(folder.path().join("p"))));
        // 2024-02-29 00:00 UTC, by `date -d @…`.
        assert_eq!(first.start, Some(1_709_164_800));
        let roles = first.roles.as_ref().unwrap();
        assert_eq!(roles.of(Some(&"ncmec:B2".to_owned().into())), Role::Watch);
        assert_eq!((roles.of(None), roles.of(Some(&"x".to_owned().into()))), (Role::Illegal, Role::Watch));
        assert_eq!((first.interval_s, first.stale_after_s, first.deadline_s), (Some(900), Some(7200), 21_600));
        assert_eq!(feeds[1].location, Location::Path(folder.path().join("in")));
        assert_eq!((feeds[1].kind, feeds[1].list.as_str()), (Some(Kind::Md5), "own"));
    }

    #[test]
    fn feeds_of_conf_d_are_feeds_of_the_config_and_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashward.toml");
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        fs::write(&path, "[[feed]]\nname = 'a'\nsource = 'files'\nurl = 'in'\n").unwrap();
        let part = "data = 'd'\n[[feed]]\nname = 'b'\nsource = 'files'\nurl = 'in'\ntoken = { file = 't' }\n";
        fs::write(folder.path().join("conf.d/b.toml"), part).unwrap();
        let Feeds { data, feeds } = FeedConfig::read_all(&path).unwrap();
        let names: Vec<&str> = feeds.iter().map(|feed| feed.name.as_str()).collect();
        assert_eq!((names, data), (vec!["a", "b"], Some(folder.path().join("d"))));
        assert_eq!(feeds[1].location, Location::Path(folder.path().join("in")));
        assert_eq!(feeds[1].token, Some(SecretSource::File(folder.path().join("t"))));

        fs::write(folder.path().join("conf.d/c.toml"), part.replace("data = 'd'", "")).unwrap();
        let error = FeedConfig::read_all(&path).unwrap_err().to_string();
        assert!(error.contains("conf.d/c.toml:3:1: feed `b`: name: expected each name once"), "{error}");
    }

    #[test]
    fn what_could_not_work_is_refused_with_the_remedy() {
        for (keys, expected) in [
            ("url = 'http://feed.example/'", "plain_http = true"),
            ("url = 'http://127.0.0.1.feed.example/'", "plain_http = true"),
            ("url = 'feed.example'", "https://HOST/PATH"),
            ("url = 'https://'", "https://HOST/PATH"),
            ("url = 'ftp://feed.example/'", "ftp://"),
            ("url = 'file:///x'", "file://"),
            ("roles = ['a=illegal']", "role: expected the role"),
            ("role = 'illegal'", "all_categories = true"),
            ("role = 'illegal'\nroles = ['a=bad']", "unknown role"),
            ("role = 'illegal'\nroles = ['a=watch']\nall_categories = true", "found both"),
            ("user = 'u'", "a password as well"),
            ("password = { env = 'P' }", "a user as well"),
            ("user = 'u'\npassword = { env = 'P' }\ntoken = { env = 'T' }", "found both"),
            ("interval_s = 0", "interval_s: expected at least 1"),
            ("page_size = 100001", "page_size"),
            ("format = 'csv'", "files"),
            ("source = 'files'\nwindow_s = 1", "window_s"),
            ("start = '2024-01-01'", "hashward.toml:5:"),
            ("start = 2024-01-01", "2024-01-01T00:00:00Z"),
            ("query = { access_token = 'x' }", "`access_token`"),
            ("colour = 1", "unknown field `colour`"),
            ("source = 'nobody'", "unknown variant `nobody`"),
        ] {
            let error = feed(keys).unwrap_err();
            assert!(error.contains(expected), "{keys:?}: {error}");
        }
        for url in ["http://127.0.0.1:80/", "http://[::1]/x", "http://localhost/"] {
            assert!(feed(&format!("url = '{url}'")).is_ok(), "{url}");
        }
        assert!(feed("plain_http = true\nurl = 'http://feed.example/'").is_ok());
        let one = "[[feed]]\nname = 'a'\nsource = 'ncmec'\nurl = 'https://h/'\n";
        assert!(feeds(&one.repeat(2)).unwrap_err().contains("each name once"));
        let same_list = format!("{one}{}list = 'a'\n", one.replace("'a'", "'b'"));
        assert!(feeds(&same_list).unwrap_err().contains("no other feed"));
    }

    #[test]
    fn no_message_holds_a_secret() {
        for keys in [
            "user = 'u'\npassword = 'hunter2'",
            "user = 'u'\npassword = { value = 'hunter2' }",
            "user = 'u'\npassword = { env = 'A', value = 'hunter2' }",
            "token = ['hunter2']",
            "token = 2718281828",
            "token = 27182818284590452353",
            "token = 27.18281828",
            "user = 'u'\npassword = { file = 2718281828 }",
            "token = hunter2",
            "token = 'hunter2",
            "url = 'https://u:hunter2@feed.example/'",
            "query = { token = 'hunter2' }",
        ] {
            let error = feed(keys).unwrap_err();
            assert!(!error.contains("hunter2") && !error.contains("1828"), "{keys:?}: {error}");
        }
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "Secret(…)");
    }

    #[test]
    fn a_secret_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            SecretSource::File(path.clone()).read().map(|secret| secret.expose().to_owned())
        };
        assert_eq!(read(b" hunter2 \nnot this\n").unwrap(), "hunter2");
        for bad in [&b""[..], b"\nx", b"\xff", &[b'x'; SECRET_BYTES_MAX as usize + 1]] {
            assert!(read(bad).is_err());
        }
        let missing = SecretSource::Env("HASHWARD_NO_SUCH_SECRET".to_owned()).read().unwrap_err().to_string();
        assert!(missing.contains("HASHWARD_NO_SUCH_SECRET") && missing.contains("not set"), "{missing}");
    }
}
