//! What the daemon knows and does, whatever the wire format: lookups on the snapshot in force, commands to the store.
//!
//! Until the store is open the service answers for it: every kind is `undecided(loading)`, and commands are told to
//! come back. From then on the store's snapshot says which kinds are still being verified.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::workshop::Workshop;
use crate::audit::Trail;
use crate::events::{Events, EventsStatus};
use crate::feed::FeedConfig;
use crate::fingerprint::{self, Kind, Radii};
use crate::index::live::LiveLayer;
use crate::index::snapshot::{KindState, Snapshot, SnapshotParts};
use crate::journal::JournalStatus;
use crate::list::{ListName, ListState};
use crate::matching::{self, Answer, Answers, Question, QuestionError, Shadow};
use crate::moment;
use crate::protocol::{ErrorCode, Failure};
use crate::store::Store;
use crate::store::command::{Command, FeedInfo, Outcome, Refusal, RefusalReason, StoreStatus};

/// Rows that are looked up between two points at which other tasks may run: some hundred microseconds of work.
pub(super) const ROWS_PER_TURN: usize = 4_096;

/// Rows that are searched by distance between two points at which other questions may have their turn: some hundred
/// microseconds among a million codes.
const NEAR_ROWS_PER_TURN: usize = 32;

/// The store, or what stands in for it while it opens.
pub struct Service {
    store: OnceLock<Arc<Store>>,
    trail: OnceLock<Arc<Trail>>,
    events: OnceLock<Arc<Events>>,
    /// The number of the last match event, for those who wait for the next.
    last_event: watch::Sender<u64>,
    loading: Arc<Snapshot>,
    /// Of each list that a feed fills: seconds after a sync from which on it is stale.
    stale_after_s: ArcSwap<BTreeMap<ListName, u64>>,
}

impl Service {
    /// A service whose store is still to come.
    pub fn loading() -> Service {
        let states = Kind::ALL.into_iter().map(|kind| (kind, KindState::Loading)).collect();
        let parts = SnapshotParts {
            generation: 0,
            lists: Vec::new(),
            segments: Vec::new(),
            live: LiveLayer::empty(),
            states,
            suppressed: Arc::default(),
        };
        let (store, trail, events) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (last_event, stale_after_s) = (watch::Sender::new(0), ArcSwap::default());
        Service { store, trail, events, last_event, loading: Arc::new(Snapshot::new(parts)), stale_after_s }
    }

    /// From now on `store` answers, and `trail` and `events` record it. A second store is ignored: there is one to a
    /// daemon.
    pub fn opened(&self, store: Arc<Store>, trail: Arc<Trail>, events: Arc<Events>) {
        // The records first, so that no command and no match comes before them.
        let _ = self.trail.set(trail);
        let _ = self.events.set(events);
        let _ = self.store.set(store);
    }

    /// The audit trail, once the store is open.
    pub fn trail(&self) -> Option<&Arc<Trail>> {
        self.trail.get()
    }

    /// The match events, once the store is open.
    pub fn events(&self) -> Option<&Arc<Events>> {
        self.events.get()
    }

    /// Hears of each match event that is recorded from now on.
    pub(super) fn hear_events(&self) -> watch::Receiver<u64> {
        self.last_event.subscribe()
    }

    /// Match events were recorded up to this number; whoever waits for them is told.
    pub(super) fn told(&self, last: u64) {
        self.last_event.send_replace(last);
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.store.get().map_or_else(|| Arc::clone(&self.loading), |store| store.snapshot())
    }

