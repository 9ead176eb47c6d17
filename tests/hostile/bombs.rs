//! Few bytes that claim, or come to, very many.

use std::io::Write;

use flate2::{Compression, Crc, write::ZlibEncoder};

use image::ImageFormat;

use super::{End, Hostile, NOTHING_THERE, TOO_LARGE, hostile};
use crate::worker_support::{encoded, picture};

/// Bytes that a zlib bomb in a chunk inflates to.
const INFLATED_BYTES: usize = 100 << 20;

pub(super) fn bombs() -> Vec<Hostile> {
    let mut bombs = png_bombs();
    bombs.extend(gif_bombs());
    bombs.extend(headers());
    bombs.extend(jpeg_bombs());
    bombs
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes(), &kind[..], data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG of these chunks between its header and its end.
fn png(width: u32, height: u32, depth_and_color: [u8; 2], chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &depth_and_color, &[0; 3]].concat();
    [b"\x89PNG\r\n\x1A\n", &chunk(b"IHDR", &header)[..], &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

/// `count` zeros, deflated.
fn zeros(count: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for start in (0..count).step_by(block.len()) {
        encoder.write_all(&block[..block.len().min(count - start)]).unwrap();
    }
    encoder.finish().unwrap()
}

fn png_bombs() -> Vec<Hostile> {
    let small = |extra: Vec<u8>| png(16, 16, [8, 0], &[extra, chunk(b"IDAT", &zeros(16 * 17))]);
    let bomb = zeros(INFLATED_BYTES);
    let profile = small(chunk(b"iCCP", &[b"p\0\0", &bomb[..]].concat()));
    let text = small(chunk(b"zTXt", &[b"k\0\0", &bomb[..]].concat()));
    let international = small(chunk(b"iTXt", &[b"k\0\x01\0\0\0", &bomb[..]].concat()));
    let endless_data = png(16, 16, [8, 0], &[chunk(b"IDAT", &bomb)]);
    let many = small(chunk(b"tEXt", b"k\0v").repeat(200_000));
    let bits = 30_000 * (30_000 / 8 + 1);
    let long_chunk = png(16, 16, [8, 0], &[[&0x7FFF_FFFFu32.to_be_bytes()[..], b"IDAT"].concat()]);
    vec![
        hostile("png 30000×30000 of one bit", png(30_000, 30_000, [1, 0], &[chunk(b"IDAT", &zeros(bits))]), TOO_LARGE),
        hostile("png of 2³¹-1 squared without data", png(0x7FFF_FFFF, 0x7FFF_FFFF, [16, 6], &[]), NOTHING_THERE),
        hostile("png within the pixel limit, 8 bytes a pixel", png(10_000, 10_000, [16, 6], &[]), NOTHING_THERE),
        hostile("png of no pixels", png(0, 16, [8, 0], &[chunk(b"IDAT", &zeros(1))]), NOTHING_THERE),
        hostile("png with a zlib bomb as profile", profile, End::Ends),
        hostile("png with a zlib bomb as text", text, End::Hashes),
        hostile("png with a zlib bomb as international text", international, End::Hashes),
        hostile("png with a zlib bomb as pixels", endless_data, End::Ends),
        hostile("png with 200,000 texts", many, End::Hashes),
        hostile("png with a chunk of 2³¹-1 bytes that are not there", long_chunk, NOTHING_THERE),
    ]
}

fn gif(width: u16, height: u16, body: &[u8]) -> Vec<u8> {
    let palette = [0, 0, 0, 255, 255, 255];
    [b"GIF89a", &width.to_le_bytes()[..], &height.to_le_bytes(), &[0x80, 0, 0], &palette, body, b";"].concat()
}

/// One frame of `width` × `height` whose data are a few codes only.
fn frame(width: u16, height: u16) -> Vec<u8> {
    let place = [[0; 4], [width.to_le_bytes(), height.to_le_bytes()].concat().try_into().unwrap()].concat();
    [b",", &place[..], &[0, 2, 2, 0x44, 0x01, 0]].concat()
}

/// A GIF of the same good frame so many times.
pub(crate) fn deep_gif(frames: usize) -> Vec<u8> {
    let bytes = encoded(&picture(3, 16), ImageFormat::Gif);
    let screen_bytes = 13 + if bytes[10] & 0x80 == 0 { 0 } else { 6 << (bytes[10] & 7) };
    let (screen, frame) = bytes.split_at(screen_bytes);
    let frame = frame.strip_suffix(b";").unwrap();
    [screen, &frame.repeat(frames), b";"].concat()
}

fn gif_bombs() -> Vec<Hostile> {
    vec![
        hostile("gif 65535×65535", gif(65_535, 65_535, &frame(65_535, 65_535)), TOO_LARGE),
        hostile("gif 65535×65535 with a small frame", gif(65_535, 65_535, &frame(1, 1)), TOO_LARGE),
        hostile("gif with a frame larger than its screen", gif(8, 8, &frame(65_535, 65_535)), End::Ends),
        hostile("gif of 5,000 frames", deep_gif(5_000), End::Hashes),
        hostile("gif of extensions only", gif(8, 8, &b"!\xFE\x01x\0".repeat(200_000)), NOTHING_THERE),
        hostile(
            "gif that never ends a block",
            gif(8, 8, &[&frame(8, 8)[..12], &b"\xFF".repeat(1 << 20)].concat()),
            End::Ends,
        ),
    ]
}

fn bmp(width: i32, height: i32, bits: u16, compression: u32, body: &[u8]) -> Vec<u8> {
    let info = [
        &40u32.to_le_bytes()[..],
        &width.to_le_bytes(),
        &height.to_le_bytes(),
        &1u16.to_le_bytes(),
        &bits.to_le_bytes(),
        &compression.to_le_bytes(),
        &[0; 20],
    ];
    let palette = if bits <= 8 { vec![0; 4 << bits] } else { Vec::new() };
    let offset = (54 + palette.len() as u32).to_le_bytes();
    [b"BM", &[0; 8][..], &offset, &info.concat(), &palette, body].concat()
}

fn webp(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let chunk = [kind, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat();
    [b"RIFF", &(chunk.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunk].concat()
}

/// Headers that declare much, with little behind them.
fn headers() -> Vec<Hostile> {
    let run_lengths = [255, 0].repeat(50_000);
    vec![
        hostile("bmp 2³¹-1 squared", bmp(i32::MAX, i32::MAX, 24, 0, &[]), NOTHING_THERE),
        hostile("bmp 30000×30000", bmp(30_000, 30_000, 24, 0, &[]), TOO_LARGE),
        hostile("bmp of the lowest height", bmp(10, i32::MIN, 24, 0, &[0; 300]), NOTHING_THERE),
        hostile("bmp of negative width", bmp(-10, 10, 24, 0, &[0; 300]), NOTHING_THERE),
        hostile("bmp 9000×9000 of runs", bmp(9_000, 9_000, 8, 1, &run_lengths), End::Ends),
        hostile("bmp 30000×30000 of runs", bmp(30_000, 30_000, 8, 1, &run_lengths), TOO_LARGE),
        // Lossless: 14 bits of width and height each, all ones.
        hostile("webp 16384×16384", webp(b"VP8L", b"\x2F\xFF\xFF\xFF\x0F\0\0"), NOTHING_THERE),
        hostile("webp canvas of 2²⁴ squared", webp(b"VP8X", b"\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF"), NOTHING_THERE),
        hostile("webp lossy 16383×16383", webp(b"VP8 ", b"\x10\0\0\x9D\x01\x2A\xFF\x3F\xFF\x3F"), TOO_LARGE),
        hostile(
            "webp that claims 4 GiB",
            [b"RIFF\xFF\xFF\xFF\xFFWEBPVP8 \xF0\xFF\xFF\xFF", &[0; 64][..]].concat(),
            NOTHING_THERE,
        ),
    ]
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xFF, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat()
}

/// The header of a frame of three components.
fn frame_header(marker: u8, width: u16, height: u16) -> Vec<u8> {
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    segment(marker, &[&[8][..], &size, &[3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]].concat())
}

fn jpeg_bombs() -> Vec<Hostile> {
    let quantization = segment(0xDB, &[&[0][..], &[1; 64]].concat());
    // One code of one bit, for the value 0: the shortest table there is.
    let huffman = |class: u8| segment(0xC4, &[&[class, 1][..], &[0; 15], &[0]].concat());
    let tables = [quantization, huffman(0x00), huffman(0x10)].concat();
    let scan = segment(0xDA, &[1, 1, 0, 0, 0, 0]);
    let jpeg = |parts: &[&[u8]]| [b"\xFF\xD8", &tables[..], &parts.concat(), b"\xFF\xD9"].concat();
    let refining = scan.repeat(20_000);
    vec![
        hostile("jpeg 65535×65535", jpeg(&[&frame_header(0xC0, 65_535, 65_535), &scan]), TOO_LARGE),
        hostile("jpeg 65535×65535, progressive", jpeg(&[&frame_header(0xC2, 65_535, 65_535), &scan]), TOO_LARGE),
        hostile("jpeg 9000×9000 without data", jpeg(&[&frame_header(0xC0, 9_000, 9_000), &scan]), End::Ends),
        hostile("jpeg of 20,000 scans", jpeg(&[&frame_header(0xC2, 4_000, 4_000), &refining]), End::Ends),
        hostile("jpeg of no height", jpeg(&[&frame_header(0xC0, 100, 0), &scan]), NOTHING_THERE),
        hostile("jpeg of comments only", jpeg(&[&segment(0xFE, &[b'x'; 1_000]).repeat(5_000)]), NOTHING_THERE),
        hostile("jpeg of frames only", jpeg(&[&frame_header(0xC0, 64, 64).repeat(50_000)]), End::Ends),
    ]
}
