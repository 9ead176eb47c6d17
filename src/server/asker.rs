//! Whoever asks at a connection, whatever the wire format: who that is, what they may do, how much they may ask, and the
//! questions themselves. Every protocol asks through this, so that none of them can forget a check.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::content::{self, Incoming, NoAnswer};
use super::limits::{Limits, Taken};
use super::{Granted, Shared};
use crate::access::{Access, Cost, Peer, Principal, Right, Rights, Token};
use crate::fingerprint::{Kind, Radii};
use crate::matching::Answers;
use crate::protocol::{ContentOptions, ErrorCode, Failure, RequestId};
use crate::store::Command;

/// See the module's documentation.
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Peer,
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

    /// From now on the bearer of `token` asks.
    pub(super) fn authenticate(&mut self, token: Token) -> Result<(), Failure> {
        self.principal = self.identify(Some(&token))?;
        self.token = Some(token);
        Ok(())
    }

    fn identify(&self, token: Option<&Token>) -> Result<Arc<Principal>, Failure> {
        let identified = self.access.identify(self.peer, token);
        identified.cloned().map_err(|unknown| Failure::new(ErrorCode::Unauthenticated, unknown.to_string()))
    }

    /// Who asks, by the config that is in force now.
    pub(super) fn principal(&mut self) -> Result<&Arc<Principal>, Failure> {
        let access = self.shared.access.load();
        if !Arc::ptr_eq(&access, &self.access) {
            self.access = Arc::clone(&access);
            self.principal = self.identify(self.token.as_ref())?;
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
        let principal = self.principal()?;
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
        Err(Failure::new(ErrorCode::Forbidden, text))
    }

    /// Refuses those who have asked too much already.
    fn charge(&mut self, cost: Cost) -> Result<(), Failure> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let principal = self.principal()?;
        principal.meter.take(&principal.budget, cost, now_ms).map_err(|over| {
            tracing::warn!(principal = %principal.name, what = over.what, limit = over.limit, "over budget");
            Failure::new(ErrorCode::OverBudget, over.to_string())
        })
    }

    /// Answers a question about hashes.
    pub(super) async fn lookup(&mut self, limits: &Limits, question: &HashQuestion<'_>) -> Result<Answers, Failure> {
        self.need(Right::Lookup)?;
        self.check_radii(limits, question.radii)?;
        let HashQuestion { kinds, radii, rows, values } = *question;
        let near = u64::from(rows) * kinds.iter().filter(|kind| !kind.is_exact()).count() as u64;
        if near > limits.near_values.into() {
            let text = format!("{near} values of perceptual kinds: expected at most {}", limits.near_values);
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        self.charge(Cost { questions: u64::from(rows) * kinds.len() as u64, near, content: 0 })?;
        let shared = Arc::clone(&self.shared);
        let snapshot = shared.service.snapshot();
        let answers = shared.service.answer(snapshot, &shared.workshop, kinds, radii, values).await?;
        Ok(self.as_far_as_allowed(answers))
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
    pub(super) async fn answer_content(&mut self, incoming: Incoming) -> Result<Answers, NoAnswer> {
        let answers = incoming.answer(&self.shared).await?;
        Ok(self.as_far_as_allowed(answers))
    }

    /// Answers a question about the file with this descriptor.
    pub(super) async fn content_of(
        &mut self,
        limits: &Limits,
        descriptor: OwnedFd,
        options: &ContentOptions,
    ) -> Result<Answers, NoAnswer> {
        self.may_ask_content(limits, options)?;
        let answers = content::answer_descriptor(descriptor, options, limits, &self.shared).await?;
        Ok(self.as_far_as_allowed(answers))
    }

    fn may_ask_content(&mut self, limits: &Limits, options: &ContentOptions) -> Result<(), Failure> {
        self.need(Right::Content)?;
        self.check_radii(limits, &options.radii)?;
        self.charge(Cost { questions: 1, near: 0, content: 1 })
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

    /// What carries out a command; it waits for as long as the store needs.
    pub(super) fn command(
        &mut self,
        limits: &Limits,
        command: Command,
    ) -> Result<impl FnOnce() -> Result<Vec<u8>, Failure> + Send + use<>, NoAnswer> {
        let (name, right) = what_it_is(&command);
        self.need(right)?;
        if !self.shared.service.is_open() {
            return Err(NoAnswer::Busy("the store is still loading"));
        }
        let taken = self.shared.commands.take(1, limits.commands);
        let taken = taken.ok_or(NoAnswer::Busy("too many commands under way"))?;
        if right != Right::Lookup {
            // The rest of a command may hold fingerprints, which no log holds.
            tracing::info!(principal = %self.principal()?.name, command = name, "command");
        }
        let shared = Arc::clone(&self.shared);
        Ok(move || {
            let _taken: Taken = taken;
            let executed = catch_unwind(AssertUnwindSafe(|| shared.service.execute(command)));
            executed.unwrap_or_else(|_| Err(Failure::new(ErrorCode::Internal, "the command panicked")))
        })
    }
}

/// A command's name, and the right that it needs. Telling what lists there are needs no more than the right to look up;
/// reading every byte on disk does, for it is costly.
fn what_it_is(command: &Command) -> (&'static str, Right) {
    match command {
        Command::Lists => ("lists", Right::Lookup),
        Command::Inspect { .. } => ("inspect", Right::Lookup),
        Command::Status => ("status", Right::Lookup),
        Command::BeginImport { .. } => ("begin_import", Right::Import),
        Command::Publish(_) => ("publish", Right::Import),
        Command::Add { .. } => ("add", Right::Import),
        Command::Withdraw { .. } => ("withdraw", Right::Import),
        Command::SetState { .. } => ("set_state", Right::Admin),
        Command::SetRadius { .. } => ("set_radius", Right::Admin),
        Command::Remove { .. } => ("remove", Right::Admin),
        Command::Rollback { .. } => ("rollback", Right::Admin),
        Command::Compact => ("compact", Right::Admin),
        Command::Verify => ("verify", Right::Admin),
    }
}
