//! Formats by magic number. Names and declared types lie, and each decoder must meet only its own format.

use std::fmt;

/// Bytes at the start of a file that [`sniff`] looks at, at most.
pub const SNIFF_BYTES: usize = 18;

/// A picture format that is decoded. Of formats that hold several pictures, the first is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG (ITU-T T.81): baseline and progressive, grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// PNG (ISO/IEC 15948).
    Png,
    /// GIF87a and GIF89a.
    Gif,
    /// WebP (RFC 9649), lossy and lossless.
    WebP,
    /// Windows bitmap with a file header.
    Bmp,
    /// TIFF 6.0 and BigTIFF, in either byte order.
    Tiff,
    /// A picture of a format that is not decoded: HEIF and AVIF, JPEG XL, JPEG 2000, Photoshop. That is no reason to take
    /// it for no picture: it is undecided.
    Other,
}

impl Format {
    /// The format's name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::WebP => "WebP",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
            Format::Other => "a format that is not decoded",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The format whose magic number stands at the start of `head`, the first [`SNIFF_BYTES`] bytes of a file or more.
/// `None` means that the file is no picture for hashward, and is asked about by exact kinds only.
pub fn sniff(head: &[u8]) -> Option<Format> {
    match head {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        // Some write the number in the other byte order than they say, and some decoders read that.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        [b'I', b'I', 0, 42 | 43, ..] | [b'M', b'M', 42 | 43, 0, ..] => Some(Format::Tiff),
        // Two letters begin many a text; the length of the header behind the file's header is one of few. The bytes
        // between are reserved, and no decoder looks at them.
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
            Some(Format::Bmp)
        }
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if is_heif(brand) => Some(Format::Other),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some(Format::Other),
        [0xFF, 0x4F, 0xFF, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => Some(Format::Other),
        [b'8', b'B', b'P', b'S', ..] => Some(Format::Other),
        _ => None,
    }
}

/// Whether the brand in an ISO media file's first box is one of still pictures; the others are videos.
fn is_heif(brand: &[u8]) -> bool {
    const BRANDS: [&[u8; 4]; 10] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"];
    BRANDS.iter().any(|still| brand.starts_with(*still))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_number_needs_all_its_bytes() {
        let heads: [(&[u8], Format); 14] = [
            (b"\xFF\xD8\xFF", Format::Jpeg),
            (b"\x89PNG\r\n\x1A\n", Format::Png),
            (b"GIF89a", Format::Gif),
            (b"RIFF\x10\0\0\0WEBP", Format::WebP),
            (b"BM\x10\0\0\0reserved\x28\0\0\0", Format::Bmp),
            (b"II*\0", Format::Tiff),
            (b"MM\0+", Format::Tiff),
            (b"MM*\0", Format::Tiff),
            (b"\0\0\0\x18ftypheic", Format::Other),
            (b"\0\0\0\x1Cftypavif", Format::Other),
            (b"\xFF\x0A", Format::Other),
            (b"\0\0\0\x0CJXL ", Format::Other),
            (b"\0\0\0\x0CjP  ", Format::Other),
            (b"8BPS", Format::Other),
        ];
        for (head, format) in heads {
            assert!(head.len() <= SNIFF_BYTES);
            assert_eq!(sniff(head), Some(format));
            assert_eq!(sniff(&head[..head.len() - 1]), None, "{format}");
        }
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"BMW and all the others"), None);
        assert_eq!(sniff(b"\0\0\0\x18ftypmp42"), None, "a video");
    }
}
