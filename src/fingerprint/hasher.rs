//! Exact digests of a stream: one pass over the bytes, whatever the number of kinds.

mod ed2k;
mod tth;

use std::io::{self, Read};

use sha1::Digest;

use super::{Fingerprint, Kind};
use ed2k::Ed2k;
use tth::Tth;

/// Bytes read at a time: large enough for BLAKE3's widest SIMD, small enough to stay in the L2 cache between kinds.
const CHUNK_BYTES: usize = 128 * 1024;

/// Computes several kinds side by side.
pub struct Hasher(Vec<State>);

enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    Blake3(Box<blake3::Hasher>),
    Ed2k(Box<Ed2k>),
    Tth(Box<Tth>),
}

impl Hasher {
    /// A hasher for `kinds`.
    ///
    /// # Errors
    /// The first kind that cannot be computed from bytes (see [`Kind::COMPUTED`]).
    pub fn new(kinds: &[Kind]) -> Result<Hasher, NotComputed> {
        let state = |kind: &Kind| match kind {
            Kind::Md5 => Ok(State::Md5(md5::Md5::new())),
            Kind::Sha1 => Ok(State::Sha1(sha1::Sha1::new())),
            Kind::Sha256 => Ok(State::Sha256(sha2::Sha256::new())),
            Kind::Sha512 => Ok(State::Sha512(Box::new(sha2::Sha512::new()))),
            Kind::Blake3 => Ok(State::Blake3(Box::new(blake3::Hasher::new()))),
            Kind::Ed2k => Ok(State::Ed2k(Box::default())),
            Kind::Tth => Ok(State::Tth(Box::default())),
            _ => Err(NotComputed(*kind)),
        };
        kinds.iter().map(state).collect::<Result<_, _>>().map(Hasher)
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        for state in &mut self.0 {
            match state {
                State::Md5(hasher) => hasher.update(bytes),
                State::Sha1(hasher) => hasher.update(bytes),
                State::Sha256(hasher) => hasher.update(bytes),
                State::Sha512(hasher) => hasher.update(bytes),
                State::Blake3(hasher) => {
                    hasher.update(bytes);
                }
                State::Ed2k(hasher) => hasher.update(bytes),
                State::Tth(hasher) => hasher.update(bytes),
            }
        }
    }

    /// The digests, in the order of the kinds given to [`Hasher::new`].
    pub fn finish(self) -> Vec<Fingerprint> {
        let digest = |state| match state {
            State::Md5(hasher) => fingerprint(Kind::Md5, &hasher.finalize()),
            State::Sha1(hasher) => fingerprint(Kind::Sha1, &hasher.finalize()),
            State::Sha256(hasher) => fingerprint(Kind::Sha256, &hasher.finalize()),
            State::Sha512(hasher) => fingerprint(Kind::Sha512, &hasher.finalize()),
            State::Blake3(hasher) => fingerprint(Kind::Blake3, hasher.finalize().as_bytes()),
            State::Ed2k(hasher) => fingerprint(Kind::Ed2k, &hasher.finish()),
            State::Tth(hasher) => fingerprint(Kind::Tth, &hasher.finish()),
        };
        self.0.into_iter().map(digest).collect()
    }
}

fn fingerprint(kind: Kind, value: &[u8]) -> Fingerprint {
    Fingerprint::new(kind, value).expect("a hasher's output has its kind's width")
}

/// A kind that is supplied by lists and cannot be computed by [`Hasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be computed from a file here; expected one of {names}", names = Kind::COMPUTED.map(Kind::name).join(", "))]
pub struct NotComputed(pub Kind);

/// Hashes a whole stream and counts its bytes.
///
/// # Errors
/// Any error of `reader`; an unsupported kind as [`io::ErrorKind::Unsupported`].
pub fn hash_reader(mut reader: impl Read, kinds: &[Kind]) -> io::Result<(Vec<Fingerprint>, u64)> {
    let mut hasher = Hasher::new(kinds).map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut total_bytes = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), total_bytes)),
            Ok(read) => {
                hasher.update(&chunk[..read]);
                total_bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Hashes bytes in memory by one of the [`Kind::COMPUTED`] kinds.
///
/// # Panics
/// When `kind` is not one of them.
pub fn hash_bytes(kind: Kind, bytes: &[u8]) -> Fingerprint {
    let mut hasher = Hasher::new(&[kind]).expect("the caller names a computed kind");
    hasher.update(bytes);
    hasher.finish().remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of `abc` from RFC 1321, FIPS 180-4's examples, the BLAKE3 reference implementation, RFC 1320 (one part's
    /// MD4 is its ed2k) and DC++ (in base32 ASD4UJSEH5M47PDYB46KBTSQTSGDKLBHYXOMUIA).
    const ABC: [(Kind, &str); 7] = [
        (Kind::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (Kind::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Kind::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Kind::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (Kind::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        (Kind::Ed2k, "a448017aaf21d8525fc10ae87aa6729d"),
        (Kind::Tth, "0487ca26443f59cfbc780f3ca0ce509c8c352c27c5dcca20"),
    ];

    #[test]
    fn published_digests_come_out_in_one_pass() {
        let (digests, bytes) = hash_reader(&b"abc"[..], &ABC.map(|(kind, _)| kind)).unwrap();
        assert_eq!(bytes, 3);
        let printed: Vec<_> = digests.iter().map(|digest| (digest.kind(), digest.to_hex())).collect();
        let expected: Vec<_> = ABC.iter().map(|(kind, hex)| (*kind, (*hex).to_owned())).collect();
        assert_eq!(printed, expected);
    }

    #[test]
    fn a_stream_in_pieces_hashes_as_a_whole() {
        let bytes: Vec<u8> = (0..400_000u32).map(|i| (i * 7) as u8).collect();
        let mut hasher = Hasher::new(&Kind::COMPUTED).unwrap();
        bytes.chunks(4_099).for_each(|piece| hasher.update(piece));
        let (whole, _) = hash_reader(&bytes[..], &Kind::COMPUTED).unwrap();
        assert_eq!(hasher.finish(), whole);
    }

    #[test]
    fn supplied_kinds_are_refused() {
        assert_eq!(Hasher::new(&[Kind::Md5, Kind::PhotoDna]).err(), Some(NotComputed(Kind::PhotoDna)));
    }
}
