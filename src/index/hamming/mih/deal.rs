//! Which bits go to which chunk.
//!
//! Perceptual hashes are no random numbers: some bits are mostly one, and some say what others say. A chunk of such bits
//! has a few crowded groups, and every question that meets one of them pays. So bits that depend on each other are
//! dealt to different chunks, as a sample of the codes shows them.

use super::plan::Shape;
use super::section::Mask;
use crate::index::hamming::Codes;

/// Codes of the sample, at most.
const SAMPLE: usize = 4096;

/// Of each shape, the bits that it takes. The same codes always give the same bits.
pub(super) fn deal(codes: Codes<'_>, shapes: &[Shape]) -> Vec<Mask> {
    let bits = codes.width * 8;
    let dependence = dependence(codes);
    // Those that depend most on others are dealt first, while all chunks have room.
    let weight = |bit: usize| dependence[bit * bits..(bit + 1) * bits].iter().sum::<f64>();
    let mut order: Vec<(f64, usize)> = (0..bits).map(|bit| (weight(bit), bit)).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));

    let mut masks = vec![Mask::default(); shapes.len()];
    // Of each chunk, how much of it is still free.
    let mut room: Vec<u32> = shapes.iter().map(|shape| shape.group_bits + shape.key_bits).collect();
    // Of each chunk and bit, how much the bit depends on those that the chunk has.
    let mut burdens = vec![vec![0f64; bits]; shapes.len()];
    for (_, bit) in order {
        let free = |chunk: usize| f64::from(room[chunk]) / f64::from(shapes[chunk].group_bits + shapes[chunk].key_bits);
        let best = (0..shapes.len()).filter(|chunk| room[*chunk] > 0).min_by(|one, other| {
            burdens[*one][bit].total_cmp(&burdens[*other][bit]).then(free(*other).total_cmp(&free(*one)))
        });
        // Bits that no chunk has room for are in none.
        let Some(chunk) = best else { break };
        masks[chunk][bit / 64] |= 1 << (bit % 64);
        room[chunk] -= 1;
        let of_bit = &dependence[bit * bits..(bit + 1) * bits];
        burdens[chunk].iter_mut().zip(of_bit).for_each(|(burden, more)| *burden += more);
    }
    masks
}

/// Of each two bits, how much they should lie apart: the square of their correlation, or the product of how lopsided
/// they are, whichever is more. Row after row; 0 between a bit and itself.
fn dependence(codes: Codes<'_>) -> Vec<f64> {
    let bits = codes.width * 8;
    // A row of sampled bits for each bit of a code.
    let step = codes.len().div_ceil(SAMPLE).max(1);
    let sampled = codes.len().div_ceil(step);
    let words = sampled.div_ceil(64);
    let mut rows = vec![0u64; bits * words];
    for (place, code) in codes.iter().step_by(step).enumerate() {
        for bit in (0..bits).filter(|bit| code[bit / 8] >> (bit % 8) & 1 != 0) {
            rows[bit * words + place / 64] |= 1 << (place % 64);
        }
    }
    let row = |bit: usize| &rows[bit * words..(bit + 1) * words];
    let ones: Vec<f64> = (0..bits).map(|bit| row(bit).iter().map(|word| f64::from(word.count_ones())).sum()).collect();
    let all = sampled.max(1) as f64;
    let mut dependence = vec![0.0; bits * bits];
    for one in 0..bits {
        for other in 0..one {
            let both: u32 = row(one).iter().zip(row(other)).map(|(one, other)| (one & other).count_ones()).sum();
            let (p, q) = (ones[one] / all, ones[other] / all);
            let (covariance, variances) = (f64::from(both) / all - p * q, p * (1.0 - p) * q * (1.0 - q));
            let correlation = if variances > 0.0 { covariance * covariance / variances } else { 0.0 };
            let lopsided = ((2.0 * p - 1.0) * (2.0 * q - 1.0)).powi(2);
            let depends = correlation.max(lopsided);
            dependence[one * bits + other] = depends;
            dependence[other * bits + one] = depends;
        }
    }
    dependence
}
