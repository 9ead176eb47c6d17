//! What changes while others ask, and what may be answered meanwhile.
//!
//! A change has begun before it is ordered, and has ended when it is acknowledged. A question that was sent after the end
//! of one change, and answered before the begin of the next, must be answered accordingly; in between either is true, but
//! never a part of it: what one command, one import or one rollback changes, changes in one step.

use std::sync::atomic::{AtomicU64, Ordering};

use hashward::fingerprint::{Fingerprint, Kind, Radii};
use hashward::list::{Entry, ListName, Role, SuppressionScope};
use hashward::matching::{Answers, Verdict};
use hashward::protocol::{Client, ClientError, ErrorCode};
use hashward::store::command::Lifting;
use hashward::store::{Command, Outcome};

use crate::world::{Setting, World, command, digest, unknown, until};

const OWN: &str = "own";
const ROLLING: &str = "rolling";

/// Digests of the list `rolling` that all of its versions hold; the gate lets pass what leaves so many alone.
const ROLLING_COMMON: u64 = 1_000;

/// Digests of a group.
const KEYS: u64 = 64;

/// Digests that are known all together, or not at all.
pub(crate) struct Group {
    name: &'static str,
    keys: Vec<[u8; 16]>,
    /// Odd while it changes; from 0 on unknown, from 2 on known, from 4 on unknown again.
    step: AtomicU64,
}

impl Group {
    fn new(name: &'static str, keys: impl Iterator<Item = [u8; 16]>, is_known: bool) -> Group {
        Group { name, keys: keys.collect(), step: AtomicU64::new(if is_known { 2 } else { 0 }) }
    }

    fn is_known(&self) -> bool {
        self.step.load(Ordering::SeqCst) / 2 % 2 == 1
    }

    /// Checks how many of its digests were known, where the question was sent at step `asked` and the answer has come.
    fn check(&self, asked: u64, known: usize) -> Result<(), String> {
        let answered = self.step.load(Ordering::SeqCst);
        let may_be = |step: u64| match step % 4 {
            0 => known == 0,
            2 => known == self.keys.len(),
            _ => known == 0 || known == self.keys.len(),
        };
        if (asked..=answered).any(may_be) {
            return Ok(());
        }
        let (name, of) = (self.name, self.keys.len());
        Err(format!("{known} of {of} digests of the group {name} are known, between its steps {asked} and {answered}"))
    }
}

/// Changes these groups: those that were known are not, and the other way round.
fn change<T>(groups: &[&Group], act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let step = || {
        for group in groups {
            group.step.fetch_add(1, Ordering::SeqCst);
        }
    };
    step();
    let result = act()?;
    step();
    Ok(result)
}

/// All that changes.
pub(crate) struct Changing {
    /// Own entries, added and withdrawn.
    own: Group,
    /// What only the one sort of version of a file list holds.
    first: Group,
    /// What only the other does.
    second: Group,
    /// A digest of the list `fixed`, which is suppressed and lifted.
    vetoed: Group,
    /// Nothing but a right, which the config gives and takes.
    visitor: Group,
}

/// The steps of all groups when a question is sent.
pub(crate) struct Asked([u64; 4]);

impl Changing {
    /// Begins: the rolling list is at its first version, nothing of one's own is there, and nothing is suppressed.
    pub(crate) fn new(world: &World) -> Changing {
        let keys = |number: u64| (number * KEYS..(number + 1) * KEYS).map(|i| digest((1 << 50) + i));
        let changing = Changing {
            own: Group::new("own", keys(0), false),
            first: Group::new("first", keys(1), true),
            second: Group::new("second", keys(2), false),
            vetoed: Group::new("vetoed", std::iter::once(digest(1)), true),
            visitor: Group::new("visitor", std::iter::empty(), false),
        };
        changing.publish(world, &changing.first).expect("the first version of the rolling list");
        changing
    }

    fn groups(&self) -> [&Group; 4] {
        [&self.own, &self.first, &self.second, &self.vetoed]
    }

    /// The digests of all groups, packed.
    pub(crate) fn rows(&self) -> Vec<u8> {
        self.groups().iter().flat_map(|group| group.keys.iter().flatten().copied()).collect()
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked(self.groups().map(|group| group.step.load(Ordering::SeqCst)))
    }

    /// Checks the answers to [`Changing::rows`], all of one moment.
    pub(crate) fn check(&self, Asked(asked): &Asked, answers: &Answers) -> Result<(), String> {
        if answers.miss != Verdict::Unknown || !answers.incomplete.is_empty() {
            return Err(format!("not all was asked: {:?}, {:?}", answers.miss, answers.incomplete));
        }
        let mut is_known = answers.iter().map(|answer| answer.is_some_and(|answer| answer.verdict == Verdict::Known));
        let mut known = [0; 4];
        for ((group, asked), known) in self.groups().iter().zip(asked).zip(&mut known) {
            *known = is_known.by_ref().take(group.keys.len()).filter(|is_known| *is_known).count();
            group.check(*asked, *known)?;
        }
        match known {
            [_, first, second, _] if (first > 0) != (second > 0) => Ok(()),
            _ => Err(format!("expected one version of the rolling list, found {known:?}")),
        }
    }

