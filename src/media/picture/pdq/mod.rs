//! PDQ (Meta, 2019): 256 bits that change little when a picture is resized, recompressed or retouched.
//!
//! Written from the description in Davis and Rosen, *The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing
//! Algorithm*, and held to the reference by tests: the same pixels give the same hash and quality, except where a
//! coefficient lies so close to the median that the reference's own rounding decides.
//!
//! ```text
//! pixels ─▶ reduce: 64 × 64 luma ─┬─▶ gradients ─▶ quality
//!                                 └─▶ 16 × 16 lowest DCT coefficients ─▶ above their median? ─▶ 256 bits
//! ```

mod reduce;

use std::fmt;
use std::sync::LazyLock;

use data_encoding::HEXLOWER;

use super::pixels::Pixels;
use reduce::{Reduced, SIDE, reduce};

/// Coefficients along each side.
const FREQUENCIES: usize = 16;

/// A picture with a side shorter than this has the hash zero, at quality 0.
const SIDE_MIN: u32 = 5;

/// Below this quality the authors advise against use of a hash: flat pictures are like each other.
pub const PDQ_QUALITY_MIN: u8 = 50;

type Coefficients = [[f32; FREQUENCIES]; FREQUENCIES];

/// A PDQ hash in the order in which the reference prints it: the bit of the highest frequencies leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PdqHash(pub [u8; 32]);

impl PdqHash {
    /// Bits in which the two differ.
    pub fn distance(&self, other: &PdqHash) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}

/// 64 digits of lower-case hex.
impl fmt::Display for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PdqHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What PDQ says of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdq {
    /// The hash of the picture as it is.
    pub hash: PdqHash,
    /// How much there is to see in the picture, 0 to 100. Below [`PDQ_QUALITY_MIN`] the hash identifies nothing.
    pub quality: u8,
    /// If asked for, the hashes that the picture would have if it were turned or mirrored, in the order of
    /// [`Dihedral::ALL`]; the first equals `hash`.
    pub dihedral: Option<[PdqHash; 8]>,
}

impl Pdq {
    /// PDQ of `pixels`; with `dihedral`, of its eight turned and mirrored versions too, which cost microseconds.
    pub fn of(pixels: &Pixels, dihedral: bool) -> Pdq {
        if pixels.width().min(pixels.height()) < SIDE_MIN {
            let hash = PdqHash([0; 32]);
            return Pdq { hash, quality: 0, dihedral: dihedral.then_some([hash; 8]) };
        }
        let reduced = reduce(pixels);
        let coefficients = transform(&reduced);
        Pdq {
            hash: hash(&coefficients),
            quality: quality(&reduced),
            dihedral: dihedral.then(|| Dihedral::ALL.map(|variant| hash(&variant.apply(&coefficients)))),
        }
    }
}

/// The eight ways to lay a square on itself. A picture is turned or mirrored by transposing its coefficients and
/// changing the signs of every other row or column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dihedral {
    /// As it is.
    Original,
    /// Turned by 90° anticlockwise.
    Rotate90,
    /// Turned by 180°.
    Rotate180,
    /// Turned by 270° anticlockwise.
    Rotate270,
    /// Mirrored top to bottom.
    FlipX,
    /// Mirrored left to right.
    FlipY,
    /// Transposed: mirrored at the diagonal from the upper left.
    FlipPlus1,
    /// Mirrored at the diagonal from the upper right.
    FlipMinus1,
}

impl Dihedral {
    /// All eight, in the order of `compute_dihedral` in PyPI `pdqhash`.
    pub const ALL: [Dihedral; 8] = [
        Dihedral::Original,
        Dihedral::Rotate90,
        Dihedral::Rotate180,
        Dihedral::Rotate270,
        Dihedral::FlipX,
        Dihedral::FlipY,
        Dihedral::FlipPlus1,
        Dihedral::FlipMinus1,
    ];

    fn apply(self, coefficients: &Coefficients) -> Coefficients {
        use Dihedral::*;
        let transposed = matches!(self, Rotate90 | Rotate270 | FlipPlus1 | FlipMinus1);
        let (flip_rows, flip_columns) = match self {
            Original | FlipPlus1 => (false, false),
            Rotate90 | FlipX => (true, false),
            Rotate270 | FlipY => (false, true),
            Rotate180 | FlipMinus1 => (true, true),
        };
        let sign = |flip: bool, frequency: usize| if flip && frequency.is_multiple_of(2) { -1.0 } else { 1.0 };
        std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let value = if transposed { coefficients[column][row] } else { coefficients[row][column] };
                value * sign(flip_rows, row) * sign(flip_columns, column)
            })
        })
    }
}

