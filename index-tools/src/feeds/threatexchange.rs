//! Meta's ThreatExchange: JSON pages of the updates of a privacy group since a moment.
//!
//! ```text
//! {"data": [{"id": "90001", "indicator": "3761b6…", "type": "HASH_PDQ", "last_updated": 1700000001,
//!            "should_delete": false,
//!            "descriptors": {"data": [{"status": "MALICIOUS", "tags": {"data": [{"text": "…"}]}}]}}],
//!  "paging": {"cursors": {"after": "…"}, "next": "https://…"}}
//! ```
//!
//! An entry's key is `type:indicator`. It is gone when `should_delete` says so, and when no descriptor is left. Each
//! member of the group has a descriptor of its own, and they may disagree: the gravest status is the category, with
//! scheme `threatexchange`, and all of them are kept as an attribute.
//!
//! What is gone is told for 90 days. A feed that was last read before that has missed deletions, and is read again from
//! its beginning; what it does not name any more is then gone.

use std::collections::BTreeMap;

use hashward::feed::FeedConfig;
use hashward::fingerprint::Kind;
use hashward::list::{Attributes, Category, Entry};
use hashward::store::command::Deleted;

use super::error::SyncError;
use super::http::{below, with_query};
use super::page::{self, Page, State};
use super::service::{ChangeWindow, Service, added, seconds};
use crate::formats::json::{Cursor, Stop, elements, first_byte, members, pull_record, pull_small, skip_any};
use crate::formats::limits::MAX_VALUES;
use crate::formats::report::{Problem, excerpt};
use crate::formats::window::Window;
use crate::formats::{FormatError, Refusal, Refused, text};

/// The scheme of the statuses.
const SCHEME: &str = "threatexchange";

/// Statuses, the gravest first. One that is not here is graver than a word for harmless only.
const STATUSES: [&str; 3] = ["MALICIOUS", "SUSPICIOUS", "UNKNOWN"];

/// The one word for harmless.
const HARMLESS: &str = "NON_MALICIOUS";

/// Updates asked for at a time, if the config does not say.
const PAGE_SIZE: u32 = 500;

/// What is asked for of each update.
const FIELDS: &str = "id,indicator,type,last_updated,should_delete,descriptors{status,tags}";

/// For so long deletions are told; a day of 90 is left for clocks and long syncs.
const TOLD_S: i64 = 89 * 86_400;

/// What types of hashes begin with, and so the keys of entries.
const TYPE_PREFIX: &str = "HASH_";

/// The service.
pub(super) struct ThreatExchange {
    address: String,
    query: BTreeMap<String, String>,
    page_size: String,
    start_s: Option<i64>,
}

impl ThreatExchange {
    pub(super) fn new(feed: &FeedConfig, base: &str) -> ThreatExchange {
        ThreatExchange {
            address: format!("{}/threat_updates", base.trim_end_matches('/')),
            query: feed.query.clone(),
            page_size: feed.page_size.unwrap_or(PAGE_SIZE).to_string(),
            start_s: feed.start,
        }
    }
}

/// All updates since the checkpoint are one window; the latest of them is the next checkpoint.
impl Service for ThreatExchange {
    fn window(&self, checkpoint: Option<&str>, _: i64) -> Result<Option<ChangeWindow>, SyncError> {
        let begin = checkpoint.map(seconds).transpose()?.or(self.start_s);
        let since = begin.map(|begin| begin.to_string());
        let place = [("fields", FIELDS), ("limit", &self.page_size)].into_iter();
        let since = since.as_deref().map(|since| ("start_time", since));
        let first = with_query(&self.address, place.chain(since).chain(added(&self.query)));
        let name = begin.map_or("from the beginning".to_owned(), |begin| format!("from {begin}"));
        Ok(Some(ChangeWindow { name, first, begin: begin.unwrap_or(0), end: None, reached: None, is_last: true }))
    }

    fn address(&self, _: &ChangeWindow, link: &str) -> String {
        below(&self.address, link)
    }

    fn read_page(&self, bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
        read_page(bytes, page)
    }

    fn advance(&self, window: &mut ChangeWindow, page: &Page) {
        window.reached = window.reached.max(page.reached);
    }

    fn checkpoint(&self, window: &ChangeWindow) -> String {
        window.reached.unwrap_or(window.begin).max(window.begin).to_string()
    }

    fn forgets(&self) -> Option<(i64, &'static str)> {
        Some((TOLD_S, TYPE_PREFIX))
    }
}

/// Adds what the bytes of a page say to `page`.
///
/// # Errors
/// What cannot be read as such a page, or only up to some point; `page` has what came before.
pub fn read_page(mut bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
    let mut window = Window::new(&mut bytes);
    let mut has_data = false;
    if first_byte(&mut window)? != Some(b'{') {
        return Err(not_a_page(format!("`{}`", excerpt(window.bytes()))));
    }
    members(&mut window, |window, key| match (key, first_byte(window)?) {
        (b"data", Some(b'[')) => {
            has_data = true;
            elements(window, |window| read_record(window, page))
        }
        (b"paging", Some(b'{')) => members(window, |window, key| {
            if key != b"next" {
                return skip_any(window);
            }
            page.next = pull_small(window, |cursor| cursor.text_or_skip())?.filter(|link| !link.is_empty());
            Ok(())
        }),
        _ => skip_any(window),
    })?;
    if has_data { Ok(()) } else { Err(not_a_page("an object without it")) }
}

