//! What a censor achieved, for people.

use palimpsest_testnet::censor::cost::Cost;
use palimpsest_testnet::censor::holders::{Holder, Holders, Stripe};
use palimpsest_testnet::censor::users::{Named, Parts, Role, Users};
use palimpsest_testnet::hostile::Hex;

use super::super::say;
use super::eclipse::{Attempt, Fetch};

/// Digits of an id that are shown where all are in the JSON.
const SHORT: usize = 16;

fn id(hex: &Hex, digits: usize) -> String {
    let mut text = String::from(*hex);
    text.truncate(digits);
    text
}

pub(super) fn holders(report: &Holders) {
    let Holders { nodes, holders, stripes, shards, found, clients, took_s, holders_per_s } = report;
    say(&format!(
        "holders     {} of {nodes} nodes have {found} of {shards} shards asked for: {took_s:.2} s as {clients} clients, \
         {holders_per_s:.0} holders a second",
        holders.len()
    ));
    for (number, stripe) in stripes.iter().enumerate() {
        let Stripe { needed, shards, found, unasked, unanswered, missing } = stripe;
        say(&format!(
            "  stripe {number:<3} {shards} shards ({needed} needed): {found} found, {unasked} not asked for (our own guard may have them), \
             {unanswered} without an answer, {missing} missing"
        ));
    }
    for Holder { id: name, addresses, shards } in holders {
        let counts: Vec<String> = shards.iter().map(ToString::to_string).collect();
        let at = addresses.first().map_or("no address", String::as_str);
        say(&format!("  {}  {:>5} shards ({})  {at}", id(name, 64), shards.iter().sum::<usize>(), counts.join(" ")));
    }
}

pub(super) fn users(users: &Users) {
    let Users { nodes, seats, seats_as_holders, publishers, readers, guarded, bound, requests, .. } = users;
    let Users { parts, linked, guards_found, named, right, wrong, beyond, .. } = users;
    let Parts { guard, middle, back, holder } = parts;
    let holders = if *seats_as_holders > 0 { format!(", and {seats_as_holders} as holders") } else { String::new() };
    say(&format!("users       {seats} of {nodes} nodes pool what they see{holders}"));
    say(&format!(
        "  truth     {publishers} clients published this file, {readers} read it, by {requests} requests: {guard} went by a guard of \
         the censor's, {middle} by a middle relay, {back} were answered by a back relay, {holder} came to a holder"
    ));
    say(&format!(
        "  bound     the guard of {guarded} of these {} clients is the censor's: {:.1} %",
        publishers + readers,
        bound * 100.0
    ));
    say(&format!(
        "  named     {right} rightly, {wrong} wrongly, {beyond} beyond the bound; {linked} requests are linked to their client; of \
         others {guards_found} guards are found, and not whose"
    ));
    for Named { client, role, requests, followed, true_requests, right } in named {
        let role = if *role == Role::Publisher { "publisher" } else { "reader" };
        say(&format!(
            "  {}  {role:<9} {requests:>5} requests ({followed} followed, {} by time and relays), {true_requests} of them its own: {}",
            id(client, SHORT),
            requests - followed,
            if *right { "right" } else { "wrong" }
        ));
    }
}

pub(super) fn cost(what: &str, Cost { places, nodes, ids, core_seconds }: Cost) {
    let time = match core_seconds / 3600.0 {
        hours if hours < 1.0 => format!("{core_seconds:.0} seconds"),
        hours => format!("{hours:.1} hours"),
    };
    say(&format!(
        "to hide     {what}: {nodes} nodes at {places} places, the best of {ids:.0} ids, {time} of one core (reckoned, nothing was \
         touched)"
    ));
}

pub(super) fn eclipse(attempt: &Attempt) {
    let Attempt { of, taken, drawing_s, before, meanwhile, known } = attempt;
    say(&format!("eclipsed    the {of}: {} (drawn in {drawing_s:.1} s)", taken.told()));
    let told = |name: &str, Fetch { took_s, shards_asked, failure }: &Fetch| {
        let how = match (failure, shards_asked) {
            (Some(why), _) => format!("failed: {why}"),
            (None, Some(asked)) => format!("done, {asked} shards asked for"),
            (None, None) => "done".to_owned(),
        };
        say(&format!("  {name:<9} a fetch {how}, {took_s:.2} s"));
    };
    told("before", before);
    told("meanwhile", meanwhile);
    say(&format!("  the reader knew {known} of the {} Sybils; they are ended", taken.sybils));
}
