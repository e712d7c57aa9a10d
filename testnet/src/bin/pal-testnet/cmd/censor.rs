//! `pal-testnet censor`: what who has a link can do with it.

mod eclipse;
mod ground;
mod show;
mod users;

use std::path::{Path, PathBuf};
use std::time::Duration;

use palimpsest_client::net::Transport;
use palimpsest_client::{Capability, Client, ClientOptions};
use palimpsest_testnet::censor::holders::Search;
use palimpsest_testnet::scenario::Eclipsed;
use serde_json::json;

use super::{Failure, broken, interrupted, say, workplace};

/// Time to enter the network.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// Clients as which it asks at most, until nobody is left whom none of them asks.
const CLIENTS_MAX: usize = 4;

/// Use a link as a censor would: find the holders; with nodes of its own also readers and publisher; reckon what hiding it costs, or try
/// it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The link.
    link: String,
    #[command(flatten)]
    at: ground::Where,
    /// Nodes of the network that are the censor's, and pool their diaries (`up --diary`, `docker up --diary`): a share (20%, 0.2), or
    /// numbers (0,3).
    #[arg(long, value_name = "SHARE|NUMBERS")]
    coalition: Option<users::Seated>,
    /// Beside these all that hold a shard of the file, with what they see as holders.
    #[arg(long, requires = "coalition")]
    all_holders: bool,
    /// Chooses the nodes of a share, and the ids that are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run nodes with ids next to the places of the root's record, or of its shards, that deny what they should keep; see what is
    /// fetched meanwhile; end them. On a network that nobody needs.
    #[arg(long, value_name = "record|stripe", value_parser = eclipsed, requires = "nodes")]
    eclipse: Option<Eclipsed>,
    /// Of these, nodes next to each place.
    #[arg(long, requires = "eclipse", value_parser = clap::value_parser!(u16).range(1..=40))]
    nodes: Option<u16>,
    /// Ids that are drawn for them, each of which costs its work (15 ms of one core).
    #[arg(long, default_value_t = 500, requires = "eclipse", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    drawn: u32,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn eclipsed(text: &str) -> Result<Eclipsed, String> {
    match text {
        "record" => Ok(Eclipsed::Record),
        "stripe" => Ok(Eclipsed::Stripe),
        _ => Err("a record or a stripe can be eclipsed".to_owned()),
    }
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let link: Capability = args.link.parse().map_err(|error| Failure::Broken(format!("the link: {error}")))?;
    // What this command asks itself is in the diaries too; it is left out.
    let before = std::time::SystemTime::now();
    let place = workplace(&std::env::temp_dir(), "palimpsest-censor-")?;
    let bootstrap = args.at.bootstrap()?;
    let looks = async {
        let search = search(place.path(), &bootstrap, &link).await?;
        let Some(seated) = &args.coalition else { return Ok::<_, Failure>((search, None)) };
        let net = args.at.open().await?;
        let seated = (seated, args.seed, args.all_holders);
        let users = users::of(&net, &search, seated, before, place.path()).await?;
        Ok((search, Some(users)))
    };
    // Copies of diaries lie in the folder: it goes, also when somebody has enough of this.
    let (search, users) = tokio::select! {
        looked = looks => looked?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    let eclipse = match args.eclipse.zip(args.nodes) {
        Some((of, nodes)) => {
            let mut net = args.at.open().await?;
            let first = net.count()?;
            let attempt = eclipse::Wanted { of, nodes, drawn: args.drawn as usize, seed: args.seed };
            let reader = eclipse::Reader { link: &link, bootstrap: &bootstrap, place: place.path() };
            let tried = tokio::select! {
                tried = eclipse::attempt(&mut net, &search, attempt, reader) => tried,
                () = interrupted() => Err(Failure::Interrupted),
            };
            net.dismiss(first).await?;
            Some(tried?)
        }
        None => None,
    };
    let holders = search.report();
    let (record, stripe) = search.costs();
    if args.json {
        let cost = json!({"record": record, "stripe": stripe, "touched": false});
        say(&json!({"holders": holders, "users": users, "cost": cost, "eclipse": eclipse}).to_string());
        return Ok(());
    }
    show::holders(&holders);
    match &users {
        Some(users) => show::users(users),
        None => say(
            "users       not looked for: a link alone names nobody, since what is answered has no field for it; see --coalition",
        ),
    }
    show::cost("the root's record", record);
    show::cost("a stripe", stripe);
    if let Some(eclipse) = &eclipse {
        show::eclipse(eclipse);
    }
    Ok(())
}

/// Asks for all shards as one client; and as others, while some are left that only a client's own guard may have.
async fn search(place: &Path, bootstrap: &Path, link: &Capability) -> Result<Search, Failure> {
    let mut search: Option<Search> = None;
    for number in 1..=CLIENTS_MAX {
        let client = enter(place.join(format!("censor-{number}")), bootstrap).await?;
        match &mut search {
            None => search = Some(Search::begin(&client, link).await.map_err(failed("use the link"))?),
            Some(search) => search.again(&client, link).await.map_err(failed("use the link"))?,
        }
        client.close().await.map_err(failed("leave the network"))?;
        if search.as_ref().is_some_and(Search::is_settled) {
            break;
        }
    }
    search.ok_or_else(|| broken("nobody asked"))
}

/// A client that was never there.
async fn enter(data_dir: PathBuf, bootstrap: &Path) -> Result<Client, Failure> {
    let bootstrap = palimpsest_client::bootstrap::expand(&[bootstrap.display().to_string()]);
    let options = ClientOptions {
        data_dir,
        bootstrap: bootstrap.map_err(broken)?,
        transport: Transport::All,
        connect_deadline: CONNECT_DEADLINE,
    };
    Client::start(options).await.map_err(failed("enter the network"))
}

fn failed(doing: &'static str) -> impl Fn(palimpsest_client::Error) -> Failure {
    move |source| Failure::Client { doing, source: Box::new(source) }
}
