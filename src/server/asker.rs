//! Whoever asks at a connection, whatever the wire format: who that is, what they may do, how much they may ask, and the
//! questions themselves. Every protocol asks through this, so that none of them can forget a check.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;

use super::content::{self, AnsweredFile, Incoming, NoAnswer};
use super::limits::{Limits, Taken};
use super::metrics::{self, Operation, Told};
use super::service::Answered;
use super::{Granted, Protocol, Shared, Status};
use crate::access::{Access, Clocks, Cost, Counted, Peer, Principal, Refusals, Right, Rights, Token, UnknownToken};
use crate::audit::{Event, Tally, TrailCommand, TrailOutcome, told_in_parts};
use crate::events::{Asked, EventsCommand, Matched};
use crate::fingerprint::{Kind, Radii};
use crate::journal::{JournalError, ReadError, now_ms};
use crate::list::ListName;
use crate::matching::{Answers, Shadow};
use crate::protocol::{ContentOptions, ErrorCode, Failure, RequestId};
use crate::store::command::{FeedChanges, FeedNote};
use crate::store::{Command, Publish};

/// Commands that only read name a list at most, so none is longer.
const READING_COMMAND_BYTES_MAX: usize = 4 << 10;

/// Parsing a longer command would hold up the lookups of others on this thread.
const LONG_COMMAND_BYTES: usize = 64 << 10;

/// What carries a command out and gives its answer in JSON. It blocks.
pub(super) type Work = Box<dyn FnOnce() -> Result<Vec<u8>, Failure> + Send>;

/// See the module's documentation.
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    peer: Peer,
    granted: Arc<Granted>,
    token: Option<Token>,
    /// As `access` says; a reload brings another.
    principal: Arc<Principal>,
    access: Arc<Access>,
}

/// A question about hashes: `rows` rows, each a value of every kind.
pub(super) struct HashQuestion<'a> {
    pub(super) kinds: &'a [Kind],
    pub(super) radii: &'a Radii,
    pub(super) rows: u32,
    pub(super) values: &'a [u8],
}

impl Asker {
    /// Whoever is at the other end, as long as they send no token.
    pub(super) fn new(peer: Peer, granted: Arc<Granted>, shared: Arc<Shared>) -> Asker {
        let access = shared.access.load_full();
        let principal = access.identify(peer, None).expect("only a token can be unknown").clone();
        Asker { shared, peer, granted, token: None, principal, access }
    }

    /// From now on the bearer of this token asks; `None` stands for a text that cannot be one.
    pub(super) fn authenticate(&mut self, token: Option<Token>) -> Result<(), Failure> {
        let token = token.ok_or_else(|| self.unknown(&UnknownToken))?;
        self.principal = self.identify(&self.access, Some(&token))?;
        self.token = Some(token);
        Ok(())
    }

    fn identify(&self, access: &Access, token: Option<&Token>) -> Result<Arc<Principal>, Failure> {
        let identified = access.identify(self.peer, token);
        identified.cloned().map_err(|unknown| self.unknown(&unknown))
    }

    fn unknown(&self, unknown: &UnknownToken) -> Failure {
        self.note_refusal(&self.principal, &unknown.to_string());
        Failure::new(ErrorCode::Unauthenticated, unknown.to_string())
    }

    /// Who asks, by the config that is in force now.
    pub(super) fn principal(&mut self) -> Result<&Arc<Principal>, Failure> {
        let access = self.shared.access.load_full();
        if !Arc::ptr_eq(&access, &self.access) {
            // Whose token is gone is refused every time, not once.
            self.principal = self.identify(&access, self.token.as_ref())?;
            self.access = access;
        }
        Ok(&self.principal)
    }

    /// What they may do now.
    pub(super) fn rights(&mut self) -> Rights {
        let granted = self.granted.get();
        self.principal().map_or(Rights::NONE, |principal| principal.rights_at(granted))
    }

