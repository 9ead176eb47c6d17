//! Distances within which perceptual hashes match.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Kind, UnknownKind};

/// A Hamming distance up to which two perceptual hashes match, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Radius(pub u16);

impl fmt::Display for Radius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Radii of some perceptual kinds, none above its kind's [`Kind::radius_max`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(try_from = "BTreeMap<Kind, Radius>", into = "BTreeMap<Kind, Radius>")]
pub struct Radii(BTreeMap<Kind, Radius>);

impl Radii {
    /// No radius at all.
    pub fn none() -> Radii {
        Radii::default()
    }

    /// The radius of `kind`, if it is among them.
    pub fn get(&self, kind: Kind) -> Option<Radius> {
        self.0.get(&kind).copied()
    }

    /// Sets the radius of a kind.
    ///
    /// # Errors
    /// An exact kind, or a radius above the kind's largest.
    pub fn set(&mut self, kind: Kind, radius: Radius) -> Result<(), BadRadius> {
        let max = kind.radius_max().ok_or(BadRadius::ExactKind(kind))?;
        if radius > max {
            return Err(BadRadius::TooLarge { kind, max, found: radius });
        }
        self.0.insert(kind, radius);
        Ok(())
    }

    /// Forgets the radius of a kind.
    pub fn unset(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over the radii of others, in place of its own of the same kinds.
    pub fn merge(&mut self, others: Radii) {
        self.0.extend(others.0);
    }

    /// All of them, in the order of kinds.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Radius)> + '_ {
        self.0.iter().map(|(kind, radius)| (*kind, *radius))
    }
}

/// As one gives them: `pdq=40,phash64=6`.
impl fmt::Display for Radii {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, radius)) in self.iter().enumerate() {
            write!(f, "{}{kind}={radius}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FromIterator<KindRadius> for Radii {
    fn from_iter<I: IntoIterator<Item = KindRadius>>(radii: I) -> Radii {
        Radii(radii.into_iter().map(|KindRadius { kind, radius }| (kind, radius)).collect())
    }
}

impl TryFrom<BTreeMap<Kind, Radius>> for Radii {
    type Error = BadRadius;

    fn try_from(all: BTreeMap<Kind, Radius>) -> Result<Radii, BadRadius> {
        let mut radii = Radii::none();
        all.into_iter().try_for_each(|(kind, radius)| radii.set(kind, radius))?;
        Ok(radii)
    }
}

impl From<Radii> for BTreeMap<Kind, Radius> {
    fn from(radii: Radii) -> BTreeMap<Kind, Radius> {
        radii.0
    }
}

/// `KIND=BITS`, as people give a radius: within bounds by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRadius {
    kind: Kind,
    radius: Radius,
}

impl KindRadius {
    /// The kind, which is a perceptual one.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The radius, which the kind allows.
    pub fn radius(self) -> Radius {
        self.radius
    }
}

impl FromStr for KindRadius {
    type Err = BadRadius;

    fn from_str(text: &str) -> Result<KindRadius, BadRadius> {
        let (kind, bits) = text.split_once('=').ok_or_else(|| BadRadius::NotText(text.to_owned()))?;
        let radius = Radius(bits.parse().map_err(|_| BadRadius::NotText(text.to_owned()))?);
        let kind = kind.parse()?;
        Radii::none().set(kind, radius)?;
        Ok(KindRadius { kind, radius })
    }
}

/// What is no radius.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRadius {
    /// A kind that is compared by equality.
    #[error("{0} is compared by equality and has no radius; expected one of {kinds}", kinds = Kind::PERCEPTUAL.map(Kind::name).join(", "))]
    ExactKind(Kind),
    /// Larger than the kind allows.
    #[error("a radius of {found} for {kind}: expected at most {max}")]
    TooLarge {
        /// The kind.
        kind: Kind,
        /// Its largest radius.
        max: Radius,
        /// The radius that was given.
        found: Radius,
    },
    /// Not of the form `KIND=BITS`.
    #[error("expected KIND=BITS, such as pdq=31, found {0:?}")]
    NotText(String),
    /// No kind of ours.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radius_is_read_within_its_bounds() {
        let radii: Radii =
            ["pdq=63", "phash64=0"].map(|text| text.parse::<KindRadius>().unwrap()).into_iter().collect();
        assert_eq!(radii.get(Kind::Pdq), Some(Radius(63)));
        assert_eq!(radii.get(Kind::Phash64), Some(Radius(0)));
        assert_eq!(radii.get(Kind::Dhash64), None);
        assert_eq!(radii.to_string(), "pdq=63,phash64=0");
        let json = serde_json::to_string(&radii).unwrap();
        assert_eq!(json, r#"{"pdq":63,"phash64":0}"#);
        assert_eq!(serde_json::from_str::<Radii>(&json).unwrap(), radii);
        for bad in ["pdq", "pdq=", "pdq=-1", "pdq=64", "phash64=17", "md5=1", "nilsimsa=3"] {
            assert!(bad.parse::<KindRadius>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Radii>(r#"{"pdq":64}"#).is_err());
    }
}
