//! Principals: those whom the config names, and how somebody is recognised as one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Budget, GroupId, Meter, Peer, Refusals, Right, Rights, Token, TokenHash, UsedDay, UserId};

/// The names of those who have one without the config.
const OWN_NAME: &str = "daemon";
const ROOT_NAME: &str = "root";
const LOCAL_NAME: &str = "local";
const STRANGER_NAME: &str = "stranger";

/// The user that may do everything on every machine.
const ROOT: UserId = UserId(0);

/// A principal's name, as the trail, the log and the metrics say it: 1 to 64 of `a-z A-Z 0-9 . _ @ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalName(String);

impl PrincipalName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for PrincipalName {
    type Error = BadAccess;

    fn try_from(name: String) -> Result<PrincipalName, BadAccess> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let good = (1..=64).contains(&name.len()) && name.bytes().all(allowed);
        if good { Ok(PrincipalName(name)) } else { Err(BadAccess::Name(name)) }
    }
}

impl From<PrincipalName> for String {
    fn from(name: PrincipalName) -> String {
        name.0
    }
}

/// By what somebody is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A user of this machine, at a Unix socket.
    User(UserId),
    /// A group of this machine, at a Unix socket.
    Group(GroupId),
    /// Whoever bears the token with this digest.
    Token(TokenHash),
    /// Whoever is nobody else, over TCP too.
    Anyone,
}

/// One `[[principal]]` of the config: a name, one of `uid`, `gid`, `token` and `anyone = true`, rights and a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalConfig {
    /// Its name.
    pub name: PrincipalName,
    /// The number of the user that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The number of the group that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The digest of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenHash>,
    /// Whether it is whoever is nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyone: bool,
    /// What it may do, where the listener grants it too.
    pub rights: Vec<Right>,
    /// How much it may ask.
    #[serde(default)]
    pub budget: Budget,
}

/// Principals that are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAccess {
    /// A name that no principal may have.
    #[error("bad principal name {0:?}; expected 1 to 64 of a-z A-Z 0-9 . _ @ -")]
    Name(String),
    /// Nobody can tell who is meant.
    #[error("principal {0}: expected exactly one of uid, gid, token and anyone = true, found {1}")]
    Identity(PrincipalName, usize),
    /// A name with which records tell of somebody else.
    #[error("principal {0}: so is called who is in no config; expected another name")]
    Taken(PrincipalName),
    /// Two of the same name, or two by the same means.
    #[error("principal {0}: its {1} stands twice; expected each once")]
    Repeated(PrincipalName, &'static str),
}

/// One of several principals that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bad}")]
pub struct BadPrincipal {
    /// Its number among them, from 0.
    pub number: usize,
    /// Why.
    pub bad: BadAccess,
}

/// Somebody who asks, and what was asked so far.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Its name.
    pub name: PrincipalName,
    /// By what it is recognised; `None` of those who have a name without the config: the daemon's user, root, and
    /// whoever is nobody else.
    pub identity: Option<Identity>,
    /// What it may do, where the listener grants it too.
    pub rights: Rights,
    /// Whether the listener's rights bind it.
    pub bound_by_listener: bool,
    /// How much it may ask.
    pub budget: Budget,
    /// What it has asked.
    pub meter: Arc<Meter>,
    /// How often it was refused.
    pub refusals: Arc<Refusals>,
}

impl Principal {
    /// What it may do at a listener that grants `granted`.
    pub fn rights_at(&self, granted: Rights) -> Rights {
        if self.bound_by_listener { self.rights.and(granted) } else { self.rights }
    }
}

/// A token that no principal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no principal has this token; see that it was copied whole, and that its digest stands in the config")]
pub struct UnknownToken;

/// All principals.
#[derive(Debug)]
pub struct Access {
    daemon: UserId,
    named: Vec<Arc<Principal>>,
    /// The daemon's own user.
    own: Arc<Principal>,
    root: Arc<Principal>,
    /// Who is nobody else, at a Unix socket and elsewhere.
    local: Arc<Principal>,
    stranger: Arc<Principal>,
}

