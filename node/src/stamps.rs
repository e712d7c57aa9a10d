//! How often this node asked for a stamp: for its operator, who sees by it that the node fills and that others pay for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's description. Cheap to clone: all clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Stamps(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    paid: AtomicU64,
    unpaid: AtomicU64,
}

/// Requests for space since the start that cost something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StampTotals {
    /// Those whose stamp paid the price.
    pub paid: u64,
    /// Those that were refused for its sake. Most askers know the price beforehand.
    pub unpaid: u64,
}

impl Stamps {
    /// Counts a request that cost something.
    pub fn note(&self, paid: bool) {
        let Counts { paid: good, unpaid: bad } = &*self.0;
        (if paid { good } else { bad }).fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn totals(&self) -> StampTotals {
        let Counts { paid, unpaid } = &*self.0;
        StampTotals { paid: paid.load(Ordering::Relaxed), unpaid: unpaid.load(Ordering::Relaxed) }
    }
}
