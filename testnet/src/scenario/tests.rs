use super::{Place, SHIPPED, Scenario, ScenarioError, Step, Who};

const GOOD: &str = r#"
        about = "x"
        nodes = 12
        deadline_s = 60
        [promises]
        published = "100%"
        fetched = "0.5"
        [[step]]
        do = "publish"
        files = 1
        bytes = 1_000
        [[step]]
        do = "kill"
        fraction = "50%"
        seed = 1
        [[step]]
        do = "fetch"
"#;

#[test]
fn a_scenario_is_read() {
    let scenario: Scenario = GOOD.parse().unwrap();
    assert_eq!(scenario.steps[0], Step::Publish { files: 1, bytes: 1000, from: Place::Outside });
    assert_eq!(scenario.steps[2], Step::Fetch { by: Who::Stranger, from: Place::Outside, of: None });
    assert_eq!(scenario.steps[2].to_string(), "fetch all, by strangers");
    assert!(scenario.links.are_plain() && scenario.lying.is_empty());
    assert_eq!(scenario.steps[1].to_string(), "kill 50% (seed 1)");
}

/// By another seed whatever chance decides is decided anew; by the seed 1 it is as it is written.
#[test]
fn who_is_hit_is_drawn_anew() {
    for (name, text) in SHIPPED {
        let written: Scenario = text.parse().unwrap();
        let seeds = |mut scenario: Scenario| {
            let others = [scenario.coalition.map(|one| one.seed), scenario.table_liars.as_ref().map(|one| one.seed)];
            let steps: Vec<u64> = scenario.steps.iter_mut().filter_map(Step::seed).map(|seed| *seed).collect();
            steps.into_iter().chain(others.into_iter().flatten()).collect::<Vec<_>>()
        };
        assert_eq!(seeds(written.clone().drawn_anew(1)), seeds(written.clone()), "{name}");
        let plus_two: Vec<u64> = seeds(written.clone()).into_iter().map(|seed| seed + 2).collect();
        assert_eq!(seeds(written.drawn_anew(3)), plus_two, "{name}");
    }
}

/// Where nodes have disks of their own, these are smaller than what the nodes were given.
#[test]
fn a_node_is_always_given_so_much() {
    let quotas = |more: &str| {
        let scenario: Scenario = GOOD.replacen("deadline_s", &format!("{more}deadline_s"), 1).parse().unwrap();
        [true, false].map(|has_own_disks| scenario.quota_mib(has_own_disks))
    };
    assert_eq!(quotas(""), [1_024, 1_024]);
    assert_eq!(quotas("quota_mib = 12\n"), [12, 12]);
    assert_eq!(quotas("disk_mib = 12\n"), [1_024, 12]);
}

#[test]
fn refused_is_what_is_unknown_or_out_of_bounds() {
    for (from, to) in [
        ("nodes = 12", "nodes = 5"),
        ("nodes = 12", "nodes = 201"),
        ("nodes = 12", "nodes = -1"),
        ("deadline_s = 60", "deadline_s = 0"),
        ("deadline_s = 60", "deadline_s = 60\nquota_mib = 1"),
        ("deadline_s = 60", "deadline_s = 60\ndisk_mib = 1"),
        ("deadline_s = 60", "deadline_s = 60\nmood = 1"),
        ("fetched = \"0.5\"", "fetched = \"0.5\"\nfetch_p50_s = 0.0"),
        ("fetched = \"0.5\"", "fetched = \"0.5\"\nfetch_p95_s = nan"),
        ("fetched = \"0.5\"", "fetched = \"0.5\"\npublish_p50_s = inf"),
        ("files = 1", "files = 0"),
        ("files = 1", "files = 201"),
        ("bytes = 1_000", "bytes = 0"),
        ("fraction = \"50%\"", "fraction = \"150%\""),
        ("fraction = \"50%\"", "fraction = 0.5"),
        ("seed = 1", "seed = 1\nwhy = 1"),
        ("seed = 1", ""),
        ("do = \"kill\"", "do = \"tickle\""),
        ("do = \"fetch\"", "do = \"fetch\"\nby = \"nobody\""),
        ("do = \"fetch\"", "do = \"fetch\"\nseed = 1"),
        ("do = \"fetch\"", "do = \"fetch\"\nby = \"returning\""),
        ("[[step]]", "[[step]]\ndo = \"end-flood\"\n[[step]]"),
        ("[[step]]", "[[step]]\ndo = \"flood\"\nclients = 33\nfiles = 1\nbytes = 1\nseconds = 1\n[[step]]"),
        ("[[step]]", "[[step]]\ndo = \"flood\"\nclients = 1\nfiles = 1\nbytes = 1\nseconds = 901\n[[step]]"),
        ("[[step]]", "[[step]]\ndo = \"flood\"\nclients = 1\nfiles = 1\nbytes = 1\n[[step]]"),
        ("do = \"fetch\"", "do = \"fetch\"\nfrom = \"nowhere\""),
        ("do = \"fetch\"", "do = \"heal\"\nseed = 1"),
        ("do = \"fetch\"", "do = \"heal\""),
        ("[promises]", "[links]\nlatency = \"50\"\n[promises]"),
        ("[promises]", "[links]\ncolour = \"50\"\n[promises]"),
        ("[promises]", "[[lying]]\nhow = \"garbage\"\nnodes = [12]\n[promises]"),
        ("[promises]", "[[lying]]\nhow = \"late\"\nnodes = [1]\n[[lying]]\nhow = \"absent\"\nnodes = [1]\n[promises]"),
        ("[promises]", "[[meddling]]\nhow = \"drop\"\nnodes = [12]\n[promises]"),
        ("[promises]", "[[meddling]]\nhow = \"tickle\"\nnodes = [1]\n[promises]"),
        ("deadline_s = 60", "deadline_s = 60\nslow_peers = 65"),
        ("do = \"fetch\"", "do = \"eclipse\"\nof = \"all\"\nnodes = 1\ndrawn = 1\nseed = 1"),
        ("[promises]", "[table_liars]\nnodes = [12]\nmade_up = 1\nunworked = 1\nseed = 1\n[promises]"),
        ("[promises]", "[table_liars]\nnodes = [1]\nmade_up = 401\nunworked = 1\nseed = 1\n[promises]"),
        ("[promises]", "[coalition]\nfraction = \"20%\"\n[promises]"),
        ("[promises]", "[[lying]]\nhow = \"white\"\nnodes = [1]\n[promises]"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        assert!(text.parse::<Scenario>().is_err(), "{to}");
    }
    let first = GOOD.replacen("do = \"publish\"", "do = \"fill\"", 1);
    assert!(matches!(first.parse::<Scenario>(), Err(ScenarioError::Empty)));
}

#[test]
fn those_that_are_shipped_are_scenarios() {
    for (name, text) in SHIPPED {
        let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(scenario.about.ends_with('.'), "{name}");
    }
    assert!(SHIPPED.is_sorted_by_key(|(name, _)| *name));
}
