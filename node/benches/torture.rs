//! The store under attack by reality, in full: `cargo bench -p palimpsest-node --bench torture [-- <points>]`. Every
//! figure behind "lost" and "served" must be 0; it ends with 1 if one is not.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first mishap")]

#[path = "../tests/torture/disk.rs"]
mod disk;
#[path = "../tests/torture/errors.rs"]
mod errors;
#[path = "../tests/torture/kill.rs"]
mod kill;
#[path = "../tests/torture/life.rs"]
mod life;
#[path = "../tests/torture/power.rs"]
mod power;
#[path = "../tests/torture/rot.rs"]
mod rot;

use disk::{EIO, ENOSPC, EROFS};

async fn run(points: u64) -> u64 {
    let (acknowledged, mut broken) = kill::kills(points / 2, &[]).await;
    println!("kill -9:          {:>5} points, {acknowledged:>6} acknowledged, {broken} lost", points / 2);
    let (acknowledged, lost) = power::power_losses(points - points / 2, 7).await;
    println!("power loss:       {:>5} points, {acknowledged:>6} acknowledged, {lost} lost", points - points / 2);
    broken += lost;
    let steps = errors::steps(9).await;
    let kinds = [("EIO once", EIO, false), ("EIO for good", EIO, true), ("EROFS for good", EROFS, true)];
    for (name, errno, lasts) in kinds.into_iter().chain([("ENOSPC once", ENOSPC, false)]) {
        let outcome = errors::errors(9, 0..steps, errno, lasts).await;
        println!(
            "{name:17} {:>5} points, {:>6} acknowledged, {} lost",
            outcome.points, outcome.acknowledged, outcome.lost
        );
        broken += outcome.lost;
    }
    let outcome = errors::full_at_each_percent(20).await;
    println!(
        "ENOSPC at each %: {:>5} points, {:>6} acknowledged, {} lost",
        outcome.points, outcome.acknowledged, outcome.lost
    );
    let rot = rot::rot(points, 11).await;
    println!(
        "flipped bits:     {:>5}, found by one scrub {}, served {}, stored anew {}",
        rot.flipped, rot.found, rot.served, rot.restored
    );
    broken + outcome.lost + rot.served + (rot.flipped - rot.found)
}

fn main() {
    // The killed ones are this program too; they do not return.
    kill::child();
    let points = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broken = runtime.block_on(run(points));
    std::process::exit(i32::from(broken > 0));
}
