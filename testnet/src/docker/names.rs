//! What a network of containers is called, and which addresses are its own.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Letters of a name at most.
const NAME_MAX: usize = 30;

/// The name of a testnet; it stands in the names of all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {NAME_MAX} small letters, digits and hyphens, and begins with a letter")]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && text.len() <= NAME_MAX && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName)
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How many subnets from 10.128 on are for networks that are up for a while.
const SUBNETS: u32 = 120;

/// A private /16, such as `10.77.0.0/16`: the testnet's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet([u8; 2]);

/// Why a text is no [`Subnet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subnet is a private /16, such as 10.77.0.0/16")]
pub struct NotASubnet;

impl FromStr for Subnet {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ip: Ipv4Addr = text.strip_suffix("/16").and_then(|ip| ip.parse().ok()).ok_or(NotASubnet)?;
        match ip.octets() {
            [a, b, 0, 0] if ip.is_private() => Ok(Self([a, b])),
            _ => Err(NotASubnet),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/16", self.at(0, 0))
    }
}

impl Subnet {
    /// One from 10.128 on that no network of the engine has, beginning with one that depends on the process, so that several
    /// networks can be up at once: engines keep networks now and then that they count somebody in who is gone. `taken` are their
    /// addresses as the engine writes them.
    #[must_use]
    pub fn free(process: u32, taken: &[String]) -> Option<Self> {
        let mut numbers = (0..SUBNETS).map(|step| 128 + (process % SUBNETS + step) % SUBNETS);
        let number = numbers.find(|number| !taken.iter().any(|one| one.starts_with(&format!("10.{number}."))))?;
        Some(Self([10, u8::try_from(number).ok()?]))
    }

    /// The address with these last two numbers.
    pub(super) fn at(self, third: u8, fourth: u8) -> Ipv4Addr {
        let [a, b] = self.0;
        Ipv4Addr::new(a, b, third, fourth)
    }

    /// The part in which nodes reach each other.
    #[must_use]
    pub fn wan(self) -> String {
        format!("{}/20", self.at(0, 0))
    }

    /// The address of a node that is behind no router.
    pub(crate) fn node(self, index: u8) -> Ipv4Addr {
        self.at(0, index.saturating_add(2))
    }

    /// An address in the part in which nodes reach each other, which nobody has.
    pub(crate) fn nobody(self, number: u32) -> Ipv4Addr {
        let [high, low] = u16::try_from(number % 2_048).unwrap_or_default().to_be_bytes();
        self.at(8 + high, low)
    }

    /// The part behind a router.
    pub(super) fn lan(self, lan: u8) -> String {
        format!("{}/24", self.at(16 + lan, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, NotAName, NotASubnet, SUBNETS, Subnet};

    #[test]
    fn a_subnet_that_an_engine_still_has_is_passed_over() {
        let named = |process, taken: &[String]| Subnet::free(process, taken).map(|subnet| subnet.to_string());
        assert_eq!(named(24, &[]).as_deref(), Some("10.152.0.0/16"));
        let taken = ["172.17.0.0/16", "10.152.0.0/20", "10.15.0.0/20"].map(str::to_owned);
        assert_eq!(named(24, &taken).as_deref(), Some("10.153.0.0/16"));
        let last = [format!("10.{}.0.0/20", 127 + SUBNETS)];
        assert_eq!(named(SUBNETS - 1, &last).as_deref(), Some("10.128.0.0/16"));
        let all: Vec<String> = (0..SUBNETS).map(|number| format!("10.{}.0.0/20", 128 + number)).collect();
        assert_eq!(named(7, &all), None);
    }

    #[test]
    fn names_and_subnets_are_strict() {
        for good in ["t", "half-dies", "a1"] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for bad in ["", "-a", "1a", "A", "a b", "a/b", "a;b", "ä", &"a".repeat(31)] {
            assert_eq!(bad.parse::<Name>(), Err(NotAName), "{bad}");
        }
        assert_eq!("172.20.0.0/16".parse::<Subnet>().unwrap().to_string(), "172.20.0.0/16");
        for bad in ["", "10.77.0.0", "10.77.1.0/16", "10.0.0.0/8", "8.8.0.0/16", "10.77.0.0/24"] {
            assert_eq!(bad.parse::<Subnet>(), Err(NotASubnet), "{bad}");
        }
    }
}
