//! Which member a message is for.

use std::any::type_name;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crate::error::Declined;
use crate::message::Message;

/// How a router or a pool chooses among its members.
pub struct Strategy<M>(pub(super) Rule<M>);

pub(super) enum Rule<M> {
    RoundRobin,
    LeastBusy,
    ByKey(Arc<dyn Fn(&M) -> u64 + Send + Sync>),
    Broadcast(fn(&M) -> M),
}

impl<M: Message> Strategy<M> {
    /// One after the other.
    pub fn round_robin() -> Self {
        Self(Rule::RoundRobin)
    }

    /// The member with the fewest messages that were passed on to it and are not handled yet, or that wait in its
    /// mailbox; among several, one after the other. What a member on another node has to do is not known: such a
    /// member has its turn only where there is none in this process.
    pub fn least_busy() -> Self {
        Self(Rule::LeastBusy)
    }

    /// Messages with the same key go to the same member. Where members come or go, the keys of those that stay
    /// do not move (rendezvous hashing). A `key` that panics declines the message.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # use rakt::routing::Strategy;
    /// # #[derive(Message)] struct Order { customer: u64 }
    /// let strategy = Strategy::by_key(|order: &Order| order.customer);
    /// ```
    pub fn by_key<K: Hash>(key: impl Fn(&M) -> K + Send + Sync + 'static) -> Self {
        Self(Rule::ByKey(Arc::new(move |message| hash_of(&key(message)))))
    }

    /// Every member gets every message. An ask is answered by the member that was there first, of the others
    /// nobody waits for the reply.
    pub fn broadcast() -> Self
    where
        M: Clone,
    {
        Self(Rule::Broadcast(M::clone))
    }
}

impl<M> Clone for Strategy<M> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Rule::RoundRobin => Rule::RoundRobin,
            Rule::LeastBusy => Rule::LeastBusy,
            Rule::ByKey(key) => Rule::ByKey(key.clone()),
            Rule::Broadcast(clone) => Rule::Broadcast(*clone),
        })
    }
}

impl<M> fmt::Debug for Strategy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Rule::RoundRobin => "RoundRobin",
            Rule::LeastBusy => "LeastBusy",
            Rule::ByKey(_) => "ByKey",
            Rule::Broadcast(_) => "Broadcast",
        })
    }
}

/// The key of a message, as a number.
pub(super) fn key_of<M>(key: &dyn Fn(&M) -> u64, message: &M) -> Result<u64, Declined> {
    let keyed = std::panic::catch_unwind(AssertUnwindSafe(|| key(message)));
    keyed.map_err(|panic| {
        // Dropping it is foreign code that may panic in turn.
        std::mem::forget(panic);
        Declined::new(format!("the key of {} panicked", type_name::<M>()))
    })
}

/// The same for equal values, in this process.
pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// How much a key belongs to a member; the member with the most has it.
pub(super) fn weight(key: u64, member: u64) -> u64 {
    hash_of(&(key, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(key: u64, members: &[u64]) -> u64 {
        members.iter().copied().max_by_key(|member| weight(key, *member)).expect("there are some")
    }

    #[test]
    fn keys_are_spread_and_move_only_with_their_member() {
        let (few, many): (Vec<u64>, Vec<u64>) = ((0..8).collect(), (0..9).collect());
        let mut of_each = [0; 8];
        let mut moved = 0;
        for key in 0..8000 {
            let (before, after) = (owner(key, &few), owner(key, &many));
            of_each[usize::try_from(before).expect("small")] += 1;
            assert!(after == before || after == 8, "{key} moved from {before} to {after}");
            moved += u64::from(after == 8);
        }
        assert!(of_each.iter().all(|&keys| (800..1200).contains(&keys)), "{of_each:?}");
        assert!((700..1100).contains(&moved), "{moved}");
    }
}
