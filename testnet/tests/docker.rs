//! The docker testnet on a real engine, where there is one and it is asked for: otherwise this says that it was skipped.
//!
//! `PALIMPSEST_DOCKER=1 cargo test --release -p palimpsest-testnet --test docker`, with static programs (docs/testnet.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use palimpsest_testnet::docker::{Condition, Docker, DockerError, DockerNet, Links, Name, UpOptions, remove};
use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Fraction, Home, Pal, Run, Transport, find_program};
use palimpsest_testnet::sample;
use std::path::Path;
use std::time::Duration;

/// Who wants these tests says so: they take a minute, and the engine of a machine is not ours.
const ASKED_FOR: &str = "PALIMPSEST_DOCKER";
/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);
const NODES: u32 = 10;

/// No test harness: that one knows only passed and failed, and what did not run has not passed.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    if std::env::var_os(ASKED_FOR).is_none() {
        println!("skipped: {ASKED_FOR} is not set");
        return;
    }
    let docker = match Docker::find().await {
        Ok(docker) => docker,
        Err(error) => {
            assert!(error.is_no_docker(), "{error}");
            println!("skipped: no docker engine ({error})");
            return;
        }
    };
    let name: Name = format!("test-{}", std::process::id()).parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = UpOptions {
        dir: dir.path().join("net"),
        name: name.clone(),
        subnet: "10.78.0.0/16".parse().unwrap(),
        nodes: NODES,
        nat: Fraction::new(0.0).unwrap(),
        links: Links::default(),
        transport: Transport::Tcp,
        quota: Some("1G".to_owned()),
        disk_mib: None,
        bin_dir: None,
        cast: Cast::default(),
        deadline: LONG,
    };
    match DockerNet::up(options).await {
        Ok(net) => {
            // A failed test leaves no containers behind.
            let outcome = tokio::spawn(half_dies_and_comes_back(net, dir.path().to_owned())).await;
            remove(&docker, &name).await.unwrap();
            outcome.unwrap();
            println!("passed: half of the containers killed, the file fetched, all started again");
        }
        Err(error @ DockerError::NotStatic { .. }) => println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
}

async fn half_dies_and_comes_back(net: DockerNet, place: std::path::PathBuf) {
    let pal = Pal { program: find_program("pal", None).unwrap(), bootstrap: net.bootstrap_file() };
    let (file, copy) = (place.join("file"), place.join("copy"));
    sample::write(&file, 500_000, 1).unwrap();
    let user = Home::fresh(place.join("user")).unwrap();
    let published = pal.run(&user, &["publish", file.to_str().unwrap()], LONG).await.unwrap();
    let link = published.link().unwrap_or_else(|| panic!("{}", published.complaint()));

    let chosen = net.plan().chosen(Fraction::HALF, 1);
    assert_eq!(net.kill(&chosen).await.unwrap(), chosen);
    let conditions = net.conditions().await.unwrap();
    for (index, condition) in net.plan().indices().zip(conditions) {
        assert_eq!(condition == Condition::Gone, chosen.contains(&index), "{index}");
    }
    let reader = Home::fresh(place.join("reader")).unwrap();
    let fetched = pal.run(&reader, &["fetch", &link, "-o", copy.to_str().unwrap()], LONG).await.unwrap();
    same(&fetched, &file, &copy);

    assert_eq!(net.restart(LONG).await.unwrap(), chosen);
}

fn same(fetched: &Run, file: &Path, copy: &Path) {
    assert!(fetched.done(), "{}", fetched.complaint());
    assert!(sample::same(file, copy).unwrap());
}