    /// Answers a question part by part, letting others work between the parts: at once where only equality is asked for,
    /// and in the workshop where distance is.
    pub(super) async fn answer(
        &self,
        snapshot: Arc<Snapshot>,
        workshop: &Workshop,
        kinds: &[Kind],
        radii: &Radii,
        rows: &[u8],
    ) -> Result<Answered, Failure> {
        let malformed = |error: QuestionError| Failure::new(ErrorCode::Malformed, error.to_string());
        let question = Question { kinds, rows, radii };
        let is_near = kinds.iter().any(|kind| !kind.is_exact());
        let part_bytes = question.row_width() * if is_near { NEAR_ROWS_PER_TURN } else { ROWS_PER_TURN };
        if rows.len() <= part_bytes && !is_near {
            let (answers, shadow) = answer_here(&snapshot, &question).map_err(malformed)?;
            return Ok(Answered { snapshot, answers, shadow });
        }
        let mut whole: Option<(Joined, Option<Joined>)> = None;
        // A question without rows, or without a meaning, is one part, which says so.
        for part in rows.chunks(part_bytes.max(1)).chain(rows.is_empty().then_some(rows)) {
            let answered = match is_near {
                true => answer_near(workshop, Arc::clone(&snapshot), kinds, radii, part).await?,
                false => {
                    tokio::task::yield_now().await;
                    answer_here(&snapshot, &Question { rows: part, ..question })
                }
            };
            let (part, in_shadow) = answered.map_err(malformed)?;
            match &mut whole {
                None => whole = Some((Joined::new(part), in_shadow.map(|Shadow(found)| Joined::new(found)))),
                Some((whole, shadow)) => {
                    whole.append(part);
                    shadow.iter_mut().zip(in_shadow).for_each(|(shadow, Shadow(found))| shadow.append(found));
                }
            }
        }
        let (whole, shadow) = whole.expect("there is at least one part");
        Ok(Answered { snapshot, answers: whole.answers, shadow: shadow.map(|shadow| Shadow(shadow.answers)) })
    }

    /// Whether a lookup of what is known always is answered as it must be. It waits for nothing: a disk that hangs
    /// keeps changes from being made, and no question from being answered.
    pub fn answers(&self) -> bool {
        let empty = fingerprint::hash_bytes(Kind::Md5, b"");
        let question = Question { kinds: &[Kind::Md5], rows: empty.value(), radii: &Radii::none() };
        let answers = matching::answer(&self.snapshot(), &question);
        answers.is_ok_and(|answers| {
            answers.iter().flatten().map(|answer| answer.verdict).eq([matching::Verdict::Ignorable])
        })
    }

    /// Carries a command out. Blocks for as long as the store needs.
    pub(super) fn execute(&self, command: Command) -> Result<Outcome, Failure> {
        let store = self.store.get().ok_or_else(|| Failure::new(ErrorCode::Internal, "the store is still loading"))?;
        let mut outcome = store.execute(command).map_err(|error| refused(Refusal::from(&error)))?;
        self.mark_stale(&mut outcome);
        Ok(outcome)
    }

