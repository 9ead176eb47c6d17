//! What a worker and its parent say to each other, byte by byte. Bytes in, values out: no I/O, and no length is believed
//! before it is checked.
//!
//! All numbers are little-endian. The worker speaks first, once:
//!
//! ```text
//! HELLO   offset  bytes
//!              0  4      magic "HWWK"
//!              4  1      version of this protocol, 1
//!              5  1      flags: bit 0 system calls are filtered, bit 1 inherited descriptors were closed
//!              6  1      version of landlock in force, 0 if none
//!              7  1      0
//! ```
//!
//! Then the parent asks, one request after the other, each followed by the picture:
//!
//! ```text
//! REQUEST offset  bytes
//!              0  4      job number
//!              4  2      kinds wanted: bit n for the kind with code n
//!              6  1      1 for all eight turns and mirrorings, 0 for the picture as it is
//!              7  1      0
//!              8  8      limit: pixels
//!             16  8      limit: bytes of memory
//!             24  8      limit: bytes of the file
//!             32  4      length of the picture, in bytes
//!             36  …      the picture
//! ```
//!
//! And the worker answers, once it has read all of it:
//!
//! ```text
//! ANSWER  offset  bytes
//!              0  4      job number of the request
//!              4  1      status: 0 hashed, otherwise why not: 1 not a picture, 2 a variant that is not decoded,
//!                        3 damaged, 4 too large, 5 too much memory
//!              5  1      0
//!              6  2      length of what follows, in bytes; 0 unless hashed
//!              8  …      for each kind wanted, in the order of their codes:
//!                 1      code of the kind
//!                 1      quality, 0 to 100, of `pdq`; 0 of other kinds
//!                 1      number of hashes: 8 of `pdq` if all turns and mirrorings were asked for, otherwise 1
//!                 …      the hashes, each as wide as its kind
//! ```
//!
//! An answer can hold nothing but what was asked for, so a parent that checks it needs to believe nothing.

use super::Failed;
use super::sandbox::SandboxReport;
use crate::fingerprint::Kind;
use crate::media::picture::{DecodeLimits, Dihedral, HashRequest, Pdq, PdqHash, PictureHashes};

/// The first bytes that a worker writes.
const MAGIC: [u8; 4] = *b"HWWK";

/// Parent and worker are the same program, except while a test or an upgrade mixes them.
const VERSION: u8 = 1;

/// Bytes of a HELLO.
pub const HELLO_BYTES: usize = 8;

/// Bytes of a REQUEST before the picture.
pub const REQUEST_BYTES: usize = 36;

/// Bytes of an ANSWER before the hashes.
pub const ANSWER_HEADER_BYTES: usize = 8;

/// The longest ANSWER there can be: all perceptual kinds, in all eight variants.
pub const ANSWER_BYTES_MAX: usize = ANSWER_HEADER_BYTES + Kind::PERCEPTUAL.len() * 3 + Dihedral::ALL.len() * 32 + 3 * 8;

/// The longest picture that a request may announce, whatever the limits say.
pub const PICTURE_BYTES_MAX: u64 = 1 << 30;

const FLAG_SECCOMP: u8 = 1;
const FLAG_DESCRIPTORS_CLOSED: u8 = 2;

/// Numbers a worker's jobs, so that an answer cannot be taken for that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobNumber(pub u32);

impl JobNumber {
    pub(super) fn next(self) -> JobNumber {
        JobNumber(self.0.wrapping_add(1))
    }
}

/// Bytes that are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: not as the protocol says")]
pub struct WireError {
    what: &'static str,
}

fn wrong<T>(what: &'static str) -> Result<T, WireError> {
    Err(WireError { what })
}

/// The HELLO of a worker whose sandbox is as `report` says.
pub fn encode_hello(report: &SandboxReport) -> [u8; HELLO_BYTES] {
    let [m0, m1, m2, m3] = MAGIC;
    let seccomp = if report.seccomp { FLAG_SECCOMP } else { 0 };
    let closed = if report.descriptors_closed { FLAG_DESCRIPTORS_CLOSED } else { 0 };
    [m0, m1, m2, m3, VERSION, seccomp | closed, report.landlock_abi.unwrap_or(0), 0]
}

