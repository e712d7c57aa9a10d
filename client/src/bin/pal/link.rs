//! The LINK argument: the link itself, `@FILE`, or `-`.

use palimpsest_client::{Capability, Error};
use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// Bytes that are read in search of a link: many times what the longest has.
const LINK_BYTES_MAX: u64 = 4096;

/// Reads and checks the link, before anything else is done.
pub(crate) fn read(argument: &str) -> Result<Capability, Error> {
    let text = if argument == "-" {
        take(io::stdin().lock()).map_err(Error::disk("standard input", "read the link from"))?
    } else if let Some(path) = argument.strip_prefix('@') {
        File::open(path).and_then(take).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Usage(format!("there is no file {path}")),
            _ => Error::disk(path, "read the link from")(error),
        })?
    } else {
        argument.to_owned()
    };
    text.trim().parse().map_err(Error::BadLink)
}

/// What is not text is no link either, and is refused as such.
fn take(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINK_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
