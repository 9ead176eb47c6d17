//! Comparing many codes at once: what the compiler cannot be asked for in safe Rust.
//!
//! A [`Kernel`] names a set of instructions that this CPU has, and everything here comes in a variant for each:
//! portable; AVX2, which counts bits by looking up nibbles (Muła, Kurz and Lemire, "Faster population counts using
//! AVX2 instructions", 2018); and AVX-512 with VPOPCNTDQ and BITALG, which has an instruction for it. All variants
//! give the same answers.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::{Codes, Near, distance};
use crate::fingerprint::Radius;
use crate::index::exact::prefetch;

/// Candidates that are sent for before the first of them is compared: about as many cache misses as a core keeps under
/// way.
const AHEAD: usize = 64;

/// A way of comparing codes, which this CPU has.
// There is one only if the CPU has what it needs: that is what makes calling the variants sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// All that this CPU has, the fastest last.
    pub fn available() -> Vec<Kernel> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt");
            if avx2 {
                levels.push(Level::Avx2);
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vpopcntdq")
                && is_x86_feature_detected!("avx512bitalg");
            if avx2 && avx512 {
                levels.push(Level::Avx512);
            }
        }
        levels.into_iter().map(Kernel).collect()
    }

    /// The fastest.
    pub fn best() -> Kernel {
        static BEST: LazyLock<Kernel> =
            LazyLock::new(|| Kernel::available().pop().expect("the portable one is always there"));
        *BEST
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "AVX-512",
        }
    }

    /// Appends every code within the radius of each question. Questions are packed codes of the same width, few enough
    /// to stay in the nearest cache.
    pub(super) fn scan(self, codes: Codes<'_>, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
        match (self.0, codes.width) {
            // SAFETY: a kernel of this level exists only if the CPU has its instructions.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 32) => unsafe { avx2::scan_256(codes, questions, radius, found) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 8) => unsafe { avx2::scan_64(codes, questions, radius, found) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 32) => unsafe { avx512::scan_256(codes, questions, radius, found) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 8) => unsafe { avx512::scan_64(codes, questions, radius, found) },
            _ => scan_portable(codes, 0, questions, radius, found),
        }
    }

    /// Which of at most 64 keys differ from `key` in at most `most` bits: key i in bit i.
    #[inline]
    pub(super) fn keys_within(self, keys: &[u8], key: u8, most: u8) -> u64 {
        match self.0 {
            Level::Portable => keys_within_portable(keys, key, most),
            // SAFETY: a kernel of this level exists only if the CPU has its instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::keys_within(keys, key, most) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::keys_within(keys, key, most) },
        }
    }

    /// Appends those of the codes named by `ordinals` that are within the radius of `question`, as row `row`. An
    /// ordinal that no code has is passed over.
    pub(super) fn compare(
        self,
        codes: Codes<'_>,
        ordinals: &[u32],
        (row, question): (u32, &[u8]),
        radius: Radius,
        found: &mut Vec<Near>,
    ) {
        match self.0 {
            Level::Portable => compare_any(codes, ordinals, (row, question), radius, found),
            // SAFETY: a kernel of this level exists only if the CPU has its instructions.
            #[cfg(target_arch = "x86_64")]
            _ => unsafe { avx2::compare(codes, ordinals, (row, question), radius, found) },
        }
    }

    /// The bits of `code` that `mask` names, from the lowest of the first word to the highest of the last, packed into
    /// a number from its lowest bit up. `mask` names at most 32.
    #[inline]
    pub(super) fn extract(self, code: &[u8], mask: &[u64]) -> u32 {
        match self.0 {
            Level::Portable => extract_any(code, mask, extract_word),
            // SAFETY: a kernel of this level exists only if the CPU has its instructions.
            #[cfg(target_arch = "x86_64")]
            _ => unsafe { avx2::extract(code, mask) },
        }
    }
}

/// Scans from `start` on; also what the variants leave at the end.
#[inline(always)]
fn scan_portable(codes: Codes<'_>, start: usize, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
    for (ordinal, code) in codes.iter().enumerate().skip(start) {
        for (row, question) in questions.iter().enumerate() {
            let distance = distance(code, question);
            if distance <= radius.0 {
                found.push(Near { row: row as u32, ordinal: ordinal as u32, distance });
            }
        }
    }
}

fn keys_within_portable(keys: &[u8], key: u8, most: u8) -> u64 {
    let near = keys.iter().map(|other| u64::from((other ^ key).count_ones() <= most.into()));
    near.enumerate().fold(0, |mask, (at, near)| mask | near << at)
}

