//! Readers and publisher, from the diaries of a network whose nodes keep them.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use palimpsest_testnet::censor::holders::Search;
use palimpsest_testnet::censor::users::{Seats, Users, users};
use palimpsest_testnet::process::{Fraction, choose};

use super::super::{Failure, broken};
use super::ground::Ground;

/// Which nodes are the censor's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seated {
    /// A share, chosen by a seed.
    Share(Fraction),
    /// Those with these numbers.
    These(BTreeSet<u32>),
}

impl FromStr for Seated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['%', '.']) {
            return text
                .parse()
                .map(Self::Share)
                .map_err(|error: palimpsest_testnet::process::NotAFraction| error.to_string());
        }
        let numbers: Result<_, _> = text.split(',').map(str::parse).collect();
        numbers.map(Self::These).map_err(|_| "a share such as 20% or 0.2, or numbers of nodes such as 0,3".to_owned())
    }
}

/// What the censor makes of what its nodes saw until then. Copies of diaries lie in `place`.
pub(super) async fn of(
    net: &Ground,
    search: &Search,
    (seated, seed, all_holders): (&Seated, u64, bool),
    until: SystemTime,
    place: &Path,
) -> Result<Users, Failure> {
    let mut seen = net.diaries(place).await?;
    let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
    seen.retain(|one| one.at < until);
    let (all, members) = (net.count()?, net.ids().await?);
    let nodes: BTreeSet<u32> = match seated {
        Seated::Share(share) => choose(all, *share, seed).into_iter().collect(),
        Seated::These(numbers) => numbers.clone(),
    };
    if let Some(strange) = nodes.iter().find(|number| **number >= all) {
        return Err(broken(format!("there is no node {strange}")));
    }
    let found = |id: &_| members.iter().position(|member| member == id);
    let holders = if all_holders { search.holders().filter_map(found).collect() } else { BTreeSet::new() };
    let seats = Seats { nodes: nodes.into_iter().map(|number| number as usize).collect(), holders };
    Ok(users(&seen, &members, &seats, &search.names()))
}

#[cfg(test)]
mod tests {
    use super::{Fraction, Seated};

    #[test]
    fn nodes_are_chosen_by_a_share_or_by_numbers() {
        let share = |share| Ok(Seated::Share(Fraction::new(share).unwrap()));
        assert_eq!(("20%".parse(), "0.5".parse()), (share(0.2), share(0.5)));
        assert_eq!(("1".parse(), "0,3".parse()), (Ok(Seated::These([1].into())), Ok(Seated::These([0, 3].into()))));
        for bad in ["", "120%", "a", "0,,1", "-1"] {
            assert!(bad.parse::<Seated>().is_err(), "{bad}");
        }
    }
}
