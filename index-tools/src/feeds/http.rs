//! The one HTTP client of all feeds: GET with credentials, patience and limits.
//!
//! Credentials go to the origin that the config names and nowhere else: a redirect or a link to another origin is an
//! error. They are in no message: whatever a server answers is searched for them before it is quoted ([`Secrets`]).
//!
//! A connection that fails, a status 429 or 5xx and a body that breaks off are tried again, after a pause that doubles
//! and varies, or the one that the server asks for, within [`Patience`]. Bodies are bounded, decompressed ones too.

use std::cell::Cell;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::time::{Duration, Instant};

use hashward::moment;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};

use super::now_s;
use super::secrets::Secrets;
use crate::formats::report::excerpt;

/// Redirects within the origin that are followed.
const REDIRECTS_MAX: u32 = 5;
/// Bytes of an error's body that are read, of which a part is quoted.
const ERROR_BODY_BYTES_MAX: u64 = 4 << 10;
/// Characters of an error's body that are quoted.
const QUOTED_CHARS: usize = 200;

/// How long a source is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries of one request.
    pub tries: u32,
    /// The pause after the first try; it doubles with each.
    pub pause: Duration,
    /// No pause is longer, whatever the server asks for.
    pub pause_max: Duration,
    /// After this time a request is not tried again.
    pub total: Duration,
    /// To connect, and between two pieces of an answer.
    pub silence: Duration,
}

impl Patience {
    /// The usual patience, where `unit` stands for a second.
    pub fn in_units_of(unit: Duration) -> Patience {
        Patience { tries: 6, pause: unit, pause_max: unit * 300, total: unit * 900, silence: unit * 60 }
    }
}

/// Where an answer's body goes.
pub(super) trait Target: Write {
    /// Forgets what was written, for the next try.
    ///
    /// # Errors
    /// The disk's.
    fn restart(&mut self) -> io::Result<()>;
}

impl Target for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Target for File {
    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

/// What a server said of a document's version, to ask whether it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Validators {
    /// Its entity tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// When it was changed, as the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The body was written to the target.
    Body(Validators),
    /// It is as it was.
    NotModified,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server refuses, or asks for more patience than there is.
    #[error("{address} answers {status}{}{}", advice(*status), quoted(body))]
    Status {
        /// What was asked for, without its query.
        address: String,
        /// The answer's status.
        status: u16,
        /// The beginning of its body.
        body: String,
    },
    /// There is no answer, or not all of it.
    #[error("{address}: {found}")]
    Transport {
        /// What was asked for, without its query.
        address: String,
        /// What happened.
        found: String,
    },
    /// An address that is not asked.
    #[error("{address}: {found}")]
    Elsewhere {
        /// What was asked for, without its query.
        address: String,
        /// Where it leads.
        found: String,
    },
    /// A body beyond the limit.
    #[error("{address}: expected at most {limit} bytes, found more")]
    TooLarge {
        /// What was asked for, without its query.
        address: String,
        /// The limit.
        limit: u64,
    },
    /// The target cannot be written.
    #[error("cannot write what was fetched: {0}")]
    Target(io::Error),
}

impl HttpError {
    /// Whether this document cannot be had, while others may.
    pub(super) fn is_about_the_document(&self) -> bool {
        match self {
            HttpError::Status { status, .. } => !matches!(status, 401 | 403 | 429),
            HttpError::TooLarge { .. } | HttpError::Elsewhere { .. } => true,
            HttpError::Transport { .. } | HttpError::Target(_) => false,
        }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check the feed's user and password, or its token",
        404 => "; check the feed's url",
        429 => "; it asks to be left alone for now",
        _ => "",
    }
}

fn quoted(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": `{body}`") }
}

/// One try's failure, and whether another may do better.
struct Failure {
    error: HttpError,
    again: bool,
    /// What the server asks for.
    pause: Option<Duration>,
}

/// Asks one origin.
pub(super) struct Client {
    agent: Agent,
    origin: Uri,
    headers: HeaderMap,
    secrets: Secrets,
    patience: Patience,
    requests: Cell<u64>,
    retries: Cell<u64>,
}

impl Client {
    /// A client for the origin of `base`; `headers` go with every request, `secrets` into no message. The body of an
    /// answer may take `body_max`.
    ///
    /// # Errors
    /// `base` is no address.
    pub(super) fn new(
        base: &str,
        headers: HeaderMap,
        secrets: Secrets,
        patience: Patience,
        body_max: Duration,
    ) -> Result<Client, HttpError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("hashward-index/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_recv_body(Some(body_max))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build()
            .new_agent();
        Ok(Client {
            agent,
            origin: parse(base)?,
            headers,
            secrets,
            patience,
            requests: Cell::new(0),
            retries: Cell::new(0),
        })
    }

