//! One bit flipped in each of many slots on the disks of running nodes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use palimpsest_client::{KeepOptions, Progress};
use palimpsest_proto::ids::Locator;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_testnet::healing;
use palimpsest_testnet::memory::Network;
use palimpsest_testnet::sample::SplitMix64;

use super::report::{Report, Target};
use super::{Args, Failure, Subject, client, drawn, is_whole, note, publish, within};

/// Slots in which a bit is flipped.
const FLIPPED: usize = 1_000;
/// Of these, as many are read before the scrub; none may be served.
const READ_FIRST: usize = 200;
/// Of how many shards they are at most; others must be left to repair from.
const OF: usize = 3;
/// Keepers one after the other: each leaves out what lies with its own guard, and their guards differ.
const KEEPERS: usize = 4;
/// A slot file's first page: cells of 64 bytes, of which the first is the file's own. The slots follow (`docs/protocol`).
const HEADER_BYTES: usize = 4096;
const CELL_BYTES: usize = 64;

pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failure> {
    let network = super::network(args, None).await?;
    let mut subjects: Vec<Subject> = Vec::new();
    let held = |network: &Network| -> Result<Vec<(usize, Locator)>, Failure> {
        let mut all = Vec::new();
        for number in network.numbers() {
            if let Some(node) = network.node(number) {
                all.extend(healing::leased(node)?.into_iter().map(|locator| (number, locator)));
            }
        }
        Ok(all)
    };
    let mut shards = Vec::new();
    while shards.len() < FLIPPED * OF {
        let subject = publish(&network, args.size, args.seed + subjects.len() as u64).await?;
        subjects.push(subject);
        let more = held(&network)?;
        if more.len() == shards.len() {
            return Err(Failure::Broken("the files are too small to be shards".to_owned()));
        }
        shards = more;
    }
    report.part(
        "rot",
        &format!(
            "{} nodes, no upkeep, {} files, {} shards; a bit flipped in each of {FLIPPED} slots",
            network.numbers().count(),
            subjects.len(),
            shards.len()
        ),
    );
    let mut dice = SplitMix64::new(args.seed);
    let chosen = drawn(shards, FLIPPED, &mut dice);
    let mut by_node: BTreeMap<usize, Vec<Locator>> = BTreeMap::new();
    chosen.iter().for_each(|(number, locator)| by_node.entry(*number).or_default().push(*locator));
    let mut flipped = 0;
    for (number, locators) in &by_node {
        let folder = network.node_dir(*number).join("store").join("shards");
        flipped += flip(&folder, locators, &mut dice).map_err(super::super::at("flip a bit in", &folder))?;
    }
    report.figure("slots with a bit flipped", flipped as f64, "", Target::AtLeast(FLIPPED as f64));

    let (mut served, mut found_by_reading) = (0, 0);
    for (number, locator) in chosen.iter().take(READ_FIRST) {
        if let Some(node) = network.node(*number) {
            match node.store().get(*locator).await? {
                Some(_) => served += 1,
                None => found_by_reading += 1,
            }
        }
    }
    report.told("found when read before the scrub", f64::from(found_by_reading), "");
    let (mut checked, mut rotten) = (0, 0);
    for node in network.running() {
        let store = node.store();
        for step in 0..store.scrub_steps()? {
            if let Some(scrubbed) = store.scrub(step)? {
                checked += scrubbed.checked;
                rotten += scrubbed.rotten;
            }
        }
    }
    report.told("shards read by the scrub", checked as f64, "");
    let left = flipped.saturating_sub(found_by_reading as usize);
    report.figure("found by one scrub", rotten as f64, "", Target::AtLeast(left as f64));
    report.figure("shards found rotten that are not", (rotten as f64 - left as f64).max(0.0), "", Target::AtMost(0.0));
    for (number, locator) in &chosen {
        if let Some(node) = network.node(*number) {
            served += usize::from(node.store().get(*locator).await?.is_some());
        }
    }
    report.figure("rotten shards served", served as f64, "", Target::AtMost(0.0));
    let mut whole = 0;
    for (number, subject) in subjects.iter().enumerate() {
        whole += usize::from(is_whole(&network, subject, &format!("reader-{number}")).await?);
    }
    report.figure(
        "files fetched exact while shards are missing",
        whole as f64,
        "",
        Target::AtLeast(subjects.len() as f64),
    );

    let mut repaired = 0;
    for keeper in 0..KEEPERS {
        let client = client(&network, &format!("keeper-{keeper}")).await?;
        for subject in &subjects {
            let progress = Progress::new();
            let kept = within("keep", client.keep(&subject.link, KeepOptions::default(), &progress)).await?;
            note(&format!("{kept:?}"));
            repaired += kept.repaired;
        }
        client.close().await.map_err(super::failed("end a keeper"))?;
    }
    report.told("put back, as the keepers say", repaired as f64, "");
    let mut there = 0;
    'chosen: for (_, locator) in &chosen {
        for node in network.running() {
            if node.store().has(&[*locator])? == 1 && node.store().get(*locator).await?.is_some() {
                there += 1;
                continue 'chosen;
            }
        }
    }
    report.figure("of the rotten shards, there again", there as f64, "", Target::AtLeast(flipped as f64));
    network.shutdown().await;
    Ok(())
}

/// Flips one bit in the slot of each of these shards; how many slots that were.
fn flip(folder: &Path, locators: &[Locator], dice: &mut SplitMix64) -> io::Result<usize> {
    let mut flipped = 0;
    for entry in std::fs::read_dir(folder)? {
        let file = File::options().read(true).write(true).open(entry?.path())?;
        let mut header = vec![0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        for (slot, cell) in header.chunks(CELL_BYTES).enumerate().skip(1) {
            if !locators.iter().any(|locator| cell.windows(locator.0.len()).any(|name| name == locator.0)) {
                continue;
            }
            let bit = dice.next_u64() % (SHARD_BYTES as u64 * 8);
            let at = (HEADER_BYTES + (slot - 1) * SHARD_BYTES) as u64 + bit / 8;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            byte[0] ^= 1 << (bit % 8);
            file.write_all_at(&byte, at)?;
            flipped += 1;
        }
    }
    Ok(flipped)
}