    /// How the store is; `None` while it loads, or cannot say. Blocks for as long as the store needs.
    pub(super) fn store_status(&self) -> Option<StoreStatus> {
        let mut outcome = self.store.get()?.execute(Command::Status).ok()?;
        self.mark_stale(&mut outcome);
        match outcome {
            Outcome::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Lists that these feeds fill are stale from now on when the config says so.
    pub(super) fn expect_fresh(&self, feeds: &[FeedConfig]) {
        let limits = feeds.iter().filter_map(|feed| Some((feed.list.clone(), feed.stale_after_s?)));
        self.stale_after_s.store(Arc::new(limits.collect()));
    }

    /// The store knows when lists were last brought up to date; how long that is good for, the config does.
    fn mark_stale(&self, outcome: &mut Outcome) {
        let limits = self.stale_after_s.load();
        let now = moment::now();
        let mark = |feed: &mut FeedInfo, limit: u64| {
            feed.stale = feed.synced_at.is_none_or(|at| now.saturating_sub(at) > limit);
        };
        let mark_of = |name: &ListName, feed: &mut Option<FeedInfo>| {
            limits.get(name).into_iter().for_each(|limit| mark(feed.get_or_insert_default(), *limit));
        };
        match outcome {
            Outcome::Lists { lists } => lists.iter_mut().for_each(|list| mark_of(&list.name, &mut list.feed)),
            Outcome::Inspected(inspected) => mark_of(&inspected.list.name, &mut inspected.list.feed),
            // A feed that was never read is not known to the store, nor perhaps its list.
            Outcome::Status(status) => {
                limits.iter().for_each(|(name, limit)| mark(status.feeds.entry(name.clone()).or_default(), *limit));
            }
            _ => {}
        }
    }

    /// Whether there is a store that commands can be given to.
    pub(super) fn is_open(&self) -> bool {
        self.store.get().is_some()
    }

    /// What still keeps something from being asked; `None` if all that is held can be.
    pub(super) fn not_ready(&self) -> Option<&'static str> {
        let snapshot = self.snapshot();
        let any = |bad: fn(&KindState) -> bool| Kind::ALL.iter().any(|kind| bad(snapshot.kind_state(*kind)));
        if any(|state| matches!(state, KindState::Failed(_))) {
            return Some("something cannot be read; see the status");
        }
        any(|state| *state == KindState::Loading).then_some("still loading")
    }

    pub(super) fn status(&self) -> ServiceStatus {
        let snapshot = self.snapshot();
        let is_loading = Kind::ALL.iter().any(|kind| *snapshot.kind_state(*kind) == KindState::Loading);
        let list =
            |view: &crate::index::snapshot::ListView| ListStatus { name: view.name.to_string(), state: view.state };
        ServiceStatus {
            state: if is_loading { "loading" } else { "ready" },
            generation: snapshot.generation(),
            audit: self.trail().map(|trail| trail.journal().status()),
            events: self.events().map(|events| events.status()),
            held_kinds: snapshot.askable_kinds(),
            lists: snapshot.lists().iter().map(list).collect(),
        }
    }
}

/// What a question comes to.
pub(super) struct Answered {
    /// What it was asked of.
    pub(super) snapshot: Arc<Snapshot>,
    /// What goes out.
    pub(super) answers: Answers,
    /// What is only recorded.
    pub(super) shadow: Option<Shadow>,
}

impl Answered {
    /// Makes one row of all, as [`Answers::into_one`].
    pub(super) fn into_one(self) -> Answered {
        let shadow = self.shadow.map(|Shadow(found)| Shadow(found.into_one()));
        Answered { snapshot: self.snapshot, answers: self.answers.into_one(), shadow }
    }
}

/// The answers to a part of a question, and what lists in shadow would say.
type AnsweredPart = Result<(Answers, Option<Shadow>), QuestionError>;

fn answer_here(snapshot: &Snapshot, question: &Question<'_>) -> AnsweredPart {
    Ok((matching::answer(snapshot, question)?, matching::shadow(snapshot, question)?))
}

/// Answers a part of a question by distance in the workshop.
async fn answer_near(
    workshop: &Workshop,
    snapshot: Arc<Snapshot>,
    kinds: &[Kind],
    radii: &Radii,
    rows: &[u8],
) -> Result<AnsweredPart, Failure> {
    let (kinds, radii, rows) = (kinds.to_vec(), radii.clone(), rows.to_vec());
    let answer = move || answer_here(&snapshot, &Question { kinds: &kinds, rows: &rows, radii: &radii });
    let panicked = || Failure::new(ErrorCode::Internal, "the lookup panicked");
    workshop.run(answer).await.ok_or_else(panicked)
}

/// What STATUS tells of the service.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceStatus {
    state: &'static str,
    generation: u64,
    /// `null` while the store is not open.
    audit: Option<JournalStatus>,
    /// `null` while the store is not open.
    events: Option<EventsStatus>,
    held_kinds: Vec<Kind>,
    lists: Vec<ListStatus>,
}

#[derive(Serialize, ToSchema)]
struct ListStatus {
    name: String,
    state: ListState,
}