    /// Requests so far, and how many of them were second and further tries.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.requests.get(), self.retries.get())
    }

    /// Fetches what stands at `url`, which must be of the client's origin, into `target`.
    ///
    /// # Errors
    /// [`HttpError`], after all tries.
    pub(super) fn get(
        &self,
        url: &str,
        known: &Validators,
        limit_bytes: u64,
        target: &mut impl Target,
    ) -> Result<Answer, HttpError> {
        let started = Instant::now();
        for tried in 1.. {
            let failure = match self.attempt(url, known, limit_bytes, target) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = failure.pause.unwrap_or_else(|| self.pause_after(tried));
            let in_time = pause <= self.patience.pause_max && started.elapsed() + pause <= self.patience.total;
            if !failure.again || tried >= self.patience.tries || !in_time {
                return Err(failure.error);
            }
            std::thread::sleep(pause);
            self.retries.set(self.retries.get() + 1);
        }
        unreachable!("the last try returns")
    }

    /// Half of the doubled pause and as much again by chance, so that many clients do not come back together.
    fn pause_after(&self, tried: u32) -> Duration {
        let pause = self.patience.pause.saturating_mul(1 << (tried - 1).min(16)).min(self.patience.pause_max);
        let chance = RandomState::new().hash_one(tried) % 1_000;
        pause / 2 + pause / 2 * chance as u32 / 1_000
    }

    /// One try, with the redirects that it meets.
    fn attempt(
        &self,
        url: &str,
        known: &Validators,
        limit_bytes: u64,
        target: &mut impl Target,
    ) -> Result<Answer, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let uri = parse(&url)?;
            self.check_origin(&uri, &url)?;
            match self.ask(&uri, known, limit_bytes, target)? {
                Step::Answered(answer) => return Ok(answer),
                Step::Redirected(location) => url = resolve(&self.origin, &uri, &location),
            }
        }
        Err(HttpError::Elsewhere { address: bare(&url), found: "expected an answer, found only redirects".into() }
            .into())
    }

    fn check_origin(&self, uri: &Uri, url: &str) -> Result<(), HttpError> {
        if origin(uri) == origin(&self.origin) {
            return Ok(());
        }
        let found = format!(
            "it is of another origin than {}, and credentials go nowhere else; if the service has moved, change the \
             feed's url",
            origin_text(&self.origin)
        );
        Err(HttpError::Elsewhere { address: self.secrets.hide(&bare(url)), found })
    }

    fn ask(&self, uri: &Uri, known: &Validators, limit_bytes: u64, target: &mut impl Target) -> Result<Step, Failure> {
        self.requests.set(self.requests.get() + 1);
        let address = self.secrets.hide(&bare(&uri.to_string()));
        let mut request = self.agent.get(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.last_modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let mut response = request.call().map_err(|error| self.transport(&address, &error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.body_mut();
        if status == StatusCode::NOT_MODIFIED {
            return Ok(Step::Answered(Answer::NotModified));
        }
        if status.is_redirection() {
            let found = || "expected a redirect to say where, found no location".to_owned();
            let location = text_of(&headers, header::LOCATION);
            let location = location.ok_or_else(|| HttpError::Elsewhere { address: address.clone(), found: found() })?;
            return Ok(Step::Redirected(location));
        }
        if !status.is_success() {
            let mut said = Vec::new();
            // What cannot be read of an error's body is not missed.
            let _ = body.as_reader().take(ERROR_BODY_BYTES_MAX).read_to_end(&mut said);
            return Err(self.refused(address, status, &headers, &said));
        }
        target.restart().map_err(HttpError::Target)?;
        self.copy(address, &mut body.as_reader(), limit_bytes, target)?;
        let validators = Validators {
            etag: text_of(&headers, header::ETAG),
            last_modified: text_of(&headers, header::LAST_MODIFIED),
        };
        Ok(Step::Answered(Answer::Body(validators)))
    }

    fn copy(
        &self,
        address: String,
        body: &mut impl Read,
        limit_bytes: u64,
        target: &mut impl Target,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 << 10];
        let mut written = 0;
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) => {
                    let found = self.secrets.hide(&format!("the answer broke off after {written} bytes: {error}"));
                    return Err(Failure { error: HttpError::Transport { address, found }, again: true, pause: None });
                }
            };
            written += read as u64;
            if written > limit_bytes {
                return Err(HttpError::TooLarge { address, limit: limit_bytes }.into());
            }
            target.write_all(&buffer[..read]).map_err(HttpError::Target)?;
        }
    }

    fn transport(&self, address: &str, error: &ureq::Error) -> Failure {
        let again = match error {
            // A certificate that is not good, or none at all.
            ureq::Error::Io(error) => error.kind() != io::ErrorKind::InvalidData,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Rustls(_) => false,
            ureq::Error::InvalidProxyUrl | ureq::Error::Tls(_) => false,
            _ => true,
        };
        let found = self.secrets.hide(&format!("no answer: {error}"));
        Failure { error: HttpError::Transport { address: address.to_owned(), found }, again, pause: None }
    }

    fn refused(&self, address: String, status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Failure {
        let said = self.secrets.hide(&String::from_utf8_lossy(said));
        let body: String = said.trim().chars().take(QUOTED_CHARS).flat_map(char::escape_debug).collect();
        Failure {
            error: HttpError::Status { address, status: status.as_u16(), body },
            again: status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
            pause: text_of(headers, header::RETRY_AFTER).and_then(|text| retry_after(&text)),
        }
    }
}

