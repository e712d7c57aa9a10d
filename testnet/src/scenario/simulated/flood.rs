//! A flood in virtual time. Users act one after the other here, so what flooders publish is placed when somebody else's deed is done, from
//! the moment on at which each of them was free: they see what the deed left, and the deed does not see what they did meanwhile.

use crate::sample;
use crate::scenario::flood::Wanted;
use crate::scenario::stage::{StageError, broken};
use crate::scenario::{Place, Rubbish};
use palimpsest_proto::time::Moment;

use super::{Stage, User, Visit};

/// A flood that goes on.
pub(super) struct Flood {
    wanted: Wanted,
    until: Moment,
    /// When each client is free again, and how many files it has published.
    clients: Vec<(Moment, u32)>,
    rubbish: Rubbish,
}

impl Stage {
    /// Clients begin to publish rubbish.
    pub(in crate::scenario) fn flood(&mut self, wanted: Wanted) {
        let clients = (0..wanted.clients).map(|_| (self.now, 0)).collect();
        self.flood = Some(Flood { wanted, until: self.now + wanted.length, clients, rubbish: Rubbish::default() });
    }

    /// They end: what became of the rubbish.
    pub(in crate::scenario) fn end_flood(&mut self) -> Rubbish {
        self.flood.take().map(|flood| flood.rubbish).unwrap_or_default()
    }

    /// All that flooders begin before now is done.
    pub(super) fn flood_on(&mut self) -> Result<(), StageError> {
        let Some(mut flood) = self.flood.take() else { return Ok(()) };
        let now = self.now;
        while let Some((client, begins)) = flood.first_free(now) {
            let Flood { wanted, until, clients, rubbish } = &mut flood;
            let (_, done) = &mut clients[client as usize];
            let file = self.dir.join("rubbish");
            sample::write(&file, wanted.bytes, Wanted::seed(client, *done)).map_err(broken)?;
            let content = std::fs::read(&file).map_err(broken)?;
            *done += 1;
            self.now = begins;
            let visit = Visit { place: Place::Outside, deadline: until.since(begins) };
            let link = self.publish_as(User::Flooder(client), visit, &content)?;
            rubbish.note(link.is_ok());
            clients[client as usize].0 = self.now;
        }
        self.now = now;
        self.flood = Some(flood);
        Ok(())
    }
}

impl Flood {
    /// Who is free first, if that was before now, and when.
    fn first_free(&self, now: Moment) -> Option<(u32, Moment)> {
        let before = now.min(self.until);
        let free = (0..).zip(&self.clients).filter(|(_, (free, done))| *free < before && *done < self.wanted.files);
        free.map(|(client, (free, _))| (client, *free)).min_by_key(|(client, free)| (*free, *client))
    }
}
