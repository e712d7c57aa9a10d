//! How errors and reports call the stripes of a published file.

use std::fmt;

/// Which stripe of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StripeName {
    /// The one at the top.
    Root,
    /// One of a reference stream.
    Reference {
        /// 1: it names stripes of the content; 2 and up: stripes of the reference stream below.
        level: usize,
        /// From 0.
        number: u64,
    },
    /// One of the content, from 0.
    Content(u64),
    /// One of those that a repair capability lists, from 0.
    Listed(u64),
}

impl StripeName {
    /// The stripe `number` of the stream at `level`; level 0 is the content.
    pub(crate) fn of(level: usize, number: u64) -> StripeName {
        match level {
            0 => StripeName::Content(number),
            level => StripeName::Reference { level, number },
        }
    }

    /// Its number among those of its level, from 0.
    pub fn number(self) -> u64 {
        match self {
            StripeName::Root => 0,
            StripeName::Reference { number, .. } | StripeName::Content(number) | StripeName::Listed(number) => number,
        }
    }
}

/// As the beginning of a sentence.
impl fmt::Display for StripeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StripeName::Root => f.write_str("the root"),
            StripeName::Reference { level: 1, number } => write!(f, "reference stripe {number}"),
            StripeName::Reference { level, number } => write!(f, "reference stripe {number} of level {level}"),
            StripeName::Content(number) => write!(f, "stripe {number}"),
            StripeName::Listed(number) => write!(f, "listed stripe {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StripeName;

    #[test]
    fn names_tell_content_from_what_names_it() {
        let said = |level, number| StripeName::of(level, number).to_string();
        assert_eq!(StripeName::Root.to_string(), "the root");
        assert_eq!(said(0, 12), "stripe 12");
        assert_eq!(said(1, 3), "reference stripe 3");
        assert_eq!(said(2, 0), "reference stripe 0 of level 2");
        assert_eq!(StripeName::of(1, 3).number(), 3);
    }
}
