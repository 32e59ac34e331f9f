//! A connection takes the place of another while that is up: since certificates were renewed, for example.
//!
//! First there is the new one, in a lane of its own, then the old one takes nothing new. It stays until its requests are
//! answered. The new one is used once the peer has taken all that was sent over the old one: see `Slot::poll_fenced`.

use std::sync::Arc;

use rakt_wire::native::CloseCode;

use super::conn::Conn;
use super::dialed::Dialed;
use super::endpoint::Endpoint;
use crate::error::{Chain, Refusal};
use crate::remote::redial::pause_after;
use crate::watchdog::spawn_apart;

impl Endpoint {
    /// Has a connection that was dialed for a place replaced when it is to retire.
    pub(super) fn replaces(self: Arc<Self>, place: usize, conn: &Arc<Conn<Dialed>>) {
        let (endpoint, old) = (Arc::downgrade(&self), Arc::downgrade(conn));
        conn.on_retire(move |why| {
            let (why, both) = (why.to_owned(), endpoint.upgrade().zip(old.upgrade()));
            if let Some((endpoint, old)) = both.filter(|(at, old)| at.begin_to_replace(place, old))
            {
                let runtime = endpoint.dialer().runtime.clone();
                spawn_apart(&runtime, endpoint.replace(place, old, why));
            }
        });
    }

    async fn replace(self: Arc<Self>, place: usize, old: Arc<Conn<Dialed>>, why: String) {
        let mut failures = 0;
        loop {
            let lane = self.lane_of_next(place).await;
            if !self.is_to_be_replaced(place, &old) {
                return;
            }
            match self.connect(place, lane).await {
                Ok(new) if !self.put_in_place_of(place, &old, &new, &why) => {
                    new.finish(CloseCode::Normal, "another connection was there first");
                }
                // It may have been told to retire before it was there.
                Ok(new) => new.see_to_successor(),
                // The old one is used meanwhile, and may have an end: a first failure is not one for long.
                Err(error) => {
                    self.could_not_replace(&why, &error);
                    tokio::time::sleep(self.dialer().random.jittered(pause_after(failures))).await;
                    failures += 1;
                }
            }
        }
    }

    fn could_not_replace(&self, why: &str, error: &Refusal) {
        let (peer, resources, error) =
            (self.place.to_string(), &self.dialer().resources, Chain(error));
        let topic = "a connection could not be replaced";
        if resources.may_log(topic, &peer) {
            tracing::warn!(%peer, %why, %error, "{topic}");
        }
    }
}
