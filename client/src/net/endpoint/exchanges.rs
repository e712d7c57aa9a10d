//! Places for the table exchanges that peers begin with us: `proto`'s [`Admission`] says who has one, and one that gives way is
//! broken off here.

use palimpsest_proto::flow::{Admission, Admitted, Allowance};
use palimpsest_proto::time::Moment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

use crate::net::clock::moment;

/// Exchanges that peers have under way with us, all together.
#[derive(Clone, Default)]
pub(in crate::net) struct Exchanges(Arc<Mutex<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    admission: Admission,
    /// By what each is told to give way.
    tokens: HashMap<u64, CancellationToken>,
}

/// What one peer may still begin. Locked after the exchanges of all.
pub(super) struct OfPeer(Arc<Mutex<Allowance>>);

/// The place of one exchange; others have it when this is dropped.
pub(super) struct Place {
    all: Exchanges,
    of: Arc<Mutex<Allowance>>,
    number: u64,
    given_up: CancellationToken,
}

impl OfPeer {
    pub(super) fn new() -> OfPeer {
        OfPeer(Arc::new(Mutex::new(Allowance::new(moment()))))
    }

    /// A place for one exchange more, if this peer and all together have any left.
    pub(super) fn begin(&self, all: &Exchanges, stranger: bool, now: Moment) -> Option<Place> {
        let mut under_way = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Admitted { number, gives_way } = under_way.admission.begin(&mut allowance, stranger, now)?;
        if let Some(oldest) = gives_way.and_then(|oldest| under_way.tokens.get(&oldest)) {
            oldest.cancel();
        }
        let given_up = CancellationToken::new();
        under_way.tokens.insert(number, given_up.clone());
        Some(Place { all: all.clone(), of: self.0.clone(), number, given_up })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut allowance = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.admission.end(&mut allowance, self.number);
        under_way.tokens.remove(&self.number);
    }
}

impl Place {
    /// Sees the exchange through; `None` if its place was given to another meanwhile.
    pub(super) async fn run<T>(self, exchange: impl Future<Output = T>) -> Option<T> {
        self.given_up.run_until_cancelled(exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_that_gives_way_ends_and_the_others_go_on() {
        let (all, now) = (Exchanges::default(), moment());
        let begin = |after: u64| OfPeer::new().begin(&all, true, now + Duration::from_secs(after));
        let oldest = begin(0).unwrap();
        let others: Vec<Place> = std::iter::from_fn(|| begin(0)).collect();
        let newcomer = begin(1).unwrap();
        assert!(oldest.given_up.is_cancelled() && !newcomer.given_up.is_cancelled());
        assert_eq!(oldest.run(std::future::pending::<()>()).await, None);
        assert!(others.iter().all(|place| !place.given_up.is_cancelled()));
        // Places are given back as they are dropped.
        drop((others, newcomer));
        assert!(all.0.lock().unwrap().tokens.is_empty());
        assert_eq!(begin(1).unwrap().run(std::future::ready(7)).await, Some(7));
    }
}