    /// Refuses those who lack `right`.
    pub(super) fn need(&mut self, right: Right) -> Result<(), Failure> {
        let granted = self.granted.get();
        let principal = Arc::clone(self.principal()?);
        if principal.rights_at(granted).has(right) {
            return Ok(());
        }
        let (name, right_name) = (&principal.name, right.name());
        let text = match (principal.rights.has(right), right) {
            (true, _) => format!("this listener does not grant the right `{right_name}`"),
            (false, Right::Content) => format!("{name} lacks the right `content`; send hashes, or ask for the right"),
            (false, Right::Detail) => {
                format!("{name} lacks the right `detail`, and radii of one's own would tell details")
            }
            (false, _) => format!("{name} lacks the right `{right_name}`"),
        };
        self.shared.metrics.lacking(Some(right));
        self.note_refusal(&principal, &text);
        Err(Failure::new(ErrorCode::Forbidden, text))
    }

    /// Refuses those who have no right at all.
    pub(super) fn need_any(&mut self) -> Result<(), Failure> {
        let granted = self.granted.get();
        let principal = Arc::clone(self.principal()?);
        if principal.rights_at(granted) != Rights::NONE {
            return Ok(());
        }
        let text = format!("{} has no right at all at this listener", principal.name);
        self.shared.metrics.lacking(None);
        self.note_refusal(&principal, &text);
        Err(Failure::new(ErrorCode::Forbidden, text))
    }

    /// How the daemon is, for everyone who has any right at all.
    pub(super) fn status(&mut self) -> Result<Status, Failure> {
        let began = Instant::now();
        self.need_any()?;
        let status = self.shared.status();
        self.shared.metrics.done(self.granted.protocol, Operation::Status, began.elapsed());
        Ok(status)
    }

    /// The text of all metrics, for everyone who has any right at all.
    pub(super) async fn metrics(&mut self) -> Result<String, Failure> {
        self.need_any()?;
        Ok(metrics::scrape(&self.shared).await)
    }

    /// Counts what the client is told instead of an answer.
    pub(super) fn told(&self, told: Told) {
        self.shared.metrics.told(self.granted.protocol, told);
    }

    /// Counts what the client is answered, and that lists in shadow could not be asked in full.
    fn answered(&self, operation: Operation, began: Instant, Answered { answers, shadow, .. }: &Answered) {
        self.shared.metrics.answered(self.granted.protocol, operation, began.elapsed(), answers);
        if shadow.as_ref().is_some_and(|Shadow(found)| !found.incomplete.is_empty()) {
            self.shared.metrics.shadow_unasked(answers.rows);
        }
    }

    /// Refuses those who have asked too much already.
    fn charge(&mut self, cost: Cost) -> Result<(), Failure> {
        let principal = Arc::clone(self.principal()?);
        let steady_ms = self.shared.started_at.elapsed().as_millis() as u64;
        principal.meter.take(&principal.budget, cost, Clocks { utc_ms: now_ms(), steady_ms }).map_err(|over| {
            self.note_refusal(&principal, &over.to_string());
            Failure::new(ErrorCode::OverBudget, over.to_string()).until(over.retry_after_ms)
        })
    }

