//! The large file with half of the nodes dead or hung, for those who know them as living and for those who know none.

use palimpsest_testnet::process::{Blow, Fraction, Home};

use super::report::Figure;
use super::{Bench, Failure, Measured, UP_DEADLINE, idle, median, size, speed};

/// How many times as long as on a whole network a fetch may take.
const SLOWER_MAX: f64 = 3.0;

/// What half of the nodes suffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    blow: Blow,
    word: &'static str,
}

/// Gone on the spot.
pub(super) const KILL: Loss = Loss { blow: Blow::Kill, word: "killed" };
/// Connected, and silent.
pub(super) const HANG: Loss = Loss { blow: Blow::Stop, word: "hung" };

/// Who fetches.
#[derive(Debug, Clone, Copy)]
enum Reader {
    /// Has never run.
    Fresh,
    /// Knows the nodes from before the blow.
    Stale,
}

impl Reader {
    const BOTH: [Self; 2] = [Self::Fresh, Self::Stale];

    fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh pal",
            Self::Stale => "stale table",
        }
    }
}

impl Bench {
    pub(super) async fn loss(&mut self, loss: Loss) -> Result<(), Failure> {
        let bytes = self.args.size;
        let name = size::name(bytes);
        let link = self.link(bytes, 0).await?;
        // The user of the stale table, as of now; the cached one goes on learning.
        let before = self.cached_home().await?.copy(self.next_home())?;

        let mut healthy = Vec::new();
        for reader in Reader::BOTH {
            let mut all = Vec::new();
            for _ in 0..self.args.runs {
                let home = self.reader(reader, &before)?;
                all.push(self.fetch(&home, &link, bytes, 0).await?);
            }
            let figure = speed::time(format!("fetch {name}, whole network, {}", reader.word()), &all, bytes);
            self.report.emit(figure);
            healthy.push(median(all.iter().map(|one| one.run.wall.as_secs_f64()).collect()));
        }

        let mut hurt: [Vec<Measured>; 2] = [Vec::new(), Vec::new()];
        for seed in 1..=self.args.seeds {
            let hit = self.net.hit(Fraction::HALF, seed, loss.blow).await?.len();
            for (place, reader) in Reader::BOTH.into_iter().enumerate() {
                let home = self.reader(reader, &before)?;
                let one = self.fetch(&home, &link, bytes, 0).await?;
                let what = format!("fetch {name}, {hit} {}, {}, seed {seed}", loss.word, reader.word());
                let figure = speed::time(what, std::slice::from_ref(&one), bytes).at_most(SLOWER_MAX * healthy[place]);
                self.report.emit(figure);
                hurt[place].push(one);
            }
            // Of no effect on the dead.
            self.net.hit(Fraction::HALF, seed, Blow::Continue).await?;
            self.net.start(UP_DEADLINE).await?;
            // Those that are back pass for lost until the others have met them; the next blow is to hit a whole network.
            tokio::time::sleep(idle::SETTLING).await;
        }

        for ((reader, all), healthy) in Reader::BOTH.into_iter().zip(&hurt).zip(healthy) {
            let exact = all.iter().filter(|one| one.wrong.is_none()).count();
            let slowest = all.iter().map(|one| one.run.wall.as_secs_f64()).fold(0.0, f64::max);
            let what = format!("fetch {name}, half {}, {}: slowest", loss.word, reader.word());
            let figure = Figure::new(what, slowest / healthy, "× healthy").at_most(SLOWER_MAX);
            self.report.emit(figure.with("exact", exact).with("of", all.len()));
        }
        Ok(())
    }

    fn reader(&mut self, reader: Reader, before: &Home) -> Result<Home, Failure> {
        match reader {
            Reader::Fresh => self.fresh_home(),
            Reader::Stale => Ok(before.copy(self.next_home())?),
        }
    }
}
