//! The vocabulary of lists: what a list says of a fingerprint, and how much that counts.
//!
//! A [`Label`] is what one list says of one fingerprint. It keeps the issuer's raw category code beside the
//! issuer's scheme: codes of one country are never translated into another's, and "0" or an unknown code is never
//! taken for harmless. Which role a category has is the operator's word, kept in [`Roles`].

mod attributes;
mod label;
mod roles;
mod suppression;

pub use attributes::{Attribute, Attributes, PackedAttributes};
pub use label::{Category, Flag, Flags, Label, Source};
pub use roles::{CategoryRole, ParseCategoryRoleError, Roles};
pub use suppression::{Lifted, Suppression, SuppressionScope};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{Encoding, Fingerprint, Hasher, Kind};

/// What a match in a list means for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Known as illegal.
    Illegal,
    /// Known as harmless.
    Ignorable,
    /// Worth reporting; never changes a verdict.
    Watch,
}

impl Role {
    /// The role's name in options, answers and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Illegal => "illegal",
            Role::Ignorable => "ignorable",
            Role::Watch => "watch",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Role, UnknownName> {
        [Role::Illegal, Role::Ignorable, Role::Watch].into_iter().find(|role| role.name() == name).ok_or_else(|| {
            UnknownName { what: "role", found: name.to_owned(), expected: "illegal, ignorable or watch" }
        })
    }
}

/// Whether a list takes part in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ListState {
    /// Its labels decide.
    Active,
    /// It is kept, updated and held against new versions, and takes no part in a verdict.
    Shadow,
    /// Its labels are not looked at.
    Disabled,
}

impl ListState {
    /// The state's name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            ListState::Active => "active",
            ListState::Shadow => "shadow",
            ListState::Disabled => "disabled",
        }
    }
}

impl fmt::Display for ListState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ListState {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<ListState, UnknownName> {
        [ListState::Active, ListState::Shadow, ListState::Disabled]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| UnknownName {
                what: "list state",
                found: name.to_owned(),
                expected: "active, shadow or disabled",
            })
    }
}

/// A word outside a small fixed vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{found}`; expected {expected}")]
pub struct UnknownName {
    what: &'static str,
    found: String,
    expected: &'static str,
}

/// How a list changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ListShape {
    /// Replaced as a whole: each import makes a new immutable version.
    File,
    /// Changed entry by entry, keyed by source id: network feeds, and entries added by hand.
    Feed,
    /// Part of the program: see [`BUILT_IN`].
    BuiltIn,
}

impl ListShape {
    /// The shape's name in reports and in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            ListShape::File => "file",
            ListShape::Feed => "feed",
            ListShape::BuiltIn => "builtin",
        }
    }
}

/// A list's number: given once by the catalogue, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct ListId(pub u32);

/// A version's number within its file list, from 1. Feed lists and built-in lists have only [`VersionNumber::LIVE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct VersionNumber(pub u32);

impl VersionNumber {
    /// The number that stands for "changes entry by entry, has no versions".
    pub const LIVE: VersionNumber = VersionNumber(0);
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A list's name, as people type it: 1 to 64 of `a-z 0-9 . _ -`, not starting with a dot or a dash, so that it is
/// safe in paths, config and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListName(String);

impl ListName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ListName {
    type Err = BadListName;

    fn from_str(name: &str) -> Result<ListName, BadListName> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let good = (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-']);
        if good { Ok(ListName(name.to_owned())) } else { Err(BadListName(name.to_owned())) }
    }
}

impl TryFrom<String> for ListName {
    type Error = BadListName;

    fn try_from(name: String) -> Result<ListName, BadListName> {
        name.parse()
    }
}

impl From<ListName> for String {
    fn from(name: ListName) -> String {
        name.0
    }
}

/// A name that no list may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad list name {0:?}; expected 1 to 64 of a-z 0-9 . _ - and no dot or dash in front")]
pub struct BadListName(String);

/// A list that is part of the program.
pub struct BuiltInList {
    /// Its fixed number.
    pub id: ListId,
    /// Its fixed name.
    pub name: &'static str,
    /// Its role.
    pub role: Role,
}

/// Degenerate content (see [`crate::fingerprint::degenerate_contents`]) is known, and harmless.
pub const DEGENERATE: BuiltInList = BuiltInList { id: ListId(1), name: "hashward-degenerate", role: Role::Ignorable };

/// One public text, so that anyone can check an installation without any real list: a file with exactly
/// [`TEST_CONTENT`] answers `watched`.
pub const TEST: BuiltInList = BuiltInList { id: ListId(2), name: "hashward-test", role: Role::Watch };

/// All built-in lists. They answer always, and do not count as "a list that holds this kind": an empty hashward
/// still never says "unknown".
pub const BUILT_IN: [BuiltInList; 2] = [DEGENERATE, TEST];

/// The first number the catalogue gives to a list of the operator's.
pub const FIRST_FREE_LIST_ID: ListId = ListId(16);

/// The content that the list `hashward-test` knows, without a line end.
pub const TEST_CONTENT: &str = "HASHWARD-TEST-FILE: this text is harmless, and the list hashward-test knows it.";

/// The digests of [`TEST_CONTENT`] in every computed kind.
pub fn test_fingerprints() -> Vec<Fingerprint> {
    let mut hasher = Hasher::new(&Kind::COMPUTED).expect("computed kinds can be computed");
    hasher.update(TEST_CONTENT.as_bytes());
    hasher.finish()
}

/// One record of a feed list: its fingerprints and what the list says of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Entry {
    /// The source's own key for this record. Entries added by hand are keyed by [`Entry::hand_source_id`].
    pub source_id: String,
    /// At least one.
    pub fingerprints: Vec<Fingerprint>,
    /// The issuer's raw category, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// What else the issuer says of it.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// When the source last changed it, in milliseconds since 1970-01-01 UTC by the source's clock: of two states of an
    /// entry the later one counts, in whatever order they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<i64>,
    /// What else the source says.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub attributes: Attributes,
}

impl Entry {
    /// The key of an entry that was added by hand: adding the same fingerprint again replaces it.
    pub fn hand_source_id(fingerprint: &Fingerprint) -> String {
        format!("{}:{}", fingerprint.kind(), Encoding::Hex.encode(fingerprint.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for good in ["debian", "ncmec-2026.q1", "a"] {
            assert_eq!(good.parse::<ListName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "../x", "-x", "Grün", "a b", "A", &"x".repeat(65)] {
            assert!(bad.parse::<ListName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn built_in_lists_keep_below_the_first_free_number() {
        for list in BUILT_IN {
            assert!(list.id < FIRST_FREE_LIST_ID);
            assert!(list.name.parse::<ListName>().is_ok());
        }
        assert_eq!(test_fingerprints().len(), Kind::COMPUTED.len());
    }
}
