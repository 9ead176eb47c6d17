//! Bearer tokens: secrets of 256 random bits. The config holds only their digests, so that whoever reads it cannot use
//! one.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// What every token begins with, so that one that was published by mistake can be searched for.
const PREFIX: &str = "hashward_";

/// Random bytes in a token.
const SECRET_BYTES: usize = 32;

/// A token's length in characters.
const TEXT_BYTES: usize = PREFIX.len() + (SECRET_BYTES * 8).div_ceil(6);

/// A bearer token. Nothing prints it but [`Token::reveal`].
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new token, from the system's random numbers.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> std::io::Result<Token> {
        let mut secret = [0; SECRET_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Token(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&secret))))
    }

    /// The token that a client sent; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Token> {
        let is_token = text.len() == TEXT_BYTES && text.starts_with(PREFIX);
        is_token.then(|| Token(text.to_owned()))
    }

    /// The token as its bearer must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the config holds of it. A plain digest will do, for nobody can try 2²⁵⁶ tokens.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::hash(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The digest of a token, written `blake3:` and 64 hex digits. Comparing two takes the same time whatever they hold: that is
/// how `blake3::Hash` compares. What is compared is a digest besides, of which nobody can choose the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(blake3::Hash);

impl TokenHash {
    /// So much of it that people can tell two tokens apart.
    pub fn beginning(&self) -> String {
        HEXLOWER.encode(&self.0.as_bytes()[..4])
    }
}

/// Text that is no token's digest. It is not repeated: somebody may have put the token itself there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the digest of a token, `blake3:` and 64 hex digits, as `hashward token` prints it; found something else"
)]
pub struct BadTokenHash;

impl FromStr for TokenHash {
    type Err = BadTokenHash;

    fn from_str(text: &str) -> Result<TokenHash, BadTokenHash> {
        let hex = text.strip_prefix("blake3:").ok_or(BadTokenHash)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| BadTokenHash)?;
        Ok(TokenHash(blake3::Hash::from_bytes(bytes.try_into().map_err(|_| BadTokenHash)?)))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = BadTokenHash;

    fn try_from(text: String) -> Result<TokenHash, BadTokenHash> {
        text.parse()
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        hash.to_string()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", HEXLOWER.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_and_never_printed() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        let sent = Token::parse(one.reveal()).unwrap();
        assert_eq!(sent.hash(), one.hash());
        assert_ne!(other.hash(), one.hash());
        assert_eq!(one.hash().to_string().parse(), Ok(one.hash()));
        assert!(!format!("{one:?} {:?}", one.hash()).contains(&one.reveal()[PREFIX.len()..]));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let token = Token::generate().unwrap();
        for bad in ["", "hashward_", &token.reveal()[1..], &format!("{}x", token.reveal()), "é"] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
        for bad in ["", token.reveal(), "blake3:", "blake3:00", &token.hash().to_string().to_uppercase()] {
            let error = bad.parse::<TokenHash>().unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(&bad[bad.len().min(10)..]) || bad.len() < 11, "{error}");
        }
    }
}
