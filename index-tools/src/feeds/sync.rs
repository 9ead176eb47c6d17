//! Reads a service's changes, window by window, and has each page applied as it is read.
//!
//! The checkpoint goes with the last changes of a window, in one step with them. So a sync may end anywhere, and the
//! next one reads the window again: what was applied already changes nothing, for the newest state of an entry counts.

use std::collections::HashSet;

use hashward::feed::FeedConfig;
use hashward::list::Roles;
use hashward::store::command::{Continues, Deleted, FeedApplied, FeedChanges, FeedFault, FeedState, SOURCE_IDS_MAX};
use hashward::store::{Command, Outcome};

use super::error::SyncError;
use super::folder::Folder;
use super::http::{Client, Validators};
use super::ncmec;
use super::page::{Page, Rejected, State};
use super::report::Report;
use super::secrets::Secrets;
use super::service::{ChangeWindow, Service};
use crate::keeper::Keeper;

/// Bytes of a page, decompressed. Pages of a thousand entries have one or two million.
const PAGE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a fingerprint that stands at a link.
const LINKED_BYTES_MAX: u64 = 1 << 20;
/// Pages of a window.
const PAGES_MAX: u64 = 100_000;
/// States that are sent in one command, so that it stays far below what a frame may hold.
const STATES_A_COMMAND: usize = 2_000;
/// About as many bytes of them.
const BYTES_A_COMMAND: usize = 1 << 20;
/// Faults that are noted with a list: all of them are told in one answer.
const FAULTS_MAX: usize = 10_000;

/// What reads one feed.
pub(super) struct Reader<'a> {
    pub(super) feed: &'a FeedConfig,
    pub(super) keeper: &'a Keeper,
    pub(super) client: &'a Client,
    pub(super) secrets: &'a Secrets,
    pub(super) folder: &'a Folder,
    pub(super) roles: Roles,
    pub(super) report: &'a mut Report,
    /// Is told of the report after each page.
    pub(super) watch: &'a dyn Fn(&Report),
    /// Items of earlier faults.
    pub(super) faulty: HashSet<String>,
    /// The list's checkpoint as we left it.
    pub(super) stands: Option<String>,
}