/// Reads a HELLO.
///
/// # Errors
/// Any other bytes.
pub fn decode_hello(bytes: &[u8]) -> Result<SandboxReport, WireError> {
    let [m0, m1, m2, m3, version, flags, landlock, reserved] = *bytes else { return wrong("length of HELLO") };
    if [m0, m1, m2, m3] != MAGIC || version != VERSION {
        return wrong("magic or version of HELLO");
    }
    if flags & !(FLAG_SECCOMP | FLAG_DESCRIPTORS_CLOSED) != 0 || reserved != 0 {
        return wrong("reserved bits of HELLO");
    }
    Ok(SandboxReport {
        landlock_abi: (landlock != 0).then_some(landlock),
        seccomp: flags & FLAG_SECCOMP != 0,
        descriptors_closed: flags & FLAG_DESCRIPTORS_CLOSED != 0,
    })
}

/// What a worker is asked, without the picture itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub job: JobNumber,
    /// What to compute.
    pub hashes: HashRequest,
    /// What it may cost.
    pub limits: DecodeLimits,
    /// Length of the picture that follows, in bytes.
    pub picture_bytes: usize,
}

impl Request {
    /// The bytes that go before the picture.
    ///
    /// # Panics
    /// When the picture is longer than [`PICTURE_BYTES_MAX`].
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let kinds = self.hashes.kinds.iter().fold(0u16, |mask, kind| mask | 1 << kind.code());
        let picture_bytes = u32::try_from(self.picture_bytes).expect("the pool takes no longer picture");
        let mut bytes = [0; REQUEST_BYTES];
        bytes[0..4].copy_from_slice(&self.job.0.to_le_bytes());
        bytes[4..6].copy_from_slice(&kinds.to_le_bytes());
        bytes[6] = self.hashes.dihedral.into();
        bytes[8..16].copy_from_slice(&self.limits.pixels_max.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.limits.memory_bytes_max.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.limits.input_bytes_max.to_le_bytes());
        bytes[32..36].copy_from_slice(&picture_bytes.to_le_bytes());
        bytes
    }

    /// Reads the bytes that go before the picture.
    ///
    /// # Errors
    /// Kinds that are not computed from pictures, a length above the limits, or anything else that no parent writes.
    pub fn decode(bytes: &[u8; REQUEST_BYTES]) -> Result<Request, WireError> {
        let mut rest = &bytes[..];
        let job = JobNumber(u32::from_le_bytes(take(&mut rest)?));
        let mask = u16::from_le_bytes(take(&mut rest)?);
        let [dihedral, reserved] = take(&mut rest)?;
        let limits = DecodeLimits {
            pixels_max: u64::from_le_bytes(take(&mut rest)?),
            memory_bytes_max: u64::from_le_bytes(take(&mut rest)?),
            input_bytes_max: u64::from_le_bytes(take(&mut rest)?),
        };
        let picture_bytes = u32::from_le_bytes(take(&mut rest)?);
        let kinds: Vec<Kind> = Kind::PERCEPTUAL.into_iter().filter(|kind| mask & 1 << kind.code() != 0).collect();
        if kinds.len() != mask.count_ones() as usize {
            return wrong("kinds of REQUEST");
        }
        if dihedral > 1 || reserved != 0 {
            return wrong("flags of REQUEST");
        }
        if u64::from(picture_bytes) > limits.input_bytes_max.min(PICTURE_BYTES_MAX) {
            return wrong("length of the picture");
        }
        let hashes = HashRequest { kinds, dihedral: dihedral == 1 };
        Ok(Request { job, hashes, limits, picture_bytes: picture_bytes as usize })
    }
}

/// What a worker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The job of the request.
    pub job: JobNumber,
    /// The hashes, or why there are none.
    pub outcome: Result<PictureHashes, Failed>,
}

/// How long an ANSWER is of which these are the first bytes; `None` while there are too few to tell.
///
/// # Errors
/// A length that no answer has.
pub fn answer_bytes(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(header) = bytes.first_chunk::<ANSWER_HEADER_BYTES>() else { return Ok(None) };
    let length = ANSWER_HEADER_BYTES + usize::from(u16::from_le_bytes([header[6], header[7]]));
    if length > ANSWER_BYTES_MAX { wrong("length of ANSWER") } else { Ok(Some(length)) }
}

