//! NCMEC's hash sharing, version 2: XML pages of the changes within a window of time.
//!
//! ```text
//! <queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">
//!   <images>
//!     <image>
//!       <member id="42">Example Lab</member>
//!       <timestamp>2024-01-01T11:33:00Z</timestamp>
//!       <id>img001</id>
//!       <classification>A1</classification>
//!       <fingerprints><md5>…</md5><pdq rel="self" href="/v2/entries/42/img001/fingerprints/PDQ"/></fingerprints>
//!     </image>
//!     <deletedImage>…the same without classification and fingerprints…</deletedImage>
//!   </images>
//!   <videos>…</videos>
//!   <paging><next>/v2/entries?from=…&amp;to=…&amp;start=1001</next></paging>
//! </queryResult>
//! ```
//!
//! An entry's key is `member id/entry id`. Pages are not ordered by time: of an entry's states the newest counts, and
//! only after the last page may the window's end become the checkpoint. A `next` link is good with its own window only,
//! so an interrupted window is read from its start. A classification is any text; it is kept with scheme `ncmec`.
//! Fingerprints that are too large for the page stand at a link; those of kinds that hashward knows are fetched.

use std::collections::BTreeMap;

use hashward::feed::FeedConfig;
use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::{Attributes, Entry};
use hashward::moment;
use hashward::store::command::Deleted;
use quick_xml::events::BytesStart;

use super::error::SyncError;
use super::http::{below, with_query};
use super::page::{self, Link, Page, State};
use super::service::{ChangeWindow, Service, added};
use crate::formats::limits::{MAX_RECORD_BYTES, MAX_VALUES};
use crate::formats::report::{Problem, excerpt};
use crate::formats::values::Values;
use crate::formats::xml::{Piece, Pieces};
use crate::formats::{FormatError, Refusal, Refused, text};

/// The scheme of the classifications.
const SCHEME: &str = "ncmec";

/// Seconds that one window covers, if the config does not say.
const WINDOW_S: i64 = 30 * 86_400;

/// 2010-01-01: what is older than the service, if anything, is in one window.
const EARLIEST_S: i64 = 1_262_304_000;

/// The service.
pub(super) struct Ncmec {
    base: String,
    query: BTreeMap<String, String>,
    page_size: Option<String>,
    start_s: i64,
    window_s: i64,
}

impl Ncmec {
    pub(super) fn new(feed: &FeedConfig, base: &str) -> Ncmec {
        Ncmec {
            base: base.trim_end_matches('/').to_owned(),
            query: feed.query.clone(),
            page_size: feed.page_size.map(|size| size.to_string()),
            start_s: feed.start.unwrap_or(0),
            window_s: feed.window_s.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(WINDOW_S),
        }
    }
}

impl Service for Ncmec {
    fn window(&self, checkpoint: Option<&str>, until_s: i64) -> Result<Option<ChangeWindow>, SyncError> {
        let begin = match checkpoint {
            None => self.start_s,
            Some(checkpoint) => moment::parse_iso_ms(checkpoint)
                .ok_or_else(|| SyncError::Checkpoint { checkpoint: checkpoint.to_owned() })?
                .div_euclid(1_000),
        };
        let end = begin.saturating_add(self.window_s).max(EARLIEST_S).min(until_s);
        if begin >= end {
            return Ok(None);
        }
        let (from, to) = (moment::iso(begin), moment::iso(end));
        let times = [("from", from.as_str()), ("to", to.as_str())].into_iter();
        let size = self.page_size.as_deref().map(|size| ("size", size));
        Ok(Some(ChangeWindow {
            name: format!("{from} to {to}"),
            first: with_query(&format!("{}/v2/entries", self.base), times.chain(size).chain(added(&self.query))),
            begin,
            end: Some(end),
            reached: None,
            is_last: end == until_s,
        }))
    }

    fn address(&self, _: &ChangeWindow, link: &str) -> String {
        below(&self.base, link)
    }

    fn read_page(&self, bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
        read_page(bytes, page)
    }

    fn advance(&self, _: &mut ChangeWindow, _: &Page) {}

    fn checkpoint(&self, window: &ChangeWindow) -> String {
        moment::iso(window.end.unwrap_or(window.begin))
    }
}

