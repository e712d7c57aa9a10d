//! The formats on the wire, held fast: `vectors/onion.txt` and `vectors/messages.txt`. Both are lines of `key = value`
//! under `[name]`; a value in hex may repeat bytes as `ab*396`, and a key that comes again continues its value.
//!
//! The vectors of the onion are of packets made with randomness that nobody kept: a new set is written by
//! `PAL_WRITE_VECTORS=1 cargo test -p palimpsest-proto --test onion_vectors`, which is only for a change of the format.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use palimpsest_proto::crypto;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Request};
use palimpsest_proto::onion::{Hop, Packet, Peeled, ReplyBlock, Ring, Size, reply_block, wrap};
use palimpsest_proto::time::Moment;
use rand::rand_core::{Infallible, TryCryptoRng, TryRng};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

const ONION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/onion.txt");
const MESSAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/messages.txt");

type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn read(path: &str) -> Sections {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut sections, mut name) = (Sections::new(), String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            assert!(sections.insert(title.into(), BTreeMap::new()).is_none(), "{title} comes twice");
            name = title.into();
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no key: {line}"));
            let old = sections.get_mut(&name).unwrap().entry(key.trim().into()).or_default();
            *old = format!("{old} {}", value.trim()).trim().into();
        }
    }
    sections
}

fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) =
            word.split_once('*').map_or((word, 1), |(digits, times)| (digits, times.parse().unwrap()));
        let part: Vec<u8> =
            (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect();
        bytes.extend(part.repeat(times));
    }
    bytes
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives one byte for ever, so that a ring has the key that a vector names.
struct Fixed(u8);

impl TryRng for Fixed {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

/// Node `number` has this number as its secret and as its id, in every byte.
fn ring(number: u8) -> Ring {
    Ring::new(&mut Fixed(number), Moment::default())
}

fn route(hops: u8) -> Vec<Hop> {
    let hop = |number| Hop {
        address: NodeId([number; 32]),
        key: ring(number).public(),
        delay: Duration::from_millis(u64::from(number) * 10),
    };
    (1..=hops).map(hop).collect()
}

/// One line per hop: where the packet goes, after how long, and the hash of what goes there.
fn journey(mut packet: Packet) -> String {
    let mut text = String::new();
    let mut number = 1;
    loop {
        match ring(number).peel(packet).unwrap() {
            Peeled::Forward { next, delay, packet: peeled } => {
                let hash = to_hex(&crypto::hash(peeled.as_bytes())[..16]);
                write!(text, "{} after {} ms: {hash} ", next.0[0], delay.as_millis()).unwrap();
                number = next.0[0];
                packet = peeled;
            }
            Peeled::Arrived(arrived) => {
                write!(text, "identifier {}", to_hex(&arrived.identifier().0)).unwrap();
                if let Ok(message) = arrived.open() {
                    write!(text, " message {}", String::from_utf8_lossy(&message)).unwrap();
                }
                return text;
            }
        }
    }
}

/// The reply to a block is made without any randomness, so its bytes are part of the format.
fn reply(block: &[u8], size: Size) -> (Packet, String) {
    let (first_hop, packet) =
        ReplyBlock::from_bytes(block.try_into().unwrap()).seal(size, &[b"the ", b"answer"]).unwrap();
    let made = format!("{} {}", first_hop.0[0], to_hex(&crypto::hash(packet.as_bytes())));
    (packet, made)
}

#[test]
fn onion() {
    if std::env::var_os("PAL_WRITE_VECTORS").is_some() {
        write_onion();
    }
    let sections = read(ONION);
    assert_eq!(sections.len(), 2);

    let request = &sections["request"];
    assert_eq!(to_hex(&ring(1).public().0), request["first_public"]);
    let packet = Packet::parse(hex(&request["packet"])).unwrap();
    assert_eq!(journey(packet), request["journey"]);

    let block = hex(&sections["reply"]["block"]);
    for (size, made, way) in [(Size::Small, "small", "small_journey"), (Size::Large, "large", "large_journey")] {
        let (packet, text) = reply(&block, size);
        assert_eq!(text, sections["reply"][made]);
        assert_eq!(journey(packet), sections["reply"][way]);
    }
}

fn write_onion() {
    let mut text = String::from("# Written by PAL_WRITE_VECTORS=1; see onion_vectors.rs.\n\n");
    let mut field = |key: &str, value: &str| {
        for line in value.as_bytes().chunks(96) {
            writeln!(text, "{key} = {}", String::from_utf8_lossy(line)).unwrap();
        }
    };
    let packet = wrap(&mut rand::rng(), &route(3), Size::Small, b"the question").unwrap();
    field("first_public", &to_hex(&ring(1).public().0));
    field("packet", &to_hex(packet.as_bytes()));
    let mut text = text.replacen("first_public", "[request]\nfirst_public", 1);
    writeln!(text, "journey = {}\n\n[reply]", journey(packet)).unwrap();
    let (block, _) = reply_block(&mut rand::rng(), &route(4)).unwrap();
    for line in to_hex(block.as_bytes()).as_bytes().chunks(96) {
        writeln!(text, "block = {}", String::from_utf8_lossy(line)).unwrap();
    }
    for (size, name) in [(Size::Small, "small"), (Size::Large, "large")] {
        let (packet, made) = reply(block.as_bytes(), size);
        writeln!(text, "{name} = {made}\n{name}_journey = {}", journey(packet)).unwrap();
    }
    std::fs::write(ONION, text).unwrap();
}

/// Each vector is a request or an answer, and either means something or is refused.
#[test]
fn messages() {
    let sections = read(MESSAGES);
    assert!(sections.len() > 30);
    for (name, fields) in sections {
        let (bytes, result) = if let Some(request) = fields.get("request") {
            let bytes = hex(request);
            let decoded = Request::decode(bytes.clone().into());
            let again = decoded.as_ref().ok().map(|request| request.encode_parts().concat());
            (bytes, decoded.map(|request| (format!("{:?}", request.ask), again)))
        } else {
            let bytes = hex(&fields["answer"]);
            let decoded = Answer::decode(bytes.clone().into());
            let again = decoded.as_ref().ok().map(|answer| answer.encode_parts().concat());
            (bytes, decoded.map(|answer| (format!("{answer:.80?}"), again)))
        };
        match (result, fields.get("means"), fields.get("refused")) {
            (Ok((text, again)), Some(means), None) => {
                // The text of a shard's bytes is long: what it begins with is enough, the bytes are compared below.
                assert!(text.starts_with(means.as_str()), "{name}: {text:.200}");
                assert_eq!(again.unwrap(), bytes, "{name}");
            }
            (Err(why), None, Some(refused)) => assert_eq!(&why.to_string(), refused, "{name}"),
            (result, ..) => panic!("{name}: {:.200}", format!("{result:?}")),
        }
    }
}