fn refused(refusal: Refusal) -> Failure {
    let code = match refusal.reason {
        RefusalReason::Rejected => ErrorCode::Refused,
        RefusalReason::Conflict => ErrorCode::Conflict,
        RefusalReason::Damaged => ErrorCode::Damaged,
        RefusalReason::Failed => ErrorCode::Internal,
    };
    Failure::new(code, refusal.message)
}

/// The answers to the parts of one question, put back together.
struct Joined {
    answers: Answers,
    places: HashMap<Answer, u32>,
}

impl Joined {
    fn new(first: Answers) -> Joined {
        let places = first.distinct.iter().cloned().zip(0..).collect();
        Joined { answers: first, places }
    }

    /// `part` is of the same kinds and the same snapshot, so that all but its rows is as in the parts before.
    fn append(&mut self, part: Answers) {
        let whole = &mut self.answers;
        debug_assert_eq!((whole.miss, whole.generation), (part.miss, part.generation));
        let mut moved = Vec::with_capacity(part.distinct.len());
        for answer in part.distinct {
            let next = whole.distinct.len() as u32;
            let place = *self.places.entry(answer.clone()).or_insert(next);
            if place == next {
                whole.distinct.push(answer);
            }
            moved.push(place);
        }
        whole.hits.extend(part.hits.into_iter().map(|(row, index)| (whole.rows + row, moved[index as usize])));
        whole.rows += part.rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::{Reason, Verdict};
    use proptest::prelude::*;

    fn answer(number: u8) -> Answer {
        let verdict = if number.is_multiple_of(2) { Verdict::Known } else { Verdict::Ignorable };
        Answer { watched: number >= 4, ..Answer::of(Vec::new(), verdict) }
    }

    /// Answers to rows of which some hit, as [`matching::answer`] would give them.
    fn answers(rows: &[Option<u8>]) -> Answers {
        let mut distinct: Vec<Answer> = Vec::new();
        let mut hits = Vec::new();
        for (row, hit) in rows.iter().enumerate() {
            let Some(number) = hit else { continue };
            let answer = answer(*number);
            let index = distinct.iter().position(|known| *known == answer).unwrap_or_else(|| {
                distinct.push(answer);
                distinct.len() - 1
            });
            hits.push((row as u32, index as u32));
        }
        let rows = rows.len() as u32;
        let (checked, incomplete, miss) = (vec![Kind::Md5], Vec::new(), Verdict::Unknown);
        Answers { generation: 1, rows, checked, incomplete, miss, distinct, hits }
    }

    #[tokio::test]
    async fn what_still_loads_is_never_unknown() {
        let service = Service::loading();
        let rows =
            [crate::fingerprint::hash_bytes(Kind::Md5, b""), crate::fingerprint::hash_bytes(Kind::Md5, b"hashward")];
        let rows: Vec<u8> = rows.iter().flat_map(|row| row.value().to_vec()).collect();
        let workshop = Workshop::start(1).unwrap();
        let answered = service.answer(service.snapshot(), &workshop, &[Kind::Md5], &Radii::none(), &rows).await;
        let answers = answered.unwrap().answers;
        assert_eq!(answers.miss, Verdict::Undecided(Reason::Loading));
        assert!(service.answers(), "what is always known is so from the first moment on");
        assert_eq!(
            answers.iter().map(|answer| answer.map(|answer| answer.verdict)).collect::<Vec<_>>(),
            [Some(Verdict::Ignorable), None]
        );
        assert!(service.execute(Command::Lists).is_err());
    }

    proptest! {
        #[test]
        fn parts_join_to_the_whole(
            rows in proptest::collection::vec(proptest::option::of(0..6u8), 1..60),
            part_rows in 1..20usize,
        ) {
            let mut parts = rows.chunks(part_rows).map(answers);
            let mut joined = Joined::new(parts.next().unwrap());
            parts.for_each(|part| joined.append(part));
            prop_assert_eq!(joined.answers, answers(&rows));
        }
    }
}
