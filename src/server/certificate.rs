//! When a certificate ends, read from its bytes (RFC 5280 §4.1): rustls checks that for those who connect, and does not tell it.

use crate::moment::parse_iso_ms;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which may be left out.
const VERSION: u8 = 0xa0;

/// The moment after which a certificate in DER is no longer valid, in seconds since 1970-01-01 UTC; `None` if it does not
/// stand where it should.
pub(super) fn ends_at(der: &[u8]) -> Option<i64> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (mut fields, _) = value(certificate, SEQUENCE)?;
    if let Some((_, after)) = value(fields, VERSION) {
        fields = after;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = any_value(fields)?.2;
    }
    let (validity, _) = value(fields, SEQUENCE)?;
    let (_, _, not_after) = any_value(validity)?;
    let (tag, text, _) = any_value(not_after)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (century, text) = match (tag, text.len()) {
        // Years of two digits stand for 1950 to 2049.
        (UTC_TIME, 12) => (if text.as_bytes()[0] < b'5' { "20" } else { "19" }, text),
        (GENERALIZED_TIME, 14) => ("", text),
        _ => return None,
    };
    let digits = format!("{century}{text}");
    let part = |from: usize, to: usize| digits.get(from..to);
    let (date, time) = (
        format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?),
        format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?),
    );
    Some(parse_iso_ms(&format!("{date}T{time}Z"))? / 1_000)
}

/// The content of the value that `der` begins with, if it has this tag, and what follows it.
fn value(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    any_value(der).filter(|(tag, ..)| *tag == expected).map(|(_, content, after)| (content, after))
}

/// The tag and the content of the value that `der` begins with, and what follows it.
fn any_value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, after) = der.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => {
            let (bytes, after) = after.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::iso;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 2, 28);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for year in [1999, 2026, 2049, 2050, 2100] {
            let ends = ends_at(&made(year)).map(iso);
            assert_eq!(ends, Some(format!("{year}-02-28T00:00:00Z")));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>()) {
            ends_at(&bytes);
            let good = made(2049);
            let damaged: Vec<u8> = good.iter().take(at.index(good.len())).copied().chain(bytes).collect();
            ends_at(&damaged);
        }
    }
}
