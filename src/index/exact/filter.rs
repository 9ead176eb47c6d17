//! The filter in front of the transducer: it answers most misses with three reads that do not wait for each other.
//!
//! A binary fuse filter (Graf and Lemire, 2022) over the values' first 8 bytes: one false "perhaps" in 256, never a
//! false "no". The crate `xorf` builds it; probing is written here, because a batch wants to know which bytes it
//! will read before it reads them, and because a file's parameters must be held against its length.

use xorf::BinaryFuse8;

use super::simd::prefetch;
use crate::segment::Flaw;

/// See [`crate::segment::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterParameters {
    pub(crate) seed: u64,
    pub(crate) segment_length: u32,
    pub(crate) segment_count_length: u32,
}

impl FilterParameters {
    /// Refuses parameters with which a probe could read beyond `length` fingerprints.
    ///
    /// The first place is below `segment_count_length`; the others lie one and two segments further, and stay
    /// in the aligned segment where that puts them.
    pub(crate) fn checked(self, length: u64) -> Result<FilterParameters, Flaw> {
        let (segment, all) = (u64::from(self.segment_length), u64::from(self.segment_count_length));
        let whole = segment.is_power_of_two() && all > 0 && all.is_multiple_of(segment);
        if !whole || all + 2 * segment != length {
            let found = format_args!("segments of {segment}, {all} without the last two").to_string();
            return Err(Flaw::new(format_args!("filter segments that make up {length} bytes"), found));
        }
        Ok(self)
    }
}

/// Builds a filter of distinct keys. `None` if there are no keys or, which is all but impossible, none could be
/// built: a segment without a filter answers the same, slower.
pub(crate) fn build(keys: &[u64]) -> Option<(FilterParameters, Box<[u8]>)> {
    if keys.is_empty() {
        return None;
    }
    let BinaryFuse8 { descriptor, fingerprints } = BinaryFuse8::try_from(keys).ok()?;
    let parameters = FilterParameters {
        seed: descriptor.seed,
        segment_length: descriptor.segment_length,
        segment_count_length: descriptor.segment_count_length,
    };
    Some((parameters, fingerprints))
}

/// A filter in a file's bytes.
#[derive(Clone, Copy)]
pub(crate) struct Filter<'a> {
    parameters: Option<FilterParameters>,
    fingerprints: &'a [u8],
}

/// Where one probe reads, and what must come out.
#[derive(Clone, Copy, Default)]
pub(crate) struct Probe {
    places: [u32; 3],
    fingerprint: u8,
}

impl<'a> Filter<'a> {
    /// `parameters` were checked against the length of `fingerprints`; without any, everything passes.
    pub(crate) fn new(parameters: Option<FilterParameters>, fingerprints: &'a [u8]) -> Filter<'a> {
        Filter { parameters, fingerprints }
    }

    /// Where to look for a key; the places are on their way into the cache.
    #[inline(always)]
    pub(crate) fn prepare(&self, key: u64) -> Probe {
        let Some(FilterParameters { seed, segment_length, segment_count_length }) = self.parameters else {
            return Probe::default();
        };
        let hash = mix(key.wrapping_add(seed));
        let mask = segment_length - 1;
        let first = ((u128::from(hash) * u128::from(segment_count_length)) >> 64) as u32;
        let second = (first + segment_length) ^ ((hash >> 18) as u32 & mask);
        let third = (first + 2 * segment_length) ^ (hash as u32 & mask);
        let places = [first, second, third];
        places.iter().for_each(|place| prefetch(self.fingerprints, *place as usize));
        Probe { places, fingerprint: (hash ^ (hash >> 32)) as u8 }
    }

    /// Whether the key may be in the set.
    #[inline(always)]
    pub(crate) fn may_hold(&self, probe: &Probe) -> bool {
        let read = |place: u32| self.fingerprints.get(place as usize).copied().unwrap_or(0);
        let [first, second, third] = probe.places;
        self.parameters.is_none() || read(first) ^ read(second) ^ read(third) == probe.fingerprint
    }
}

/// MurmurHash3's last step.
#[inline(always)]
fn mix(mut key: u64) -> u64 {
    key ^= key >> 33;
    key = key.wrapping_mul(0xff51_afd7_ed55_8ccd);
    key ^= key >> 33;
    key = key.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ (key >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xorf::Filter as _;

    use super::*;

    proptest! {
        #[test]
        fn it_says_what_the_crate_says(
            keys in proptest::collection::btree_set(any::<u64>(), 1..300),
            others in proptest::collection::vec(any::<u64>(), 300),
        ) {
            let keys: Vec<u64> = keys.into_iter().collect();
            let theirs = BinaryFuse8::try_from(&keys).unwrap();
            let (parameters, fingerprints) = build(&keys).unwrap();
            let parameters = parameters.checked(fingerprints.len() as u64).unwrap();
            let ours = Filter::new(Some(parameters), &fingerprints);
            for key in &keys {
                prop_assert!(ours.may_hold(&ours.prepare(*key)));
            }
            for key in others {
                prop_assert_eq!(ours.may_hold(&ours.prepare(key)), theirs.contains(&key));
            }
        }

        #[test]
        fn parameters_that_pass_never_read_beyond_the_end(
            seed: u64, segment_bits in 0..12u32, segments in 0..9u32, length in 0..9000u64, keys: [u64; 16],
        ) {
            let segment_length = 1u32 << segment_bits;
            let parameters = FilterParameters { seed, segment_length, segment_count_length: segments * segment_length };
            let right = u64::from(segments + 2) * u64::from(segment_length);
            prop_assert_eq!(parameters.checked(right).is_ok(), segments > 0);
            prop_assert_eq!(parameters.checked(length).is_ok(), segments > 0 && length == right);
            if segments > 0 {
                let filter = Filter::new(Some(parameters), &[]);
                for key in keys {
                    let probe = filter.prepare(key);
                    prop_assert!(probe.places.iter().all(|place| u64::from(*place) < right));
                }
            }
        }
    }
}
