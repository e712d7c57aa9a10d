//! The command line, as the user writes it.

use crate::report::{Report, Stream};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use palimpsest_client::Error;
use palimpsest_client::config::{Config, Places, Values, parse_duration};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What stands behind every help text.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 other failure, 2 usage, 3 partly done, 4 absent, 5 not retrievable now, 6 integrity, 7 no network, \
8 survival target not met, 9 out of time, 10 disk or quota, 11 bad link, 130 interrupted.";

/// Publishes files to a network of nodes that cannot read them, and fetches them back though half of the nodes are gone.
#[derive(Debug, Parser)]
#[command(name = "pal", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a file; standard output is its link.
    Publish(Publish),
    /// Fetch what a link stands for.
    Fetch(Fetch),
    /// Say how much of a published file is there, and what it would survive.
    Status(Status),
    /// Prolong the leases of a published file, and put back what is missing of it.
    Keep(Keep),
    /// The settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The file, or - for standard input.
    #[arg(value_name = "PATH|-")]
    pub(crate) path: PathBuf,
    /// What part of the nodes may vanish at once without loss: 10%, 30% or 50%.
    #[arg(long, value_name = "PART")]
    survive: Option<String>,
    /// For how long holders are asked to keep it, like 90d.
    #[arg(long, value_name = "TIME")]
    lease: Option<String>,
    /// Send the shards at random moments over so long, like 6h: the nodes that get them cannot tell by the time that they belong
    /// together. What is interrupted goes on when the same is published again.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) spread: Option<Duration>,
    /// Send nothing; say what would be sent.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask no node to watch over it: it lasts as long as its holders, unless you keep it.
    #[arg(long)]
    pub(crate) no_wardens: bool,
    #[command(flatten)]
    common: Common,
}

/// A link is a secret, and arguments are visible to all users of a machine.
const LINK_HELP: &str = "\
The link itself, @FILE for the link in a file, or - for standard input. Other users of this machine can see the arguments \
of your programs while they run: @FILE and - keep a link to yourself.";

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The link, @FILE with the link in it, or - for standard input.
    #[arg(value_name = "LINK|@FILE|-", long_help = LINK_HELP)]
    pub(crate) link: String,
    /// Where to write; - for standard output, which is the default unless it is a terminal.
    #[arg(short, long, value_name = "PATH|-")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only these bytes, counted from 0, both included; A- for all from A on.
    #[arg(long, value_name = "A-B", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,
    /// Ask for the shards at random moments over so long, like 6h: the nodes that hold them cannot tell by the time that they belong
    /// together. A file of 128 KiB or less comes sooner. What turns out to be missing is not put back, and what is interrupted begins
    /// anew.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) spread: Option<Duration>,
    /// Do not put back shards that turn out to be missing.
    #[arg(long)]
    pub(crate) no_heal: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The link, @FILE with the link in it, or - for standard input.
    #[arg(value_name = "LINK|@FILE|-", long_help = LINK_HELP)]
    pub(crate) link: String,
    /// Print a link with which others can keep the file alive, and ask for its status, but not read it. Publishes a list of its
    /// stripes.
    #[arg(long)]
    pub(crate) repair_cap: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// The link, or a repair link; @FILE with it in it, or - for standard input.
    #[arg(value_name = "LINK|@FILE|-", long_help = LINK_HELP)]
    pub(crate) link: String,
    /// For how long from now holders are asked to keep it, like 90d.
    #[arg(long, value_name = "TIME")]
    lease: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings in force, as a configuration file would have them.
    Show {
        /// Say of each where it comes from.
        #[arg(long)]
        origin: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print a commented configuration file with every setting at its default.
    Example,
}

/// What all that goes over the network has in common.
#[derive(Debug, Args)]
struct Common {
    /// Give up after this time, like 30s or 5m.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// One JSON object a line: type status, result or error.
    #[arg(long)]
    json: bool,
    /// Neither progress nor summary; errors only.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Flags for settings that mostly stand in the configuration file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// A node to enter the network by: a multiaddr, or a file with one a line; repeatable.
    #[arg(long, value_name = "MULTIADDR|FILE")]
    bootstrap: Vec<String>,
    /// How to reach nodes: tcp, quic or all.
    #[arg(long, value_name = "NAME")]
    transport: Option<String>,
    /// For how long to look for a first node.
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<String>,
    /// The folder of the keyring and the cached node table.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Another configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Cli {
    /// Where this command's words go. JSON keeps off the stream that carries a file's bytes.
    pub(crate) fn report(&self) -> Report {
        let (common, stream) = match &self.command {
            Command::Publish(publish) => (&publish.common, Stream::Out),
            Command::Status(status) => (&status.common, Stream::Out),
            Command::Keep(keep) => (&keep.common, Stream::Out),
            Command::Fetch(fetch) => {
                let bytes_out = fetch.output.as_deref().is_none_or(|path| path == Path::new("-"));
                (&fetch.common, if bytes_out { Stream::Err } else { Stream::Out })
            }
            Command::Config { command: ConfigCommand::Show { json, .. } } => {
                return Report { json: json.then_some(Stream::Out), quiet: false };
            }
            Command::Config { .. } | Command::Completions { .. } => return Report { json: None, quiet: false },
        };
        Report { json: common.json.then_some(stream), quiet: common.quiet }
    }
}

impl Publish {
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let (survive, lease) = (self.survive.clone(), self.lease.clone());
        self.common.load(Values { survive, lease, ..Values::default() })
    }
}

impl Fetch {
    pub(crate) fn config(&self) -> Result<Config, Error> {
        self.common.load(Values::default())
    }
}

impl Status {
    pub(crate) fn config(&self) -> Result<Config, Error> {
        self.common.load(Values::default())
    }
}

impl Keep {
    pub(crate) fn config(&self) -> Result<Config, Error> {
        self.common.load(Values { lease: self.lease.clone(), ..Values::default() })
    }
}

impl Common {
    fn load(&self, flags: Values) -> Result<Config, Error> {
        self.settings.load(Values { timeout: self.timeout.clone(), ..flags })
    }
}

impl Settings {
    /// The settings in force, these flags and `flags` being the strongest.
    pub(crate) fn load(&self, flags: Values) -> Result<Config, Error> {
        let flags = Values {
            bootstrap: (!self.bootstrap.is_empty()).then(|| self.bootstrap.clone()),
            transport: self.transport.clone(),
            connect_timeout: self.connect_timeout.clone(),
            data_dir: self.data_dir.clone(),
            ..flags
        };
        Ok(Config::load(flags, self.config.clone(), &Places::of_process())?)
    }
}

/// Reads `A-B` or `A-`, inclusive as in HTTP, into a half-open range.
fn range(text: &str) -> Result<Range<u64>, String> {
    let (first, last) = text.split_once('-').ok_or("write A-B, like 0-99 for the first hundred bytes, or A-")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number of bytes"));
    let first = number(first)?;
    let end = if last.is_empty() { u64::MAX } else { number(last)?.saturating_add(1) };
    if first >= end { Err("the range ends before it begins".to_owned()) } else { Ok(first..end) }
}

#[cfg(test)]
mod tests {
    use super::{Cli, range};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(range("0-99"), Ok(0..100));
        assert_eq!(range("5-5"), Ok(5..6));
        assert_eq!(range("7-"), Ok(7..u64::MAX));
        for text in ["", "-", "-5", "5", "6-5", "a-b", "0-18446744073709551616", "1-2-3", "18446744073709551615-"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