fn not_a_page(found: impl Into<String>) -> FormatError {
    let remedy = "check that the feed's url is that of a privacy group, without /threat_updates";
    Refused::new(Refusal::NotAList, "an object with an array `data`", found, remedy).into()
}

/// One element of `data`, as far as it is kept.
#[derive(Default)]
struct Record {
    is_object: bool,
    indicator: Option<String>,
    kind: Option<String>,
    updated_at_s: Option<i64>,
    should_delete: bool,
    id: Option<String>,
    statuses: Vec<String>,
    tags: Vec<String>,
    descriptors: usize,
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
                b"id" => self.id = cursor.text_or_skip()?,
                b"indicator" => self.indicator = cursor.text_or_skip()?,
                b"type" => self.kind = cursor.text_or_skip()?,
                b"last_updated" => self.updated_at_s = cursor.integer_or_skip()?,
                b"should_delete" => self.should_delete = cursor.is_yes()?,
                b"descriptors" => data(cursor, |cursor| self.descriptor(cursor))?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn descriptor(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.descriptors += 1;
        if cursor.peek()? != b'{' || self.descriptors > MAX_VALUES {
            return cursor.skip();
        }
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"status" => self.statuses.extend(cursor.text_or_skip()?),
                b"tags" => data(cursor, |cursor| self.tag(cursor))?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn tag(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' || self.tags.len() >= MAX_VALUES {
            return cursor.skip();
        }
        cursor.object(|cursor, key| {
            match key.read(&mut Vec::new())? {
                b"text" => self.tags.extend(cursor.text_or_skip()?),
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
        page.reached = page.reached.max(self.updated_at_s);
        let name = self.kind.take().unwrap_or_default();
        let name = page::key("a `type`", name.as_bytes())?;
        let Some(kind) = kind(name) else {
            page.count_unsupported(name.as_bytes());
            return Ok(None);
        };
        let indicator = self.indicator.take().unwrap_or_default();
        if indicator.trim().is_empty() {
            return Err(Problem::missing_hash("an `indicator`"));
        }
        let (source_id, fingerprints) = page::keyed(name, kind, &indicator)?;
        self.source_id = Some(source_id.clone());
        let changed_at = page::changed_at_ms("last_updated", self.updated_at_s)?;
        if self.should_delete || self.descriptors == 0 {
            return Ok(Some(State::Gone(Deleted { source_id, changed_at })));
        }
        let category = self.category()?;
        let attributes = self.attributes();
        Ok(Some(State::Says(Entry { source_id, fingerprints, category, changed_at, attributes, ..Entry::default() })))
    }

    /// The gravest status.
    fn category(&mut self) -> Result<Option<Category>, Problem> {
        self.statuses.sort_by_key(|status| (gravity(status), status.clone()));
        self.statuses.dedup();
        page::category(SCHEME, self.statuses.first().map_or(b"", |status| status.as_bytes()))
    }

    fn attributes(&mut self) -> Attributes {
        let mut attributes = Attributes::new();
        self.tags.sort();
        self.tags.dedup();
        page::note(&mut attributes, "id", self.id.take().unwrap_or_default().as_bytes());
        page::note(&mut attributes, "tags", self.tags.join(", ").as_bytes());
        if self.statuses.len() > 1 {
            page::note(&mut attributes, "statuses", self.statuses.join(", ").as_bytes());
        }
        attributes
    }
}

/// Walks over the array `data` of an object; any other value is passed over.
fn data(cursor: &mut Cursor<'_>, mut element: impl FnMut(&mut Cursor<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
    if cursor.peek()? != b'{' {
        return cursor.skip();
    }
    cursor.object(|cursor, key| {
        if key.read(&mut Vec::new())? == b"data" && cursor.peek()? == b'[' {
            cursor.array(&mut element)
        } else {
            cursor.skip()
        }
    })
}

/// The place of a status among all, the gravest first.
fn gravity(status: &str) -> usize {
    let known = STATUSES.iter().position(|known| *known == status);
    known.unwrap_or(STATUSES.len() + usize::from(status == HARMLESS))
}

/// The kind of a type: `HASH_PDQ`, or a digest of the file as `HASH_MD5` or `HASH_VIDEO_MD5`.
fn kind(name: &str) -> Option<Kind> {
    let digest = name.strip_prefix(TYPE_PREFIX)?;
    let digest = digest.strip_prefix("VIDEO_").filter(|digest| *digest != "PDQ").unwrap_or(digest);
    text::kind(digest.as_bytes())
}
