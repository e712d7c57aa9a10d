//! Nothing on a node's disk tells what is published, under which name, or by which link.

use super::common::{content, publish};
use bytes::Bytes;
use palimpsest_client::{Capability, Progress, PublishOptions, Source};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use palimpsest_testnet::search::{Canary, search_file, search_folder};

const STRING: &str = "the canary sang at half past eleven in the old lighthouse; ";
const NAME: &str = "plans-of-the-old-lighthouse.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_has_content_name_or_link_on_its_disk() {
    let network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let client = network.client("user").await.unwrap();
    let path = network.dir().join(NAME);
    // Long enough for stripes of its own, and short enough to lie in the root.
    let mut canaries = vec![Canary::text("content", STRING), Canary::text("name", NAME)];
    for repeats in [60_000, 1_000] {
        let mut file = STRING.repeat(repeats).into_bytes();
        file.extend_from_slice(&content(repeats as u64, 1 << 16));
        std::fs::write(&path, &file).unwrap();
        let published =
            client.publish(Source::Path(path.clone()), PublishOptions::default(), &Progress::new()).await.unwrap();
        canaries.extend(Canary::link(&published.link));
    }
    // So small that the link carries it.
    let small = publish(&client, &Bytes::from_static(STRING.as_bytes())).await.unwrap().link;
    assert!(matches!(small.parse().unwrap(), Capability::Inline(_)));
    canaries.extend(Canary::link(&small));
    let secret = std::fs::read(network.dir().join("user").join("convergence-secret")).unwrap();
    canaries.push(Canary::bytes("convergence secret", &secret));

    // The search finds what is there: in the user's own folder, and in a node's.
    let found = search_folder(&network.dir().join("user"), &canaries).unwrap();
    assert_eq!(found.iter().map(|hit| hit.what.as_str()).collect::<Vec<_>>(), ["convergence secret"]);
    let seed = std::fs::read(network.node_dir(3).join("identity")).unwrap();
    assert_eq!(search_folder(&network.node_dir(3), &[Canary::bytes("seed", &seed)]).unwrap().len(), 1);

    // What a node tells its operator names none of it, and no other node.
    let ids = (0..8).map(|index| (index, network.node(index).unwrap().id()));
    let told = network.dir().join("told");
    for index in 0..8 {
        let node = network.node(index).unwrap();
        let (status, metrics) = (node.status().to_string(), node.metrics());
        assert!(status.contains("\"work\":[{") && metrics.contains("palimpsest_work_steps_total{work=\"scrub\"}"));
        std::fs::write(&told, status + &metrics).unwrap();
        let others = ids.clone().filter(|(other, _)| *other != index);
        let mut hidden: Vec<Canary> = others.map(|(_, id)| Canary::bytes("another node", &id.0)).collect();
        hidden
            .extend(node.store().records_after(None, 64).unwrap().iter().map(|(a, _)| Canary::bytes("a record", &a.0)));
        for canaries in [&canaries, &hidden] {
            let found = search_file(&told, canaries).unwrap();
            assert!(found.is_empty(), "{found:?}");
        }
        std::fs::write(&told, metrics).unwrap();
        let itself = [Canary::bytes("itself", &node.id().0)];
        assert!(search_file(&told, &itself).unwrap().is_empty());
    }

    for index in 0..8 {
        let found = search_folder(&network.node_dir(index), &canaries).unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
    network.shutdown().await;
}