    /// Somebody was refused; said in the log and in the trail, but not as often as they like.
    fn note_refusal(&self, principal: &Arc<Principal>, because: &str) {
        let (shared, who, peer, from) = (&self.shared, principal, self.peer, self.from());
        match principal.refusals.count(now_ms()) {
            Counted::Told(times) => tell_refusal(shared, who, peer, from, times, because),
            Counted::First => {
                let (shared, who, because) = (Arc::clone(shared), Arc::clone(who), because.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(Refusals::PAUSE).await;
                    if let Some(times) = who.refusals.rest(now_ms()) {
                        tell_refusal(&shared, &who, peer, from, times, &because);
                    }
                });
            }
            Counted::Held => {}
        }
    }

    /// What is spoken with the client.
    pub(super) fn protocol(&self) -> Protocol {
        self.granted.protocol
    }

    /// Where the client is, as the trail says it.
    pub(super) fn from(&self) -> String {
        match self.peer {
            Peer::Unix(user, _) => format!("uid {}", user.0),
            Peer::Tcp(address) => address.to_string(),
        }
    }

    /// Records what was answered, and what matched, if that is recorded. What the match events and the trail cannot take
    /// is not answered, unless the config says otherwise.
    fn note_answers(
        &mut self,
        what: &'static str,
        kinds: &[Kind],
        values: &[u8],
        Answered { snapshot, answers, shadow }: &Answered,
    ) -> Result<(), Failure> {
        let (audit, events) = (self.shared.audit.load_full(), self.shared.events.load_full());
        if !audit.questions && !events.enabled {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        // Until the store is open nothing can be known but what is built in.
        let Some((trail, journal)) = shared.service.trail().zip(shared.service.events()) else { return Ok(()) };
        let from = self.from();
        let by = &self.principal()?.name;
        let matched = Matched::all(snapshot, values, answers, shadow.as_ref());
        let generation = answers.generation;
        if events.enabled && !matched.is_empty() {
            let asked = Asked { by, what, kinds, generation };
            let noted = journal.note(events.when_unwritable, &asked, matched.clone());
            let last = noted.map_err(|error| unwritten(EVENTS, &error))?;
            last.into_iter().for_each(|last| shared.service.told(last));
        }
        if !audit.questions {
            return Ok(());
        }
        let parts = told_in_parts(matched).into_iter().enumerate();
        let records = parts.map(|(part, matched)| Event::Asked {
            by,
            from: from.clone(),
            what,
            kinds,
            rows: answers.rows,
            generation,
            verdicts: Tally::of(answers),
            matched,
            continues: part > 0,
        });
        let noted = trail.note_question(audit.when_unwritable, &records.collect::<Vec<_>>());
        noted.map_err(|error| unwritten(TRAIL, &error))
    }

    /// Answers a question about hashes.
    pub(super) async fn lookup(&mut self, limits: &Limits, question: &HashQuestion<'_>) -> Result<Answers, Failure> {
        let began = Instant::now();
        self.need(Right::Lookup)?;
        self.check_radii(limits, question.radii)?;
        let HashQuestion { kinds, radii, rows, values } = *question;
        let near = u64::from(rows) * kinds.iter().filter(|kind| !kind.is_exact()).count() as u64;
        if near > limits.near_values.into() {
            let text = format!("{near} values of perceptual kinds: expected at most {}", limits.near_values);
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        // A question without rows costs something, too.
        let questions = (u64::from(rows) * kinds.len() as u64).max(1);
        self.charge(Cost { questions, near, content: 0 })?;
        let shared = Arc::clone(&self.shared);
        let snapshot = shared.service.snapshot();
        let answered = shared.service.answer(snapshot, &shared.workshop, kinds, radii, values).await?;
        self.note_answers("lookup", kinds, values, &answered)?;
        self.answered(Operation::about(kinds), began, &answered);
        Ok(self.as_far_as_allowed(answered.answers))
    }

    /// Begins a question about a file's content, which comes in parts.
    pub(super) fn begin_content(
        &mut self,
        limits: &Limits,
        id: RequestId,
        options: ContentOptions,
    ) -> Result<Incoming, Failure> {
        self.may_ask_content(limits, &options)?;
        Ok(Incoming::new(id, options, &self.shared))
    }

    /// Answers it, once all has come.
    pub(super) async fn answer_content(&mut self, limits: &Limits, incoming: Incoming) -> Result<Answers, NoAnswer> {
        let began = Instant::now();
        // A reload may have taken the right away while the content came.
        self.need_for_content(limits, incoming.options())?;
        let answered = incoming.answer(&self.shared).await?;
        Ok(self.note_file(began, answered)?)
    }

    /// Answers a question about the file with this descriptor.
    pub(super) async fn content_of(
        &mut self,
        limits: &Limits,
        descriptor: OwnedFd,
        options: &ContentOptions,
    ) -> Result<Answers, NoAnswer> {
        let began = Instant::now();
        self.may_ask_content(limits, options)?;
        let answered = content::answer_descriptor(descriptor, options, limits, &self.shared).await?;
        Ok(self.note_file(began, answered)?)
    }

    fn note_file(&mut self, began: Instant, file: AnsweredFile) -> Result<Answers, Failure> {
        let AnsweredFile { kinds, values, answered } = file;
        self.note_answers("content", &kinds, &values, &answered)?;
        self.answered(Operation::Content, began, &answered);
        Ok(self.as_far_as_allowed(answered.answers))
    }

    fn may_ask_content(&mut self, limits: &Limits, options: &ContentOptions) -> Result<(), Failure> {
        self.need_for_content(limits, options)?;
        self.charge(Cost { questions: 1, near: 0, content: 1 })
    }

    fn need_for_content(&mut self, limits: &Limits, options: &ContentOptions) -> Result<(), Failure> {
        self.need(Right::Content)?;
        self.check_radii(limits, &options.radii)
    }

    /// Refuses radii that are wider than the config allows, and all radii of those who may not see details: by narrowing
    /// the radius one could read a distance off the answers.
    fn check_radii(&mut self, limits: &Limits, radii: &Radii) -> Result<(), Failure> {
        if !radii.is_empty() {
            self.need(Right::Detail)?;
        }
        for (kind, radius) in radii.iter() {
            let max = limits.radius(kind);
            if radius > max {
                let text = format!("a radius of {radius} for {kind}: expected at most {max}, which limits.radii sets");
                return Err(Failure::new(ErrorCode::TooLarge, text));
            }
        }
        Ok(())
    }

    fn as_far_as_allowed(&mut self, answers: Answers) -> Answers {
        if self.rights().has(Right::Detail) { answers } else { answers.without_detail() }
    }

    /// What carries out the command that this is, be it one to the store, to the audit trail or to the match events.
    pub(super) fn command_json(&mut self, limits: &Limits, json: &[u8]) -> Result<Work, NoAnswer> {
        if json.len() > READING_COMMAND_BYTES_MAX && !self.rights().may_change() {
            // Whoever may only read has no use for a command of this size, and is not worth parsing it.
            self.need(Right::Import)?;
        }
        let malformed = |error| Failure::new(ErrorCode::Malformed, format!("expected a command as JSON: {error}"));
        match parse_journal_command(json).map_err(malformed)? {
            Some(JournalCommand::Trail(command)) => self.trail_command(limits, command),
            Some(JournalCommand::Events(command)) => self.events_command(limits, command),
            None => self.command(limits, parse_long(json).map_err(malformed)?),
        }
    }

    /// What carries out a command; it waits for as long as the store needs.
    pub(super) fn command(&mut self, limits: &Limits, command: Command) -> Result<Work, NoAnswer> {
        let (began, protocol) = (Instant::now(), self.granted.protocol);
        let (name, right) = what_it_is(&command);
        self.need(right)?;
        if !self.shared.service.is_open() {
            return Err(NoAnswer::Busy("the store is still loading"));
        }
        let taken = self.shared.commands.take(1, limits.commands);
        let taken = taken.ok_or(NoAnswer::Busy("too many commands under way"))?;
        let from = self.from();
        let sees_hashes = self.rights().has(Right::Admin);
        let (principal, shared) = (Arc::clone(self.principal()?), Arc::clone(&self.shared));
        Ok(Box::new(move || {
            let _taken: Taken = taken;
            let trail = shared.service.trail().filter(|_| right != Right::Lookup);
            let ordered = trail.map(|trail| {
                // The rest of a command may hold fingerprints, which no log holds.
                tracing::info!(principal = %principal.name, command = name, "command");
                let list = list_of(&command).map(ListName::as_str);
                trail.note(&Event::Ordered { by: &principal.name, from, command: name, list })
            });
            let ordered = ordered.transpose().map_err(|error| unwritten(TRAIL, &error))?;
            let executed = catch_unwind(AssertUnwindSafe(|| shared.service.execute(command)));
            let executed = executed.unwrap_or_else(|_| Err(Failure::new(ErrorCode::Internal, "the command panicked")));
            if let (Some(trail), Some(ordered)) = (trail, ordered) {
                // The text may name hashes that no list knows.
                let refused = executed.as_ref().err().map(|failure| failure.code.to_string());
                let generation = shared.service.snapshot().generation();
                if let Err(error) = trail.note(&Event::CarriedOut { ordered, generation, refused: refused.as_deref() })
                {
                    tracing::error!(%error, command = name, "the audit trail does not say what became of a command");
                }
            }
            let outcome = executed?;
            shared.metrics.done(protocol, Operation::Command, began.elapsed());
            let outcome = if sees_hashes { outcome } else { outcome.without_hashes() };
            serde_json::to_vec(&outcome).map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
        }))
    }

    /// What answers a question about the trail.
    pub(super) fn trail_command(&mut self, limits: &Limits, command: TrailCommand) -> Result<Work, NoAnswer> {
        let (began, protocol) = (Instant::now(), self.granted.protocol);
        self.need(Right::Audit)?;
        let trail = self.shared.service.trail().cloned().ok_or(NoAnswer::Busy("the store is still loading"))?;
        let taken = self.shared.commands.take(1, limits.commands);
        let taken = taken.ok_or(NoAnswer::Busy("too many commands under way"))?;
        let (principal, from) = (Arc::clone(self.principal()?), self.from());
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(move || {
            let _taken: Taken = taken;
            let outcome = match command {
                TrailCommand::AuditRead { after, limit } => {
                    let read = trail.read(&principal.name, from, after, limit);
                    let (records, more) = read.map_err(|error| unread(TRAIL, &error))?;
                    TrailOutcome::AuditRecords { records, more }
                }
                TrailCommand::AuditCheckpoint => {
                    let failed = |error: std::io::Error| Failure::new(ErrorCode::Internal, error.to_string());
                    TrailOutcome::AuditCheckpoint(trail.checkpoint(now_ms()).map_err(failed)?)
                }
            };
            shared.metrics.done(protocol, Operation::Command, began.elapsed());
            serde_json::to_vec(&outcome).map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
        }))
    }
}

