//! Who may ask what.
//!
//! A listener grants rights to whoever can connect to it; on a Unix socket the daemon's own user and root have all
//! rights besides, since they could change the data folder anyway. TCP peers cannot be told apart, so they have what
//! the listener grants and nothing more. The rule is a pure function of (peer, grant), checked as a table below.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One thing that a client may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Ask: lookups, status, and commands that only read.
    Lookup,
    /// Change lists.
    Admin,
    /// Ask about a file's content, which costs the daemon far more than a hash.
    Content,
    /// See distances and the codes that matched. Whoever sees them could tune a picture until it passes.
    Detail,
}

/// A set of [`Right`]s; the bits stand in WELCOME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Everything.
    pub const ALL: Rights = Rights(0b1111);
    /// Asking only.
    pub const LOOKUP: Rights = Rights(0b01);

    /// Whether `right` is in the set.
    pub const fn has(self, right: Right) -> bool {
        self.0 & Rights::bit(right) != 0
    }

    /// The set as bits: bit 0 look up, bit 1 administer, bit 2 ask about content, bit 3 see details.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set from its bits; bits without a meaning grant nothing.
    pub const fn from_bits(bits: u8) -> Rights {
        Rights(bits & Rights::ALL.0)
    }

    const fn bit(right: Right) -> u8 {
        match right {
            Right::Lookup => 0b01,
            Right::Admin => 0b10,
            Right::Content => 0b100,
            Right::Detail => 0b1000,
        }
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        Rights(rights.into_iter().fold(0, |bits, right| bits | Rights::bit(right)))
    }
}

/// A user's number, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(pub u32);

/// The user that may do everything on every machine.
const ROOT: UserId = UserId(0);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, by the user whom the kernel vouches for.
    Unix(UserId),
    /// Anyone who can reach the address.
    Tcp(SocketAddr),
}

/// What `peer` may do where the listener grants `granted` and the daemon runs as `daemon`.
pub fn rights(peer: Peer, daemon: UserId, granted: Rights) -> Rights {
    match peer {
        Peer::Unix(user) if user == daemon || user == ROOT => Rights::ALL,
        Peer::Unix(_) | Peer::Tcp(_) => granted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what() {
        let daemon = UserId(1_000);
        let tcp = Peer::Tcp("127.0.0.1:9".parse().unwrap());
        let admin = Rights::from_iter([Right::Admin]);
        for (peer, granted, expected) in [
            (Peer::Unix(daemon), Rights::LOOKUP, Rights::ALL),
            (Peer::Unix(daemon), Rights::NONE, Rights::ALL),
            (Peer::Unix(UserId(0)), Rights::LOOKUP, Rights::ALL),
            (Peer::Unix(UserId(1_001)), Rights::LOOKUP, Rights::LOOKUP),
            (Peer::Unix(UserId(1_001)), Rights::NONE, Rights::NONE),
            (Peer::Unix(UserId(1_001)), admin, admin),
            (tcp, Rights::LOOKUP, Rights::LOOKUP),
            (tcp, Rights::ALL, Rights::ALL),
        ] {
            assert_eq!(rights(peer, daemon, granted), expected, "{peer:?} {granted:?}");
        }
        assert_eq!(rights(Peer::Unix(UserId(1_001)), UserId(0), Rights::LOOKUP), Rights::LOOKUP);
    }

    #[test]
    fn unknown_bits_grant_nothing() {
        assert_eq!(Rights::from_bits(0b1111_0000), Rights::NONE);
        assert!(Rights::from_bits(0b10).has(Right::Admin));
        assert!(!Rights::from_bits(0b10).has(Right::Lookup));
    }
}
