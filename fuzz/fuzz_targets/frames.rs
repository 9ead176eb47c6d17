//! All that a daemon and a client read of the frame protocol: headers, payloads of both sides, commands and outcomes in
//! JSON. What is read is what its encoder writes. The first byte of the input chooses what it is.
#![no_main]

use hashward::audit::{TrailCommand, TrailOutcome};
use hashward::fingerprint::Kind;
use hashward::protocol::{
    ContentFrame, Failure, HEADER_BYTES, Header, Hello, LookupFrame, MAX_VALUES, Op, RequestId, Welcome,
    decode_answers, encode_answers, encode_content, encode_error, encode_lookup,
};
use hashward::store::Command;
use hashward::store::command::{Outcome, Refusal};
use libfuzzer_sys::fuzz_target;

const ID: RequestId = RequestId(7);

/// The payload of the one frame that `encode` writes.
fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(&mut frame);
    let header = Header::decode(frame[..HEADER_BYTES].try_into().unwrap(), u32::MAX).unwrap();
    assert_eq!((header.id, header.frame_bytes()), (ID, frame.len()));
    assert!(Op::from_code(header.op).is_some());
    frame.split_off(HEADER_BYTES)
}

fn json<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(bytes) {
        let text = serde_json::to_string(&read).unwrap();
        let again = serde_json::to_string(&serde_json::from_str::<T>(&text).unwrap()).unwrap();
        assert_eq!(again, text);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [what, bytes @ ..] = bytes else { return };
    match what % 8 {
        0 => {
            let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return };
            if let Ok(header) = Header::decode(header, 1 << 20) {
                assert!(header.frame_bytes() <= 1 << 20 && header.payload_bytes <= header.frame_bytes());
            }
        }
        1 => {
            if let Ok(hello) = Hello::decode(bytes) {
                assert_eq!(payload(|out| hello.encode(out, ID)), bytes);
            }
        }
        2 => {
            let Ok(frame) = LookupFrame::decode(bytes) else { return };
            let row_bytes: usize = frame.kinds.iter().map(|kind: &Kind| kind.width()).sum();
            assert_eq!(frame.values.len(), frame.rows as usize * row_bytes);
            assert!(frame.rows as usize * frame.kinds.len() <= MAX_VALUES as usize);
            let again = payload(|out| encode_lookup(out, ID, &frame.kinds, &frame.radii, frame.values));
            let again = LookupFrame::decode(&again).unwrap();
            assert_eq!(
                (&again.kinds, &again.radii, again.rows, again.values),
                (&frame.kinds, &frame.radii, frame.rows, frame.values)
            );
        }
        3 => {
            let (descriptor, more) = ContentFrame::announces(bytes);
            let Ok(frame) = ContentFrame::decode(bytes) else { return };
            assert_eq!((frame.descriptor, frame.more), (descriptor, more));
            let again = payload(|out| encode_content(out, ID, &frame));
            let again = ContentFrame::decode(&again).unwrap();
            assert_eq!((again.bytes, again.more, again.descriptor), (frame.bytes, more, descriptor));
            assert_eq!(again.options, frame.options);
        }
        4 => {
            let Ok(answers) = decode_answers(bytes) else { return };
            assert_eq!(answers.iter().count(), answers.rows as usize);
            // Only what a daemon may say can be written again; what is written reads back.
            let mut frame = Vec::new();
            if encode_answers(&mut frame, ID, &answers).is_ok() {
                assert_eq!(decode_answers(&frame[HEADER_BYTES..]).unwrap(), answers);
            }
        }
        5 => {
            if let Ok(welcome) = Welcome::decode(bytes) {
                let again = payload(|out| welcome.encode(out, ID));
                assert_eq!(Welcome::decode(&again).unwrap(), welcome);
            }
        }
        6 => {
            if let Ok(failure) = Failure::decode(bytes) {
                let again = payload(|out| encode_error(out, ID, &failure));
                assert_eq!(Failure::decode(&again).unwrap(), failure);
            }
        }
        _ => {
            json::<Command>(bytes);
            json::<Outcome>(bytes);
            json::<Refusal>(bytes);
            json::<TrailCommand>(bytes);
            json::<TrailOutcome>(bytes);
        }
    }
});
