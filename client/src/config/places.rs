//! Where files lie, by the XDG base directories.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The environment. A value, so that tests need not change the process's own.
#[derive(Clone, Debug)]
pub struct Places(HashMap<OsString, OsString>);

impl Places {
    /// That of this process.
    pub fn of_process() -> Places {
        Places(std::env::vars_os().collect())
    }

    /// One that has these variables.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Places {
        Places(variables.into_iter().collect())
    }

    /// A variable that is set, and not to nothing.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        self.0.get(OsStr::new(name)).filter(|value| !value.is_empty()).cloned()
    }

    /// The usual place of the configuration file; `None` for a user without a home.
    pub fn config_file(&self) -> Option<PathBuf> {
        Some(self.base("XDG_CONFIG_HOME", ".config")?.join("palimpsest/pal.toml"))
    }

    /// Replaces a leading `$XDG_DATA_HOME` or `~`; says why when there is nothing to replace it by.
    pub(super) fn expand(&self, path: &Path) -> Result<PathBuf, String> {
        let (base, rest) = if let Ok(rest) = path.strip_prefix("$XDG_DATA_HOME") {
            (self.base("XDG_DATA_HOME", ".local/share"), rest)
        } else if let Ok(rest) = path.strip_prefix("~") {
            (self.variable("HOME").map(PathBuf::from), rest)
        } else {
            return Ok(path.to_owned());
        };
        let base = base.ok_or_else(|| "HOME is not set, so say the folder with --data-dir".to_owned())?;
        Ok(base.join(rest))
    }

    /// The folder that `variable` names, which must be absolute (as the specification has it), or that under home.
    fn base(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let named = self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| Some(PathBuf::from(self.variable("HOME")?).join(under_home)))
    }
}