fn tell_refusal(shared: &Shared, principal: &Principal, peer: Peer, from: String, times: u64, because: &str) {
    tracing::warn!(principal = %principal.name, ?peer, times, because, "refused");
    let event = Event::Refused { by: &principal.name, from, times, because };
    if let Some(Err(error)) = shared.service.trail().map(|trail| trail.note(&event)) {
        tracing::error!(%error, "the audit trail cannot be written");
    }
}

/// Parses what may be long, without holding up the lookups of others on this thread.
pub(super) fn parse_long<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    let parse = || serde_json::from_slice(json);
    if json.len() > LONG_COMMAND_BYTES { tokio::task::block_in_place(parse) } else { parse() }
}

/// A command to a journal.
enum JournalCommand {
    Trail(TrailCommand),
    Events(EventsCommand),
}

/// A command to a journal, if it is one. Such commands are short.
fn parse_journal_command(json: &[u8]) -> serde_json::Result<Option<JournalCommand>> {
    #[derive(serde::Deserialize)]
    struct Named {
        command: String,
    }
    if json.len() > READING_COMMAND_BYTES_MAX {
        return Ok(None);
    }
    let Named { command } = serde_json::from_slice(json)?;
    Ok(match &command {
        name if TrailCommand::is_named(name) => Some(JournalCommand::Trail(serde_json::from_slice(json)?)),
        name if EventsCommand::is_named(name) => Some(JournalCommand::Events(serde_json::from_slice(json)?)),
        _ => None,
    })
}