impl Answer {
    /// The bytes of the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.job.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        match &self.outcome {
            Ok(hashes) => encode_hashes(&mut bytes, hashes),
            Err(failed) => bytes[4] = failed.code(),
        }
        let length = (bytes.len() - ANSWER_HEADER_BYTES) as u16;
        bytes[6..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Reads the answer to `request`.
    ///
    /// # Errors
    /// Anything but exactly what was asked for.
    pub fn decode(bytes: &[u8], request: &Request) -> Result<Answer, WireError> {
        let mut rest = bytes;
        let job = JobNumber(u32::from_le_bytes(take(&mut rest)?));
        let [status, reserved] = take(&mut rest)?;
        let length = u16::from_le_bytes(take(&mut rest)?);
        if job != request.job || reserved != 0 || usize::from(length) != rest.len() {
            return wrong("header of ANSWER");
        }
        let outcome = match (status, Failed::from_code(status)) {
            (0, _) => Ok(decode_hashes(&mut rest, &request.hashes)?),
            (_, Some(failed)) => Err(failed),
            (_, None) => return wrong("status of ANSWER"),
        };
        if rest.is_empty() { Ok(Answer { job, outcome }) } else { wrong("end of ANSWER") }
    }
}

fn encode_hashes(bytes: &mut Vec<u8>, hashes: &PictureHashes) {
    if let Some(pdq) = &hashes.pdq {
        let values = pdq.dihedral.as_ref().map_or(std::slice::from_ref(&pdq.hash), |all| all.as_slice());
        bytes.extend_from_slice(&[Kind::Pdq.code(), pdq.quality, values.len() as u8]);
        values.iter().for_each(|value| bytes.extend_from_slice(&value.0));
    }
    for (kind, value) in &hashes.hashes64 {
        bytes.extend_from_slice(&[kind.code(), 0, 1]);
        bytes.extend_from_slice(value);
    }
}

fn decode_hashes(rest: &mut &[u8], request: &HashRequest) -> Result<PictureHashes, WireError> {
    let mut hashes = PictureHashes { pdq: None, hashes64: Vec::new() };
    for kind in &request.kinds {
        let [code, quality, count] = take(rest)?;
        let all_variants = *kind == Kind::Pdq && request.dihedral;
        let wanted = if all_variants { Dihedral::ALL.len() } else { 1 };
        let quality_max = if *kind == Kind::Pdq { 100 } else { 0 };
        if code != kind.code() || usize::from(count) != wanted || quality > quality_max {
            return wrong("hashes of ANSWER");
        }
        if *kind == Kind::Pdq {
            let hash = PdqHash(take(rest)?);
            let mut dihedral = [hash; Dihedral::ALL.len()];
            if all_variants {
                for variant in &mut dihedral[1..] {
                    *variant = PdqHash(take(rest)?);
                }
            }
            hashes.pdq = Some(Pdq { hash, quality, dihedral: all_variants.then_some(dihedral) });
        } else {
            hashes.hashes64.push((*kind, take(rest)?));
        }
    }
    Ok(hashes)
}

