//! What each format's vectors say, checked against the implementation. Each function returns the outcome: `ok`, or the
//! refusal as Debug prints it.

use crate::{Vector, from_hex, to_hex};
use bytes::Bytes;
use palimpsest_proto::coding::{Descriptor, Geometry, Shard, check_record, encode};
use palimpsest_proto::content::{Body, Capability, ConvergenceSecret, Manifest, StripeKey, open_segment, seal_pack};
use palimpsest_proto::ids::RecordAddress;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::secret::Secret;

fn array(text: &str) -> [u8; 32] {
    from_hex(text).try_into().expect("32 bytes")
}

/// `link` is read; if `ok`, it is the capability of `root` and `key`, or of `content`.
pub(crate) fn link(vector: &Vector) -> String {
    match vector["link"].parse::<Capability>() {
        Err(error) => format!("{error:?}"),
        Ok(capability) => {
            assert_eq!(capability.to_string(), vector["link"]);
            match capability {
                Capability::Read { root, key } | Capability::Repair { root, key } => {
                    assert_eq!(to_hex(root.as_bytes()), vector["root"]);
                    assert_eq!(to_hex(key.secret().expose()), vector["key"]);
                }
                Capability::Inline(content) => assert_eq!(to_hex(&content), vector["content"]),
            }
            "ok".to_owned()
        }
    }
}

/// `bytes` are decoded; if `ok`, `root` names them and they are a record at `address`. If there is an `address`, they
/// are checked as its record.
pub(crate) fn descriptor(vector: &Vector) -> String {
    let bytes = Bytes::from(from_hex(&vector["bytes"]));
    if let Some(address) = vector.get("address")
        && let Err(error) = check_record(RecordAddress(array(address)), bytes.clone())
    {
        return format!("{error:?}");
    }
    match Descriptor::decode(bytes.clone()) {
        Err(error) => format!("{error:?}"),
        Ok(descriptor) => {
            assert_eq!(descriptor.encode(), bytes);
            assert_eq!(to_hex(descriptor.root_address().as_bytes()), vector["root"]);
            "ok".to_owned()
        }
    }
}

/// `bytes` are decoded; if `ok`, the file has `size` bytes and lies in `levels` streams (none: inline).
pub(crate) fn manifest(vector: &Vector) -> String {
    let bytes = Bytes::from(from_hex(&vector["bytes"]));
    match Manifest::decode(bytes.clone()) {
        Err(error) => format!("{error:?}"),
        Ok(manifest) => {
            assert_eq!(manifest.encode(), bytes);
            assert_eq!(manifest.size().to_string(), vector["size"]);
            let levels = match manifest.body() {
                Body::Inline(_) => 0,
                Body::Streams(streams) => streams.levels().len(),
            };
            assert_eq!(levels.to_string(), vector["levels"]);
            "ok".to_owned()
        }
    }
}

/// `pack` under `secret` is sealed and coded `k` of `n`: its key is `key`, its root address `root`. Then data shard
/// 0, with byte `flip` changed if there is one, is opened with `open_key` as segment `open_index`.
pub(crate) fn sealing(vector: &Vector) -> String {
    let secret = ConvergenceSecret::new(Secret::new(array(&vector["secret"])));
    let number = |field: &str| vector[field].parse::<u8>().expect("a number");
    let geometry = Geometry::new(number("k"), number("n")).expect("a geometry");
    let pack = from_hex(&vector["pack"]);
    let (key, sealed) = seal_pack(&secret, &pack, geometry).expect("a pack that fits");
    assert_eq!(to_hex(key.secret().expose()), vector["key"]);
    let stripe = encode(sealed, geometry).expect("a stripe");
    assert_eq!(to_hex(stripe.descriptor.root_address().as_bytes()), vector["root"]);

    let mut bytes = stripe.shards[0].bytes().to_vec();
    assert_eq!(bytes.len(), SHARD_BYTES);
    if let Some(flip) = vector.get("flip") {
        bytes[flip.parse::<usize>().expect("a number")] ^= 1;
    }
    let shard = Shard::new(bytes.into()).expect("a shard");
    let key = StripeKey::new(Secret::new(array(&vector["open_key"])));
    match open_segment(&key, number("open_index"), &shard) {
        Err(error) => format!("{error:?}"),
        Ok(plain) => {
            assert_eq!(&plain[..pack.len()], pack);
            "ok".to_owned()
        }
    }
}
