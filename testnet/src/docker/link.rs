//! What the links of a network are like: as the user writes it, and as `tc` and `iptables` take it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::Fraction;

/// The longest delay: longer ones are dead links.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Bits a second at least and at most: below, one packet of an onion takes a minute; above, no link is slowed down.
const BANDWIDTH_RANGE: std::ops::RangeInclusive<u64> = 10_000..=100_000_000_000;
/// Packets that a link with a delay holds: those of 10 s at 20 Mbit/s and more.
pub(super) const HELD_MAX: u32 = 20_000;

/// How long a packet takes from the node that sends it, one way: a round trip between two nodes has it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// On average.
    pub delay: Duration,
    /// How far it strays to either side.
    pub jitter: Duration,
}

/// Why a text is no [`Latency`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a latency is whole milliseconds, at most 10 s, such as 50ms or 50ms±10, the second number at most the first")]
pub struct NotALatency;

impl FromStr for Latency {
    type Err = NotALatency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (delay, jitter) = text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, "0"));
        let delay = digits(delay.strip_suffix("ms").ok_or(NotALatency)?).ok_or(NotALatency)?;
        let jitter = digits(jitter.strip_suffix("ms").unwrap_or(jitter)).ok_or(NotALatency)?;
        let latency = Self { delay: Duration::from_millis(delay), jitter: Duration::from_millis(jitter) };
        if latency.delay > DELAY_MAX || latency.jitter > latency.delay { Err(NotALatency) } else { Ok(latency) }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}ms", self.delay.as_millis())?;
        if self.jitter.is_zero() { Ok(()) } else { write!(formatter, "±{}", self.jitter.as_millis()) }
    }
}

/// Bits that a node can send in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth(u64);

/// Why a text is no [`Bandwidth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bandwidth is a whole number of kbit, mbit or gbit a second, 10kbit to 100gbit, such as 20mbit")]
pub struct NotABandwidth;

impl FromStr for Bandwidth {
    type Err = NotABandwidth;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
        let (number, unit) =
            units.iter().find_map(|&(name, unit)| Some((text.strip_suffix(name)?, unit))).ok_or(NotABandwidth)?;
        let bits = digits(number).and_then(|number| number.checked_mul(unit)).ok_or(NotABandwidth)?;
        if BANDWIDTH_RANGE.contains(&bits) { Ok(Self(bits)) } else { Err(NotABandwidth) }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000)];
        match units.iter().find(|&&(_, unit)| self.0.is_multiple_of(unit)) {
            Some(&(name, unit)) => write!(formatter, "{}{name}", self.0 / unit),
            None => write!(formatter, "{}bit", self.0),
        }
    }
}

/// The share of packets that is lost at random.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Loss(f64);

/// Why a text is no [`Loss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a loss is a share from 0 to below 1, such as 1% or 0.01")]
pub struct NotALoss;

impl FromStr for Loss {
    type Err = NotALoss;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = text.parse::<Fraction>().map_err(|_| NotALoss)?.share();
        if share < 1.0 { Ok(Self(share)) } else { Err(NotALoss) }
    }
}

/// What a network's links are like; nothing: as fast as the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    /// The way's delay.
    pub latency: Option<Latency>,
    /// Packets lost.
    pub loss: Option<Loss>,
    /// What a node can send.
    pub bandwidth: Option<Bandwidth>,
}

impl Links {
    /// Whether nothing is wanted of them.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether packets are to be delayed: by the kernel's `netem`, or where that is missing by a program of ours.
    #[must_use]
    pub fn are_slow(&self) -> bool {
        self.latency.is_some()
    }

    /// What `tc` is to do with what leaves an interface; none if it has nothing to do. `held`: the delay is made elsewhere.
    #[must_use]
    pub fn tc(&self, interface: &str, held: bool) -> Option<Vec<String>> {
        let rate = self.bandwidth.map(|Bandwidth(bits)| format!("{bits}bit"));
        let mut line = words(&["qdisc", "replace", "dev", interface, "root"]);
        match (self.latency.filter(|_| !held), rate) {
            (Some(Latency { delay, jitter }), rate) => {
                line.extend(words(&["netem", "limit", &HELD_MAX.to_string(), "delay"]));
                line.push(format!("{}ms", delay.as_millis()));
                if !jitter.is_zero() {
                    line.push(format!("{}ms", jitter.as_millis()));
                }
                if let Some(rate) = rate {
                    line.extend(["rate".to_owned(), rate]);
                }
            }
            // A burst of a tick of the slowest clock (10 ms), and as much room as a home router has.
            (None, Some(rate)) => {
                let burst = self.bandwidth.map_or(0, |Bandwidth(bits)| bits / 8 / 100).max(16 * 1024);
                line.extend(words(&["tbf", "rate", &rate, "burst", &burst.to_string(), "latency", "200ms"]));
            }
            (None, None) => return None,
        }
        Some(line)
    }