/// A command's name, and the right that it needs. Telling what lists there are needs no more than the right to look up;
/// reading every byte on disk does, for it is costly.
fn what_it_is(command: &Command) -> (&'static str, Right) {
    match command {
        Command::Lists => ("lists", Right::Lookup),
        Command::Inspect { .. } => ("inspect", Right::Lookup),
        Command::Categories { .. } => ("categories", Right::Lookup),
        Command::Status => ("status", Right::Lookup),
        Command::BeginImport { .. } => ("begin_import", Right::Import),
        Command::Publish(_) => ("publish", Right::Import),
        Command::Add { .. } => ("add", Right::Import),
        Command::Withdraw { .. } => ("withdraw", Right::Import),
        Command::ApplyFeed(_) => ("apply_feed", Right::Import),
        Command::FeedState { .. } => ("feed_state", Right::Import),
        Command::NoteFeed(_) => ("note_feed", Right::Import),
        Command::Suppress { .. } => ("suppress", Right::Suppress),
        Command::Lift { .. } => ("lift", Right::Suppress),
        Command::Suppressions { .. } => ("suppressions", Right::Suppress),
        Command::Accept { .. } => ("accept", Right::Admin),
        Command::TellHeld { .. } => ("tell_held", Right::Admin),
        Command::Explain { .. } => ("explain", Right::Admin),
        Command::Contents { .. } => ("contents", Right::Admin),
        Command::Entries { .. } => ("entries", Right::Admin),
        // An entry that was added by hand has its hash for an id.
        Command::SourceIds { .. } => ("source_ids", Right::Admin),
        Command::Withdrawals { .. } => ("withdrawals", Right::Admin),
        Command::Backup => ("backup", Right::Admin),
        Command::Restore { .. } => ("restore", Right::Admin),
        Command::SetState { .. } => ("set_state", Right::Admin),
        Command::SetRadius { .. } => ("set_radius", Right::Admin),
        Command::Remove { .. } => ("remove", Right::Admin),
        Command::Rollback { .. } => ("rollback", Right::Admin),
        Command::Compact => ("compact", Right::Admin),
        Command::Verify => ("verify", Right::Admin),
    }
}