impl Reader<'_> {
    /// Reads all windows up to `until_s`; `now_s` decides whether the feed starts again.
    ///
    /// # Errors
    /// [`SyncError`]; what was applied until then stays.
    pub(super) fn read(
        &mut self,
        service: &dyn Service,
        state: &FeedState,
        until_s: i64,
        now_s: i64,
    ) -> Result<(), SyncError> {
        let mut checkpoint = state.checkpoint.clone();
        let told = service.forgets().filter(|(told_s, _)| checkpoint.is_some() && !was_read(state, now_s - told_s));
        let mut named = told.map(|(_, prefix)| Named { prefix, seen: HashSet::new(), has_unnamed: false });
        if named.is_some() {
            checkpoint = None;
            self.report.started_again = true;
        }
        while let Some(window) = service.window(checkpoint.as_deref(), until_s)? {
            let is_last = window.is_last;
            let reached = self.read_window(service, window, named.as_mut())?;
            self.report.windows += 1;
            self.report.checkpoint = Some(reached.clone());
            checkpoint = Some(reached);
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Reads one window; gives the checkpoint behind it.
    fn read_window(
        &mut self,
        service: &dyn Service,
        mut window: ChangeWindow,
        mut named: Option<&mut Named>,
    ) -> Result<String, SyncError> {
        let mut url = window.first.clone();
        let mut seen = HashSet::new();
        let mut faults_met = HashSet::new();
        for number in 1..=PAGES_MAX {
            if !seen.insert(short(&url)) {
                return Err(endless(&window, number - 1, "a page that was read already"));
            }
            let (mut page, unreadable) = self.fetch_page(service, &url, &window, number)?;
            service.advance(&mut window, &page);
            if let Some(named) = &mut named {
                named.note(&page);
            }
            let next = page.next.take();
            let changes = self.changes(service, &window, number, &mut page, &mut faults_met)?;
            if let Some(error) = unreadable {
                self.apply(changes)?;
                return Err(error);
            }
            let Some(next) = next else {
                return self.close(service, &window, named, &faults_met, changes);
            };
            self.apply(changes)?;
            (self.watch)(self.report);
            url = service.address(&window, &next);
        }
        Err(endless(&window, PAGES_MAX, "one more, and no window has so many"))
    }

    /// Has the changes of a window's last page applied, with all that goes with the window's end.
    fn close(
        &mut self,
        service: &dyn Service,
        window: &ChangeWindow,
        named: Option<&mut Named>,
        faults_met: &HashSet<String>,
        mut changes: Changes,
    ) -> Result<String, SyncError> {
        if let Some(named) = named {
            // Whether what is missing can be believed or not: what the page says counts.
            self.apply(std::mem::take(&mut changes))?;
            if !named.has_unnamed {
                changes.states = self.no_longer_named(named)?;
            }
        }
        let checkpoint = service.checkpoint(window);
        changes.mended.extend(self.healed(window, faults_met));
        changes.checkpoint = Some(checkpoint.clone());
        self.apply(changes)?;
        (self.watch)(self.report);
        Ok(checkpoint)
    }

    /// Fetches a page and reads it as far as possible; with it, why no further.
    fn fetch_page(
        &mut self,
        service: &dyn Service,
        url: &str,
        window: &ChangeWindow,
        number: u64,
    ) -> Result<(Page, Option<SyncError>), SyncError> {
        let mut bytes = Vec::new();
        let answer = self.client.get(url, &Validators::default(), PAGE_BYTES_MAX, &mut bytes);
        (self.report.requests, self.report.retries) = self.client.counts();
        answer?;
        let mut page = Page::default();
        let Err(error) = service.read_page(&bytes, &mut page) else {
            return Ok((page, None));
        };
        // A page that cannot be kept is lost, and nothing else.
        let kept = self.folder.keep_page(&self.secrets.hide_in(bytes)).ok();
        self.report.kept_page.clone_from(&kept);
        let found = self.secrets.hide(&error.to_string());
        Ok((page, Some(SyncError::Page { window: window.name.clone(), number, found, kept })))
    }

    /// What a page changes. Fingerprints at links are fetched; what is gone does not wait for them.
    fn changes(
        &mut self,
        service: &dyn Service,
        window: &ChangeWindow,
        number: u64,
        page: &mut Page,
        faults_met: &mut HashSet<String>,
    ) -> Result<Changes, SyncError> {
        let mut mended = self.mended(page);
        if !page.links.is_empty() {
            let gone = page.states.iter().filter(|state| matches!(state, State::Gone(_))).cloned().collect();
            self.apply(Changes { states: gone, ..Changes::default() })?;
            self.fetch_links(service, window, page)?;
            page.states.retain(|state| matches!(state, State::Says(_)));
        }
        for rejected in &mut page.rejected {
            rejected.detail = self.secrets.hide(&rejected.detail);
        }
        self.report.note_page(&window.name, number, page, &self.roles);
        let mut faults = Vec::new();
        for fault in page.rejected.iter().map(|rejected| fault(window, number, rejected)) {
            mended.remove(&fault.item);
            faults_met.insert(fault.item.clone());
            if self.faulty.contains(&fault.item) || self.faulty.len() < FAULTS_MAX {
                self.faulty.insert(fault.item.clone());
                faults.push(fault);
            }
        }
        self.faulty.retain(|item| !mended.contains(item));
        Ok(Changes { states: page.take_newest(), faults, mended: mended.into_iter().collect(), checkpoint: None })
    }

    /// Entries of earlier faults that a page says again.
    fn mended(&self, page: &Page) -> HashSet<String> {
        let said = page.states.iter().map(State::source_id);
        said.filter(|source_id| self.faulty.contains(*source_id)).map(str::to_owned).collect()
    }

    /// Earlier faults of places in this window that were not met again.
    fn healed(&mut self, window: &ChangeWindow, faults_met: &HashSet<String>) -> Vec<String> {
        let place = place(window, "");
        let healed: Vec<String> = self
            .faulty
            .iter()
            .filter(|item| item.starts_with(&place) && !faults_met.contains(*item))
            .cloned()
            .collect();
        self.faulty.retain(|item| !healed.contains(item));
        healed
    }

    /// Adds the fingerprints at a page's links to its entries. One that cannot be had is a fault of its record, whose
    /// other fingerprints count; a service that cannot be reached ends the sync.
    fn fetch_links(&mut self, service: &dyn Service, window: &ChangeWindow, page: &mut Page) -> Result<(), SyncError> {
        for link in std::mem::take(&mut page.links) {
            let State::Says(entry) = &mut page.states[link.state] else { continue };
            let mut bytes = Vec::new();
            let url = service.address(window, &link.address);
            let answer = self.client.get(&url, &Validators::default(), LINKED_BYTES_MAX, &mut bytes);
            (self.report.requests, self.report.retries) = self.client.counts();
            let read = match answer {
                Ok(_) => ncmec::read_linked(link.kind, &bytes),
                Err(error) if error.is_about_the_document() => Err(format!("expected it there, found {error}")),
                Err(error) => return Err(error.into()),
            };
            match read {
                Ok(fingerprint) => entry.fingerprints.push(fingerprint),
                Err(found) => {
                    let detail = format!("{} at a link: {found}", link.kind);
                    let (record, source_id) = (link.record, Some(entry.source_id.clone()));
                    page.rejected.push(Rejected { record, source_id, reason: "bad-link", detail });
                }
            }
        }
        Ok(())
    }

    /// Entries that a feed which was read again from its beginning does not name.
    fn no_longer_named(&self, named: &Named) -> Result<Vec<State>, SyncError> {
        let (mut held, mut missing) = (0u64, Vec::new());
        let mut after = String::new();
        loop {
            let command = Command::SourceIds { list: self.feed.list.clone(), after, limit: SOURCE_IDS_MAX };
            let source_ids = match self.keeper.execute(command)? {
                Outcome::SourceIds { source_ids } => source_ids,
                other => return Err(SyncError::Answer(format!("{other:?}"))),
            };
            let own = source_ids.iter().filter(|id| id.starts_with(named.prefix));
            for source_id in own {
                held += 1;
                if !named.seen.contains(&short(source_id)) {
                    missing.push(State::Gone(Deleted { source_id: source_id.clone(), changed_at: None }));
                }
            }
            match source_ids.last() {
                Some(last) if source_ids.len() == SOURCE_IDS_MAX => after = last.clone(),
                _ => break,
            }
        }
        let missing_count = missing.len() as u64;
        if missing_count > 1 && missing_count * 2 > held {
            return Err(SyncError::TooMuchGone { list: self.feed.list.clone(), held, missing: missing_count });
        }
        Ok(missing)
    }

    /// Has changes applied, in parts; faults and the checkpoint go with the last.
    fn apply(&mut self, changes: Changes) -> Result<(), SyncError> {
        let Changes { states, faults, mended, checkpoint } = changes;
        let mut part = self.part();
        let (mut count, mut bytes) = (0, 0);
        for state in states {
            count += 1;
            bytes += about_bytes(&state);
            match state {
                State::Says(entry) => part.entries.push(entry),
                State::Gone(deleted) => part.deleted.push(deleted),
            }
            if count >= STATES_A_COMMAND || bytes >= BYTES_A_COMMAND {
                let full = std::mem::replace(&mut part, self.part());
                self.send(full)?;
                (count, bytes) = (0, 0);
            }
        }
        let is_empty = count == 0 && faults.is_empty() && mended.is_empty() && checkpoint.is_none();
        if is_empty {
            return Ok(());
        }
        self.send(FeedChanges { faults, mended, checkpoint, ..part })
    }

    fn part(&self) -> FeedChanges {
        let continues = Some(Continues { checkpoint: self.stands.clone() });
        FeedChanges { roles: self.feed.roles.clone(), continues, ..FeedChanges::of(self.feed.list.clone()) }
    }

    fn send(&mut self, changes: FeedChanges) -> Result<(), SyncError> {
        let closed = changes.checkpoint.clone();
        let applied: FeedApplied = match self.keeper.execute_or_create(Command::ApplyFeed(changes))? {
            Outcome::FeedApplied(applied) => applied,
            other => return Err(SyncError::Answer(format!("{other:?}"))),
        };
        self.stands = closed.or(self.stands.take());
        self.report.note_applied(&applied);
        Ok(())
    }
}

/// What is to be applied.
#[derive(Default)]
struct Changes {
    states: Vec<State>,
    faults: Vec<FeedFault>,
    mended: Vec<String>,
    checkpoint: Option<String>,
}

/// Keys that a feed named, while it is read again from its beginning.
struct Named {
    prefix: &'static str,
    seen: HashSet<u128>,
    /// Whether there was a record whose key cannot be read: it may be of any entry, so none is taken for gone. What was
    /// deleted meanwhile stays until the feed is read from its beginning once more.
    has_unnamed: bool,
}

impl Named {
    /// Rejected records count too: what cannot be read now is not gone.
    fn note(&mut self, page: &Page) {
        self.has_unnamed |= page.rejected.iter().any(|rejected| rejected.source_id.is_none());
        let rejected = page.rejected.iter().filter_map(|rejected| rejected.source_id.as_deref());
        self.seen.extend(page.states.iter().map(State::source_id).chain(rejected).map(short));
    }
}

/// Whether the feed was read to its end after `oldest_s`.
fn was_read(state: &FeedState, oldest_s: i64) -> bool {
    state.synced_at.and_then(|at| i64::try_from(at).ok()).is_some_and(|at| at > oldest_s)
}

/// A key in few bytes, unequal for unequal keys.
fn short(text: &str) -> u128 {
    let hash = blake3::hash(text.as_bytes());
    u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

fn endless(window: &ChangeWindow, number: u64, found: &'static str) -> SyncError {
    SyncError::Endless { window: window.name.clone(), number, found }
}

/// A place in a window, as a fault's item.
fn place(window: &ChangeWindow, rest: &str) -> String {
    format!("window {}, {rest}", window.name)
}

fn fault(window: &ChangeWindow, number: u64, rejected: &Rejected) -> FeedFault {
    let Rejected { record, source_id, reason, detail } = rejected;
    let item = source_id.clone().unwrap_or_else(|| place(window, &format!("page {number}, record {record}")));
    FeedFault { item, fault: format!("{reason}: {detail}") }
}

/// About as many bytes as a state takes in a command.
fn about_bytes(state: &State) -> usize {
    let State::Says(entry) = state else { return 100 };
    let values: usize = entry.fingerprints.iter().map(|fingerprint| 2 * fingerprint.value().len() + 20).sum();
    let said: usize = entry.attributes.iter().map(|(name, text)| name.len() + text.len() + 8).sum();
    100 + entry.source_id.len() + values + said
}
