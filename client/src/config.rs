//! The settings of `pal`, and where each of them comes from: a flag wins over the environment, the environment over the
//! file, the file over the default. `config/example.toml` documents every key and is equal to the defaults.

mod duration;
mod places;

pub use duration::{NotADuration, parse_duration, show_duration};
pub use places::Places;

use crate::error::Error;
use crate::net::Transport;
use palimpsest_proto::coding::Survive;
use palimpsest_proto::params::LEASE_SECONDS_MAX;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error as ThisError;

/// The documented example file, which sets every key to its default.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// A configuration file.
    File(PathBuf),
    /// Nobody said otherwise.
    Default,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<T> {
    /// The name of the key.
    pub key: &'static str,
    /// What it is set to.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

/// The settings as one source gives them, not looked at yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Multiaddrs, or files that hold one a line.
    pub bootstrap: Option<Vec<String>>,
    /// `tcp`, `quic` or `all`.
    pub transport: Option<String>,
    /// The folder of the keyring, the node table and the journals.
    pub data_dir: Option<PathBuf>,
    /// `10%`, `30%` or `50%`.
    pub survive: Option<String>,
    /// For how long a publish asks its holders to keep it.
    pub lease: Option<String>,
    /// For how long a command may take, or `none`.
    pub timeout: Option<String>,
    /// For how long to look for a first node.
    pub connect_timeout: Option<String>,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Multiaddrs, or files that hold one a line.
    pub bootstrap: Setting<Vec<String>>,
    /// How to reach nodes.
    pub transport: Setting<Transport>,
    /// The folder of the keyring, the node table and the journals.
    pub data_dir: Setting<PathBuf>,
    /// What part of the nodes may vanish at once.
    pub survive: Setting<Survive>,
    /// For how long a publish asks its holders to keep it.
    pub lease: Setting<Duration>,
    /// For how long a command may take.
    pub timeout: Setting<Option<Duration>>,
    /// For how long to look for a first node.
    pub connect_timeout: Setting<Duration>,
}

/// Settings that cannot be used.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value makes no sense.
    #[error("{place}: {why}")]
    Value {
        /// The flag, the variable, or the key and its file.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The file is not TOML, or has a key that we do not know.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Error {
        match error {
            ConfigError::Unreadable { path, source } => Error::Disk { path, doing: "read", source },
            other => Error::Usage(other.to_string()),
        }
    }
}

impl Values {
    /// What holds when nobody says otherwise; the reasons are in the example file.
    pub fn defaults() -> Values {
        let text = |value: &str| Some(value.to_owned());
        Values {
            bootstrap: Some(Vec::new()),
            transport: text("all"),
            data_dir: Some("$XDG_DATA_HOME/palimpsest".into()),
            survive: text("50%"),
            lease: text("90d"),
            timeout: text("none"),
            connect_timeout: text("20s"),
        }
    }

    /// What the environment says: `PAL_` and the key's name in capitals. An empty variable is an unset one.
    pub fn from_environment(places: &Places) -> Values {
        let text = |name: &str| places.variable(name).map(|value| value.to_string_lossy().into_owned());
        let list = |text: String| {
            let separates = |letter: char| letter == ',' || letter.is_whitespace();
            text.split(separates).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
        };
        Values {
            bootstrap: text("PAL_BOOTSTRAP").map(list),
            transport: text("PAL_TRANSPORT"),
            data_dir: places.variable("PAL_DATA_DIR").map(PathBuf::from),
            survive: text("PAL_SURVIVE"),
            lease: text("PAL_LEASE"),
            timeout: text("PAL_TIMEOUT"),
            connect_timeout: text("PAL_CONNECT_TIMEOUT"),
        }
    }

    /// What the file says. A relative bootstrap file stands beside it.
    pub fn from_file(path: &Path) -> Result<Values, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let broken = |source| ConfigError::File { path: path.to_owned(), source: Box::new(source) };
        let mut values: Values = toml::from_str(&text).map_err(broken)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in values.bootstrap.iter_mut().flatten().filter(|entry| !entry.starts_with('/')) {
            *entry = folder.join(&entry).to_string_lossy().into_owned();
        }
        Ok(values)
    }
}