/// The list that a command is about.
fn list_of(command: &Command) -> Option<&ListName> {
    match command {
        Command::BeginImport { list }
        | Command::Publish(Publish { list, .. })
        | Command::Add { list, .. }
        | Command::Withdraw { list, .. }
        | Command::SetState { list, .. }
        | Command::SetRadius { list, .. }
        | Command::Remove { list }
        | Command::Rollback { list, .. }
        | Command::Inspect { list }
        | Command::Categories { list }
        | Command::ApplyFeed(FeedChanges { list, .. })
        | Command::FeedState { list }
        | Command::SourceIds { list, .. }
        | Command::NoteFeed(FeedNote { list, .. })
        | Command::Accept { list, .. }
        | Command::TellHeld { list }
        | Command::Contents { list, .. }
        | Command::Entries { list, .. }
        | Command::Withdrawals { list, .. } => Some(list),
        Command::Lists
        | Command::Status
        | Command::Compact
        | Command::Verify
        | Command::Suppress { .. }
        | Command::Lift { .. }
        | Command::Suppressions { .. }
        | Command::Explain { .. }
        | Command::Backup
        | Command::Restore { .. } => None,
    }
}

/// As messages name it.
pub(super) const TRAIL: &str = "the audit trail";

/// As messages name them.
pub(super) const EVENTS: &str = "the match events";

/// What whoever reads a journal is told instead of what they asked for.
pub(super) fn unread(journal: &'static str, error: &ReadError) -> Failure {
    let code = match error {
        ReadError::Gone { .. } => ErrorCode::Gone,
        ReadError::Ahead { .. } => ErrorCode::Refused,
        ReadError::Journal(error) => {
            tracing::error!(%error, journal, "a journal cannot be read, or that it was read not be recorded");
            ErrorCode::Internal
        }
    };
    Failure::new(code, error.to_string())
}

pub(super) fn unwritten(journal: &'static str, error: &JournalError) -> Failure {
    tracing::error!(%error, journal, "a journal cannot be written");
    let text = format!("{journal} cannot be written, so nothing is answered that is not recorded; see the log");
    Failure::new(ErrorCode::Internal, text)
}
