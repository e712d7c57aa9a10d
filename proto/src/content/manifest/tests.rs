use super::*;
use proptest::prelude::*;

const PACK: u64 = PACK_BYTES_MAX as u64;

/// A file of `full` full stripes and a tail, with each third of its stream repeated.
fn example(full: u64, tail: u64, times: u32) -> Manifest {
    let len = full * PACK + tail;
    let shape = StreamShape::new(len, if full > 0 { 113 } else { 0 }, if tail > 0 { 113 } else { 0 }).unwrap();
    let third = len / 3;
    let extents = vec![
        Extent { offset: 0, len, times: 1 },
        Extent { offset: third, len: third, times },
        Extent { offset: 0, len: third, times: 1 },
    ];
    let size = len + third * u64::from(times + 1);
    let refs = vec![7; shape.refs_len() as usize];
    Manifest::streams(size, extents, vec![shape], refs.into()).unwrap()
}

fn parts(manifest: &Manifest) -> (u64, Vec<Extent>, Vec<StreamShape>, Bytes) {
    let Body::Streams(streams) = &manifest.body else { panic!("inline") };
    (manifest.size, streams.extents.clone(), streams.levels.clone(), streams.top_refs.clone())
}

proptest! {
    #[test]
    fn decode_undoes_encode(full in 0u64..5, tail in 200_000..PACK, times in 1u32..9) {
        let manifest = example(full, tail, times);
        prop_assert_eq!(Manifest::decode(manifest.encode().into()), Ok(manifest));
    }

    #[test]
    fn inline_decode_undoes_encode(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let manifest = Manifest::inline(content.into()).unwrap();
        prop_assert_eq!(Manifest::decode(manifest.encode().into()), Ok(manifest));
    }

    #[test]
    fn a_changed_byte_is_refused_or_stays_canonical(at in 0usize..200, to: u8) {
        let mut bytes = example(1, 200_000, 2).encode();
        bytes[at] = to;
        if let Ok(manifest) = Manifest::decode(bytes.clone().into()) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }

    #[test]
    fn noise_does_no_harm(bytes in proptest::collection::vec(0u8..6, 0..200)) {
        if let Ok(manifest) = Manifest::decode(bytes.clone().into()) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }
}

#[test]
fn each_truncation_is_refused() {
    let bytes = Bytes::from(example(0, 200_000, 1).encode());
    for len in 0..bytes.len() {
        assert!(Manifest::decode(bytes.slice(..len)).is_err(), "{len} bytes");
    }
    let longer = Bytes::from([&bytes[..], &[0]].concat());
    assert_eq!(Manifest::decode(longer), Err(WireError::Trailing(1).into()));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let good = || parts(&example(1, 200_000, 2));
    let refused = |(size, extents, levels, refs)| Manifest::streams(size, extents, levels, refs).unwrap_err();
    let invalid = |what| ManifestError::Malformed(WireError::Invalid(what));

    let mut p = good();
    p.0 += 1;
    assert_eq!(refused(p), invalid("extents"));
    for spoil in [
        (|e: &mut Extent| e.times = 0) as fn(&mut Extent),
        |e| e.len = 0,
        |e| e.offset = 1,
        |e| e.offset = u64::MAX,
        |e| (e.len, e.times) = (PACK, u32::MAX),
    ] {
        let mut p = good();
        spoil(&mut p.1[0]);
        assert_eq!(refused(p), invalid("extents"));
    }
    let mut p = good();
    p.2.clear();
    assert_eq!(refused(p), invalid("levels"));
    let mut p = good();
    p.2.push(p.2[0]);
    assert_eq!(refused(p), invalid("levels"));
    let mut p = good();
    p.3.truncate(5);
    assert_eq!(refused(p), invalid("levels"));
    let mut p = good();
    p.0 = INLINE_CONTENT_BYTES_MAX as u64;
    assert_eq!(refused(p), invalid("size"));
    let mut p = good();
    p.0 = FILE_BYTES_MAX + 1;
    assert_eq!(refused(p), invalid("size"));
}

#[test]
fn debug_shows_neither_content_nor_keys() {
    let manifest = Manifest::inline(Bytes::from_static(b"content")).unwrap();
    assert_eq!(format!("{manifest:?}"), "Manifest { size: 7, body: Inline(7 bytes) }");
    assert!(!format!("{:?}", example(0, 200_000, 1)).contains("7, 7"));
}
