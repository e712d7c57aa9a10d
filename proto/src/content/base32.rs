//! Base32 (RFC 4648), lower-case, without padding: what a person can read out, and one text for the same bytes.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Why a text is not what [`encode`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotCanonical;

/// The text of the bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(symbol(bits >> count));
        }
    }
    if count > 0 {
        text.push(symbol(bits << (5 - count)));
    }
    text
}

fn symbol(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

fn value(symbol: char) -> Option<u32> {
    ALPHABET.iter().position(|&s| char::from(s) == symbol).map(|value| value as u32)
}

/// The position, counted in characters from zero, of the first character that is not of the alphabet.
pub(super) fn foreign(text: &str) -> Option<usize> {
    text.chars().position(|c| value(c).is_none())
}

/// The whole bytes in the text, and whether [`encode`] makes this very text from them: a number of characters that it
/// makes, and no bit set that it leaves unused. Foreign characters count as not canonical.
pub(super) fn decode(text: &str) -> (Vec<u8>, Result<(), NotCanonical>) {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for value in text.chars().map_while(value) {
        bits = bits << 5 | value;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    let whole = foreign(text).is_none() && count < 5 && bits == 0;
    (bytes, if whole { Ok(()) } else { Err(NotCanonical) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text), (bytes.as_bytes().to_vec(), Ok(())));
        }
    }

    #[test]
    fn unused_bits_and_impossible_lengths_are_not_canonical() {
        for text in ["mz", "m", "mzxr", "mzxw6y", "MY", "m1", "mé"] {
            assert_eq!(decode(text).1, Err(NotCanonical), "{text}");
        }
        assert_eq!(foreign("mé1"), Some(1));
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), (bytes, Ok(())));
        }

        #[test]
        fn a_canonical_text_is_encoded_again(text in "[a-z2-7]{0,20}") {
            if let (bytes, Ok(())) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
