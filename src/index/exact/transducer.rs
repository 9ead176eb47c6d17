//! Walking a finite-state transducer of the crate `fst` byte by byte, safely and in batches.
//!
//! The crate builds the transducers; they are walked here for two reasons. A damaged transducer makes the crate's
//! reader panic, as its documentation warns, and here it must not: every read is bounds-checked and a walk that
//! leads nowhere ends. And a batch wants to prefetch the next node of each of its walks, of which this reader
//! touches only the few bytes that one transition needs.
//!
//! The format is the crate's, version 3 (`fst::raw`): a node is written after the nodes it leads to and is read
//! backwards from its last byte, whose address is the node's.

use super::simd::prefetch;
use crate::segment::Flaw;
use crate::segment::layout::u64_at;

/// The crate's format version.
const VERSION: u64 = 3;
/// Version and type in front.
const HEAD_BYTES: usize = 16;
/// Number of keys, address of the root, and a CRC behind.
const TRAILER_BYTES: usize = 20;
/// The address of the node that is final, without output and without transitions: the end of every key here.
pub(in crate::index) const END: usize = 0;
/// A node of more transitions than this has an index of 256 bytes.
const INDEXED_ABOVE: usize = 32;

/// The bytes that a node of one transition names in its six low bits, from 1 on.
const COMMON_BYTES: &[u8; 63] = b"te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHG";

/// A transducer's bytes.
#[derive(Clone, Copy)]
pub(in crate::index) struct Transducer<'a> {
    bytes: &'a [u8],
    root: usize,
}

/// Where a walk stands: a node, and the sum of the outputs on the way.
#[derive(Clone, Copy, Default)]
pub(in crate::index) struct Walk {
    pub(in crate::index) node: usize,
    pub(in crate::index) output: u64,
}