    /// The rule by which packets that come in are lost; none if none are.
    #[must_use]
    pub fn lossy_rule(&self) -> Option<String> {
        let Loss(share) = self.loss.filter(|&Loss(share)| share > 0.0)?;
        Some(format!("-A INPUT ! -i lo -m statistic --mode random --probability {share:.6} -j DROP"))
    }
}

impl fmt::Display for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = self.latency.map(|latency| format!("{latency} one way"));
        let bandwidth = self.bandwidth.map(|bandwidth| bandwidth.to_string());
        let loss = self.loss.map(|Loss(share)| format!("{}% lost", share * 100.0));
        let all: Vec<String> = [latency, bandwidth, loss].into_iter().flatten().collect();
        formatter.write_str(if all.is_empty() { "as fast as the machine" } else { "" })?;
        formatter.write_str(&all.join(", "))
    }
}

/// A number of digits only: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bandwidth, Latency, Links, Loss, NotABandwidth, NotALatency, NotALoss};

    #[test]
    fn latencies_are_read_and_said() {
        for (text, said) in [("50ms", "50ms"), ("50ms±10", "50ms±10"), ("50ms±10ms", "50ms±10"), ("0ms", "0ms")] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), said);
        }
        assert_eq!("50ms+-10".parse::<Latency>(), "50ms±10".parse());
        for bad in ["", "50", "ms", "-1ms", "+1ms", "1.5ms", "50ms±", "50ms±51", "10001ms", "50 ms", "50ms±10s", "5s"]
        {
            assert_eq!(bad.parse::<Latency>(), Err(NotALatency), "{bad}");
        }
    }

    #[test]
    fn bandwidths_are_read_and_said() {
        for text in ["20mbit", "1gbit", "512kbit", "1500kbit"] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
        }
        assert_eq!("1000kbit".parse::<Bandwidth>().unwrap().to_string(), "1mbit");
        for bad in ["", "20", "mbit", "9kbit", "101gbit", "-1mbit", "1.5mbit", "20MB", "99999999999999999999gbit"] {
            assert_eq!(bad.parse::<Bandwidth>(), Err(NotABandwidth), "{bad}");
        }
    }

    #[test]
    fn losses_are_shares_below_one() {
        assert_eq!("1%".parse::<Loss>(), "0.01".parse());
        for bad in ["", "100%", "1", "-1%", "NaN", "some"] {
            assert_eq!(bad.parse::<Loss>(), Err(NotALoss), "{bad}");
        }
    }

    #[test]
    fn links_are_told_to_the_kernel() {
        let links = |latency: Option<&str>, loss: Option<&str>, bandwidth: Option<&str>| Links {
            latency: latency.map(|text| text.parse().unwrap()),
            loss: loss.map(|text| text.parse().unwrap()),
            bandwidth: bandwidth.map(|text| text.parse().unwrap()),
        };
        let told = |links: Links| links.tc("eth0", false).map(|line| line.join(" "));
        let plain = links(None, None, None);
        assert!(plain.are_plain() && told(plain).is_none() && plain.lossy_rule().is_none());
        let all = links(Some("50ms±10"), Some("1%"), Some("20mbit"));
        assert!(all.are_slow());
        assert_eq!(all.to_string(), "50ms±10 one way, 20mbit, 1% lost");
        assert_eq!(plain.to_string(), "as fast as the machine");
        let netem = "qdisc replace dev eth0 root netem limit 20000 delay 50ms 10ms rate 20000000bit";
        assert_eq!(told(all).unwrap(), netem);
        let rule = "-A INPUT ! -i lo -m statistic --mode random --probability 0.010000 -j DROP";
        assert_eq!(all.lossy_rule().unwrap(), rule);
        let narrow = links(None, None, Some("20mbit"));
        assert!(!narrow.are_slow());
        assert_eq!(told(narrow).unwrap(), "qdisc replace dev eth0 root tbf rate 20000000bit burst 25000 latency 200ms");
        assert!(links(None, Some("0%"), None).lossy_rule().is_none());
        assert_eq!(all.tc("eth0", true), narrow.tc("eth0", false), "what is delayed elsewhere");
        assert!(links(Some("50ms"), None, None).tc("eth0", true).is_none());
    }
}
