//! A network that heals itself: by wardens, by readers, by whoever keeps a link; and nodes that come and go.

use super::common::{DEADLINE, content, fetch, newcomer, publish, stand};
use super::contents::{Stripe, addresses, doomed, held, keepers, leased, records, spare, stripes};
use bytes::{Bytes, BytesMut};
use palimpsest_client::{Capability, Client, FetchOptions, KeepOptions, Kept, Kind, Progress, PublishOptions, Status};
use palimpsest_node::Node;
use palimpsest_node::work::UpkeepConfig;
use palimpsest_proto::coding::{Geometry, encode};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::{PACK_BYTES_MAX, PROOF_BYTES, SHARD_BYTES};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// A file that is a full stripe and a shorter one, and that of its manifest.
const THREE_STRIPES: usize = PACK_BYTES_MAX + (300 << 10);
/// How often it is looked whether a network has healed: what is on disks is no event to await.
const LOOK: Duration = Duration::from_millis(250);

/// Everything sooner than in life.
fn hasty() -> UpkeepConfig {
    UpkeepConfig {
        turn: Duration::from_secs(4),
        audit_every: Duration::from_secs(30),
        records_every: Duration::from_secs(8),
        spread_every: Duration::from_secs(2),
        handover_every: Duration::from_secs(4),
        bytes_per_second: 64 << 20,
        ..UpkeepConfig::default()
    }
}

async fn network(nodes: usize, upkeep: Option<UpkeepConfig>) -> Network {
    Network::start(NetworkOptions { upkeep, ..NetworkOptions::honest(nodes) }).await.unwrap()
}

/// Waits until it is so; the deadline is for what never happens.
async fn until(what: &str, network: &Network, so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        let works = || network.running().map(|node| node.status()["work"].to_string()).collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < end, "never {what}; {}", works());
        tokio::time::sleep(LOOK).await;
    }
}

/// How often a node has looked what belongs elsewhere.
fn handover_rounds(node: &Node) -> u64 {
    let status = node.status();
    let handover = status["work"].as_array().unwrap().iter().find(|work| work["name"] == "handover").unwrap();
    handover["totals"]["rounds"].as_u64().unwrap()
}

async fn status(client: &Client, link: &Capability) -> Status {
    let progress = Progress::new();
    tokio::time::timeout(DEADLINE, client.status(link, &progress)).await.unwrap().unwrap()
}

