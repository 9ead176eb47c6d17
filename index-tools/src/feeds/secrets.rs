//! Keeps credentials out of everything that is printed, reported or kept.

use hashward::feed::Secret;
use hashward::fingerprint::Encoding;

use super::http::encode;

/// What stands in a credential's place.
const HIDDEN: &str = "[secret]";

/// The credentials of a feed, in all the ways in which a server may repeat them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a credential.
    pub(super) fn add(&mut self, secret: &Secret) {
        let secret = secret.expose();
        let json = serde_json::Value::from(secret).to_string();
        let json = json[1..json.len() - 1].to_owned();
        let xml = quick_xml::escape::escape(secret).into_owned();
        self.0.extend([secret.to_owned(), encode(secret), Encoding::Base64.encode(secret.as_bytes()), json, xml]);
        self.0.retain(|text| !text.is_empty());
        // What contains another goes first.
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        self.0.dedup();
    }

    /// `text` without them.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// Bytes of any encoding without them.
    pub(super) fn hide_in(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(bytes, |bytes, secret| {
            let finder = memchr::memmem::Finder::new(secret);
            let mut hidden = Vec::with_capacity(bytes.len());
            let mut rest = &bytes[..];
            while let Some(at) = finder.find(rest) {
                hidden.extend_from_slice(&rest[..at]);
                hidden.extend_from_slice(HIDDEN.as_bytes());
                rest = &rest[at + secret.len()..];
            }
            hidden.extend_from_slice(rest);
            hidden
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_form() {
        let mut secrets = Secrets::default();
        secrets.add(&Secret::from("p\"ä/ß word".to_owned()));
        secrets.add(&Secret::from("user:p\"ä/ß word".to_owned()));
        let text = "a p\"ä/ß word, user:p\"ä/ß word, p%22%C3%A4/%C3%9F%20word, cCLDpC/DnyB3b3Jk";
        let hidden = secrets.hide(text);
        assert_eq!(hidden, "a [secret], [secret], [secret], [secret]");
        assert_eq!(secrets.hide_in(text.as_bytes().to_vec()), hidden.as_bytes());
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }
}