impl Config {
    /// Gathers the settings. `file` is the one that the user named, which must exist; without it, the usual place is
    /// looked at, where none need be.
    pub fn load(flags: Values, file: Option<PathBuf>, places: &Places) -> Result<Config, ConfigError> {
        let named = file.or_else(|| places.variable("PAL_CONFIG").map(PathBuf::from));
        let from_file = match (named, places.config_file()) {
            (Some(path), _) => Some((Values::from_file(&path)?, path)),
            (None, Some(path)) => match Values::from_file(&path) {
                Ok(values) => Some((values, path)),
                Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
            (None, None) => None,
        };
        let mut layers = Layers(vec![(Origin::Flag, flags), (Origin::Environment, Values::from_environment(places))]);
        layers.0.extend(from_file.map(|(values, path)| (Origin::File(path), values)));
        layers.0.push((Origin::Default, Values::defaults()));
        Ok(Config {
            bootstrap: layers.pick("bootstrap", |values| &values.bootstrap, |entries| Ok(entries.clone()))?,
            transport: layers.pick("transport", |values| &values.transport, |text| transport(text))?,
            data_dir: layers.pick("data_dir", |values| &values.data_dir, |path| places.expand(path))?,
            survive: layers.pick("survive", |values| &values.survive, |text| survive(text))?,
            lease: layers.pick("lease", |values| &values.lease, |text| lease(text))?,
            timeout: layers.pick("timeout", |values| &values.timeout, |text| optional(text))?,
            connect_timeout: layers.pick("connect_timeout", |values| &values.connect_timeout, |text| some(text))?,
        })
    }

    /// Every key with its value, as TOML has it, and its origin in words.
    pub fn entries(&self) -> Vec<(&'static str, toml::Value, String)> {
        fn entry<T>(setting: &Setting<T>, value: toml::Value) -> (&'static str, toml::Value, String) {
            (setting.key, value, place(setting.key, &setting.origin))
        }
        let bootstrap = self.bootstrap.value.iter().cloned().map(toml::Value::String).collect();
        let timeout = self.timeout.value.map_or_else(|| "none".to_owned(), show_duration);
        vec![
            entry(&self.bootstrap, toml::Value::Array(bootstrap)),
            entry(&self.transport, transport_name(self.transport.value).into()),
            entry(&self.data_dir, self.data_dir.value.to_string_lossy().into_owned().into()),
            entry(&self.survive, self.survive.value.to_string().into()),
            entry(&self.lease, show_duration(self.lease.value).into()),
            entry(&self.timeout, timeout.into()),
            entry(&self.connect_timeout, show_duration(self.connect_timeout.value).into()),
        ]
    }
}

/// All sources, the strongest first.
struct Layers(Vec<(Origin, Values)>);

impl Layers {
    fn pick<R, T>(
        &self,
        key: &'static str,
        raw: impl Fn(&Values) -> &Option<R>,
        parse: impl Fn(&R) -> Result<T, String>,
    ) -> Result<Setting<T>, ConfigError> {
        let given = self.0.iter().find_map(|(origin, values)| Some((origin, raw(values).as_ref()?)));
        #[expect(clippy::expect_used, reason = "the last layer, the defaults, sets every key: tested")]
        let (origin, value) = given.expect("every key has a default");
        let value = parse(value).map_err(|why| ConfigError::Value { place: place(key, origin), why })?;
        Ok(Setting { key, value, origin: origin.clone() })
    }
}

/// Where the value of `key` is set, in the user's words.
fn place(key: &str, origin: &Origin) -> String {
    match origin {
        Origin::Flag => format!("--{}", key.replace('_', "-")),
        Origin::Environment => format!("PAL_{}", key.to_uppercase()),
        Origin::File(path) => format!("{key} in {}", path.display()),
        Origin::Default => "default".to_owned(),
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "tcp" => Ok(Transport::Tcp),
        "quic" => Ok(Transport::Quic),
        "all" => Ok(Transport::All),
        _ => Err(format!("{text:?} is no transport; choose tcp, quic or all")),
    }
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Quic => "quic",
        Transport::All => "all",
        Transport::Memory => "memory",
    }
}

fn survive(text: &str) -> Result<Survive, String> {
    text.parse().map_err(|unknown| format!("{text:?} is not offered; {unknown}"))
}

fn some(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("no time at all is too little".to_owned()) } else { Ok(duration) }
}

fn optional(text: &str) -> Result<Option<Duration>, String> {
    if text == "none" { Ok(None) } else { some(text).map(Some) }
}

fn lease(text: &str) -> Result<Duration, String> {
    let duration = some(text)?;
    let most = Duration::from_secs(LEASE_SECONDS_MAX);
    if duration > most { Err(format!("nodes grant no lease beyond {}", show_duration(most))) } else { Ok(duration) }
}

#[cfg(test)]
mod tests;
