//! The first half of PDQ: a picture of any size → 64 × 64 smoothed luma samples.
//!
//! The reference turns the picture into floats, runs two passes of a box filter along rows and columns over all of it,
//! and then keeps 64 × 64 of the results. All of that is linear, so each sample is a weighted sum of the pixels around
//! it, and the weights of a sample are a column's times a row's. Here only these sums are computed: first down the
//! columns, on the bytes as they are, then luma, then along the 64 rows that are left. That is one multiplication a
//! byte in the order in which the bytes lie, and a working set of one row.
//!
//! Sums are of at most some hundred products, so rounding stays near 10⁻⁵ grey levels. The reference's running sums
//! collect the rounding of a whole row or column, and where the two differ, that is why.

use super::super::pixels::{Channels, Pixels};

/// Samples along each side.
pub(super) const SIDE: usize = 64;

/// 64 rows of 64 samples of luma, 0.0 to 255.0.
pub(super) type Reduced = [[f32; SIDE]; SIDE];

/// Luma of red, green and blue: ITU-R BT.601, as PDQ has it.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// The smoothed samples of `pixels`, which has at least one pixel.
pub(super) fn reduce(pixels: &Pixels) -> Box<Reduced> {
    let across = Axis::new(pixels.width() as usize);
    let down = Axis::new(pixels.height() as usize);
    let mut sums = vec![0f32; pixels.width() as usize * pixels.channels().count()];
    let mut luma = vec![0f32; pixels.width() as usize];
    let mut reduced = Box::new([[0f32; SIDE]; SIDE]);
    for (taps, row) in down.0.iter().zip(reduced.iter_mut()) {
        sums.fill(0.0);
        add_rows(&mut sums, pixels, taps);
        let luma = match pixels.channels() {
            Channels::Luma => &sums,
            Channels::Rgb => {
                for (luma, [red, green, blue]) in luma.iter_mut().zip(sums.as_chunks().0) {
                    *luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue;
                }
                &luma
            }
        };
        for (taps, sample) in across.0.iter().zip(row.iter_mut()) {
            let values = &luma[taps.first..taps.first + taps.weights.len()];
            *sample = values.iter().zip(&taps.weights).map(|(value, weight)| value * weight).sum();
        }
    }
    reduced
}

/// Adds the rows under `taps`, each times its weight, to `sums`. Four at a time, so that the sums are read and written
/// a quarter as often.
fn add_rows(sums: &mut [f32], pixels: &Pixels, taps: &Taps) {
    let (fours, rest) = taps.weights.as_chunks::<4>();
    let mut y = taps.first;
    for weights in fours {
        let rows = [pixels.row(y), pixels.row(y + 1), pixels.row(y + 2), pixels.row(y + 3)];
        let values = rows[0].iter().zip(rows[1]).zip(rows[2]).zip(rows[3]);
        for (sum, (((a, b), c), d)) in sums.iter_mut().zip(values) {
            let [a, b, c, d] = [*a, *b, *c, *d].map(f32::from);
            *sum += (a * weights[0] + b * weights[1]) + (c * weights[2] + d * weights[3]);
        }
        y += 4;
    }
    for weight in rest {
        sums.iter_mut().zip(pixels.row(y)).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
        y += 1;
    }
}

/// The weights of the pixels along one side, for each of the 64 samples.
struct Axis(Vec<Taps>);

/// The pixels that one sample is made of: weights, which sum to one, from `first` on.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Axis {
    /// Of a side of `length` pixels, at least one.
    fn new(length: usize) -> Axis {
        Axis((0..SIDE).map(|sample| Taps::new(sample, length)).collect())
    }
}

impl Taps {
    /// A box filter of a box filter, at the pixel under the centre of sample `sample`.
    fn new(sample: usize, length: usize) -> Taps {
        let centre = (2 * sample + 1) * length / (2 * SIDE);
        let outer = window(centre, length);
        let (first, end) = (window(outer.start, length).start, window(outer.end - 1, length).end);
        let mut weights = vec![0f64; end - first];
        for pixel in outer.clone() {
            let inner = window(pixel, length);
            let weight = 1.0 / (outer.len() * inner.len()) as f64;
            weights[inner.start - first..inner.end - first].iter_mut().for_each(|sum| *sum += weight);
        }
        Taps { first, weights: weights.into_iter().map(|weight| weight as f32).collect() }
    }
}

/// The pixels that one pass of the box filter averages into the pixel at `centre`: 1/128 of the side, rounded up, less
/// where the picture ends. An even window reaches one further to the right, as the reference's does.
fn window(centre: usize, length: usize) -> std::ops::Range<usize> {
    let full = length.div_ceil(2 * SIDE);
    let right = full / 2;
    centre.saturating_sub(full - 1 - right)..(centre + right + 1).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_stay_in_the_picture() {
        for length in (1..400).chain([640, 1000, 4000, 65535]) {
            for taps in Axis::new(length).0 {
                assert!(taps.first + taps.weights.len() <= length);
                assert!((taps.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{length}");
            }
        }
    }

    /// The same as the reference does it: every pixel filtered, then the 64 × 64 kept.
    #[test]
    fn samples_are_those_of_two_passes_over_all_pixels() {
        for (width, height) in [(5, 7), (64, 64), (100, 300), (129, 257), (640, 200)] {
            let samples: Vec<u8> = (0..width * height).map(|at: usize| (at * at / 7 % 251) as u8).collect();
            let mut picture: Vec<f64> = samples.iter().map(|sample| f64::from(*sample)).collect();
            for _ in 0..2 {
                let mean = |at: &dyn Fn(usize) -> f64, window: std::ops::Range<usize>| {
                    window.clone().map(at).sum::<f64>() / window.len() as f64
                };
                let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
                picture = places().map(|(x, y)| mean(&|x| picture[y * width + x], window(x, width))).collect();
                picture = places().map(|(x, y)| mean(&|y| picture[y * width + x], window(y, height))).collect();
            }
            let pixels = Pixels::new(width as u32, height as u32, Channels::Luma, samples).unwrap();
            for (y, row) in reduce(&pixels).iter().enumerate() {
                for (x, sample) in row.iter().enumerate() {
                    let at = |sample: usize, length: usize| ((sample as f64 + 0.5) * length as f64 / 64.0) as usize;
                    let expected = picture[at(y, height) * width + at(x, width)];
                    assert!((f64::from(*sample) - expected).abs() < 1e-3, "{width}×{height} at {x}, {y}");
                }
            }
        }
    }
}
