//! The capability, and its text: the link that a person passes on.

use super::base32;
use super::keys::StripeKey;
use crate::crypto::derive;
use crate::ids::RootAddress;
use crate::labels::LINK_CHECKSUM;
use crate::params::LINK_CONTENT_BYTES_MAX;
use crate::secret::Secret;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What each link begins with.
const SCHEME: &str = "pal:";
/// The version of the link that is written and read here.
const VERSION: u8 = 1;
/// Kinds of link.
const KIND_READ: u8 = 1;
const KIND_INLINE: u8 = 2;
const KIND_REPAIR: u8 = 3;
/// Bytes of version and kind, and of the checksum.
const HEAD_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a read or repair link's body: root address and key.
const READ_BODY_BYTES: usize = 64;

/// What whoever has it may read, or keep alive. Debug prints no secret.
#[derive(PartialEq, Eq)]
pub enum Capability {
    /// A published file: where its root is, and what opens it.
    Read {
        /// Names the root descriptor.
        root: RootAddress,
        /// Opens the root stripe.
        key: StripeKey,
    },
    /// A published [`super::StripeList`]: whoever has it can find the stripes of a file, check and repair them, and prolong
    /// their leases, and cannot read the file.
    Repair {
        /// Names the root descriptor of the list.
        root: RootAddress,
        /// Opens the list's root stripe.
        key: StripeKey,
    },
    /// The content itself, at most [`LINK_CONTENT_BYTES_MAX`] bytes.
    Inline(Bytes),
}

/// Which part of a link is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It does not begin as a link does.
    #[error("a link begins with \"pal:\"")]
    NotALink,
    /// A character that no link contains.
    #[error("character {position} is none that a link contains (a-z and 2-7, lower-case)")]
    Alphabet {
        /// Which one, counted from one.
        position: usize,
    },
    /// Its end is missing.
    #[error("the link is cut short: copy it whole")]
    Truncated,
    /// Something was added.
    #[error("the link is too long: something was added to its end")]
    TooLong,
    /// Its characters do not belong together.
    #[error("the link is mistyped: its checksum does not match")]
    Checksum,
    /// Made by a newer program.
    #[error("the link has version {0}, which this program does not know; a newer one may")]
    Version(u8),
    /// Of a kind that this program does not know.
    #[error("the link is of kind {0}, which this program does not know; a newer one may")]
    Kind(u8),
}

impl Capability {
    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Capability {
        match self {
            Capability::Read { root, key } => Capability::Read { root: *root, key: key.duplicate() },
            Capability::Repair { root, key } => Capability::Repair { root: *root, key: key.duplicate() },
            Capability::Inline(content) => Capability::Inline(content.clone()),
        }
    }

    /// `version ‖ kind ‖ body`, without the checksum.
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Capability::Read { root, key } => {
                [&[VERSION, KIND_READ], &root.as_bytes()[..], &key.secret().expose()[..]].concat()
            }
            Capability::Repair { root, key } => {
                [&[VERSION, KIND_REPAIR], &root.as_bytes()[..], &key.secret().expose()[..]].concat()
            }
            Capability::Inline(content) => [&[VERSION, KIND_INLINE], &content[..]].concat(),
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = derive(LINK_CHECKSUM, bytes);
    std::array::from_fn(|i| hash[i])
}

impl fmt::Display for Capability {
    /// The link: `pal:` and the base32 of `version ‖ kind ‖ body ‖ checksum`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.to_bytes();
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{SCHEME}{}", base32::encode(&bytes))
    }
}

impl FromStr for Capability {
    type Err = LinkError;

    /// Reads a link, and only as it is written: lower-case, nothing around it.
    fn from_str(text: &str) -> Result<Capability, LinkError> {
        let symbols = text.strip_prefix(SCHEME).ok_or(LinkError::NotALink)?;
        if let Some(position) = base32::foreign(symbols) {
            return Err(LinkError::Alphabet { position: SCHEME.len() + position + 1 });
        }
        let (bytes, canonical) = base32::decode(symbols);
        if bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
            return Err(LinkError::Truncated);
        }
        // A read or repair link has one length, so that most accidents with the clipboard can be called by their name.
        if bytes.starts_with(&[VERSION, KIND_READ]) || bytes.starts_with(&[VERSION, KIND_REPAIR]) {
            match bytes.len().cmp(&(HEAD_BYTES + READ_BODY_BYTES + CHECKSUM_BYTES)) {
                std::cmp::Ordering::Less => return Err(LinkError::Truncated),
                std::cmp::Ordering::Greater => return Err(LinkError::TooLong),
                std::cmp::Ordering::Equal => {}
            }
        }
        let (checked, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(LinkError::Truncated)?;
        if canonical.is_err() || checksum(checked) != *sum {
            return Err(LinkError::Checksum);
        }
        match checked {
            [VERSION, kind @ (KIND_READ | KIND_REPAIR), body @ ..] => {
                let (halves, _) = body.as_chunks::<32>();
                let [root, key] = halves else { return Err(LinkError::Truncated) };
                let (root, key) = (RootAddress(*root), StripeKey::new(Secret::new(*key)));
                Ok(if *kind == KIND_READ { Capability::Read { root, key } } else { Capability::Repair { root, key } })
            }
            [VERSION, KIND_INLINE, content @ ..] if content.len() > LINK_CONTENT_BYTES_MAX => Err(LinkError::TooLong),
            [VERSION, KIND_INLINE, content @ ..] => Ok(Capability::Inline(Bytes::copy_from_slice(content))),
            [VERSION, kind, ..] => Err(LinkError::Kind(*kind)),
            [version, ..] => Err(LinkError::Version(*version)),
            [] => Err(LinkError::Truncated),
        }
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::Read { .. } => "Read([secret])",
            Capability::Repair { .. } => "Repair([secret])",
            Capability::Inline(_) => "Inline([secret])",
        })
    }
}

#[cfg(test)]
mod tests;
