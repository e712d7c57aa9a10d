//! When wardens audited stripes last, by their own word.

use crate::clock::moment;
use crate::rounds::{Heard, ask_each};
use crate::session::Session;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::flow::wardens;
use palimpsest_proto::ids::{NodeId, RootAddress};
use palimpsest_proto::message::{Answer, Ask};
use palimpsest_proto::select::PASSED_OVER;
use std::sync::Arc;

/// What a stripe's wardens say of their audits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastAudit {
    /// How many full hours ago the latest was; 254 stands for longer, too. `None` if no warden remembers one.
    pub hours: Option<u8>,
    /// How many wardens remember one.
    pub wardens: usize,
}

impl LastAudit {
    fn hear(&mut self, hours: u8) {
        self.hours = Some(self.hours.map_or(hours, |latest| latest.min(hours)));
        self.wardens += 1;
    }
}

/// Asks the wardens of each stripe; those that do not answer are left out.
pub(crate) async fn last_audits(session: &Arc<Session>, descriptors: &[Descriptor]) -> Vec<LastAudit> {
    let mut wanted: Vec<(NodeId, (usize, RootAddress))> = Vec::new();
    {
        let (table, now) = (session.table(), moment());
        let experience = session.experience();
        for (stripe, descriptor) in descriptors.iter().enumerate() {
            let root = descriptor.root_address();
            let mut all = session.without_guard(wardens(&table, &root.record_addresses()).into_iter().collect());
            all.retain(|id| session.chance(&table, &experience, id, now) >= PASSED_OVER);
            wanted.extend(all.into_iter().map(|id| (id, (stripe, root))));
        }
    }
    let ask = |some: &[(usize, RootAddress)]| Ask::LastAudits { roots: some.iter().map(|(_, root)| *root).collect() };
    let told = ask_each(session, wanted, ask, |answer| match answer {
        Answer::Ages(ages) => Some(Heard::Said(ages)),
        Answer::Refused(refusal) => Some(Heard::refused(refusal)),
        _ => None,
    })
    .await;
    let mut audits = vec![LastAudit::default(); descriptors.len()];
    for (_, (stripe, _), age) in told {
        if let Some(Some(hours)) = age {
            audits[stripe].hear(hours);
        }
    }
    audits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_counts() {
        let mut audit = LastAudit::default();
        [7, 2, 90].into_iter().for_each(|hours| audit.hear(hours));
        assert_eq!(audit, LastAudit { hours: Some(2), wardens: 3 });
    }
}
