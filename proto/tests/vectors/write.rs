//! Makes the vectors. Run only to change a format on purpose.

use crate::{folder, to_hex};
use bytes::Bytes;
use palimpsest_proto::coding::{Descriptor, Geometry, encode};
use palimpsest_proto::content::{Capability, ConvergenceSecret, Extent, Manifest, StreamShape, StripeKey, seal_pack};
use palimpsest_proto::crypto::derive;
use palimpsest_proto::ids::{Locator, RootAddress};
use palimpsest_proto::labels::LINK_CHECKSUM;
use palimpsest_proto::params::INLINE_CONTENT_BYTES_MAX;
use palimpsest_proto::secret::Secret;
use std::sync::Once;

/// Writes all vectors, once however many tests ask for it at a time.
pub(crate) fn all() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        links();
        descriptors();
        manifests();
        sealing();
    });
}

fn write(format: &str, name: &str, fields: &[(&str, String)]) {
    let folder = folder().join(format);
    std::fs::create_dir_all(&folder).expect("a folder");
    let lines: String = fields.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    std::fs::write(folder.join(format!("{name}.txt")), lines).expect("a written vector");
}

/// Thirty-two bytes that count up from `start`.
fn counting(start: u8) -> [u8; 32] {
    std::array::from_fn(|i| start.wrapping_add(i as u8))
}

/// The link of any bytes, its checksum right.
fn link_of(bytes: &[u8]) -> String {
    let all = [bytes, &derive(LINK_CHECKSUM, bytes)[..4]].concat();
    let bits = all.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect::<Vec<u8>>();
    let symbols = bits.chunks(5).map(|five| (0..5).fold(0, |value, i| value << 1 | five.get(i).copied().unwrap_or(0)));
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    format!("pal:{}", symbols.map(|value| char::from(alphabet[usize::from(value)])).collect::<String>())
}

fn links() {
    let key = StripeKey::new(Secret::new(counting(100)));
    let read = Capability::Read { root: RootAddress(counting(0)), key }.to_string();
    let fields = |link: &str, expect: &str| [("link", link.to_owned()), ("expect", expect.to_owned())];
    let [link, expect] = fields(&read, "ok");
    write("link", "read", &[link, ("root", to_hex(&counting(0))), ("key", to_hex(&counting(100))), expect]);
    for (name, content) in [("inline_empty", &[][..]), ("inline", b"a few bytes"), ("inline_longest", &[255; 64])] {
        let link = Capability::Inline(Bytes::copy_from_slice(content)).to_string();
        let [link, expect] = fields(&link, "ok");
        write("link", name, &[link, ("content", to_hex(content)), expect]);
    }
    let (root, key) = (RootAddress(counting(0)), StripeKey::new(Secret::new(counting(100))));
    let repair = Capability::Repair { root, key }.to_string();
    let [link, expect] = fields(&repair, "ok");
    write("link", "repair", &[link, ("root", to_hex(&counting(0))), ("key", to_hex(&counting(100))), expect]);
    let inline = link_of(&[&[1, 2], &b"x"[..]].concat());
    let unused_bit = match inline.split_at(inline.len() - 1) {
        (front, "a") => format!("{front}b"),
        (front, last) => format!("{front}{}", char::from(last.as_bytes()[0] + 1)),
    };
    for (name, link, expect) in [
        ("another_scheme", read.replacen("pal:", "pol:", 1), "NotALink"),
        ("upper_case_scheme", read.replacen("pal:", "PAL:", 1), "NotALink"),
        ("leading_space", format!(" {read}"), "NotALink"),
        ("upper_case", read.replacen("pal:ae", "pal:aE", 1), "Alphabet { position: 6 }"),
        ("padding", format!("{read}="), "Alphabet { position: 117 }"),
        ("nothing", "pal:".to_owned(), "Truncated"),
        ("cut_short", read[..60].to_owned(), "Truncated"),
        ("last_character_missing", read[..read.len() - 1].to_owned(), "Truncated"),
        ("twice", format!("{read}{}", &read[4..]), "TooLong"),
        ("mistyped", read.replace("dq", "dr"), "Checksum"),
        ("unused_bit_set", unused_bit, "Checksum"),
        ("unknown_version", link_of(&[2, 1, 0]), "Version(2)"),
        ("unknown_kind", link_of(&[1, 4, 0]), "Kind(4)"),
        ("repair_cut_short", link_of(&[1, 3, 0]), "Truncated"),
        ("inline_too_long", link_of(&[&[1, 2], &[0; 65][..]].concat()), "TooLong"),
    ] {
        assert_ne!(link, read, "{name}");
        write("link", name, &fields(&link, expect));
    }
}

