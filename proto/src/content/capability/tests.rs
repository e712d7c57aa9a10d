use super::*;
use proptest::prelude::*;

fn read(root: [u8; 32], key: [u8; 32]) -> Capability {
    Capability::Read { root: RootAddress(root), key: StripeKey::new(Secret::new(key)) }
}

/// A link around any bytes, its checksum right.
fn link(bytes: &[u8]) -> String {
    format!("{SCHEME}{}", base32::encode(&[bytes, &checksum(bytes)].concat()))
}

proptest! {
    #[test]
    fn a_link_is_read_as_it_was_written(root: [u8; 32], key: [u8; 32]) {
        let text = read(root, key).to_string();
        prop_assert_eq!(text.len(), 116);
        prop_assert_eq!(text.parse(), Ok(read(root, key)));
        let (root, key) = (RootAddress(root), StripeKey::new(Secret::new(key)));
        let repair = Capability::Repair { root, key };
        prop_assert_eq!(repair.to_string().parse(), Ok(repair.duplicate()));
        prop_assert!(repair.to_string() != text);
    }

    #[test]
    fn content_in_a_link_too(content in proptest::collection::vec(any::<u8>(), 0..=LINK_CONTENT_BYTES_MAX)) {
        let capability = Capability::Inline(content.into());
        prop_assert_eq!(capability.to_string().parse(), Ok(capability.duplicate()));
    }

    #[test]
    fn a_mistyped_character_is_noticed(root: [u8; 32], at in 4usize..116, to in "[a-z2-7]") {
        let text = read(root, [4; 32]).to_string();
        let mut mistyped = text.clone();
        mistyped.replace_range(at..=at, &to);
        if mistyped != text {
            prop_assert_eq!(mistyped.parse::<Capability>(), Err(LinkError::Checksum));
        }
    }

    #[test]
    fn a_text_that_is_read_is_written_the_same(text in "pal:aea[a-z2-7]{7,20}") {
        if let Ok(capability) = text.parse::<Capability>() {
            prop_assert_eq!(capability.to_string(), text);
        }
    }
}

#[test]
fn each_truncation_of_a_read_link_is_called_so() {
    let text = read([1; 32], [2; 32]).to_string();
    for len in 4..text.len() {
        assert_eq!(text[..len].parse::<Capability>(), Err(LinkError::Truncated), "{len} characters");
    }
    for len in 0..4 {
        assert_eq!(text[..len].parse::<Capability>(), Err(LinkError::NotALink));
    }
}

#[test]
fn what_is_wrong_is_called_by_its_name() {
    let good = read([1; 32], [2; 32]).to_string();
    for (text, error) in [
        (good.to_uppercase(), LinkError::NotALink),
        (format!(" {good}"), LinkError::NotALink),
        (good.replacen("pal:aea", "pal:aeA", 1), LinkError::Alphabet { position: 7 }),
        (format!("{good}."), LinkError::Alphabet { position: 117 }),
        (format!("{good}aaaaaaaa"), LinkError::TooLong),
        (link(&[1, 2, 7]).replacen("pal:aebao", "pal:aebap", 1), LinkError::Checksum),
        (link(&[2, 1]), LinkError::Version(2)),
        (link(&[9; 200]), LinkError::Version(9)),
        (link(&[1, 4]), LinkError::Kind(4)),
        (link(&[1, 0, 5]), LinkError::Kind(0)),
        (link(&[&[1, 2], &[0; 65][..]].concat()), LinkError::TooLong),
        (link(&[1, 1]), LinkError::Truncated),
        (link(&[1]), LinkError::Truncated),
    ] {
        assert_eq!(text.parse::<Capability>(), Err(error), "{text}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn unused_bits_are_zero() {
    // Seven bytes are 56 bits, twelve characters 60: four bits are unused.
    let text = Capability::Inline(Bytes::from_static(b"x")).to_string();
    let last = text.chars().last().unwrap();
    for other in "abcdefghijklmnopqrstuvwxyz234567".chars().filter(|&c| c != last) {
        let changed = format!("{}{other}", &text[..text.len() - 1]);
        assert_eq!(changed.parse::<Capability>(), Err(LinkError::Checksum));
    }
}

#[test]
fn debug_tells_nothing() {
    assert_eq!(format!("{:?}", read([1; 32], [2; 32])), "Read([secret])");
    assert_eq!(format!("{:?}", Capability::Inline(Bytes::from_static(b"text"))), "Inline([secret])");
}