    fn publish(&self, world: &World, group: &Group) -> Result<(), String> {
        let common = (0..ROLLING_COMMON).map(|i| digest((1 << 51) + i));
        world.import(ROLLING, common.chain(group.keys.iter().copied()))
    }

    /// Imports the version of the rolling list that does not answer.
    pub(crate) fn import(&self, world: &World) -> Result<(), String> {
        let next = if self.first.is_known() { &self.second } else { &self.first };
        change(&[&self.first, &self.second], || self.publish(world, next))
    }

    /// Returns the rolling list to the version before, which is of the other sort if the last change was an import.
    pub(crate) fn roll_back(&self, client: &mut Client) -> Result<(), String> {
        let back = Command::Rollback { list: name(ROLLING), to: None };
        match change(&[&self.first, &self.second], || command(client, &back))? {
            Outcome::RolledBack { .. } => Ok(()),
            other => Err(format!("expected a rollback, found {other:?}")),
        }
    }

    /// Adds the own entries, or withdraws them.
    pub(crate) fn add_or_withdraw(&self, client: &mut Client) -> Result<(), String> {
        let fingerprints: Vec<Fingerprint> = self.own.keys.iter().map(md5).collect();
        let of_one = |fingerprint: Fingerprint| Entry {
            source_id: Entry::hand_source_id(&fingerprint),
            fingerprints: vec![fingerprint],
            ..Entry::default()
        };
        let order = if self.own.is_known() {
            Command::Withdraw { list: name(OWN), fingerprints }
        } else {
            let entries = fingerprints.into_iter().map(of_one).collect();
            Command::Add { list: name(OWN), role: Some(Role::Illegal), entries }
        };
        change(&[&self.own], || command(client, &order)).map(drop)
    }

    /// Suppresses a hash of a list, or lifts that.
    pub(crate) fn suppress_or_lift(&self, client: &mut Client) -> Result<(), String> {
        let fingerprint = md5(&self.vetoed.keys[0]);
        let (author, reason) = ("bench".to_owned(), "to see that it takes effect".to_owned());
        let order = if self.vetoed.is_known() {
            Command::Suppress { fingerprint, scope: SuppressionScope::Hash, author, reason }
        } else {
            Command::Lift { of: Lifting::Hash(fingerprint), author, reason }
        };
        change(&[&self.vetoed], || command(client, &order)).map(drop)
    }

    /// Has the config read again: a listener comes and the visitor may look up, or both go.
    pub(crate) fn reload(&self, world: &World, base: &Setting) -> Result<(), String> {
        let comes = !self.visitor.is_known();
        let setting = Setting { has_second_listener: comes, visitor_may_look_up: comes, ..base.clone() };
        let second = world.second_socket();
        change(&[&self.visitor], || {
            world.reload(&setting);
            // The rights are in force before a new listener greets, and before one that goes is closed.
            until("the config is read again", || (Client::connect(&second).is_ok() == comes).then_some(()))
        })?;
        if comes {
            let mut client = Client::connect(&second).map_err(|error| error.to_string())?;
            ask_one(&mut client, digest(0), true)?;
        }
        Ok(())
    }

    /// Has the config read again if the second listener is there, so that it goes.
    pub(crate) fn settle(&self, world: &World, base: &Setting) -> Result<(), String> {
        if self.visitor.is_known() { self.reload(world, base) } else { Ok(()) }
    }

    /// Asks as the visitor, who must be answered while the config says so, and refused while it does not.
    pub(crate) fn ask_as_visitor(&self, client: &mut Client, number: u64) -> Result<(), String> {
        let asked = self.visitor.step.load(Ordering::SeqCst);
        let answered = client.lookup(&[Kind::Md5], &Radii::none(), &unknown(number));
        let now = self.visitor.step.load(Ordering::SeqCst);
        let may = (asked..=now).any(|step| step % 4 != 0);
        let may_not = (asked..=now).any(|step| step % 4 != 2);
        match answered {
            Ok(answers) if may && answers.miss == Verdict::Unknown && answers.hits.is_empty() => Ok(()),
            Err(ClientError::Failed(failure)) if may_not && failure.code == ErrorCode::Forbidden => Ok(()),
            other => Err(format!("the visitor hears {other:?}, between the steps {asked} and {now}")),
        }
    }
}

/// Asks about one digest.
pub(crate) fn ask_one(client: &mut Client, digest: [u8; 16], is_known: bool) -> Result<(), String> {
    let radii = Radii::none();
    let answers = client.lookup(&[Kind::Md5], &radii, &digest).map_err(|error| error.to_string())?;
    let verdict = answers.iter().next().flatten().map_or(answers.miss, |answer| answer.verdict);
    let expected = if is_known { Verdict::Known } else { Verdict::Unknown };
    if verdict == expected { Ok(()) } else { Err(format!("expected {expected:?} of one digest, found {verdict:?}")) }
}

fn md5(value: &[u8; 16]) -> Fingerprint {
    Fingerprint::new(Kind::Md5, value).expect("an MD5 has 16 bytes")
}

fn name(name: &str) -> ListName {
    name.parse().expect("a good name")
}
