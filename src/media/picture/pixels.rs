//! Decoded pictures as the hashers see them.

use image::{DynamicImage, GrayImage, RgbImage};

/// A picture of 8-bit samples, rows from the top, no padding.
#[derive(Clone, Debug)]
pub struct Pixels {
    width: u32,
    height: u32,
    channels: Channels,
    samples: Vec<u8>,
}

/// What stands in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One byte of luma.
    Luma,
    /// Three bytes: red, green, blue.
    Rgb,
}

impl Channels {
    /// Bytes of a pixel.
    pub const fn count(self) -> usize {
        match self {
            Channels::Luma => 1,
            Channels::Rgb => 3,
        }
    }
}

impl Pixels {
    /// A picture from its samples; `None` unless there are `width` × `height` × [`Channels::count`] of them.
    pub fn new(width: u32, height: u32, channels: Channels, samples: Vec<u8>) -> Option<Pixels> {
        let expected = (width as usize).checked_mul(height as usize)?.checked_mul(channels.count())?;
        (samples.len() == expected).then_some(Pixels { width, height, channels, samples })
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// What stands in a pixel.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The samples, row by row.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The samples of row `y`, which is below the height.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let length = self.width as usize * self.channels.count();
        &self.samples[y * length..(y + 1) * length]
    }
}

impl From<Pixels> for DynamicImage {
    fn from(pixels: Pixels) -> DynamicImage {
        let Pixels { width, height, channels, samples } = pixels;
        let picture = match channels {
            Channels::Luma => GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
            Channels::Rgb => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
        };
        picture.expect("as many samples as the picture has")
    }
}

impl TryFrom<DynamicImage> for Pixels {
    type Error = ();

    /// Takes over 8-bit grey and RGB pictures, and no others.
    fn try_from(picture: DynamicImage) -> Result<Pixels, ()> {
        let (width, height) = (picture.width(), picture.height());
        let (channels, samples) = match picture {
            DynamicImage::ImageLuma8(picture) => (Channels::Luma, picture.into_raw()),
            DynamicImage::ImageRgb8(picture) => (Channels::Rgb, picture.into_raw()),
            _ => return Err(()),
        };
        Pixels::new(width, height, channels, samples).ok_or(())
    }
}
