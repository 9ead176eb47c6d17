//! What one page of a feed says: states of entries, and records that cannot be read.

use std::collections::{BTreeMap, HashMap};

use hashward::fingerprint::{Encoding, Fingerprint, Kind};
use hashward::list::{Attributes, Category, Entry};
use hashward::store::command::Deleted;

use crate::formats::limits::{MAX_CATEGORY_BYTES, MAX_FOREIGN_KINDS};
use crate::formats::report::{Problem, excerpt};
use crate::formats::values::Values;
use crate::formats::{FormatError, Refusal, Refused};

/// Bytes of what a source says of an entry that are kept under one name.
const ATTRIBUTE_BYTES_MAX: usize = 1 << 10;

/// Bytes of a source's own key.
const SOURCE_ID_BYTES_MAX: usize = 512;

/// Records of a page: ten times what any service is asked for.
const RECORDS_MAX: u64 = 100_000;

/// Fingerprints that stand elsewhere: each costs a request.
const LINKS_MAX: usize = 10_000;

/// What a page says, as far as it could be read.
#[derive(Debug, Default)]
pub struct Page {
    /// Records, rejected ones included.
    pub records: u64,
    /// States in the page's order, several of one entry among them.
    pub states: Vec<State>,
    /// Records that cannot be read.
    pub rejected: Vec<Rejected>,
    /// Fingerprints of kinds that hashward lacks, by the source's name for the kind.
    pub unsupported: BTreeMap<String, u64>,
    /// Fingerprints that stand elsewhere.
    pub links: Vec<Link>,
    /// Where the next page is, as the source writes it: a link or a token.
    pub next: Option<String>,
    /// Where the source says that the next window begins, or the latest change in the page; in the source's unit.
    pub reached: Option<i64>,
}

/// What an entry is from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It says this; without fingerprints, nothing that hashward could look for.
    Says(Entry),
    /// It is gone.
    Gone(Deleted),
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its number in the page, from 1.
    pub record: u64,
    /// Its key, where that can be read.
    pub source_id: Option<String>,
    /// A code, as of list formats.
    pub reason: &'static str,
    /// What was expected and what was found, of bounded length.
    pub detail: String,
}

/// A fingerprint of the page's `state`th state that must be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which of [`Page::states`].
    pub state: usize,
    /// The record's number in the page.
    pub record: u64,
    /// Its kind.
    pub kind: Kind,
    /// Where it is, as the source writes it.
    pub address: String,
}

impl State {
    /// The entry's key.
    pub fn source_id(&self) -> &str {
        match self {
            State::Says(entry) => &entry.source_id,
            State::Gone(deleted) => &deleted.source_id,
        }
    }

    /// Since when.
    pub fn changed_at(&self) -> Option<i64> {
        match self {
            State::Says(entry) => entry.changed_at,
            State::Gone(deleted) => deleted.changed_at,
        }
    }
}

impl Page {
    /// Counts the next record, and gives its number.
    ///
    /// # Errors
    /// A page beyond the limits.
    pub(super) fn begin_record(&mut self) -> Result<u64, FormatError> {
        let remedy = "ask the service for smaller pages (page_size)";
        if self.records == RECORDS_MAX {
            return Err(Refused::new(Refusal::Limit, format!("at most {RECORDS_MAX} records"), "more", remedy).into());
        }
        if self.links.len() > LINKS_MAX {
            return Err(Refused::new(Refusal::Limit, format!("at most {LINKS_MAX} links"), "more", remedy).into());
        }
        self.records += 1;
        Ok(self.records)
    }

    /// Skips a record.
    pub(super) fn reject(&mut self, record: u64, source_id: Option<String>, problem: Problem) {
        let Problem { reason, detail } = problem;
        self.rejected.push(Rejected { record, source_id, reason, detail });
    }

    /// Counts a fingerprint of a kind that hashward lacks. Beyond a limit all others are called `other`.
    pub(super) fn count_unsupported(&mut self, name: &[u8]) {
        let name = excerpt(name);
        let is_known = self.unsupported.contains_key(&name) || self.unsupported.len() < MAX_FOREIGN_KINDS;
        *self.unsupported.entry(if is_known { name } else { "other".to_owned() }).or_default() += 1;
    }

    /// The states, of each entry the newest only, and of those of the same time the last.
    pub(super) fn take_newest(&mut self) -> Vec<State> {
        let states = std::mem::take(&mut self.states);
        let mut newest: HashMap<String, usize> = HashMap::with_capacity(states.len());
        for (at, state) in states.iter().enumerate() {
            let held = newest.entry(state.source_id().to_owned()).or_insert(at);
            if state.changed_at() >= states[*held].changed_at() {
                *held = at;
            }
        }
        let mut kept: Vec<usize> = newest.into_values().collect();
        kept.sort_unstable();
        let mut states: Vec<Option<State>> = states.into_iter().map(Some).collect();
        kept.into_iter().filter_map(|at| states[at].take()).collect()
    }
}

/// The fingerprints in `values`.
pub(super) fn fingerprints(values: &Values) -> Vec<Fingerprint> {
    values.with(|values| values.iter().filter_map(|(kind, value)| Fingerprint::new(*kind, value).ok()).collect())
}

/// The one fingerprint of a record, and the key of the entry that it names: `name:hex`.
pub(super) fn keyed(name: &str, kind: Kind, text: &str) -> Result<(String, Vec<Fingerprint>), Problem> {
    let mut values = Values::default();
    values.push_text(kind, text.trim().as_bytes())?;
    let fingerprints = fingerprints(&values);
    let digits: String = fingerprints.iter().map(|value| Encoding::Hex.encode(value.value())).collect();
    Ok((format!("{name}:{digits}"), fingerprints))
}

/// Seconds in milliseconds. Without a time, states could not be told apart.
pub(super) fn changed_at_ms(member: &str, seconds: Option<i64>) -> Result<Option<i64>, Problem> {
    seconds.and_then(|seconds| seconds.checked_mul(1_000)).map(Some).ok_or_else(|| {
        Problem::new("bad-timestamp", format!("expected a `{member}` in seconds since 1970, found none"))
    })
}

/// A category of `scheme`; none if nothing is said.
pub(super) fn category(scheme: &str, code: &[u8]) -> Result<Option<Category>, Problem> {
    if code.len() > MAX_CATEGORY_BYTES {
        let detail = format!("expected a category of at most {MAX_CATEGORY_BYTES} bytes, found {}", code.len());
        return Err(Problem::new("too-long", detail));
    }
    Ok((!code.is_empty()).then(|| Category::new(Some(scheme), &String::from_utf8_lossy(code))))
}

/// A part of a source's own key.
pub(super) fn key<'a>(what: &str, text: &'a [u8]) -> Result<&'a str, Problem> {
    let expected = format!("expected {what} of 1 to {SOURCE_ID_BYTES_MAX} bytes of UTF-8");
    match std::str::from_utf8(text) {
        Ok("") => Err(Problem::new("missing-id", format!("{expected}, found none"))),
        Ok(text) if text.len() <= SOURCE_ID_BYTES_MAX => Ok(text),
        _ => Err(Problem::new("bad-id", format!("{expected}, found `{}`", excerpt(text)))),
    }
}

/// Keeps what a source says under `name`, if anything.
pub(super) fn note(attributes: &mut Attributes, name: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    if !text.is_empty() {
        let end = (0..=ATTRIBUTE_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        attributes.insert(name.to_owned(), text[..end.unwrap_or(0)].to_owned());
    }
}
