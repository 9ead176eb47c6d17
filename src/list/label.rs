//! Labels: what one list says of one fingerprint.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ListId, VersionNumber};

/// Whose statement a label is: a list and, for a file list, its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Source {
    /// The list.
    pub list: ListId,
    /// Its version; [`VersionNumber::LIVE`] where the list has none.
    pub version: VersionNumber,
}

/// A raw category code with the scheme of its issuer. Written `SCHEME:CODE`, or `CODE` where no scheme is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category {
    /// Who defines the code, as the list names it (for VICS the region in the context); `None` if it does not.
    pub scheme: Option<Arc<str>>,
    /// The code, exactly as it stands in the list.
    pub code: Arc<str>,
}

impl Category {
    /// A category from its parts.
    pub fn new(scheme: Option<&str>, code: &str) -> Category {
        Category { scheme: scheme.map(Arc::from), code: Arc::from(code) }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Some(scheme) => write!(f, "{scheme}:{}", self.code),
            // A leading colon keeps a code that itself holds one from reading back as a scheme.
            None if self.code.contains(':') => write!(f, ":{}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

impl FromStr for Category {
    type Err = std::convert::Infallible;

    /// Splits at the first colon: schemes hold none, codes may. Nothing before it means no scheme.
    fn from_str(text: &str) -> Result<Category, Self::Err> {
        Ok(match text.split_once(':') {
            Some(("", code)) => Category::new(None, code),
            Some((scheme, code)) => Category::new(Some(scheme), code),
            None => Category::new(None, text),
        })
    }
}

impl From<String> for Category {
    fn from(text: String) -> Category {
        let Ok(category) = text.parse();
        category
    }
}

impl From<Category> for String {
    fn from(category: Category) -> String {
        category.to_string()
    }
}

/// Something an issuer says of an entry beside its category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// The category was confirmed by the issuer's own process (VICS `IsPrecategorized`).
    Precategorized = 1 << 0,
    /// The victim is identified (VICS `VictimIdentified`).
    VictimIdentified = 1 << 1,
    /// The offender is identified (VICS `OffenderIdentified`).
    OffenderIdentified = 1 << 2,
    /// It is known to circulate (VICS `IsDistributed`).
    Distributed = 1 << 3,
}

impl Flag {
    /// All flags, in the order of their bits.
    pub const ALL: [Flag; 4] =
        [Flag::Precategorized, Flag::VictimIdentified, Flag::OffenderIdentified, Flag::Distributed];

    /// The flag's name in answers and options.
    pub const fn name(self) -> &'static str {
        match self {
            Flag::Precategorized => "precategorized",
            Flag::VictimIdentified => "victim_identified",
            Flag::OffenderIdentified => "offender_identified",
            Flag::Distributed => "distributed",
        }
    }
}

/// A set of [`Flag`]s. The bits stand in segments and on the wire; bits without a meaning yet are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flags.
    pub const NONE: Flags = Flags(0);

    /// This set with `flag` in it if `on`.
    pub fn with(self, flag: Flag, on: bool) -> Flags {
        if on { Flags(self.0 | flag as u8) } else { self }
    }

    /// Whether `flag` is set.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag as u8 != 0
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> Vec<&'static str> {
        Flag::ALL.into_iter().filter(|flag| self.has(*flag)).map(Flag::name).collect()
    }
}

/// A list of names, as in answers.
impl Serialize for Flags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Flags, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().try_fold(Flags::NONE, |flags, name| {
            let flag = Flag::ALL.into_iter().find(|flag| flag.name() == name);
            flag.map(|flag| flags.with(flag, true))
                .ok_or_else(|| serde::de::Error::custom(format!("unknown flag `{name}`")))
        })
    }
}

/// What one list says of one fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Whose statement it is.
    pub source: Source,
    /// The issuer's raw category, where it gave one.
    pub category: Option<Category>,
    /// What else the issuer says.
    pub flags: Flags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_reads_back_from_what_it_prints() {
        for category in [
            Category::new(Some("US"), "1"),
            Category::new(None, "1"),
            Category::new(None, "a:b"),
            Category::new(Some("UK"), "a:b"),
        ] {
            assert_eq!(Category::from(category.to_string()), category);
        }
    }

    #[test]
    fn flags_are_printed_by_name() {
        let flags = Flags::NONE.with(Flag::Distributed, true).with(Flag::Precategorized, true);
        let json = serde_json::to_string(&flags).unwrap();
        assert_eq!(json, r#"["precategorized","distributed"]"#);
        assert_eq!(serde_json::from_str::<Flags>(&json).unwrap(), flags);
    }
}
