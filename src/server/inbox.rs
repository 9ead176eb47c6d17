//! A connection's read buffer: bytes go in at the end, whole frames come out at the front, nothing is copied between.

use std::ops::Range;

use super::limits::{Gauge, Limits, Taken};
use crate::protocol::{FrameError, HEADER_BYTES, Header};

/// A connection's own buffer. Pages of it that are never written cost nothing.
pub(super) const OWN_BYTES: usize = 256 << 10;

/// The buffer of one connection.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// What has been read and not yet consumed.
    filled: Range<usize>,
    /// Room for a frame above [`OWN_BYTES`].
    large: Option<Taken>,
    /// Bytes still to come of a frame that found no room.
    skip_bytes: usize,
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
        Inbox { bytes: vec![0; OWN_BYTES], filled: 0..0, large: None, skip_bytes: 0 }
    }

    /// Where the next bytes are to be read to; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
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
            let Some(taken) = large_frames.take(frame_bytes as u64, limits.large_frame_bytes) else {
                self.skip_bytes = frame_bytes;
                return Ok(Front::NoRoom(header));
            };
            let mut larger = vec![0; frame_bytes];
            larger[..unread.len()].copy_from_slice(unread);
            self.filled = 0..unread.len();
            self.bytes = larger;
            self.large = Some(taken);
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
            let mut own = vec![0; OWN_BYTES];
            own[..self.filled.len()].copy_from_slice(&self.bytes[self.filled.clone()]);
            self.filled = 0..self.filled.len();
            self.bytes = own;
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
