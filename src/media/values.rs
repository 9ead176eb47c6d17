//! From a worker's outcome to what is asked: the values that a picture has, and why it has no others.

use super::picture::{HashRequest, PDQ_QUALITY_MIN, Pdq};
use super::worker::{Failed, Outcome};
use crate::fingerprint::{Fingerprint, Kind};
use crate::matching::Reason;

/// What a file is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Of each kind: one value, or of a picture that is asked about in all its variants, eight.
    of_kinds: Vec<(Kind, Vec<Box<[u8]>>)>,
    /// Kinds that apply to it and of which it has no value, and why.
    pub missing: Vec<(Kind, Reason)>,
}

impl Values {
    /// Exact digests, which every file has.
    pub fn exact(digests: &[Fingerprint]) -> Values {
        let one = |digest: &Fingerprint| (digest.kind(), vec![digest.value().into()]);
        Values { of_kinds: digests.iter().map(one).collect(), missing: Vec::new() }
    }

    /// Adds what came of hashing a picture. A file that turned out to be none has nothing to add, and lacks nothing.
    pub fn add_picture(&mut self, request: &HashRequest, outcome: &Outcome) {
        let hashes = match outcome {
            Ok(hashes) => hashes,
            Err(Failed::NotAPicture) => return,
            Err(failed) => return self.lack(&request.kinds, reason(*failed)),
        };
        for kind in request.kinds.iter().copied() {
            let of_picture: Vec<Box<[u8]>> = match (kind, &hashes.pdq) {
                (Kind::Pdq, Some(Pdq { dihedral: Some(all), .. })) => {
                    all.iter().map(|hash| hash.0[..].into()).collect()
                }
                (Kind::Pdq, Some(pdq)) => vec![pdq.hash.0[..].into()],
                _ => hashes.hashes64.iter().filter(|(of, _)| *of == kind).map(|(_, hash)| hash[..].into()).collect(),
            };
            let is_poor = kind == Kind::Pdq && hashes.pdq.as_ref().is_some_and(|pdq| pdq.quality < PDQ_QUALITY_MIN);
            match is_poor {
                true => self.missing.push((kind, Reason::LowQuality)),
                false => self.of_kinds.push((kind, of_picture)),
            }
        }
    }

    /// Notes why none of `kinds` has a value.
    pub fn lack(&mut self, kinds: &[Kind], reason: Reason) {
        self.missing.extend(kinds.iter().map(|kind| (*kind, reason)));
    }

    /// The kinds that have values, in the order of [`Values::rows`].
    pub fn kinds(&self) -> Vec<Kind> {
        self.of_kinds.iter().map(|(kind, _)| *kind).collect()
    }

    /// Rows for a question: one, or one for each variant, in which kinds that have no variants repeat.
    pub fn rows(&self) -> Vec<u8> {
        let rows = self.of_kinds.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let value = |values: &'_ [Box<[u8]>], row: usize| values[row.min(values.len() - 1)].to_vec();
        (0..rows).flat_map(|row| self.of_kinds.iter().flat_map(move |(_, values)| value(values, row))).collect()
    }
}

fn reason(failed: Failed) -> Reason {
    match failed {
        Failed::Malformed | Failed::Unsupported | Failed::NotAPicture => Reason::NotDecoded,
        Failed::TooLarge | Failed::Memory => Reason::TooLarge,
        Failed::TimedOut => Reason::TimedOut,
        Failed::Crashed => Reason::WorkerFailed,
        Failed::Unavailable => Reason::NoWorker,
    }
}
