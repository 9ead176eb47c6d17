//! Rights: what a client may be allowed to do.

use serde::{Deserialize, Serialize};

/// One thing that a client may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Ask: lookups, status, and what lists there are.
    Lookup,
    /// Everything about lists that has no right of its own; also to see the hashes that lists hold.
    Admin,
    /// Ask about a file's content, which costs the daemon far more than a hash.
    Content,
    /// See distances and the codes that matched. Whoever sees them could tune a picture until it passes.
    Detail,
    /// Change what lists say: import, add, withdraw, feeds.
    Import,
    /// Veto matches, and lift vetoes.
    Suppress,
    /// Read the audit trail and the match events.
    Audit,
}

impl Right {
    /// All rights, in the order of their bits.
    pub const ALL: [Right; 7] =
        [Right::Lookup, Right::Admin, Right::Content, Right::Detail, Right::Import, Right::Suppress, Right::Audit];

    /// The right's name in the config, in refusals and in the trail.
    pub const fn name(self) -> &'static str {
        match self {
            Right::Lookup => "lookup",
            Right::Admin => "admin",
            Right::Content => "content",
            Right::Detail => "detail",
            Right::Import => "import",
            Right::Suppress => "suppress",
            Right::Audit => "audit",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Right::Lookup => 1 << 0,
            Right::Admin => 1 << 1,
            Right::Content => 1 << 2,
            Right::Detail => 1 << 3,
            Right::Import => 1 << 4,
            Right::Suppress => 1 << 5,
            Right::Audit => 1 << 6,
        }
    }
}

/// A set of [`Right`]s; the bits stand in WELCOME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Everything.
    pub const ALL: Rights = Rights(0b111_1111);
    /// Asking only.
    pub const LOOKUP: Rights = Rights(Right::Lookup.bit());

    /// Whether `right` is in the set.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether anything can be changed with them.
    pub const fn may_change(self) -> bool {
        self.has(Right::Admin) || self.has(Right::Import) || self.has(Right::Suppress)
    }

    /// What both sets hold.
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// The set as bits: bit 0 look up, 1 administer, 2 ask about content, 3 see details, 4 import, 5 suppress, 6 audit.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set from its bits; bits without a meaning grant nothing.
    pub const fn from_bits(bits: u8) -> Rights {
        Rights(bits & Rights::ALL.0)
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        Rights(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_a_bit_of_its_own() {
        assert_eq!(Rights::from_iter(Right::ALL), Rights::ALL);
        for (at, right) in Right::ALL.into_iter().enumerate() {
            assert_eq!(Rights::from_iter([right]).bits(), 1 << at);
            assert!(Rights::ALL.has(right) && !Rights::NONE.has(right));
        }
    }

    #[test]
    fn unknown_bits_grant_nothing() {
        assert_eq!(Rights::from_bits(0b1000_0000), Rights::NONE);
        assert!(Rights::from_bits(0b10).has(Right::Admin));
        assert!(!Rights::from_bits(0b10).has(Right::Lookup));
    }
}