impl Access {
    /// The principals of the config, where the daemon runs as `daemon`.
    ///
    /// # Errors
    /// [`BadPrincipal`], the first.
    pub fn new(daemon: UserId, configs: &[PrincipalConfig]) -> Result<Access, BadPrincipal> {
        let (mut names, mut identities) = (BTreeSet::new(), Vec::new());
        let mut named = Vec::new();
        for (number, config) in configs.iter().enumerate() {
            let refused = |bad| BadPrincipal { number, bad };
            let repeated = |what| Err(refused(BadAccess::Repeated(config.name.clone(), what)));
            let identity = config.identity().map_err(refused)?;
            if [OWN_NAME, ROOT_NAME, LOCAL_NAME, STRANGER_NAME].contains(&config.name.as_str()) {
                return Err(refused(BadAccess::Taken(config.name.clone())));
            }
            if !names.insert(&config.name) {
                return repeated("name");
            }
            if identities.contains(&identity) {
                return repeated("uid, gid, token or anyone");
            }
            identities.push(identity);
            named.push(Arc::new(Principal {
                name: config.name.clone(),
                identity: Some(identity),
                rights: config.rights.iter().copied().collect(),
                bound_by_listener: true,
                budget: config.budget,
                meter: Arc::default(),
                refusals: Arc::default(),
            }));
        }
        let unnamed = |name: &str, rights, bound_by_listener| {
            Arc::new(Principal {
                name: PrincipalName(name.to_owned()),
                identity: None,
                rights,
                bound_by_listener,
                budget: Budget::default(),
                meter: Arc::default(),
                refusals: Arc::default(),
            })
        };
        let anyone = named.iter().find(|principal| principal.identity == Some(Identity::Anyone)).cloned();
        Ok(Access {
            daemon,
            own: unnamed(OWN_NAME, Rights::ALL, false),
            root: unnamed(ROOT_NAME, Rights::ALL, false),
            local: anyone.clone().unwrap_or_else(|| unnamed(LOCAL_NAME, Rights::LOOKUP, true)),
            stranger: anyone.unwrap_or_else(|| unnamed(STRANGER_NAME, Rights::NONE, true)),
            named,
        })
    }

    /// Who `peer` is, with the token that it sent, if it sent one. A token goes before what the kernel says, and a wrong
    /// one is never as good as none.
    ///
    /// # Errors
    /// [`UnknownToken`].
    pub fn identify(&self, peer: Peer, token: Option<&Token>) -> Result<&Arc<Principal>, UnknownToken> {
        if let Some(token) = token {
            let identity = Some(Identity::Token(token.hash()));
            // All are compared, each in constant time.
            let found = self.named.iter().fold(None, |found, principal| match principal.identity == identity {
                true => Some(principal),
                false => found,
            });
            return found.ok_or(UnknownToken);
        }
        let Peer::Unix(user, group) = peer else { return Ok(&self.stranger) };
        if user == self.daemon {
            return Ok(&self.own);
        }
        if user == ROOT {
            return Ok(&self.root);
        }
        let by = |identity| self.named.iter().find(|principal| principal.identity == Some(identity));
        Ok(by(Identity::User(user)).or_else(|| by(Identity::Group(group))).unwrap_or(&self.local))
    }

    /// Those whom the config names.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.named.iter().map(|principal| &**principal)
    }

    /// What they have used of daily budgets on the day of `utc_ms`, those who have used any.
    pub fn used(&self, utc_ms: u64) -> BTreeMap<PrincipalName, UsedDay> {
        let used = self.principals().map(|principal| (principal.name.clone(), principal.meter.used(utc_ms)));
        used.filter(|(_, used)| !used.is_nothing()).collect()
    }

    /// Each of them goes on from what `used` says that was used before.
    pub fn resume(&self, used: impl Fn(&PrincipalName) -> Option<UsedDay>) {
        for principal in self.principals() {
            used(&principal.name).into_iter().for_each(|used| principal.meter.resume(used));
        }
    }

    /// The same, where those who were principals before have used of their budgets what they had used then.
    pub fn with_meters_of(self, before: &Access) -> Access {
        let carry = |principal: Arc<Principal>| {
            let known = before.named.iter().find(|known| known.name == principal.name);
            let meter = known.map_or(&principal.meter, |known| &known.meter);
            Arc::new(Principal { meter: Arc::clone(meter), ..Principal::clone(&principal) })
        };
        let named = self.named.into_iter().map(carry).collect();
        Access { named, local: carry(self.local), stranger: carry(self.stranger), ..self }
    }
}