impl<'a> Transducer<'a> {
    /// Checks the version and the root's address; everything else is checked as it is read.
    pub(in crate::index) fn new(bytes: &'a [u8]) -> Result<Transducer<'a>, Flaw> {
        if bytes.len() < HEAD_BYTES + TRAILER_BYTES {
            return Err(Flaw::new(format_args!("at least {} bytes", HEAD_BYTES + TRAILER_BYTES), bytes.len()));
        }
        let version = u64_at(bytes, 0);
        if version != VERSION {
            return Err(Flaw::new(format_args!("a transducer of version {VERSION}"), version));
        }
        let nodes_end = bytes.len() - TRAILER_BYTES;
        let root = u64_at(bytes, nodes_end + 8);
        if root >= nodes_end as u64 {
            return Err(Flaw::new(format_args!("a root below {nodes_end}"), root));
        }
        Ok(Transducer { bytes, root: root as usize })
    }

    /// The start of every walk.
    #[inline]
    pub(in crate::index) fn start(&self) -> Walk {
        Walk { node: self.root, output: 0 }
    }

    /// Brings what [`Transducer::step`] reads first at this node into the cache.
    #[inline(always)]
    pub(in crate::index) fn prefetch(&self, node: usize, byte: u8) {
        prefetch(self.bytes, node);
        // Of a node with an index, the index entry; of another, bytes that lie close by anyway.
        prefetch(self.bytes, node.wrapping_sub(2 + 256).wrapping_add(byte.into()));
    }

    /// The output of a whole key of `key.len()` bytes, if it is there.
    pub(in crate::index) fn get(&self, key: &[u8]) -> Option<u64> {
        let walk = key.iter().try_fold(self.start(), |walk, byte| self.step(walk, *byte))?;
        (walk.node == END).then_some(walk.output)
    }

    /// Follows the transition for `byte`, if there is one. Nonsense in the bytes is no transition.
    #[inline]
    pub(in crate::index) fn step(&self, walk: Walk, byte: u8) -> Option<Walk> {
        let node = walk.node;
        if node == END {
            return None;
        }
        let state = *self.bytes.get(node)?;
        // All offsets below are a few thousand at most; where they would lead before the start, they wrap to
        // addresses at which nothing can be read.
        let (next, output) = match state >> 6 {
            0b11 => {
                let input_bytes = self.single_input(node, state, byte)?;
                (node.wrapping_sub(input_bytes + 1), 0)
            }
            0b10 => {
                let input_bytes = self.single_input(node, state, byte)?;
                let (address_bytes, output_bytes) = self.sizes(node.wrapping_sub(input_bytes + 1))?;
                let addresses = node.wrapping_sub(input_bytes + 1 + address_bytes);
                let outputs = addresses.wrapping_sub(output_bytes);
                (self.target(addresses, address_bytes, outputs)?, self.number(outputs, output_bytes)?)
            }
            _ => self.branch(node, state, byte)?,
        };
        Some(Walk { node: next, output: walk.output.wrapping_add(output) })
    }

    /// For a node of one transition: how many bytes its input takes up, if the input is `byte`.
    #[inline]
    fn single_input(&self, node: usize, state: u8, byte: u8) -> Option<usize> {
        let (input, input_bytes) = match state & 0b11_1111 {
            0 => (*self.bytes.get(node.wrapping_sub(1))?, 1),
            common => (COMMON_BYTES[usize::from(common) - 1], 0),
        };
        (input == byte).then_some(input_bytes)
    }

    /// For a node of any number of transitions: the next node and the output for `byte`.
    #[inline]
    fn branch(&self, node: usize, state: u8, byte: u8) -> Option<(usize, u64)> {
        let (count, count_bytes) = match usize::from(state & 0b11_1111) {
            // 256 does not fit a byte, and 1 never stands in one: that is a node of one transition.
            0 => match usize::from(*self.bytes.get(node.wrapping_sub(1))?) {
                1 => (256, 1),
                count => (count, 1),
            },
            count => (count, 0),
        };
        let sizes_at = node.wrapping_sub(count_bytes + 1);
        let (address_bytes, output_bytes) = self.sizes(sizes_at)?;
        let is_final = state & 0b0100_0000 != 0;
        let (inputs_end, transition) = if count > INDEXED_ABOVE {
            let index = sizes_at.wrapping_sub(256);
            let transition = usize::from(*self.bytes.get(index.wrapping_add(byte.into()))?);
            (index, (transition < count).then_some(transition)?)
        } else {
            let inputs = self.bytes.get(sizes_at.wrapping_sub(count)..sizes_at)?;
            let from_the_first = inputs.iter().position(|input| *input == byte)?;
            (sizes_at, count - 1 - from_the_first)
        };
        // Backwards from the inputs: an address for each transition, then, if any, an output for each.
        let addresses_end = inputs_end.wrapping_sub(count);
        let outputs_end = addresses_end.wrapping_sub(count * address_bytes);
        let end = outputs_end.wrapping_sub((count + usize::from(is_final)) * output_bytes);
        let address = addresses_end.wrapping_sub((transition + 1) * address_bytes);
        let output = outputs_end.wrapping_sub((transition + 1) * output_bytes);
        Some((self.target(address, address_bytes, end)?, self.number(output, output_bytes)?))
    }

    /// The widths of a node's addresses and outputs.
    #[inline]
    fn sizes(&self, at: usize) -> Option<(usize, usize)> {
        let sizes = usize::from(*self.bytes.get(at)?);
        let (address_bytes, output_bytes) = (sizes >> 4, sizes & 0b1111);
        (address_bytes <= 8 && output_bytes <= 8).then_some((address_bytes, output_bytes))
    }

    /// The node whose address is stored at `at` as a distance back from `end`, the node's own first byte.
    #[inline]
    fn target(&self, at: usize, address_bytes: usize, end: usize) -> Option<usize> {
        match self.number(at, address_bytes)? {
            0 => Some(END),
            distance => end.checked_sub(distance as usize),
        }
    }

    /// The number of `bytes` bytes at `at`. Every node has the trailer behind it, so eight can be read.
    #[inline]
    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        if bytes == 0 {
            return Some(0);
        }
        let eight = self.bytes.get(at..at.checked_add(8)?)?;
        let number = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        Some(number & (u64::MAX >> (64 - 8 * bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn build(map: &BTreeMap<Vec<u8>, u64>) -> Vec<u8> {
        fst::Map::from_iter(map.iter().map(|(key, value)| (key, *value))).unwrap().into_fst().as_bytes().to_vec()
    }

    /// Keys of two bytes: with few or many of them, nodes of every form come up.
    fn any_map() -> impl Strategy<Value = BTreeMap<Vec<u8>, u64>> {
        let key = proptest::collection::vec(prop_oneof![Just(b't'), Just(0), any::<u8>()], 2);
        let sizes = prop_oneof![1..4usize, 1..40usize, 300..600usize];
        (sizes, 0..50u32).prop_flat_map(move |(size, bits)| {
            proptest::collection::btree_map(key.clone(), 0..1u64 << bits, 0..size + 1)
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_the_crate_finds(map in any_map()) {
            let bytes = build(&map);
            let (ours, theirs) = (Transducer::new(&bytes).unwrap(), fst::Map::new(&bytes).unwrap());
            for key in (0..=u16::MAX).map(u16::to_be_bytes) {
                prop_assert_eq!(ours.get(&key), theirs.get(key), "{:?}", key);
            }
        }

        #[test]
        fn damage_never_makes_it_panic(
            map in any_map(),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
            cut in proptest::option::of(any::<proptest::sample::Index>()),
        ) {
            let mut bytes = build(&map);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            if let Ok(transducer) = Transducer::new(&bytes) {
                map.keys().for_each(|key| _ = transducer.get(key));
                (0..=u16::MAX).step_by(7).for_each(|key| _ = transducer.get(&key.to_be_bytes()));
            }
        }
    }

    #[test]
    fn every_byte_can_be_the_only_one() {
        for byte in 0..=255u8 {
            for output in [0, 1, 1 << 40] {
                let bytes = build(&BTreeMap::from([(vec![byte, byte], output)]));
                let transducer = Transducer::new(&bytes).unwrap();
                assert_eq!(transducer.get(&[byte, byte]), Some(output));
                assert_eq!(transducer.get(&[byte, byte ^ 1]), None);
                assert_eq!(transducer.get(&[byte]), None);
            }
        }
    }
}