fn descriptors() {
    let locators = (0..5).map(|i| Locator(counting(i * 40))).collect();
    let descriptor = Descriptor::new(Geometry::new(2, 5).expect("a geometry"), locators).expect("a descriptor");
    let bytes = descriptor.encode();
    let root = descriptor.root_address();
    for (number, address) in root.record_addresses().into_iter().enumerate() {
        let fields = [
            ("bytes", to_hex(&bytes)),
            ("root", to_hex(root.as_bytes())),
            ("address", to_hex(address.as_bytes())),
            ("expect", "ok".to_owned()),
        ];
        write("descriptor", &format!("record_{number}"), &fields);
    }
    let elsewhere = [("bytes", to_hex(&bytes)), ("address", to_hex(&[0; 32])), ("expect", "Elsewhere".to_owned())];
    write("descriptor", "record_of_another_address", &elsewhere);
    let mut twice = bytes.clone();
    twice.copy_within(2..34, 34);
    for (name, bytes, expect) in [
        ("empty", vec![], "Truncated(\"k\")"),
        ("n_missing", vec![2], "Truncated(\"n\")"),
        ("k_of_no_stripe", [&[3], &bytes[1..]].concat(), "Invalid(\"geometry\")"),
        ("no_parity", [&[2, 2], &bytes[2..66]].concat(), "Invalid(\"geometry\")"),
        ("locator_missing", bytes[..bytes.len() - 32].to_vec(), "Truncated(\"locators\")"),
        ("trailing_byte", [&bytes[..], &[0]].concat(), "Trailing(1)"),
        ("locator_twice", twice, "Invalid(\"locators\")"),
    ] {
        write("descriptor", name, &[("bytes", to_hex(&bytes)), ("expect", expect.to_owned())]);
    }
}