#[inline(always)]
fn compare_any(
    codes: Codes<'_>,
    ordinals: &[u32],
    (row, question): (u32, &[u8]),
    radius: Radius,
    found: &mut Vec<Near>,
) {
    let send_for = |ordinal: &u32| prefetch(codes.bytes, *ordinal as usize * codes.width);
    ordinals.iter().take(AHEAD).for_each(send_for);
    for (at, ordinal) in ordinals.iter().enumerate() {
        ordinals.get(at + AHEAD).into_iter().for_each(send_for);
        let start = *ordinal as usize * codes.width;
        let Some(code) = codes.bytes.get(start..start + codes.width) else { continue };
        let distance = distance(code, question);
        if distance <= radius.0 {
            found.push(Near { row, ordinal: *ordinal, distance });
        }
    }
}

#[inline(always)]
fn extract_any(code: &[u8], mask: &[u64], word: impl Fn(u64, u64) -> u64) -> u32 {
    let (mut value, mut bits) = (0, 0);
    for (code, mask) in code.as_chunks().0.iter().zip(mask) {
        value |= word(u64::from_le_bytes(*code), *mask) << bits;
        bits += mask.count_ones();
    }
    value as u32
}

fn extract_word(word: u64, mut mask: u64) -> u64 {
    let (mut value, mut bits) = (0, 0);
    while mask != 0 {
        value |= (word >> mask.trailing_zeros() & 1) << bits;
        bits += 1;
        mask &= mask - 1;
    }
    value
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! 4 codes of either width at once.

    use std::arch::x86_64::*;

    use super::{Codes, Near, Radius, compare_any, extract_any, scan_portable};

    /// The numbers of bits in the bytes of `nibbles.0` and `nibbles.1`, which are below 16, added up by 8 bytes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn count((low, high): (__m256i, __m256i)) -> __m256i {
        let of_nibble = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        let bytes = _mm256_add_epi8(_mm256_shuffle_epi8(of_nibble, low), _mm256_shuffle_epi8(of_nibble, high));
        _mm256_sad_epu8(bytes, _mm256_setzero_si256())
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn nibbles(bytes: __m256i) -> (__m256i, __m256i) {
        let low = _mm256_set1_epi8(15);
        (_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn xor(one: (__m256i, __m256i), other: (__m256i, __m256i)) -> (__m256i, __m256i) {
        (_mm256_xor_si256(one.0, other.0), _mm256_xor_si256(one.1, other.1))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the load is the unaligned one, of 32 bytes.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn scan_256(codes: Codes<'_>, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
        let limit = _mm256_set1_epi16(radius.0 as i16);
        let blocks = codes.bytes.as_chunks::<128>().0;
        for (block, bytes) in blocks.iter().enumerate() {
            let four = bytes.as_chunks::<32>().0;
            let four = [0, 1, 2, 3].map(|code| nibbles(load(&four[code])));
            for (row, question) in questions.bytes.as_chunks::<32>().0.iter().enumerate() {
                let question = nibbles(load(question));
                // Each qword holds the bits in its share of a code, at most 64; 16 bits of it go to each code.
                let [a, b, c, d] = four.map(|code| count(xor(code, question)));
                let low = _mm256_or_si256(a, _mm256_slli_epi64::<16>(b));
                let high = _mm256_or_si256(_mm256_slli_epi64::<32>(c), _mm256_slli_epi64::<48>(d));
                let shares = _mm256_or_si256(low, high);
                let halves = _mm256_add_epi16(shares, _mm256_permute4x64_epi64::<0x4E>(shares));
                let sums = _mm256_add_epi16(halves, _mm256_shuffle_epi32::<0x4E>(halves));
                // Now each qword holds the four distances.
                let over = _mm256_subs_epu16(sums, limit);
                let near = _mm256_cmpeq_epi16(over, _mm256_setzero_si256());
                let near = _mm_cvtsi128_si64(_mm256_castsi256_si128(near)) as u64;
                if near != 0 {
                    let sums = _mm_cvtsi128_si64(_mm256_castsi256_si128(sums)) as u64;
                    push_four(near, sums, row, block, found);
                }
            }
        }
        scan_portable(codes, blocks.len() * 4, questions, radius, found);
    }

    /// Appends the codes whose 16 bits in `near` are set, with the distances in `sums`.
    #[cold]
    fn push_four(near: u64, sums: u64, row: usize, block: usize, found: &mut Vec<Near>) {
        for code in (0..4).filter(|code| near >> (code * 16) & 1 != 0) {
            let distance = (sums >> (code * 16)) as u16;
            found.push(Near { row: row as u32, ordinal: (block * 4 + code) as u32, distance });
        }
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn scan_64(codes: Codes<'_>, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
        let above = _mm256_set1_epi64x(i64::from(radius.0) + 1);
        let blocks = codes.bytes.as_chunks::<32>().0;
        for (block, bytes) in blocks.iter().enumerate() {
            let four = nibbles(load(bytes));
            for (row, question) in questions.bytes.as_chunks::<8>().0.iter().enumerate() {
                let question = nibbles(_mm256_set1_epi64x(i64::from_le_bytes(*question)));
                let sums = count(xor(four, question));
                let near = _mm256_cmpgt_epi64(above, sums);
                let near = _mm256_movemask_pd(_mm256_castsi256_pd(near));
                if near != 0 {
                    for code in (0..4).filter(|code| near >> code & 1 != 0) {
                        let distance = super::distance(&bytes[code * 8..][..8], questions.get(row as u32));
                        found.push(Near { row: row as u32, ordinal: (block * 4 + code) as u32, distance });
                    }
                }
            }
        }
        scan_portable(codes, blocks.len() * 4, questions, radius, found);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn keys_within(keys: &[u8], key: u8, most: u8) -> u64 {
        let (key, most) = (nibbles(_mm256_set1_epi8(key as i8)), _mm256_set1_epi8(most as i8));
        let of_nibble = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        let mut mask = 0;
        for (part, keys) in keys.chunks(32).enumerate() {
            let mut padded = [0; 32];
            padded[..keys.len()].copy_from_slice(keys);
            let (low, high) = xor(nibbles(load(&padded)), key);
            let bits = _mm256_add_epi8(_mm256_shuffle_epi8(of_nibble, low), _mm256_shuffle_epi8(of_nibble, high));
            // At most `most` if and only if the lesser of both is itself.
            let near = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(bits, most), bits)) as u32;
            mask |= u64::from(near) << (part * 32);
        }
        mask & !(u64::MAX.checked_shl(keys.len() as u32).unwrap_or(0))
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn compare(
        codes: Codes<'_>,
        ordinals: &[u32],
        question: (u32, &[u8]),
        radius: Radius,
        found: &mut Vec<Near>,
    ) {
        if codes.width == 32 {
            compare_any(Codes { width: 32, ..codes }, ordinals, question, radius, found);
        } else {
            compare_any(Codes { width: 8, ..codes }, ordinals, question, radius, found);
        }
    }

    #[target_feature(enable = "bmi2,popcnt")]
    pub(super) fn extract(code: &[u8], mask: &[u64]) -> u32 {
        extract_any(code, mask, |word, mask| _pext_u64(word, mask))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! 8 codes of either width at once.

    use std::arch::x86_64::*;

    use super::{Codes, Near, Radius, scan_portable};

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(bytes: &[u8; 64]) -> __m512i {
        // SAFETY: the load is the unaligned one, of 64 bytes.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq,popcnt")]
    pub(super) fn scan_256(codes: Codes<'_>, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
        let limit = _mm512_set1_epi16(radius.0 as i16);
        let blocks = codes.bytes.as_chunks::<256>().0;
        for (block, bytes) in blocks.iter().enumerate() {
            let pairs = bytes.as_chunks::<64>().0;
            let pairs = [0, 1, 2, 3].map(|pair| load(&pairs[pair]));
            for (row, question) in questions.bytes.as_chunks::<32>().0.iter().enumerate() {
                // SAFETY: the load is the unaligned one, of 32 bytes.
                let question = unsafe { _mm256_loadu_si256(question.as_ptr().cast()) };
                let question = _mm512_broadcast_i64x4(question);
                // Each qword holds the bits in its share of a code, at most 64; 16 bits of it go to each pair of codes.
                let [a, b, c, d] = pairs.map(|pair| _mm512_popcnt_epi64(_mm512_xor_si512(pair, question)));
                let low = _mm512_or_si512(a, _mm512_slli_epi64::<16>(b));
                let high = _mm512_or_si512(_mm512_slli_epi64::<32>(c), _mm512_slli_epi64::<48>(d));
                let shares = _mm512_or_si512(low, high);
                let halves = _mm512_add_epi16(shares, _mm512_permutex_epi64::<0x4E>(shares));
                let sums = _mm512_add_epi16(halves, _mm512_shuffle_epi32::<0x4E>(halves));
                // Now each qword of the lower half holds the distances of the pairs' first codes, and each of the
                // upper half those of the second. One of each is looked at.
                let near = _mm512_cmple_epu16_mask(sums, limit) & 0x000F_000F;
                if near != 0 {
                    let mut lanes = [0; 32];
                    // SAFETY: the store is the unaligned one, of 64 bytes.
                    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sums) };
                    push_eight(near, &lanes, row, block, found);
                }
            }
        }
        scan_portable(codes, blocks.len() * 8, questions, radius, found);
    }

    #[cold]
    fn push_eight(near: u32, lanes: &[u16; 32], row: usize, block: usize, found: &mut Vec<Near>) {
        for code in 0..8 {
            let lane = code / 2 + code % 2 * 16;
            if near >> lane & 1 != 0 {
                found.push(Near { row: row as u32, ordinal: (block * 8 + code) as u32, distance: lanes[lane] });
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
    pub(super) fn scan_64(codes: Codes<'_>, questions: Codes<'_>, radius: Radius, found: &mut Vec<Near>) {
        let limit = _mm512_set1_epi64(radius.0.into());
        let blocks = codes.bytes.as_chunks::<64>().0;
        for (block, bytes) in blocks.iter().enumerate() {
            let eight = load(bytes);
            for (row, question) in questions.bytes.as_chunks::<8>().0.iter().enumerate() {
                let question = _mm512_set1_epi64(i64::from_le_bytes(*question));
                let sums = _mm512_popcnt_epi64(_mm512_xor_si512(eight, question));
                let near = _mm512_cmple_epu64_mask(sums, limit);
                if near != 0 {
                    for code in (0..8).filter(|code| near >> code & 1 != 0) {
                        let distance = super::distance(&bytes[code * 8..][..8], questions.get(row as u32));
                        found.push(Near { row: row as u32, ordinal: (block * 8 + code) as u32, distance });
                    }
                }
            }
        }
        scan_portable(codes, blocks.len() * 8, questions, radius, found);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bitalg")]
    pub(super) fn keys_within(keys: &[u8], key: u8, most: u8) -> u64 {
        let there = !(u64::MAX.checked_shl(keys.len() as u32).unwrap_or(0));
        // SAFETY: the load is masked, and touches only as many bytes as there are keys, at most 64.
        let keys = unsafe { _mm512_maskz_loadu_epi8(there, keys.as_ptr().cast()) };
        let bits = _mm512_popcnt_epi8(_mm512_xor_si512(keys, _mm512_set1_epi8(key as i8)));
        _mm512_mask_cmple_epu8_mask(there, bits, _mm512_set1_epi8(most as i8))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn brute(codes: Codes<'_>, questions: Codes<'_>, radius: Radius) -> Vec<Near> {
        let mut found = vec![];
        scan_portable(codes, 0, questions, radius, &mut found);
        found.sort();
        found
    }

    proptest! {
        // Bytes of few bits, so that all radii find something.
        #[test]
        fn all_kernels_give_the_same_answers(
            width in prop_oneof![Just(8usize), Just(32)],
            codes in vec(prop_oneof![Just(0u8), Just(1), Just(0xFF), any::<u8>()], 0..32 * 50),
            questions in vec(prop_oneof![Just(0u8), Just(1), Just(0xFF), any::<u8>()], 0..32 * 5),
            radius in prop_oneof![0u16..64, 64u16..300, Just(u16::MAX)],
        ) {
            let whole = |bytes: &[u8]| bytes.len() / width * width;
            let codes = Codes::new(width, &codes[..whole(&codes)]);
            let questions = Codes::new(width, &questions[..whole(&questions)]);
            let radius = Radius(radius);
            let expected = brute(codes, questions, radius);
            for kernel in Kernel::available() {
                let mut found = vec![];
                kernel.scan(codes, questions, radius, &mut found);
                found.sort();
                prop_assert_eq!(&found, &expected, "scan, {}", kernel.name());

                // Ordinals that no code has are passed over.
                let ordinals: Vec<u32> = (0..codes.len() as u32 + 2).chain([u32::MAX]).collect();
                let mut found = vec![];
                for (row, question) in questions.iter().enumerate() {
                    kernel.compare(codes, &ordinals, (row as u32, question), radius, &mut found);
                }
                found.sort();
                prop_assert_eq!(&found, &expected, "compare, {}", kernel.name());
            }
        }

        #[test]
        fn all_kernels_see_the_same_keys(keys in vec(any::<u8>(), 0..=64), key: u8, most in 0u8..=9) {
            let expected = keys_within_portable(&keys, key, most);
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.keys_within(&keys, key, most), expected, "{}", kernel.name());
            }
        }

        #[test]
        fn all_kernels_extract_the_same_bits(code: [u8; 32], bits in proptest::collection::btree_set(0..256usize, 0..=32)) {
            let mut mask = [0u64; 4];
            bits.iter().for_each(|bit| mask[bit / 64] |= 1 << (bit % 64));
            let bit = |bit: &usize| u32::from(code[bit / 8] >> (bit % 8) & 1);
            let expected = bits.iter().enumerate().fold(0, |value, (at, place)| value | bit(place) << at);
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.extract(&code, &mask), expected, "{}", kernel.name());
            }
        }
    }
}
