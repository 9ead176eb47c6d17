//! A connection's read buffer: bytes go in at the end, whole frames come out at the front, nothing is copied between.

use std::ops::Range;

use super::limits::{Gauge, Limits, Taken};
use crate::protocol::{FrameError, HEADER_BYTES, Header};

/// A connection's own buffer grows up to so many bytes.
pub(super) const OWN_BYTES: usize = 256 << 10;

/// What it begins with, enough for single questions: a crowd that asks little costs little.
const FIRST_BYTES: usize = 1 << 10;

/// A buffer that a read has filled grows by this factor.
const GROWTH: usize = 4;

/// The buffer of one connection.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// What has been read and not yet consumed.
    filled: Range<usize>,
    /// Room for a frame above [`OWN_BYTES`].
    large: Option<Taken>,
    /// Bytes still to come of a frame that found no room.
    skip_bytes: usize,
    /// The last read found more than there was room for, most likely.
    was_full: bool,
}

/// What stands at the front of an [`Inbox`].
#[derive(Debug)]
pub(super) enum Front {
    /// Nothing.
    Empty,
    /// A frame that is not complete.
    Partial,
    /// A complete frame.
    Whole(Header),
    /// A frame for which there is no memory now. Its bytes are thrown away as they come.
    NoRoom(Header),
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { bytes: vec![0; FIRST_BYTES], filled: 0..0, large: None, skip_bytes: 0, was_full: false }
    }

    /// Where the next bytes are to be read to; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        let is_short = std::mem::take(&mut self.was_full) || self.filled.len() == self.bytes.len();
        if is_short && self.bytes.len() < OWN_BYTES {
            self.hold((self.bytes.len() * GROWTH).min(OWN_BYTES));
        } else if self.filled.end == self.bytes.len() {
            // Only whole frames are consumed, and every frame fits, so a full buffer has consumed bytes before it.
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        &mut self.bytes[self.filled.end..]
    }

    /// Says that `count` bytes were read to [`Inbox::space`].
    pub(super) fn filled(&mut self, count: usize) {
        self.filled.end += count;
        self.was_full = self.filled.end == self.bytes.len();
    }

    /// Whether it has grown, and nothing stands in it.
    pub(super) fn may_shrink(&self) -> bool {
        self.filled.is_empty() && self.bytes.len() > FIRST_BYTES
    }

    /// Begins anew if nothing stands in it.
    pub(super) fn shrink(&mut self) {
        if self.may_shrink() {
            self.hold(FIRST_BYTES);
        }
    }

    /// Moves what stands in it to a buffer of `bytes` bytes.
    fn hold(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        buffer[..self.filled.len()].copy_from_slice(&self.bytes[self.filled.clone()]);
        self.filled = 0..self.filled.len();
        self.bytes = buffer;
        self.was_full = false;
    }

    /// What stands at the front.
    ///
    /// # Errors
    /// A length that no frame may have.
    pub(super) fn front(&mut self, limits: &Limits, large_frames: &Gauge) -> Result<Front, FrameError> {
        let skipped = self.skip_bytes.min(self.filled.len());
        self.filled.start += skipped;
        self.skip_bytes -= skipped;
        if self.skip_bytes > 0 {
            return Ok(Front::Partial);
        }
        let unread = &self.bytes[self.filled.clone()];
        let Some(header) = unread.first_chunk::<HEADER_BYTES>() else {
            return Ok(if unread.is_empty() { Front::Empty } else { Front::Partial });
        };
        let header = Header::decode(header, limits.frame_bytes)?;
        let frame_bytes = header.frame_bytes();
        if unread.len() >= frame_bytes {
            return Ok(Front::Whole(header));
        }
        if frame_bytes > self.bytes.len() {
            if frame_bytes > OWN_BYTES {
                let Some(taken) = large_frames.take(frame_bytes as u64, limits.large_frame_bytes) else {
                    self.skip_bytes = frame_bytes;
                    return Ok(Front::NoRoom(header));
                };
                self.large = Some(taken);
            }
            self.hold(frame_bytes.next_power_of_two().min(frame_bytes.max(OWN_BYTES)));
        }
        Ok(Front::Partial)
    }

    /// The payload of the whole frame at the front.
    pub(super) fn payload(&self, header: &Header) -> &[u8] {
        &self.bytes[self.filled.start + HEADER_BYTES..self.filled.start + header.frame_bytes()]
    }

    /// Forgets the whole frame at the front, and gives memory back that was taken for it.
    pub(super) fn consume(&mut self, header: &Header) {
        self.filled.start += header.frame_bytes();
        if self.large.is_some() && self.filled.len() < OWN_BYTES {
            self.hold(OWN_BYTES);
            self.large = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Op, RequestId, encode_frame};
    use proptest::prelude::*;

    fn read(inbox: &mut Inbox, mut bytes: &[u8], most: usize) -> usize {
        let space = inbox.space();
        let count = bytes.len().min(space.len()).min(most);
        assert!(count > 0, "there is always room to read to");
        std::io::Read::read_exact(&mut bytes, &mut space[..count]).unwrap();
        inbox.filled(count);
        count
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_come_out_as_they_went_in(
            sizes in proptest::collection::vec(prop_oneof![0..50usize, 0..600_000usize], 1..8),
            most in prop_oneof![1_000..5_000usize, 10_000..1_000_000usize],
        ) {
            let mut stream = Vec::new();
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(number, size)| vec![number as u8 + 1; *size]).collect();
            for (number, payload) in payloads.iter().enumerate() {
                encode_frame(&mut stream, Op::Lookup, RequestId(number as u32), payload);
            }
            let (limits, large_frames) = (Limits::default(), Gauge::default());
            let mut inbox = Inbox::new();
            let mut seen = Vec::new();
            let mut rest = &stream[..];
            loop {
                match inbox.front(&limits, &large_frames).unwrap() {
                    Front::Whole(header) => {
                        prop_assert_eq!(header.id, RequestId(seen.len() as u32));
                        seen.push(inbox.payload(&header).to_vec());
                        inbox.consume(&header);
                    }
                    Front::Empty if rest.is_empty() => break,
                    Front::Empty | Front::Partial => rest = &rest[read(&mut inbox, rest, most)..],
                    Front::NoRoom(_) => prop_assert!(false, "there is room for one frame"),
                }
            }
            prop_assert_eq!(seen, payloads);
            prop_assert_eq!(large_frames.used(), 0);
        }
    }

    #[test]
    fn what_stands_in_it_is_kept_when_it_shrinks() {
        let (limits, large_frames) = (Limits::default(), Gauge::default());
        let mut stream = Vec::new();
        encode_frame(&mut stream, Op::Lookup, RequestId(1), &vec![7; 100_000]);
        let mut inbox = Inbox::new();
        let (mut rest, mut largest) = (&stream[..], 0);
        let header = loop {
            inbox.shrink();
            match inbox.front(&limits, &large_frames).unwrap() {
                Front::Whole(header) => break header,
                _ => rest = &rest[read(&mut inbox, rest, usize::MAX)..],
            }
            largest = largest.max(inbox.bytes.len());
        };
        assert_eq!(inbox.payload(&header), vec![7; 100_000]);
        inbox.consume(&header);
        inbox.shrink();
        assert_eq!((largest, inbox.bytes.len()), (128 << 10, FIRST_BYTES));
    }

    #[test]
    fn a_frame_without_room_is_skipped_and_the_next_is_read() {
        let (limits, large_frames) = (Limits::default(), Gauge::default());
        let _others = large_frames.take(limits.large_frame_bytes, limits.large_frame_bytes).unwrap();
        let mut stream = Vec::new();
        encode_frame(&mut stream, Op::Lookup, RequestId(1), &vec![7; 700_000]);
        encode_frame(&mut stream, Op::Status, RequestId(2), &[]);
        let mut inbox = Inbox::new();
        let mut rest = &stream[..];
        let mut fronts = Vec::new();
        while fronts.len() < 2 {
            match inbox.front(&limits, &large_frames).unwrap() {
                Front::Empty | Front::Partial => rest = &rest[read(&mut inbox, rest, usize::MAX)..],
                Front::NoRoom(header) => fronts.push(("no room", header.id.0)),
                Front::Whole(header) => fronts.push(("whole", header.id.0)),
            }
        }
        assert_eq!(fronts, [("no room", 1), ("whole", 2)]);
    }
}