/// Takes the next N bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let Some((taken, after)) = rest.split_first_chunk::<N>() else { return wrong("length") };
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: DecodeLimits = DecodeLimits { pixels_max: 1, memory_bytes_max: 2, input_bytes_max: 300 };

    fn requests() -> impl Strategy<Value = Request> {
        (any::<u32>(), proptest::sample::subsequence(Kind::PERCEPTUAL.to_vec(), 0..=4), any::<bool>(), 0..=300usize)
            .prop_map(|(job, kinds, dihedral, picture_bytes)| {
                let hashes = HashRequest { kinds, dihedral };
                Request { job: JobNumber(job), hashes, limits: LIMITS, picture_bytes }
            })
    }

    /// The answer with these bytes for hashes, or this failure.
    fn answer(request: &Request, quality: u8, fill: u8, failed: Option<Failed>) -> Answer {
        let pdq = request.hashes.kinds.contains(&Kind::Pdq).then(|| {
            let mut dihedral = [PdqHash([fill; 32]); 8];
            dihedral[7].0[3] ^= 1;
            Pdq { hash: dihedral[0], quality, dihedral: request.hashes.dihedral.then_some(dihedral) }
        });
        let is_64 = |kind: &&Kind| **kind != Kind::Pdq;
        let hashes64 = request.hashes.kinds.iter().filter(is_64).map(|kind| (*kind, [fill; 8])).collect();
        let outcome = failed.map_or(Ok(PictureHashes { pdq, hashes64 }), Err);
        Answer { job: request.job, outcome }
    }

    /// The bytes that the module's tables describe.
    #[test]
    fn the_bytes_are_as_specified() {
        let report = SandboxReport { landlock_abi: Some(6), seccomp: true, descriptors_closed: true };
        assert_eq!(encode_hello(&report), *b"HWWK\x01\x03\x06\0");
        let hashes = HashRequest { kinds: vec![Kind::Pdq, Kind::Dhash64], dihedral: false };
        let request = Request { job: JobNumber(7), hashes, limits: LIMITS, picture_bytes: 258 };
        let expected =
            [&b"\x07\0\0\0\x40\x02\0\0\x01\0\0\0\0\0\0\0"[..], b"\x02\0\0\0\0\0\0\0\x2c\x01\0\0\0\0\0\0\x02\x01\0\0"];
        assert_eq!(request.encode(), *expected.concat());
        let expected = [b"\x07\0\0\0\0\0\x2e\0\x06\x32\x01", &[9; 32][..], b"\x09\0\x01", &[9; 8]];
        assert_eq!(answer(&request, 50, 9, None).encode(), expected.concat());
        assert_eq!(answer(&request, 50, 9, Some(Failed::Malformed)).encode(), b"\x07\0\0\0\x03\0\0\0");
    }

    #[test]
    fn what_a_request_must_not_hold_is_refused() {
        let hashes = HashRequest { kinds: vec![Kind::Pdq], dihedral: true };
        let bytes = Request { job: JobNumber(1), hashes, limits: LIMITS, picture_bytes: 300 }.encode();
        assert!(Request::decode(&bytes).is_ok());
        for (at, value) in [(4, 2), (5, 0x80), (6, 2), (7, 1), (32, 45), (35, 0xFF)] {
            let mut bad = bytes;
            bad[at] = value;
            assert!(Request::decode(&bad).is_err(), "byte {at} = {value}");
        }
    }

    #[test]
    fn only_the_longest_answer_is_as_long_as_an_answer_can_be() {
        let hashes = HashRequest { kinds: Kind::PERCEPTUAL.to_vec(), dihedral: true };
        let request = Request { job: JobNumber(1), hashes, limits: LIMITS, picture_bytes: 0 };
        let longest = answer(&request, 100, 0xFF, None).encode();
        assert_eq!(longest.len(), ANSWER_BYTES_MAX);
        assert_eq!(answer_bytes(&longest[..7]), Ok(None));
        assert_eq!(answer_bytes(&longest), Ok(Some(ANSWER_BYTES_MAX)));
        assert!(answer_bytes(b"\0\0\0\0\0\0\xFF\xFF").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            request in requests(),
            quality in 0..=100u8,
            fill: u8,
            failed in proptest::option::of(proptest::sample::select(Failed::BY_WORKERS.to_vec())),
            report in any::<(Option<u8>, bool, bool)>(),
        ) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request.clone()));
            let answer = answer(&request, quality, fill, failed);
            let bytes = answer.encode();
            prop_assert_eq!(answer_bytes(&bytes), Ok(Some(bytes.len())));
            prop_assert_eq!(Answer::decode(&bytes, &request), Ok(answer));
            let (landlock_abi, seccomp, descriptors_closed) = report;
            let report = SandboxReport { landlock_abi: landlock_abi.filter(|abi| *abi != 0), seccomp, descriptors_closed };
            prop_assert_eq!(decode_hello(&encode_hello(&report)), Ok(report));
        }

        /// A worker that lies can say nothing but what it could have said in truth: whatever is taken as an answer is
        /// written as the very bytes that it was read from.
        #[test]
        fn no_other_bytes_are_an_answer(
            request in requests(),
            fill: u8,
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
            cut: proptest::sample::Index,
            cuts: bool,
        ) {
            let mut bytes = answer(&request, 50, fill, None).encode();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(read) = Answer::decode(&bytes, &request) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), request in requests()) {
            let _ = decode_hello(&bytes);
            let _ = answer_bytes(&bytes);
            let _ = Answer::decode(&bytes, &request);
            if let Some(header) = bytes.first_chunk()
                && let Ok(read) = Request::decode(header)
            {
                prop_assert_eq!(read.encode(), *header);
            }
        }
    }
}