/// Adds what the bytes of a page say to `page`.
///
/// # Errors
/// What cannot be read as such a page, or only up to some point; `page` has what came before.
pub fn read_page(mut bytes: &[u8], page: &mut Page) -> Result<(), FormatError> {
    let mut pieces = Pieces::new(&mut bytes);
    // The open record, and how deep it stands.
    let mut record: Option<(u32, Record)> = None;
    let mut paging_depth = None;
    let mut next: Option<Vec<u8>> = None;
    loop {
        let (depth, has_root) = (pieces.depth(), pieces.has_root());
        match (pieces.next()?, &mut record) {
            (Piece::Open(root), _) if depth == 0 => {
                let name = root.local_name();
                if name.as_ref() != b"queryResult" {
                    return Err(not_a_page(format!("a root element `{}`", excerpt(name.as_ref()))));
                }
            }
            (Piece::Open(element), Some((record_depth, record))) => record.open(&element, depth - *record_depth),
            (Piece::Open(element), None) => match element.local_name().as_ref() {
                b"paging" => paging_depth = Some(depth + 1),
                b"next" if paging_depth == Some(depth) => next = Some(Vec::new()),
                name => {
                    if let Some((media, is_deletion)) = record_named(name) {
                        let number = page.begin_record()?;
                        record = Some((depth + 1, Record { number, media, is_deletion, ..Record::default() }));
                    }
                }
            },
            (Piece::Text(text), Some((_, record))) => record.text(&text),
            (Piece::Text(text), None) => {
                if let Some(next) = &mut next {
                    if next.len() + text.len() > MAX_RECORD_BYTES {
                        return Err(not_a_page("a link to the next page that is longer than any address"));
                    }
                    next.extend_from_slice(&text);
                }
            }
            (Piece::Close, Some((record_depth, ended))) if *record_depth == depth => {
                ended.pass_on(page);
                record = None;
            }
            (Piece::Close, Some((_, record))) => record.close(),
            (Piece::Close, None) => {
                if let Some(next) = next.take() {
                    let next = String::from_utf8_lossy(next.trim_ascii()).into_owned();
                    page.next = (!next.is_empty()).then_some(next);
                }
                paging_depth = paging_depth.filter(|paging| *paging != depth);
            }
            (Piece::End, _) if !has_root => return Err(not_a_page("nothing")),
            (Piece::End, _) => return Ok(()),
            (Piece::Other, _) => {}
        }
    }
}

/// The medium of a record's element, and whether it is a deletion.
fn record_named(name: &[u8]) -> Option<(&'static str, bool)> {
    Some(match name {
        b"image" => ("image", false),
        b"video" => ("video", false),
        b"deletedImage" => ("image", true),
        b"deletedVideo" => ("video", true),
        _ => return None,
    })
}

fn not_a_page(found: impl Into<String>) -> FormatError {
    let remedy = "check that the feed's url is that of the hash sharing service, without /v2";
    Refused::new(Refusal::NotAList, "a `queryResult` with entries", found, remedy).into()
}

/// Reads the answer to a link: the fingerprint alone, or in some element.
///
/// # Errors
/// Neither, or no value of `kind`.
pub fn read_linked(kind: Kind, mut bytes: &[u8]) -> Result<Fingerprint, String> {
    let mut value = bytes.trim_ascii().to_vec();
    if value.starts_with(b"<") {
        value.clear();
        let mut pieces = Pieces::new(&mut bytes);
        loop {
            match pieces.next().map_err(|error| error.to_string())? {
                Piece::Text(text) => value.extend_from_slice(&text),
                Piece::Close if !value.trim_ascii().is_empty() => break,
                Piece::End => break,
                _ => {}
            }
        }
    }
    let mut values = Values::default();
    values.push_text(kind, value.trim_ascii()).map_err(|problem| problem.detail)?;
    page::fingerprints(&values).pop().ok_or_else(|| "expected a fingerprint, found none".to_owned())
}

/// An element whose text is read.
#[derive(Clone, Copy)]
enum Field {
    Member,
    Timestamp,
    Id,
    Classification,
    Fingerprint(Kind),
}

/// What is kept of one record.
#[derive(Default)]
struct Record {
    number: u64,
    is_deletion: bool,
    media: &'static str,
    member_id: Vec<u8>,
    member: Vec<u8>,
    timestamp: Vec<u8>,
    id: Vec<u8>,
    classification: Vec<u8>,
    values: Values,
    links: Vec<(Kind, String)>,
    foreign: Vec<Vec<u8>>,
    /// The first thing that is wrong with it.
    problem: Option<Problem>,
    in_fingerprints: bool,
    field: Option<Field>,
    text: Vec<u8>,
}

impl Record {
    /// Takes an element that stands `below` elements deep in the record.
    fn open(&mut self, element: &BytesStart<'_>, below: u32) {
        if self.field.is_some() {
            self.spoil(Problem::new("nested", "expected text in a member of the record, found an element"));
        }
        self.text.clear();
        self.field = None;
        let name = element.local_name();
        match (below, name.as_ref()) {
            (0, b"member") => {
                match attribute(element, b"id") {
                    Ok(id) => self.member_id = id.unwrap_or_default(),
                    Err(problem) => self.spoil(problem),
                }
                self.field = Some(Field::Member);
            }
            (0, b"timestamp") => self.field = Some(Field::Timestamp),
            (0, b"id") => self.field = Some(Field::Id),
            (0, b"classification") => self.field = Some(Field::Classification),
            (0, name) => self.in_fingerprints = name == b"fingerprints",
            (1, name) if self.in_fingerprints => self.open_fingerprint(element, name),
            _ => {}
        }
    }