async fn keep(client: &Client, link: &Capability) -> Kept {
    let progress = Progress::new();
    tokio::time::timeout(DEADLINE, client.keep(link, KeepOptions::default(), &progress)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_half_of_the_nodes_dead_wardens_put_everything_back() {
    let mut network = network(24, Some(hasty())).await;
    let publisher = network.client("publisher").await.unwrap();
    let file = content(60, THREE_STRIPES);
    let link = publish(&publisher, &file).await.unwrap().link;
    publisher.close().await.unwrap();
    let (all, stripes) = (held(&network), stripes(&network).await);
    assert_eq!(stripes.len(), 3);
    // Each has three addresses, and 20 nodes near each.
    until("all wardens have their records", &network, || records(&network, &stripes) >= 3 * 3 * 20).await;
    let doomed = doomed(&network, 12, &stripes);
    network.kill_all(&doomed).await;
    until("whole again", &network, || all.intersection(&held(&network)).count() * 100 >= all.len() * 95).await;
    let reader = newcomer(&network, "reader").await;
    assert!(fetch(&reader, &link).await.unwrap().0 == file);
    network.shutdown().await;
}

/// Rounds in which records are looked through are hours apart. All keepers of a record may be gone before the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_follow_the_nodes_that_come_without_waiting_for_a_round() {
    let upkeep = UpkeepConfig { records_every: Duration::from_secs(86_400), ..hasty() };
    let mut network = network(12, Some(upkeep)).await;
    let publisher = network.client("publisher").await.unwrap();
    publish(&publisher, &content(66, 100_000)).await.unwrap();
    publisher.close().await.unwrap();
    let stripes = stripes(&network).await;
    until("all wardens have their records", &network, || records(&network, &stripes) >= 3 * 9).await;
    // As many come as there are.
    for _ in 0..12 {
        network.add().await.unwrap();
    }
    network.meet().await.unwrap();
    // Of thirty or so, one may be missed by all who would give it.
    let most_have = || {
        let wanted = stripes.iter().flat_map(|stripe| &stripe.addresses);
        let came = wanted.flat_map(|address| keepers(&network, *address)).filter(|(index, _)| *index >= 12);
        let (had, all) = came.fold((0, 0), |(had, all), (_, has)| (had + usize::from(has), all + 1));
        had * 10 >= all * 9
    };
    until("newcomers have their records", &network, most_have).await;
    network.shutdown().await;
}

/// Two of 24 nodes say that they have and store everything, and keep nothing. They cost the shards that they were given, and
/// talk no warden out of a repair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_that_claim_what_they_lack_do_not_keep_wardens_from_repairing() {
    let lie = |ask| {
        Some(match ask {
            Ask::Store { shard, .. } => Answer::Stored { locator: shard.locator() },
            Ask::PutRecord { address, .. } => Answer::RecordStored { address },
            Ask::Probe { .. } | Ask::ProbeRecords { .. } | Ask::PutRecords { .. } => Answer::Present(u32::MAX),
            Ask::Renew { .. } => Answer::Present(u32::MAX),
            Ask::Audit { .. } => Answer::Proof(Bytes::from(vec![7; PROOF_BYTES])),
            Ask::Fetch { .. } | Ask::GetRecord { .. } => Answer::Refused(Refusal::Absent),
            Ask::LastAudits { roots } => Answer::Ages(vec![Some(0); roots.len()]),
        })
    };
    let service = move |index| if index % 12 == 1 { stand(lie) } else { None };
    let options = NetworkOptions { upkeep: Some(hasty()), service: Box::new(service), ..NetworkOptions::honest(24) };
    let mut network = Network::start(options).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    // Of one file in forty, both liars are given the two seeds of a record, and keep it from all wardens: not of this one.
    let mut seed = 65;
    let (file, link, all, stripes) = loop {
        let (held_before, known) = (held(&network), addresses(&network));
        let file = content(seed, THREE_STRIPES);
        let link = publish(&publisher, &file).await.unwrap().link;
        let new: Vec<Stripe> = stripes(&network).await.into_iter().filter(|stripe| stripe.is_news_to(&known)).collect();
        if new.len() == 3 && new.iter().all(|stripe| stripe.addresses.is_subset(&addresses(&network))) {
            break (file, link, held(&network).difference(&held_before).copied().collect::<BTreeSet<_>>(), new);
        }
        seed += 1_000;
    };
    publisher.close().await.unwrap();
    // Two of the 20 near each address may be the liars.
    until("all wardens have their records", &network, || records(&network, &stripes) >= 3 * 3 * 18).await;
    let doomed = doomed(&network, 12, &stripes);
    network.kill_all(&doomed).await;
    until("repaired", &network, || all.intersection(&held(&network)).count() * 100 >= all.len() * 75).await;
    let reader = newcomer(&network, "reader").await;
    assert!(fetch(&reader, &link).await.unwrap().0 == file);
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_put_back_what_they_miss_and_keepers_all_of_it() {
    let mut network = network(12, None).await;
    let client = network.client("user").await.unwrap();
    let file = content(61, THREE_STRIPES);
    let link = publish(&client, &file).await.unwrap().link;
    let capability: Capability = link.parse().unwrap();
    let all = held(&network);
    // Three of twelve lose their disks.
    for index in spare(&network, 3, &stripes(&network).await) {
        network.kill(index).await;
        network.restart_empty(index).await.unwrap();
    }
    network.all_met().await.unwrap();
    let before = held(&network).len();
    assert!(before < all.len());
    // Who spreads a fetch does not put anything back: that would leave at once.
    let patient = network.client("patient").await.unwrap();
    let (mut got, progress, spread) = (Vec::new(), Progress::new(), Some(Duration::from_secs(1)));
    let options = FetchOptions { spread, ..FetchOptions::default() };
    let fetched = patient.fetch(&capability, options, &mut got, &progress).await.unwrap();
    assert!(got == file && fetched.healed == 0, "{fetched:?}");
    patient.close().await.unwrap();
    // A reader asks its own guard for nothing, and that may be one of the three.
    let end = Instant::now() + DEADLINE;
    let mut healed = 0;
    loop {
        let reader = network.client("reader").await.unwrap();
        let (got, fetched) = fetch(&reader, &link).await.unwrap();
        assert!(got == file);
        reader.close().await.unwrap();
        healed += fetched.healed;
        // What only our own guard has is put back a second time, and does not count.
        if held(&network).len() > before && healed > 0 {
            break;
        }
        assert!(Instant::now() < end, "{fetched:?}");
        tokio::time::sleep(LOOK).await;
    }
    assert!(held(&network).is_subset(&all));

    let kept = keep(&client, &capability).await;
    assert_eq!((kept.stripes, kept.lost, kept.short), (3, 0, 0), "{kept:?}");
    assert!(kept.repaired > 0 && kept.renewed > 0, "{kept:?}");
    // But for what belongs with our own guard.
    assert!(all.difference(&held(&network)).count() as u64 <= kept.unasked, "{kept:?}");
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_repair_link_one_keeps_and_cannot_read() {
    let mut network = network(12, None).await;
    let owner = network.client("owner").await.unwrap();
    let file = content(62, THREE_STRIPES);
    let link: Capability = publish(&owner, &file).await.unwrap().link.parse().unwrap();
    let progress = Progress::new();
    let repair = owner.repair_link(&link, PublishOptions::default(), &progress).await.unwrap();
    assert!(owner.repair_link(&repair, PublishOptions::default(), &progress).await.is_err());
    let all = held(&network);
    // Two, since the friend's guard may be one of them, and is not asked.
    for index in spare(&network, 2, &stripes(&network).await) {
        network.kill(index).await;
        network.restart_empty(index).await.unwrap();
    }
    network.all_met().await.unwrap();

    let friend = network.client("friend").await.unwrap();
    let repair: Capability = repair.to_string().parse().unwrap();
    assert_eq!(fetch(&friend, &repair.to_string()).await.unwrap_err().kind(), Kind::Usage);
    // The list's one stripe, and the three of the file.
    let kept = keep(&friend, &repair).await;
    assert_eq!((kept.stripes, kept.lost, kept.short), (4, 0, 0), "{kept:?}");
    assert!(kept.repaired > 0);
    assert!(all.difference(&held(&network)).count() as u64 <= kept.unasked, "{kept:?}");
    let seen = status(&friend, &repair).await;
    assert_eq!((seen.stripes.len(), seen.size), (4, None));
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_leaves_nothing_behind() {
    let mut network = network(24, Some(hasty())).await;
    let client = network.client("user").await.unwrap();
    let file = content(63, THREE_STRIPES);
    let link = publish(&client, &file).await.unwrap().link;
    let all = held(&network);
    // The one that has most: placement is a matter of ids, and a given node may have nothing.
    let leaves = (0..24).max_by_key(|&index| leased(network.node(index).unwrap()).len()).unwrap();
    assert!(!leased(network.node(leaves).unwrap()).is_empty());
    network.node(leaves).unwrap().drain();
    until("drained", &network, || network.node(leaves).unwrap().status()["drained"] == true).await;
    assert!(leased(network.node(leaves).unwrap()).is_empty());
    network.kill(leaves).await;
    assert_eq!(all.difference(&held(&network)).count(), 0, "nothing is lost");
    assert!(fetch(&client, &link).await.unwrap().0 == file);
    network.shutdown().await;
}

/// Where nobody takes anything, a node that drains keeps all of it, and does not say that it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_relieves_is_never_drained() {
    let full = |ask| match ask {
        Ask::Probe { .. } | Ask::ProbeRecords { .. } => None,
        _ => Some(Answer::Refused(Refusal::Full)),
    };
    let service = move |index| if index == 0 { None } else { stand(full) };
    let options = NetworkOptions { upkeep: Some(hasty()), service: Box::new(service), ..NetworkOptions::honest(8) };
    let network = Network::start(options).await.unwrap();
    let node = network.node(0).unwrap();
    let lease = palimpsest_client::clock::timestamp().plus(86_400);
    let geometry = Geometry::new(2, 4).unwrap();
    let stripe = encode(BytesMut::from(&content(66, 2 * SHARD_BYTES)[..]), geometry).unwrap();
    for shard in &stripe.shards {
        node.store().put(shard.clone(), lease).await.unwrap();
    }
    let address = stripe.descriptor.root_address().record_addresses()[0];
    node.store().put_record(address, stripe.descriptor.encode().into(), lease).await.unwrap();
    node.drain();
    let left = |what: &str| node.status()["drain_left"][what].as_u64();
    until("a round is over", &network, || left("shards") == Some(4) && left("records") == Some(1)).await;
    assert_eq!(node.status()["drained"], false);
    assert_eq!((leased(node).len(), node.store().record_lease(address)), (4, Ok(Some(lease))));
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_takes_its_part_over() {
    let mut network = network(24, Some(hasty())).await;
    let client = network.client("user").await.unwrap();
    let file = content(64, THREE_STRIPES);
    let link = publish(&client, &file).await.unwrap().link;
    let all = held(&network);
    // Who was there when a node first looked is no newcomer to it.
    until("all have looked", &network, || network.running().all(|node| handover_rounds(node) > 0)).await;
    // A newcomer takes over what it is nearer to than whoever has it: nothing, if its place is a narrow one. Then another.
    let joined = loop {
        let joined = network.join().await.unwrap();
        let place = network.node(joined).unwrap().id().position();
        let is_nearer = |(holder, locator): (NodeId, Locator)| {
            let wanted = locator.position();
            place.distance(&wanted) < holder.position().distance(&wanted)
        };
        let leases = network.running().flat_map(|node| leased(node).into_iter().map(|locator| (node.id(), locator)));
        if leases.filter(|lease| is_nearer(*lease)).count() >= 3 {
            break joined;
        }
    };
    until("it got some", &network, || !leased(network.node(joined).unwrap()).is_empty()).await;
    assert_eq!(all.difference(&held(&network)).count(), 0, "nothing is lost");
    assert!(fetch(&client, &link).await.unwrap().0 == file);
    network.shutdown().await;
}
