//! Holders that lie in every way they can: a fetch succeeds while k honest shards remain, and nobody is believed twice.

use super::common::{content, fetch, publish, stand};
use bytes::Bytes;
use palimpsest_client::{Client, Error, Kind};
use palimpsest_node::config::Stand;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_testnet::memory::{Network, NetworkOptions};

/// Every sixth node answers stores with a receipt, and everything else by `lie`.
fn liars(lie: fn(&Ask) -> Option<Answer>) -> impl Fn(usize) -> Option<Stand> + Send {
    move |index| {
        if index % 6 != 1 {
            return None;
        }
        stand(move |ask| match &ask {
            Ask::Store { shard, .. } => Some(Answer::Stored { locator: shard.locator() }),
            Ask::PutRecord { address, .. } => Some(Answer::RecordStored { address: *address }),
            _ => lie(&ask),
        })
    }
}

/// Readers that are tried until one of them was lied to. A reader whose guard is one of the liars asks only the other, and
/// once in twenty times for nothing: all of them do so less than once in 10^15.
const READERS: usize = 8;

/// Publishes, and returns the link. If most of the sample that is fetched back lies with liars (one of 100,000 times), the
/// publish rightly refuses to call itself proven; the next one draws another sample.
async fn publish_to_liars(client: &Client, file: &Bytes) -> String {
    for _ in 0..3 {
        match publish(client, file).await {
            Ok(published) => return published.link,
            Err(Error::Unproven { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never proven");
}

/// Fetches as one reader, or as several until one of them got bad answers.
async fn survives(lie: fn(&Ask) -> Option<Answer>, until_bad: bool) -> u64 {
    let options = NetworkOptions { service: Box::new(liars(lie)), ..NetworkOptions::honest(12) };
    let network = Network::start(options).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    // Five stripes: that none of the shards asked for lies with a liar has a chance below one in a billion.
    let file = content(20, 8 << 20);
    let link = publish_to_liars(&publisher, &file).await;
    let mut bad_answers = 0;
    for reader in 0..if until_bad { READERS } else { 1 } {
        let reader = network.client(&format!("reader-{reader}")).await.unwrap();
        let (got, fetched) = fetch(&reader, &link).await.unwrap();
        assert!(got == file);
        // Two liars: each is caught once or a few times (answers that were on their way together), then left alone.
        assert!(fetched.culprits <= 2, "{fetched:?}");
        bad_answers += fetched.bad_answers;
        if bad_answers > 0 {
            break;
        }
    }
    network.shutdown().await;
    bad_answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage() {
    let lie = |ask: &Ask| match ask {
        Ask::Fetch { .. } => Some(Answer::Shard(Bytes::from(vec![7; SHARD_BYTES]))),
        _ => Some(Answer::Record(Bytes::from_static(b"no descriptor"))),
    };
    assert!(survives(lie, true).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_another_kind() {
    assert!(survives(|_| Some(Answer::Present(u32::MAX)), true).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence() {
    survives(|_| None, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_of_absence() {
    survives(|_| Some(Answer::Refused(Refusal::Absent)), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals() {
    survives(|_| Some(Answer::Refused(Refusal::Busy { retry_ms: 1 })), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_to_full_nodes_says_that_it_fell_short() {
    let full = |_| stand(|_| Some(Answer::Refused(Refusal::Full)));
    let network =
        Network::start(NetworkOptions { service: Box::new(full), ..NetworkOptions::honest(8) }).await.unwrap();
    let client = network.client("user").await.unwrap();
    assert_eq!(publish(&client, &content(21, 1000)).await.unwrap_err().kind(), Kind::Placement);
    network.shutdown().await;
}

/// Ten of sixteen nodes acknowledge everything and keep nothing. A proof finds those out whom it asks; what they were given goes to
/// others, and the next proof is one: with the honest ones alone, once all ten are known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_and_not_kept_is_placed_anew() {
    let forgetful = |index| {
        let keeps_nothing = index % 8 >= 3;
        keeps_nothing.then(|| liars(|_| Some(Answer::Refused(Refusal::Absent)))(1)).flatten()
    };
    let network =
        Network::start(NetworkOptions { service: Box::new(forgetful), ..NetworkOptions::honest(16) }).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    // 25 shards, all of which are asked for as a proof: six nodes bear twelve of them at most, and that is none.
    let file = content(22, 100_000);
    let published = publish(&publisher, &file).await.unwrap();
    assert!(published.sampled == 25 && published.proven > 12, "{} of {}", published.proven, published.sampled);
    let reader = network.client("reader").await.unwrap();
    let (got, _) = fetch(&reader, &published.link).await.unwrap();
    assert!(got == file);
    network.shutdown().await;
}
