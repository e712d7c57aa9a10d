//! Power loss at any step, and an error before it: unsynced sectors are old, new or mixed, and the index is as it was at some time, or gone.

use crate::disk::{Disk, Plan};
use crate::life::Life;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const QUOTA: u64 = 20 * 1024 * 1024;
/// Batches between two losses of power.
const BATCHES: u64 = 4;
/// Points after which a new folder is taken.
const POINTS_PER_FOLDER: u64 = 50;

/// Loses power `points` times; returns the acknowledgements, and how many were broken.
pub(crate) async fn power_losses(points: u64, seed: u64) -> (u64, u64) {
    let (mut acknowledged, mut lost, mut done) = (0, 0, 0);
    while done < points {
        let dir = tempfile::TempDir::new().unwrap();
        let mut life = Life::new(&dir.path().join("store"), QUOTA, seed + done);
        // The steps of one life, measured as it goes.
        let mut steps = 60;
        for _ in 0..POINTS_PER_FOLDER.min(points - done) {
            let index = life.dir.join("index");
            let earlier = dir.path().join("earlier");
            if life.dice.below(3) == 0 {
                copy(&index, &earlier);
            }
            let at = life.dice.below(steps + steps / 8);
            // In every second life something fails before, be it a sync.
            let error = if life.dice.below(2) == 0 { life.dice.below(at + 1) } else { u64::MAX };
            let disk = Arc::new(Disk::new(Plan::PowerLoss { at, error }));
            // Opening writes too: the power may go then.
            if let Ok(store) = life.try_open(&disk) {
                for _ in 0..BATCHES {
                    if !disk.is_dead() {
                        life.work(&store, &disk).await;
                    }
                }
                store.close().await;
            }
            if !disk.is_dead() {
                steps = disk.steps();
            }
            disk.lose_power(&mut life.dice);
            let _ = fs::remove_file(life.dir.join("clean"));
            match life.dice.below(6) {
                0 => drop(fs::remove_dir_all(&index)),
                1 | 2 if earlier.exists() => {
                    let _ = fs::remove_dir_all(&index);
                    copy(&earlier, &index);
                }
                3 => {
                    if let Ok(file) = fs::OpenOptions::new().write(true).open(index.join("db")) {
                        let length = file.metadata().unwrap().len();
                        file.set_len(life.dice.below(length + 1)).unwrap();
                    }
                }
                _ => {}
            }
            lost += life.check().await;
            done += 1;
        }
        acknowledged += life.acknowledged;
    }
    (acknowledged, lost)
}

/// Copies a folder and what is in it.
fn copy(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.flatten() {
        let to = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
