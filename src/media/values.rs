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

    /// Adds what came of hashing a file that starts like a picture. That a worker calls it none changes nothing: only its
    /// first bytes decide whether perceptual kinds apply to it, and those were looked at outside.
    pub fn add_picture(&mut self, request: &HashRequest, outcome: &Outcome) {
        let hashes = match outcome {
            Ok(hashes) => hashes,
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

    /// The same without these kinds.
    pub fn without(mut self, kinds: &[Kind]) -> Values {
        self.of_kinds.retain(|(kind, _)| !kinds.contains(kind));
        self.missing.retain(|(kind, _)| !kinds.contains(kind));
        self
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::hash_bytes;
    use crate::media::picture::{PdqHash, PictureHashes};

    fn request(dihedral: bool) -> HashRequest {
        HashRequest { kinds: vec![Kind::Pdq, Kind::Phash64], dihedral }
    }

    fn hashes(quality: u8, dihedral: bool) -> PictureHashes {
        let all = std::array::from_fn(|number| PdqHash([number as u8; 32]));
        let pdq = Pdq { hash: all[0], quality, dihedral: dihedral.then_some(all) };
        PictureHashes { pdq: Some(pdq), hashes64: vec![(Kind::Phash64, [9; 8])] }
    }

    fn values(dihedral: bool, outcome: &Outcome) -> Values {
        let mut values = Values::exact(&[hash_bytes(Kind::Md5, b"abc")]);
        values.add_picture(&request(dihedral), outcome);
        values
    }

    #[test]
    fn a_row_holds_a_value_of_each_kind() {
        let values = values(false, &Ok(hashes(100, false)));
        assert_eq!((values.kinds(), &values.missing), (vec![Kind::Md5, Kind::Pdq, Kind::Phash64], &vec![]));
        assert_eq!(values.rows(), [hash_bytes(Kind::Md5, b"abc").value(), &[0; 32], &[9; 8]].concat());
    }

    #[test]
    fn each_variant_has_a_row_and_what_has_none_repeats() {
        let rows = values(true, &Ok(hashes(100, true))).rows();
        let expected =
            (0..8u8).flat_map(|variant| [hash_bytes(Kind::Md5, b"abc").value(), &[variant; 32], &[9; 8]].concat());
        assert_eq!(rows, expected.collect::<Vec<u8>>());
    }

    #[test]
    fn what_has_no_value_is_missing_and_never_left_out() {
        let poor = values(false, &Ok(hashes(PDQ_QUALITY_MIN - 1, false)));
        assert_eq!(
            (poor.kinds(), poor.missing),
            (vec![Kind::Md5, Kind::Phash64], vec![(Kind::Pdq, Reason::LowQuality)])
        );
        for (failed, reason) in [
            (Failed::Malformed, Reason::NotDecoded),
            (Failed::Memory, Reason::TooLarge),
            (Failed::Crashed, Reason::WorkerFailed),
            (Failed::Unavailable, Reason::NoWorker),
            // A worker that lies about what its parent has seen.
            (Failed::NotAPicture, Reason::NotDecoded),
        ] {
            let values = values(false, &Err(failed));
            assert_eq!(values.missing, [(Kind::Pdq, reason), (Kind::Phash64, reason)], "{failed}");
            assert_eq!(values.kinds(), [Kind::Md5]);
        }
    }
}
