//! `pal-testnet docker pal`: `pal` from within the network.

use std::process::ExitCode;

use palimpsest_testnet::docker::Side;

use super::super::{Failure, at};
use super::{Which, foreground, labelled};

/// Where the caller's folder is in the container.
const FILES: &str = "/files";

/// Run `pal` in a container of its own, in the present folder: `docker pal -- publish FILE`. Its link is as those of nodes.
/// Its keyring and table stay in a volume of the network.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Where a partition cuts off: else with those who were not chosen.
    #[arg(long)]
    island: bool,
    /// What `pal` is told.
    #[arg(last = true, required = true)]
    words: Vec<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let net = args.which.open().await?;
    let plan = net.plan();
    let here = std::env::current_dir().map_err(at("find", ".".as_ref()))?;
    let (label, project) = (labelled(plan), plan.project());
    let volume = format!("{project}-user");
    net.docker().ask(&["volume", "create", "--label", &label, &volume]).await?;
    let mut words = ["run", "--rm", "--interactive", "--read-only", "--label", &label, "--entrypoint", "/pal"]
        .map(str::to_owned)
        .to_vec();
    let side = if args.island { Side::Island } else { Side::Mainland };
    words.extend(["--network".to_owned(), format!("container:{}", plan.user(side))]);
    words.extend(["--volume".to_owned(), format!("{volume}:/data")]);
    words.extend(["--volume".to_owned(), format!("{}:{FILES}", here.display())]);
    words.extend(["--workdir".to_owned(), FILES.to_owned()]);
    words.extend(["--env".to_owned(), format!("PAL_BOOTSTRAP={}", plan.bootstrap().join(","))]);
    words.push(plan.image());
    words.extend(args.words);
    let program = net.docker().program().to_owned();
    drop(net);
    foreground(&program, &words).await
}
