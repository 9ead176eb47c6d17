//! Short texts from people, files and requests: configs, tokens, checkpoints, addresses, fingerprints, names. Read or
//! refused; what is read prints as something that reads the same. The first byte of the input chooses what it is.
#![no_main]

use std::fmt::Display;
use std::fs;
use std::str::FromStr;
use std::sync::LazyLock;

use hashward::access::{Token, TokenHash};
use hashward::audit::Checkpoint;
use hashward::config::Config;
use hashward::fingerprint::{Fingerprint, Kind, KindRadius, Radii};
use hashward::list::{Category, ListName};
use hashward::protocol::Address;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn printed<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert!(read.to_string().parse::<T>().is_ok_and(|again| again == read), "{text:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [what, bytes @ ..] = bytes else { return };
    let text = String::from_utf8_lossy(bytes);
    match what % 3 {
        0 => {
            let file = FOLDER.path().join("hashward.toml");
            fs::write(&file, bytes).unwrap();
            // What is refused says why.
            if let Err(error) = Config::resolve(Some(&file), None, &[]) {
                assert!(!error.to_string().is_empty());
            }
        }
        1 => {
            if let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(bytes) {
                assert!(checkpoint.check(None).is_err(), "nobody signed this");
            }
        }
        _ => {
            if let Some(token) = Token::parse(&text) {
                assert_eq!((token.reveal(), token.hash()), (&*text, Token::parse(&text).unwrap().hash()));
                assert!(!format!("{token:?}").contains(&*text));
            }
            printed::<TokenHash>(&text);
            printed::<Address>(&text);
            printed::<Fingerprint>(&text);
            printed::<Kind>(&text);
            printed::<ListName>(&text);
            printed::<Category>(&text);
            if let Ok(radius) = text.parse::<KindRadius>() {
                let radii: Radii = [radius].into_iter().collect();
                assert_eq!(radii.to_string().parse::<KindRadius>(), Ok(radius));
            }
        }
    }
});
