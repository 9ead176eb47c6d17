//! StopNCII's hashes: JSON pages of what has changed since a moment.
//!
//! ```text
//! {"count": 1, "nextPageToken": "…", "nextSetTimestamp": 1700003600, "hasMoreRecords": true,
//!  "hashRecords": [{"lastModtimestamp": 1700000100, "signalType": "ImagePDQ", "hashValue": "18671c…",
//!                   "hashStatus": "Active", "caseNumbers": {…}, "CSPFeedbacks": […]}]}
//! ```
//!
//! An entry's key is `signal type:value`, the value in lower case, since a record is withdrawn by naming its hash
//! again. `Active` records count; `Withdrawn` and `Deleted` ones are gone, and `Received` ones, which nobody has looked
//! at yet, say nothing: whatever is not active must not be matched. Any other status is a fault of the record.
//!
//! Case numbers and the platforms' feedback are about people and proceedings, and not kept.

use std::collections::BTreeMap;

use hashward::feed::FeedConfig;
use hashward::fingerprint::Kind;
use hashward::list::Entry;
use hashward::store::command::Deleted;

use super::error::SyncError;
use super::http::with_query;
use super::page::{self, Page, State};
use super::service::{ChangeWindow, Service, added, seconds};
use crate::formats::json::{Cursor, Stop, elements, first_byte, members, pull_record, pull_small, skip_any};
use crate::formats::report::{Problem, excerpt};
use crate::formats::window::Window;
use crate::formats::{FormatError, Refusal, Refused, text};

/// Kinds of which an `Image…` or `Video…` signal is a value of the whole file.
const FILE_KINDS: [Kind; 4] = [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512];

/// Records asked for at a time, if the config does not say.
const PAGE_SIZE: u32 = 1_000;

/// The service.
pub(super) struct StopNcii {
    address: String,
    query: BTreeMap<String, String>,
    page_size: String,
    start_s: i64,
}

impl StopNcii {
    pub(super) fn new(feed: &FeedConfig, base: &str) -> StopNcii {
        StopNcii {
            address: format!("{}/v1/FetchHashes", base.trim_end_matches('/')),
            query: feed.query.clone(),
            page_size: feed.page_size.unwrap_or(PAGE_SIZE).to_string(),
            start_s: feed.start.unwrap_or(0),
        }
    }

    fn page(&self, begin: i64, token: Option<&str>) -> String {
        let begin = begin.to_string();
        let place = [("startTimestamp", begin.as_str()), ("pageSize", &self.page_size)].into_iter();
        with_query(&self.address, place.chain(token.map(|token| ("nextPageToken", token))).chain(added(&self.query)))
    }
}

/// All changes since the checkpoint are one window. The service says where the next one begins, on each page anew, and
/// that may go back from page to page: the last page counts. A checkpoint never goes back: what was read before is not
/// asked for again and again.
impl Service for StopNcii {
    fn window(&self, checkpoint: Option<&str>, _: i64) -> Result<Option<ChangeWindow>, SyncError> {
        let begin = checkpoint.map_or(Ok(self.start_s), seconds)?;
        let first = self.page(begin, None);
        Ok(Some(ChangeWindow { name: format!("from {begin}"), first, begin, end: None, reached: None, is_last: true }))
    }

    fn address(&self, window: &ChangeWindow, link: &str) -> String {
        self.page(window.begin, Some(link))
    }

    fn read_page(&self, bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
        read_page(bytes, page)
    }

    fn advance(&self, window: &mut ChangeWindow, page: &Page) {
        window.reached = page.reached;
    }

    fn checkpoint(&self, window: &ChangeWindow) -> String {
        window.reached.unwrap_or(window.begin).max(window.begin).to_string()
    }
}