fn manifests() {
    let ok = |name: &str, manifest: &Manifest, levels: usize| {
        let fields = [
            ("bytes", to_hex(&manifest.encode())),
            ("size", manifest.size().to_string()),
            ("levels", levels.to_string()),
            ("expect", "ok".to_owned()),
        ];
        write("manifest", name, &fields);
    };
    let inline = Manifest::inline(Bytes::from_static(b"content")).expect("a manifest");
    ok("inline", &inline, 0);
    // One stripe of 200,000 bytes, 4 of 5, the middle half of which stands in the file twice.
    let shape = StreamShape::new(200_000, 0, 5).expect("a shape");
    let extents = vec![Extent { offset: 0, len: 150_000, times: 1 }, Extent { offset: 50_000, len: 150_000, times: 1 }];
    let refs = Bytes::from((0..6).flat_map(|i| counting(i * 40)).collect::<Vec<u8>>());
    let one = Manifest::streams(300_000, extents.clone(), vec![shape], refs.clone()).expect("a manifest");
    ok("one_level", &one, 1);
    // Its reference in a stripe of its own, 2 of 3.
    let above = StreamShape::new(shape.refs_len(), 0, 3).expect("a shape");
    let two = Manifest::streams(300_000, extents, vec![shape, above], refs.slice(..128)).expect("a manifest");
    ok("two_levels", &two, 2);

    let bytes = one.encode();
    let at = |position: usize, value: &[u8]| {
        let mut changed = bytes.clone();
        changed[position..position + value.len()].copy_from_slice(value);
        changed
    };
    // version, kind, size: 10 bytes; count: 4; two extents of 20; count: 1; shape of 10; references.
    let inline = inline.encode();
    let long = (INLINE_CONTENT_BYTES_MAX as u64 + 1).to_le_bytes();
    for (name, bytes, expect) in [
        ("empty", vec![], "Malformed(Truncated(\"version\"))"),
        ("unknown_version", at(0, &[2]), "Version(2)"),
        ("unknown_kind", at(1, &[9]), "Kind(9)"),
        ("inline_content_short", inline[..inline.len() - 1].to_vec(), "Malformed(Truncated(\"content\"))"),
        ("inline_content_long", [&inline[..], &[0]].concat(), "Malformed(Trailing(1))"),
        ("inline_size_huge", [&inline[..2], &[255; 8]].concat(), "Malformed(Truncated(\"content\"))"),
        ("streams_of_a_small_file", at(2, &7u64.to_le_bytes()), "Malformed(Invalid(\"size\"))"),
        ("size_is_not_the_sum", at(2, &long), "Malformed(Invalid(\"levels\"))"),
        ("size_one_more", at(2, &300_001u64.to_le_bytes()), "Malformed(Invalid(\"extents\"))"),
        ("extent_count_huge", at(10, &[255; 4]), "Malformed(TooLong(\"extents\"))"),
        ("extent_count_beyond_the_end", at(10, &[0, 1, 0, 0]), "Malformed(Truncated(\"extents\"))"),
        ("extent_outside", at(14, &50_001u64.to_le_bytes()), "Malformed(Invalid(\"extents\"))"),
        ("extent_overflow", at(14, &[255; 8]), "Malformed(Invalid(\"extents\"))"),
        ("extent_empty", at(22, &[0; 8]), "Malformed(Invalid(\"extents\"))"),
        ("extent_never", at(30, &[0; 4]), "Malformed(Invalid(\"extents\"))"),
        ("extent_sum_too_large", at(30, &[255; 4]), "Malformed(Invalid(\"extents\"))"),
        ("no_levels", [&bytes[..54], &[0]].concat(), "Malformed(Invalid(\"levels\"))"),
        ("too_many_levels", at(54, &[7]), "Malformed(TooLong(\"levels\"))"),
        ("stream_empty", at(55, &[0; 8]), "Malformed(Invalid(\"stream length\"))"),
        ("stream_too_long", at(55, &[255; 8]), "Malformed(Invalid(\"stream length\"))"),
        ("full_shards_of_no_stripe", at(63, &[113]), "Malformed(Invalid(\"stream geometry\"))"),
        ("tail_shards_too_few", at(64, &[4]), "Malformed(Invalid(\"stream geometry\"))"),
        ("references_short", bytes[..bytes.len() - 1].to_vec(), "Malformed(Truncated(\"references\"))"),
        ("trailing_byte", [&bytes[..], &[0]].concat(), "Malformed(Trailing(1))"),
    ] {
        write("manifest", name, &[("bytes", to_hex(&bytes)), ("expect", expect.to_owned())]);
    }
}

fn sealing() {
    let geometry = Geometry::new(2, 5).expect("a geometry");
    let secret = ConvergenceSecret::new(Secret::new(counting(0)));
    let pack = b"a pack of a few bytes";
    let (key, sealed) = seal_pack(&secret, pack, geometry).expect("a pack that fits");
    let stripe = encode(sealed, geometry).expect("a stripe");
    let key = to_hex(key.secret().expose());
    let fields = |open_key: &str, open_index: &str, expect: &str| {
        vec![
            ("secret", to_hex(&counting(0))),
            ("pack", to_hex(pack)),
            ("k", "2".to_owned()),
            ("n", "5".to_owned()),
            ("key", key.clone()),
            ("root", to_hex(stripe.descriptor.root_address().as_bytes())),
            ("open_key", open_key.to_owned()),
            ("open_index", open_index.to_owned()),
            ("expect", expect.to_owned()),
        ]
    };
    write("sealing", "opens", &fields(&key, "0", "ok"));
    write("sealing", "another_index", &fields(&key, "1", "NotAuthentic"));
    write("sealing", "another_key", &fields(&to_hex(&[0; 32]), "0", "NotAuthentic"));
    for (name, flip) in [("text_changed", "3"), ("padding_changed", "65000"), ("tag_changed", "65535")] {
        let mut changed = fields(&key, "0", "NotAuthentic");
        changed.push(("flip", flip.to_owned()));
        write("sealing", name, &changed);
    }
}