/// Sum of the steps between neighbouring samples, each in whole hundredths of the range so that faint ones count for
/// nothing, scaled to 100 for an ordinary photo.
fn quality(reduced: &Reduced) -> u8 {
    const STEPS_OF_ONE_POINT: u32 = 90;
    let step = |a: f32, b: f32| ((a - b) * 100.0 / 255.0) as i32;
    let down = reduced.iter().zip(&reduced[1..]).flat_map(|(upper, lower)| upper.iter().zip(lower));
    let across = reduced.iter().flat_map(|row| row.iter().zip(&row[1..]));
    let sum: u32 = down.chain(across).map(|(a, b)| step(*a, *b).unsigned_abs()).sum();
    (sum / STEPS_OF_ONE_POINT).min(100) as u8
}

/// Rows 1 to 16 of the 64-point DCT-II; the constant row 0 says only how bright the picture is.
static COSINES: LazyLock<[[f32; SIDE]; FREQUENCIES]> = LazyLock::new(|| {
    let scale = (2.0 / SIDE as f64).sqrt() as f32;
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let angle = std::f64::consts::PI / 2.0 / SIDE as f64 * (row + 1) as f64 * (2 * column + 1) as f64;
            (f64::from(scale) * angle.cos()) as f32
        })
    })
});

/// The lowest 16 × 16 coefficients of the DCT without the constant ones. Products are added in the reference's order,
/// so that equal samples give equal bits.
fn transform(reduced: &Reduced) -> Coefficients {
    let cosines = &*COSINES;
    std::array::from_fn(|row| {
        let mut columns = [0f32; SIDE];
        for (cosine, samples) in cosines[row].iter().zip(reduced) {
            columns.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += cosine * sample);
        }
        std::array::from_fn(|column| columns.iter().zip(&cosines[column]).fold(0.0, |sum, (a, b)| sum + a * b))
    })
}

/// A bit for each coefficient: whether it is above the median, of two middle ones the lower.
fn hash(coefficients: &Coefficients) -> PdqHash {
    let mut sorted = *coefficients.as_flattened().first_chunk::<256>().expect("16 × 16 coefficients");
    let (_, median, _) = sorted.select_nth_unstable_by(127, f32::total_cmp);
    let mut hash = [0; 32];
    for (bit, value) in coefficients.as_flattened().iter().enumerate() {
        hash[31 - bit / 8] |= u8::from(*value > *median) << (bit % 8);
    }
    PdqHash(hash)
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};

    use super::*;

    fn pdq(picture: RgbImage) -> Pdq {
        Pdq::of(&Pixels::try_from(image::DynamicImage::from(picture)).unwrap(), true)
    }

    /// Turned pixels have the hash that is said of them, nearly: windows of even width lean to the right.
    #[test]
    fn variants_are_what_they_are_called() {
        let wave = |x: u32, y: u32, by: f32| {
            127.0 + 60.0 * ((x as f32 * by + y as f32 * 0.05).sin() + (y as f32 / by / 90.0).cos())
        };
        let picture =
            RgbImage::from_fn(200, 200, |x, y| image::Rgb([0.031, 0.11, 0.07].map(|by| wave(x, y, by) as u8)));
        let turned = [
            picture.clone(),
            rotate270(&picture),
            rotate180(&picture),
            rotate90(&picture),
            flip_vertical(&picture),
            flip_horizontal(&picture),
            flip_horizontal(&rotate90(&picture)),
            flip_vertical(&rotate90(&picture)),
        ];
        let variants = pdq(picture).dihedral.unwrap();
        for (variant, (expected, turned)) in Dihedral::ALL.iter().zip(variants.iter().zip(turned)) {
            let found = pdq(turned).hash;
            let bits = found.distance(expected);
            let nearest = variants.iter().map(|other| found.distance(other)).min();
            assert_eq!(nearest, Some(bits), "{variant:?}");
            assert!(bits <= 40, "{variant:?} differs by {bits} bits");
        }
    }

    #[test]
    fn a_picture_of_four_rows_has_the_hash_zero() {
        let pdq = pdq(RgbImage::from_fn(100, 4, |x, y| image::Rgb([x as u8, y as u8, 0])));
        assert_eq!(pdq, Pdq { hash: PdqHash([0; 32]), quality: 0, dihedral: Some([PdqHash([0; 32]); 8]) });
    }
}