/// What one request led to.
enum Step {
    Answered(Answer),
    Redirected(String),
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Failure {
        Failure { error, again: false, pause: None }
    }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Seconds from now, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::from_secs(u64::try_from(moment::parse_http(text)? - now_s()).unwrap_or(0)))
}

fn parse(url: &str) -> Result<Uri, HttpError> {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && uri.scheme().is_some());
    uri.ok_or_else(|| {
        let found = format!("expected an address as https://HOST/PATH, found `{}`", excerpt(bare(url).as_bytes()));
        HttpError::Elsewhere { address: "the feed".into(), found }
    })
}

/// An address without its query, which may hold a token.
fn bare(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// Scheme, host and port: who gets the credentials.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let port = uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), port)
}

fn origin_text(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

/// The address that `link` is, met at `from`; one that is not absolute is of `base`'s origin.
fn resolve(base: &Uri, from: &Uri, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    if let Some(rest) = link.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str().unwrap_or_default());
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    match link.as_bytes().first() {
        Some(b'/') => format!("{}{link}", origin_text(base)),
        Some(b'?') => format!("{}{}{link}", origin_text(base), from.path()),
        _ => format!("{}{folder}/{link}", origin_text(base)),
    }
}

/// The address of a link that a service writes relative to its own base: `/v2/…` below `https://HOST/PREFIX`.
pub(super) fn below(base: &str, link: &str) -> String {
    let base = base.trim_end_matches('/');
    let Ok(uri) = parse(base) else { return link.to_owned() };
    let prefix = uri.path().trim_end_matches('/');
    let has_prefix = link.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if link.starts_with('/') && !link.starts_with("//") && !has_prefix {
        return format!("{base}{link}");
    }
    resolve(&uri, &uri, link)
}

/// `base` with parameters behind it.
pub(super) fn with_query<'a>(base: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = base.to_owned();
    for (name, value) in parameters {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&encode(name));
        url.push('=');
        url.push_str(&encode(value));
    }
    url
}

/// Percent-encodes all but what a query may hold as it is (RFC 3986 §3.4), `&`, `=` and `+` excluded.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_of_the_base() {
        for (base, link, expected) in [
            ("https://h/npo", "/v2/entries?a=1", "https://h/npo/v2/entries?a=1"),
            ("https://h/npo/", "/npo/v2/entries", "https://h/npo/v2/entries"),
            ("https://h:1", "/v2/entries", "https://h:1/v2/entries"),
            ("https://h/npo", "/npox/v2", "https://h/npo/npox/v2"),
            ("https://h/npo", "https://other/v2", "https://other/v2"),
            ("https://h/npo", "//other/v2", "https://other/v2"),
        ] {
            assert_eq!(below(base, link), expected);
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |left: &str, right: &str| origin(&parse(left).unwrap()) == origin(&parse(right).unwrap());
        assert!(same("https://h/a", "https://H:443/b?c"));
        for other in ["http://h/a", "https://h:444/a", "https://h.example/a", "https://h@x/a"] {
            assert!(!same("https://h/a", other), "{other}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        let url = with_query("https://h/v2", [("from", "2024-01-01T00:00:00Z"), ("a b", "1&c=%+é")]);
        assert_eq!(url, "https://h/v2?from=2024-01-01T00:00:00Z&a%20b=1%26c%3D%25%2B%C3%A9");
    }

    #[test]
    fn servers_say_how_long_to_wait() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