/// Adds what the bytes of a page say to `page`.
///
/// # Errors
/// What cannot be read as such a page, or only up to some point; `page` has what came before.
pub fn read_page(mut bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
    let mut window = Window::new(&mut bytes);
    let mut has_records = false;
    let mut has_more = None;
    if first_byte(&mut window)? != Some(b'{') {
        return Err(not_a_page(format!("`{}`", excerpt(window.bytes()))));
    }
    members(&mut window, |window, key| match (key, first_byte(window)?) {
        (b"hashRecords", Some(b'[')) => {
            has_records = true;
            elements(window, |window| read_record(window, page))
        }
        (b"nextPageToken", _) => {
            page.next = pull_small(window, |cursor| cursor.text_or_skip())?.filter(|token| !token.is_empty());
            Ok(())
        }
        (b"nextSetTimestamp", _) => {
            page.reached = pull_small(window, |cursor| cursor.integer_or_skip())?;
            Ok(())
        }
        (b"hasMoreRecords", _) => {
            has_more = Some(pull_small(window, |cursor| cursor.is_yes())?);
            Ok(())
        }
        _ => skip_any(window),
    })?;
    if !has_records {
        return Err(not_a_page("an object without it"));
    }
    if has_more == Some(true) && page.next.is_none() {
        return Err(not_a_page("no `nextPageToken`, though there are more records"));
    }
    if has_more == Some(false) {
        page.next = None;
    }
    Ok(())
}

fn not_a_page(found: impl Into<String>) -> FormatError {
    let remedy = "check that the feed's url is that of the service, without /v1";
    Refused::new(Refusal::NotAList, "an object with an array `hashRecords`", found, remedy).into()
}

/// One element of `hashRecords`, as far as it is kept.
#[derive(Default)]
struct Record {
    is_object: bool,
    changed_at_s: Option<i64>,
    signal: Option<String>,
    value: Option<String>,
    status: Option<String>,
    /// The entry's key, once it is known.
    source_id: Option<String>,
}

fn read_record(window: &mut Window<'_>, page: &mut Page) -> Result<(), FormatError> {
    let number = page.begin_record()?;
    let mut record = Record::default();
    match pull_record(window, |cursor| record.read(cursor))?.and_then(|()| record.state(page)) {
        Ok(Some(state)) => page.states.push(state),
        Ok(None) => {}
        Err(problem) => page.reject(number, record.source_id.take(), problem),
    }
    Ok(())
}

impl Record {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        *self = Record::default();
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        self.is_object = true;
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"lastModtimestamp" => self.changed_at_s = cursor.integer_or_skip()?,
                b"signalType" => self.signal = cursor.text_or_skip()?,
                b"hashValue" => self.value = cursor.text_or_skip()?,
                b"hashStatus" => self.status = cursor.text_or_skip()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    /// The state of the entry that the record is about; none if it is of a kind that hashward lacks.
    fn state(&mut self, page: &mut Page) -> Result<Option<State>, Problem> {
        if !self.is_object {
            return Err(Problem::new("wrong-type", "expected an object, found another value"));
        }
        let signal = self.signal.take().unwrap_or_default();
        let signal = page::key("a `signalType`", signal.as_bytes())?;
        let value = self.value.take().unwrap_or_default();
        if value.trim().is_empty() {
            return Err(Problem::missing_hash("a `hashValue`"));
        }
        let Some(kind) = kind(signal) else {
            page.count_unsupported(signal.as_bytes());
            return Ok(None);
        };
        let (source_id, fingerprints) = page::keyed(signal, kind, &value)?;
        self.source_id = Some(source_id.clone());
        let changed_at = page::changed_at_ms("lastModtimestamp", self.changed_at_s)?;
        match self.status.as_deref() {
            Some("Active") => Ok(Some(State::Says(Entry { source_id, fingerprints, changed_at, ..Entry::default() }))),
            Some("Withdrawn" | "Deleted" | "Received") => Ok(Some(State::Gone(Deleted { source_id, changed_at }))),
            status => {
                let found =
                    status.map_or_else(|| "none".to_owned(), |status| format!("`{}`", excerpt(status.as_bytes())));
                let expected = "a `hashStatus` of Active, Received, Withdrawn or Deleted";
                Err(Problem::new("bad-status", format!("expected {expected}, found {found}")))
            }
        }
    }
}

/// The kind of a signal: `ImagePDQ`, or a digest of the file as `VideoMD5`.
fn kind(signal: &str) -> Option<Kind> {
    let (media, name) = signal.split_at_checked(5)?;
    let kind = text::kind(name.as_bytes())?;
    match media {
        "Image" if kind == Kind::Pdq => Some(kind),
        "Image" | "Video" if FILE_KINDS.contains(&kind) => Some(kind),
        _ => None,
    }
}
