//! Where the other programs of the project are.

use std::env;
use std::path::{Path, PathBuf};

use super::error::TestnetError;

/// The program of this name: in `bin_dir` if one is given; else beside the running one, in the folder above (where a
/// build puts programs above its tests), or in PATH.
///
/// # Errors
/// [`TestnetError::ProgramMissing`], with the places looked at.
pub fn find_program(name: &'static str, bin_dir: Option<&Path>) -> Result<PathBuf, TestnetError> {
    let places: Vec<PathBuf> = if let Some(dir) = bin_dir {
        vec![dir.to_owned()]
    } else {
        let own = env::current_exe().ok();
        let beside = own.iter().flat_map(|own| own.ancestors().skip(1).take(2)).map(Path::to_owned);
        let path = env::var_os("PATH").unwrap_or_default();
        beside.chain(env::split_paths(&path)).collect()
    };
    let found = places.iter().map(|dir| dir.join(name)).find(|file| file.is_file());
    // Absolute, since nodes and commands of later times are started from other folders.
    found.and_then(|file| std::path::absolute(file).ok()).ok_or_else(|| {
        let looked = if bin_dir.is_some() {
            format!("{}", places[0].display())
        } else {
            "the folder of this program and PATH".to_owned()
        };
        TestnetError::ProgramMissing { name, looked }
    })
}

#[cfg(test)]
mod tests {
    use super::find_program;

    #[test]
    fn a_named_folder_is_the_only_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = find_program("sh", Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("`sh`") && error.contains(&*dir.path().to_string_lossy()), "{error}");
        std::fs::write(dir.path().join("sh"), "").unwrap();
        assert_eq!(find_program("sh", Some(dir.path())).unwrap(), dir.path().join("sh"));
    }

    #[test]
    fn path_is_the_last_resort() {
        assert!(find_program("sh", None).unwrap().is_absolute());
        assert!(find_program("no such program", None).is_err());
    }
}
