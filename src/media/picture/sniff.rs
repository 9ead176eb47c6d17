//! Formats by magic number. Names and declared types lie, and each decoder must meet only its own format.

use std::fmt;

/// Bytes at the start of a file that [`sniff`] looks at, at most.
pub const SNIFF_BYTES: usize = 12;

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
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        // Two letters begin many a text; the four reserved bytes of the header are zero in any bitmap.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(Format::Bmp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_number_needs_all_its_bytes() {
        let heads: [(&[u8], Format); 7] = [
            (b"\xFF\xD8\xFF", Format::Jpeg),
            (b"\x89PNG\r\n\x1A\n", Format::Png),
            (b"GIF89a", Format::Gif),
            (b"RIFF\x10\0\0\0WEBP", Format::WebP),
            (b"BM\x10\0\0\0\0\0\0\0", Format::Bmp),
            (b"II*\0", Format::Tiff),
            (b"MM\0+", Format::Tiff),
        ];
        for (head, format) in heads {
            assert!(head.len() <= SNIFF_BYTES);
            assert_eq!(sniff(head), Some(format));
            assert_eq!(sniff(&head[..head.len() - 1]), None, "{format}");
        }
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"BMW and others"), None);
    }
}
