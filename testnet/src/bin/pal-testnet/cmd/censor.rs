//! `pal-testnet censor`: what who has a link can do with it.

use std::path::PathBuf;
use std::time::Duration;

use palimpsest_client::net::Transport;
use palimpsest_client::{Capability, Client, ClientOptions};
use palimpsest_testnet::censor::{Cost, Report, censor};

use super::{Failure, say, workplace};

/// Time to enter the network.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// Use a link as a censor would: find the holders, look for readers and publisher, and reckon what hiding it costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The link.
    link: String,
    /// Folder of the network.
    #[arg(long)]
    dir: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let link: Capability = args.link.parse().map_err(|error| Failure::Broken(format!("the link: {error}")))?;
    let place = workplace(&std::env::temp_dir(), "palimpsest-censor-")?;
    let bootstrap = vec![args.dir.join("bootstrap").display().to_string()];
    let failed = |doing| move |source| Failure::Client { doing, source: Box::new(source) };
    let bootstrap =
        palimpsest_client::bootstrap::expand(&bootstrap).map_err(|error| Failure::Broken(error.to_string()))?;
    let client = Client::start(ClientOptions {
        data_dir: place.path().to_owned(),
        bootstrap,
        transport: Transport::All,
        connect_deadline: CONNECT_DEADLINE,
    })
    .await
    .map_err(failed("enter the network"))?;
    let report = censor(&client, &link).await.map_err(failed("use the link"))?;
    client.close().await.map_err(failed("leave the network"))?;
    if args.json {
        say(&serde_json::to_string(&report).map_err(|error| Failure::Broken(error.to_string()))?);
        return Ok(());
    }
    let Report { nodes, stripes, shards, found, unasked, holders, record, stripe } = report;
    say(&format!(
        "holders     {holders} of {nodes} nodes have {found} of {shards} shards of {stripes} stripes; {unasked} may be with our own guard"
    ));
    say("users       none: what is answered names no reader and no publisher");
    let told = |what: &str, Cost { places, nodes, ids, core_seconds }: Cost| {
        say(&format!(
            "to hide     {what}: {nodes} nodes at {places} places, the best of {ids:.0} ids, {:.1} hours of one core",
            core_seconds / 3600.0
        ));
    };
    told("the root's record", record);
    told("a stripe", stripe);
    Ok(())
}
