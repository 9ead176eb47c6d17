//! A set of fingerprints of any kinds, asked by values that stand elsewhere.

use std::collections::{BTreeMap, HashSet};

use super::{Fingerprint, Kind};

/// Fingerprints by kind. Asking copies nothing, and an empty set is asked for next to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FingerprintSet(BTreeMap<Kind, HashSet<Box<[u8]>>>);

impl FingerprintSet {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    /// Whether `value`, of this kind, is in it.
    pub fn contains(&self, kind: Kind, value: &[u8]) -> bool {
        self.0.get(&kind).is_some_and(|values| values.contains(value))
    }
}

impl Extend<Fingerprint> for FingerprintSet {
    fn extend<I: IntoIterator<Item = Fingerprint>>(&mut self, fingerprints: I) {
        for Fingerprint { kind, value } in fingerprints {
            self.0.entry(kind).or_default().insert(value);
        }
    }
}

impl FromIterator<Fingerprint> for FingerprintSet {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(fingerprints: I) -> FingerprintSet {
        let mut set = FingerprintSet::default();
        set.extend(fingerprints);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash_bytes;
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let held = hash_bytes(Kind::Md5, b"abc");
        let set: FingerprintSet = [held.clone()].into_iter().collect();
        assert!(!set.is_empty() && FingerprintSet::default().is_empty());
        assert_eq!(set.len(), 1);
        assert!(set.contains(Kind::Md5, held.value()));
        // ed2k has values of the same width.
        assert!(!set.contains(Kind::Ed2k, held.value()));
        assert!(!set.contains(Kind::Md5, hash_bytes(Kind::Md5, b"").value()));
    }
}