impl PrincipalConfig {
    fn identity(&self) -> Result<Identity, BadAccess> {
        let given = [
            self.uid.map(|uid| Identity::User(UserId(uid))),
            self.gid.map(|gid| Identity::Group(GroupId(gid))),
            self.token.map(Identity::Token),
            self.anyone.then_some(Identity::Anyone),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.count()) {
            (Some(identity), 0) => Ok(identity),
            (first, more) => Err(BadAccess::Identity(self.name.clone(), usize::from(first.is_some()) + more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAEMON: UserId = UserId(1_000);

    fn config(name: &str, rights: &[Right]) -> PrincipalConfig {
        PrincipalConfig {
            name: name.to_owned().try_into().unwrap(),
            uid: None,
            gid: None,
            token: None,
            anyone: false,
            rights: rights.to_vec(),
            budget: Budget::default(),
        }
    }

    fn unix(user: u32, group: u32) -> Peer {
        Peer::Unix(UserId(user), GroupId(group))
    }

    fn tcp() -> Peer {
        Peer::Tcp("127.0.0.1:9".parse().unwrap())
    }

    #[test]
    fn who_is_who_and_may_do_what() {
        let token = Token::generate().unwrap();
        let lookup_and_content = Rights::from_iter([Right::Lookup, Right::Content]);
        let configs = [
            PrincipalConfig { uid: Some(7), ..config("examiner", &[Right::Lookup, Right::Detail]) },
            PrincipalConfig { gid: Some(70), ..config("lab", &[Right::Lookup, Right::Content]) },
            PrincipalConfig { token: Some(token.hash()), ..config("platform", &[Right::Content]) },
        ];
        let access = Access::new(DAEMON, &configs).unwrap();
        let all = Rights::ALL;
        for (peer, token, granted, name, rights) in [
            (unix(1_000, 1), None, Rights::NONE, "daemon", all),
            (unix(0, 0), None, Rights::LOOKUP, "root", all),
            (unix(7, 70), None, all, "examiner", Rights::from_iter([Right::Lookup, Right::Detail])),
            (unix(7, 70), None, Rights::LOOKUP, "examiner", Rights::LOOKUP),
            (unix(8, 70), None, all, "lab", lookup_and_content),
            (unix(8, 71), None, all, "local", Rights::LOOKUP),
            (unix(8, 71), None, Rights::NONE, "local", Rights::NONE),
            (tcp(), None, all, "stranger", Rights::NONE),
            (tcp(), Some(&token), all, "platform", Rights::from_iter([Right::Content])),
            (tcp(), Some(&token), Rights::LOOKUP, "platform", Rights::NONE),
            (unix(1_000, 1), Some(&token), all, "platform", Rights::from_iter([Right::Content])),
        ] {
            let who = access.identify(peer, token).unwrap();
            assert_eq!((who.name.as_str(), who.rights_at(granted)), (name, rights), "{peer:?} {granted:?}");
        }
        let wrong = Token::generate().unwrap();
        for peer in [unix(1_000, 1), unix(0, 0), tcp()] {
            assert_eq!(access.identify(peer, Some(&wrong)).map(|who| who.name.clone()), Err(UnknownToken));
        }
    }

    #[test]
    fn anyone_is_whoever_is_nobody_else() {
        let configs = [PrincipalConfig { anyone: true, ..config("public", &[Right::Lookup]) }];
        let access = Access::new(DAEMON, &configs).unwrap();
        for peer in [unix(8, 71), tcp()] {
            assert_eq!(access.identify(peer, None).unwrap().name.as_str(), "public");
        }
        assert_eq!(access.identify(unix(1_000, 1), None).unwrap().name.as_str(), "daemon");
    }

    #[test]
    fn a_reload_gives_nobody_a_second_budget() {
        let budget = Budget { content_per_day: Some(1), ..Budget::default() };
        let configs = [
            PrincipalConfig { anyone: true, budget, ..config("public", &[]) },
            PrincipalConfig { uid: Some(7), budget, ..config("examiner", &[]) },
        ];
        let new = || Access::new(DAEMON, &configs).unwrap();
        let content = super::super::Cost { content: 1, ..Default::default() };
        let take = |access: &Access, peer| {
            let principal = access.identify(peer, None).unwrap();
            let now = super::super::Clocks { utc_ms: 1_000, steady_ms: 1_000 };
            principal.meter.take(&principal.budget, content, now).is_ok()
        };
        let mut access = new();
        for peer in [tcp(), unix(7, 7)] {
            assert!(take(&access, peer) && !take(&access, peer));
            access = new().with_meters_of(&access);
            assert!(!take(&access, peer));
        }
        assert!(!take(&access, unix(8, 8)), "the same whoever, by another way");
        // Nor does a start that knows what was used.
        let (started, used) = (new(), access.used(1_000));
        started.resume(|name| used.get(name).copied());
        for peer in [tcp(), unix(7, 7), unix(8, 8)] {
            assert!(!take(&started, peer));
        }
    }

    #[test]
    fn principals_that_nobody_can_tell_apart_are_refused() {
        let token = Token::generate().unwrap().hash();
        let bad = [
            (vec![config("a", &[])], "found 0"),
            (vec![PrincipalConfig { token: Some(token), ..config("root", &[]) }], "expected another name"),
            (vec![PrincipalConfig { anyone: true, ..config("local", &[]) }], "expected another name"),
            (vec![PrincipalConfig { uid: Some(1), gid: Some(1), ..config("a", &[]) }], "found 2"),
            (vec![PrincipalConfig { uid: Some(1), ..config("a", &[]) }; 2], "its name stands twice"),
            (
                ["a", "b"].map(|name| PrincipalConfig { token: Some(token), ..config(name, &[]) }).to_vec(),
                "stands twice",
            ),
        ];
        for (configs, expected) in bad {
            let error = Access::new(DAEMON, &configs).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(PrincipalName::try_from("a b".to_owned()).is_err());
    }
}
