//! What a sync did: one object for programs, a summary to file for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hashward::list::{ListName, Role, Roles};
use hashward::store::command::FeedApplied;
use serde::Serialize;

use super::page::{Page, Rejected, State};

/// Rejected records that are told one by one.
const REJECTED_TOLD_MAX: usize = 100;
/// Categories that are told apart.
const CATEGORIES_MAX: usize = 1_000;
/// What stands for "no category".
pub const UNCATEGORISED: &str = "";
/// What stands for those beyond [`CATEGORIES_MAX`].
const OTHERS: &str = "(others)";

/// The report. It counts what this sync read, so an entry that has two states in it counts twice.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The feed.
    pub feed: ListName,
    /// The list that it fills.
    pub list: ListName,
    /// Who serves it.
    pub source: &'static str,
    /// Whether it was read to its end.
    pub complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Where the next sync begins.
    pub checkpoint: Option<String>,
    /// Whether it was read again from its beginning, since deletions may have been missed.
    pub started_again: bool,
    /// Windows that were read to their end.
    pub windows: u64,
    /// Pages that were read, to their end or not.
    pub pages: u64,
    /// Requests to the service.
    pub requests: u64,
    /// Requests that were second and further tries.
    pub retries: u64,
    /// Records in the pages, rejected ones included.
    pub records: u64,
    /// What they did.
    #[serde(flatten)]
    pub applied: Applied,
    /// Entries that were read of each category, and the role of its labels; `""` stands for none.
    pub categories: BTreeMap<String, CategoryReport>,
    /// Well-formed fingerprints of kinds that hashward lacks, by the source's name for the kind.
    pub unsupported: BTreeMap<String, u64>,
    /// The first rejected records.
    pub rejected: Vec<RejectedReport>,
    /// All rejected records.
    pub rejected_total: u64,
    /// Where the bytes of a page are that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_page: Option<PathBuf>,
    /// How long it took.
    pub seconds: f64,
}

/// What changes did to the list.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Applied {
    /// Entries with a new key.
    pub added: u64,
    /// Entries that replaced one of the same key.
    pub replaced: u64,
    /// Entries that are gone.
    pub deleted: u64,
    /// Changes that were not taken, since a later state is held.
    pub older: u64,
    /// Changes that change nothing.
    pub unchanged: u64,
    /// Fingerprints of content that identifies nothing.
    pub dropped: u64,
}

/// One category.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CategoryReport {
    /// Entries.
    pub count: u64,
    /// The role of its labels.
    pub role: Role,
}

/// One rejected record.
#[derive(Clone, Debug, Serialize)]
pub struct RejectedReport {
    /// Its window.
    pub window: String,
    /// Its page in the window, from 1.
    pub page: u64,
    /// Its number in the page, from 1.
    pub record: u64,
    /// Its entry, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// A code.
    pub reason: &'static str,
    /// What was expected and what was found.
    pub detail: String,
}

impl Report {
    /// Nothing was read yet.
    pub fn start(feed: ListName, list: ListName, source: &'static str) -> Report {
        Report {
            feed,
            list,
            source,
            complete: false,
            fault: None,
            checkpoint: None,
            started_again: false,
            windows: 0,
            pages: 0,
            requests: 0,
            retries: 0,
            records: 0,
            applied: Applied::default(),
            categories: BTreeMap::new(),
            unsupported: BTreeMap::new(),
            rejected: Vec::new(),
            rejected_total: 0,
            kept_page: None,
            seconds: 0.0,
        }
    }

    /// What a page held; `number` is its place in `window`.
    pub(super) fn note_page(&mut self, window: &str, number: u64, page: &Page, roles: &Roles) {
        self.pages += 1;
        self.records += page.records;
        for (name, count) in &page.unsupported {
            let is_known = self.unsupported.contains_key(name) || self.unsupported.len() < CATEGORIES_MAX;
            *self.unsupported.entry(if is_known { name } else { OTHERS }.to_owned()).or_default() += count;
        }
        for state in &page.states {
            if let State::Says(entry) = state {
                let role = roles.of(entry.category.as_ref());
                let name = entry.category.as_ref().map_or_else(|| UNCATEGORISED.to_owned(), ToString::to_string);
                let is_known = self.categories.contains_key(&name) || self.categories.len() < CATEGORIES_MAX;
                let name = if is_known { name } else { OTHERS.to_owned() };
                self.categories.entry(name).or_insert(CategoryReport { count: 0, role }).count += 1;
            }
        }
        self.rejected_total += page.rejected.len() as u64;
        let room = REJECTED_TOLD_MAX.saturating_sub(self.rejected.len());
        for Rejected { record, source_id, reason, detail } in page.rejected.iter().take(room).cloned() {
            let window = window.to_owned();
            self.rejected.push(RejectedReport { window, page: number, record, source_id, reason, detail });
        }
    }

    /// What the store did with changes.
    pub(super) fn note_applied(&mut self, applied: &FeedApplied) {
        self.applied.added += applied.added;
        self.applied.replaced += applied.replaced;
        self.applied.deleted += applied.deleted;
        self.applied.older += applied.older;
        self.applied.unchanged += applied.unchanged;
        self.applied.dropped += applied.degenerate;
    }
}
