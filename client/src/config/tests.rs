use super::{Config, ConfigError, EXAMPLE, Origin, Places, Values};
use crate::error::{Error, Kind};
use crate::net::Transport;
use palimpsest_proto::coding::Survive;
use std::path::PathBuf;
use std::time::Duration;

fn places(variables: &[(&str, &str)]) -> Places {
    Places::new(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn the_example_sets_every_key_to_its_default() {
    let example: Values = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Values::defaults());
    // Exhaustive: a key that the example lacked would have to be unset in the defaults as well, and none is.
    let Values { bootstrap, transport, data_dir, survive, lease, timeout, connect_timeout } = example;
    assert!(bootstrap.is_some() && data_dir.is_some());
    assert!([transport, survive, lease, timeout, connect_timeout].iter().all(Option::is_some));
    // Every key is explained right above it.
    for (key, _, _) in Config::load(Values::defaults(), None, &places(&[("HOME", "/h")])).unwrap().entries() {
        let at = EXAMPLE.find(&format!("\n{key} = ")).unwrap();
        assert!(EXAMPLE[..at].lines().next_back().unwrap().starts_with('#'), "{key}");
    }
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pal.toml");
    std::fs::write(&file, "survive = \"10%\"\ntransport = \"tcp\"\nlease = \"7d\"\nbootstrap = [\"nodes\"]\n").unwrap();
    let flags = Values { survive: text("30%"), ..Values::default() };
    let variables = [
        ("HOME", "/home/ann"),
        ("PAL_SURVIVE", "50%"),
        ("PAL_TRANSPORT", "quic"),
        ("PAL_TIMEOUT", ""),
        ("PAL_CONFIG", file.to_str().unwrap()),
    ];
    let config = Config::load(flags, None, &places(&variables)).unwrap();
    assert_eq!((config.survive.value, config.survive.origin), (Survive::Third, Origin::Flag));
    assert_eq!((config.transport.value, config.transport.origin), (Transport::Quic, Origin::Environment));
    assert_eq!(config.lease.value, Duration::from_secs(7 * 86_400));
    assert_eq!(config.lease.origin, Origin::File(file.clone()));
    assert_eq!(config.bootstrap.value, [dir.path().join("nodes").to_str().unwrap()]);
    assert_eq!((config.timeout.value, config.timeout.origin), (None, Origin::Default));
    assert_eq!(config.data_dir.value, PathBuf::from("/home/ann/.local/share/palimpsest"));
}

#[test]
fn the_usual_places() {
    let config = places(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]);
    assert_eq!(config.config_file(), Some("/c/palimpsest/pal.toml".into()));
    assert_eq!(places(&[("HOME", "/h")]).config_file(), Some("/h/.config/palimpsest/pal.toml".into()));
    assert_eq!(
        places(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")]).config_file(),
        places(&[("HOME", "/h")]).config_file()
    );
    assert_eq!(places(&[]).config_file(), None);
    let data = |variables: &[_]| Config::load(Values::default(), None, &places(variables)).map(|c| c.data_dir.value);
    assert_eq!(data(&[("XDG_DATA_HOME", "/d")]).unwrap(), PathBuf::from("/d/palimpsest"));
    assert_eq!(data(&[("PAL_DATA_DIR", "~/p"), ("HOME", "/h")]).unwrap(), PathBuf::from("/h/p"));
    assert!(data(&[]).unwrap_err().to_string().contains("--data-dir"));
}

#[test]
fn bootstrap_of_the_environment_is_split_at_commas_and_blanks() {
    let config = Config::load(Values::default(), None, &places(&[("HOME", "/h"), ("PAL_BOOTSTRAP", "a,b c\n d, ")]));
    assert_eq!(config.unwrap().bootstrap.value, ["a", "b", "c", "d"]);
}

#[test]
fn each_refusal_names_its_place() {
    let refused = |flags: Values, variables: &[(&str, &str)]| {
        let mut variables = variables.to_vec();
        variables.push(("HOME", "/h"));
        let error = Config::load(flags, None, &places(&variables)).unwrap_err();
        assert!(matches!(error, ConfigError::Value { .. }));
        let said = error.to_string();
        assert_eq!(Error::from(error).kind(), Kind::Usage);
        said
    };
    let survive = Values { survive: text("60%"), ..Values::default() };
    assert_eq!(refused(survive, &[]), "--survive: \"60%\" is not offered; choose 10%, 30% or 50%");
    let connect = refused(Values::default(), &[("PAL_CONNECT_TIMEOUT", "0s")]);
    assert_eq!(connect, "PAL_CONNECT_TIMEOUT: no time at all is too little");
    let lease = Values { lease: text("367d"), ..Values::default() };
    assert_eq!(refused(lease, &[]), "--lease: nodes grant no lease beyond 366d");
    let transport = Values { transport: text("memory"), ..Values::default() };
    assert_eq!(refused(transport, &[]), "--transport: \"memory\" is no transport; choose tcp, quic or all");
    assert!(refused(Values { timeout: text("5"), ..Values::default() }, &[]).starts_with("--timeout: \"5\" is not"));
}

#[test]
fn an_unknown_key_and_a_named_file_that_is_not_there_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pal.toml");
    let load = || Config::load(Values::default(), Some(file.clone()), &places(&[("HOME", "/h")])).unwrap_err();
    let missing = load();
    assert!(missing.to_string().contains(file.to_str().unwrap()));
    assert_eq!(Error::from(missing).kind(), Kind::Disk);
    std::fs::write(&file, "survives = \"10%\"\n").unwrap();
    let unknown = load();
    assert!(unknown.to_string().contains("survives") && unknown.to_string().contains("line 1"), "{unknown}");
    assert_eq!(Error::from(unknown).kind(), Kind::Usage);
}
