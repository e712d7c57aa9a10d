//! What the literature and other systems report of the same things: a figure, and where it is from.

/// One line.
pub(super) struct Elsewhere {
    /// What.
    pub(super) what: &'static str,
    /// Who, and how much.
    pub(super) theirs: &'static str,
    /// Where it stands.
    pub(super) source: &'static str,
}

/// All of them.
pub(super) const ELSEWHERE: [Elsewhere; 10] = [
    Elsewhere {
        what: "many nodes fail at once",
        theirs: "Glacier: six nines with 60 % of the nodes gone, at 11 × the storage; CFS: “as many as half the servers fail”",
        source: "Haeberlen et al., NSDI 2005; Dabek et al., SOSP 2001",
    },
    Elsewhere {
        what: "look-ups among adversaries",
        theirs: "S/Kademlia: 99 % succeed with 20 % adversarial nodes among 10,000, on disjoint paths",
        source: "Baumgart and Mies, ICPADS 2007",
    },
    Elsewhere { what: "hops", theirs: "Chord: ½ log₂ N", source: "Stoica et al., ToN 2003" },
    Elsewhere {
        what: "full networks",
        theirs: "PAST: more than 98 % of the space used with fewer than 5 % failed inserts",
        source: "Rowstron and Druschel, SOSP 2001",
    },
    Elsewhere {
        what: "repair",
        theirs: "Carbonite: 44 % more traffic than an oracle; Total Recall and DHash: about twice",
        source: "Chun et al., NSDI 2006",
    },
    Elsewhere {
        what: "content that nobody asks for",
        theirs: "Freenet: about half of the chunks are retrievable after a month",
        source: "measured by its users",
    },
    Elsewhere {
        what: "an object of 0.5 MB",
        theirs: "IPFS: fetched in 2.90 s (median) and 4.74 s (p95), published in 33.8 s; without onions",
        source: "Trautwein et al., SIGCOMM 2022",
    },
    Elsewhere {
        what: "ground ids next to an object",
        theirs: "IPFS: censored for a few dollars; found in 99.6 % and mitigated in all cases by density tests and region queries",
        source: "Sridhar et al., NDSS 2024",
    },
    Elsewhere {
        what: "readers that a neighbour finds",
        theirs: "Freenet: one passive neighbour names downloaders at about 2 % false positives (disputed by the project)",
        source: "Levine et al., 2017",
    },
    Elsewhere {
        what: "onion against direct",
        theirs: "Tor: 70 % of the direct speed, four relays on one machine",
        source: "Dingledine et al., USENIX Security 2004",
    },
];
