//! Nodes whose ids were ground until they lie next to what a link leads to.

use std::path::Path;
use std::time::Duration;

use palimpsest_client::net::Transport;
use palimpsest_client::{Capability, Client, ClientOptions};
use palimpsest_proto::ids::Position;
use palimpsest_proto::secret::Secret;

use super::stage::{StageError, broken};
use super::{Eclipsed, NODES};
use crate::censor::eclipse::{Places, part};
use crate::hostile::Part;
use crate::sybils;

/// How long somebody takes to enter who looks for the places, at most.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// What is eclipsed, and by how many.
#[derive(Clone, Copy)]
pub(super) struct Eclipse<'a> {
    /// Of what.
    pub(super) link: &'a str,
    pub(super) of: Eclipsed,
    /// Nodes next to each place.
    pub(super) nodes: usize,
    /// Ids of which these are the nearest.
    pub(super) drawn: usize,
    pub(super) seed: u64,
}

impl Eclipse<'_> {
    /// The places of the root, as anybody finds them who has the link.
    ///
    /// # Errors
    /// The first file has no such places, or its root cannot be had.
    pub(super) async fn places(&self, censor: &Client) -> Result<Places, StageError> {
        let link: Capability = self.link.parse().map_err(|_| broken("a link of our own is unreadable"))?;
        let places = Places::find(censor, &link).await.map_err(broken)?;
        places.ok_or_else(|| broken("the first file has no record"))
    }

    /// Those of the places that nodes are to lie next to.
    pub(super) fn aim(&self, places: &Places) -> Vec<Position> {
        match self.of {
            Eclipsed::Record => places.record.clone(),
            Eclipsed::Stripe => places.shards.clone(),
        }
    }

    /// Who lies next to these places, beside the nodes that are `there`.
    ///
    /// # Errors
    /// There would be more nodes than one machine plays.
    pub(super) async fn ground(self, places: &Places, there: usize) -> Result<Vec<Secret>, StageError> {
        let (places, nodes, drawn, seed) = (self.aim(places), self.nodes, self.drawn, self.seed);
        let ground = tokio::task::spawn_blocking(move || sybils::grind(&places, nodes, drawn, seed));
        let ground = ground.await.map_err(broken)?;
        if there + ground.len() > *NODES.end() as usize {
            return Err(broken(format!("{} nodes more are more than one machine plays", ground.len())));
        }
        Ok(ground)
    }

    /// The places of the root, and the parts of these nodes, where they are programs. The places are looked up by a client in `dir`.
    ///
    /// # Errors
    /// As of [`Eclipse::places`] and [`Eclipse::ground`].
    pub(super) async fn parts(
        self,
        dir: &Path,
        bootstrap: &str,
        there: usize,
    ) -> Result<(Places, Vec<Part>), StageError> {
        let censor = Client::new(ClientOptions {
            data_dir: dir.join("censor"),
            bootstrap: bootstrap.lines().map(str::to_owned).collect(),
            transport: Transport::Tcp,
            connect_deadline: CONNECT_DEADLINE,
        });
        let places = self.places(&censor).await;
        censor.close().await.map_err(broken)?;
        let places = places?;
        let parts = self.ground(&places, there).await?.iter().map(part).collect();
        Ok((places, parts))
    }
}