    fn open_fingerprint(&mut self, element: &BytesStart<'_>, name: &[u8]) {
        let kind = if name == b"pdna" { Some(Kind::PhotoDna) } else { text::kind(name) };
        let Some(kind) = kind else {
            if self.foreign.len() < MAX_VALUES {
                self.foreign.push(name.to_vec());
            }
            return;
        };
        match attribute(element, b"href") {
            Ok(Some(href)) if self.links.len() < MAX_VALUES => {
                self.links.push((kind, String::from_utf8_lossy(&href).into_owned()));
            }
            Ok(Some(_)) => self.spoil(Problem::new("too-many-values", format!("expected at most {MAX_VALUES} links"))),
            Ok(None) => self.field = Some(Field::Fingerprint(kind)),
            Err(problem) => self.spoil(problem),
        }
    }

    fn spoil(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    fn text(&mut self, text: &[u8]) {
        if self.field.is_none() {
            return;
        }
        if self.text.len() + text.len() > MAX_RECORD_BYTES {
            self.spoil(Problem::too_long());
            self.field = None;
        } else {
            self.text.extend_from_slice(text);
        }
    }

    fn close(&mut self) {
        let text = self.text.trim_ascii();
        match self.field.take() {
            Some(Field::Member) => self.member = text.to_vec(),
            Some(Field::Timestamp) => self.timestamp = text.to_vec(),
            Some(Field::Id) => self.id = text.to_vec(),
            Some(Field::Classification) => self.classification = text.to_vec(),
            Some(Field::Fingerprint(kind)) if !text.is_empty() => {
                if let Err(problem) = self.values.push_text(kind, text) {
                    self.spoil(problem);
                }
            }
            Some(Field::Fingerprint(_)) | None => {}
        }
    }

    /// The record ends: it becomes a state of its entry, or is rejected.
    fn pass_on(&mut self, page: &mut Page) {
        let source_id = self.source_id();
        let known_id = source_id.as_ref().ok().cloned();
        match source_id.and_then(|source_id| self.state(source_id)) {
            Ok(state) => {
                let links = self.links.drain(..);
                page.links.extend(links.map(|(kind, address)| Link {
                    state: page.states.len(),
                    record: self.number,
                    kind,
                    address,
                }));
                page.states.push(state);
                self.foreign.iter().for_each(|name| page.count_unsupported(name));
            }
            Err(problem) => page.reject(self.number, known_id, problem),
        }
    }

    fn source_id(&self) -> Result<String, Problem> {
        Ok(format!("{}/{}", page::key("a member's id", &self.member_id)?, page::key("an id", &self.id)?))
    }

    fn state(&mut self, source_id: String) -> Result<State, Problem> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let timestamp = String::from_utf8_lossy(&self.timestamp);
        let Some(changed_at) = moment::parse_iso_ms(&timestamp) else {
            let found = excerpt(&self.timestamp);
            let detail = format!("expected a timestamp as 2024-01-31T12:00:00Z, found `{found}`");
            return Err(Problem::new("bad-timestamp", detail));
        };
        if self.is_deletion {
            return Ok(State::Gone(Deleted { source_id, changed_at: Some(changed_at) }));
        }
        if self.values.is_empty() && self.links.is_empty() && self.foreign.is_empty() {
            return Err(Problem::missing_hash("at least one fingerprint"));
        }
        let mut attributes = Attributes::new();
        page::note(&mut attributes, "media", self.media.as_bytes());
        page::note(&mut attributes, "member", &self.member);
        Ok(State::Says(Entry {
            source_id,
            fingerprints: page::fingerprints(&self.values),
            category: page::category(SCHEME, &self.classification)?,
            changed_at: Some(changed_at),
            attributes,
            ..Entry::default()
        }))
    }
}

/// The value of an attribute; the first of repeated ones counts. One that cannot be read is not an absent one.
fn attribute(element: &BytesStart<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    let bad = |error: String| {
        let found = excerpt(error.as_bytes());
        Problem::new("bad-attribute", format!("expected attributes that can be read, found {found}"))
    };
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| bad(error.to_string()))?;
        if attribute.key.as_ref() == name {
            let value = attribute.unescape_value().map_err(|error| bad(error.to_string()))?;
            return Ok(Some(value.trim().as_bytes().to_vec()));
        }
    }
    Ok(None)
}
