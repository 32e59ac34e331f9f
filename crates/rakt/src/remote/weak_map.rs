//! A map and a set that keep none of their values alive.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// What somebody else holds on to, by key. Peers name whatever they like, so nothing else may keep it;
/// entries that nobody uses are cleared out as the map grows.
pub(crate) struct WeakMap<K, V> {
    known: HashMap<K, Weak<V>>,
    /// How many were in use when those that were not were last cleared out.
    in_use: usize,
}

impl<K, V> Default for WeakMap<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new(), in_use: 0 }
    }
}

impl<K: Eq + Hash, V> WeakMap<K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.known.get(key).and_then(Weak::upgrade)
    }

    pub(crate) fn insert(&mut self, key: K, value: &Arc<V>) {
        if self.known.len() > 2 * self.in_use + 16 {
            self.known.retain(|_, value| value.strong_count() > 0);
            self.in_use = self.known.len();
        }
        self.known.insert(key, Arc::downgrade(value));
    }

    pub(crate) fn values(&self) -> Vec<Arc<V>> {
        self.known.values().filter_map(Weak::upgrade).collect()
    }
}

/// What somebody else holds on to, and takes out when it lets go of it: a weak reference keeps the memory.
pub(crate) struct WeakSet<V>(HashMap<usize, Weak<V>>);

impl<V> Default for WeakSet<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V> WeakSet<V> {
    pub(crate) fn insert(&mut self, value: &Arc<V>) {
        self.0.insert(Arc::as_ptr(value).addr(), Arc::downgrade(value));
    }

    pub(crate) fn remove(&mut self, value: &Arc<V>) {
        self.0.remove(&Arc::as_ptr(value).addr());
        shrink(&mut self.0);
    }

    pub(crate) fn values(&self) -> Vec<Arc<V>> {
        self.0.values().filter_map(Weak::upgrade).collect()
    }
}

/// Gives room back that a map had for many, once it has but a few.
pub(crate) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let (mut map, used) = (WeakMap::default(), Arc::new("used"));
        map.insert(0, &used);
        for key in 1..1000 {
            map.insert(key, &Arc::new("unused"));
        }
        assert!(map.get(&0).is_some_and(|known| Arc::ptr_eq(&known, &used)));
        assert_eq!((map.get(&1), map.values().len()), (None, 1));
        assert!(map.known.len() < 32, "{} are known", map.known.len());
    }

    #[test]
    fn a_set_gives_back_the_room_of_what_is_taken_out() {
        let mut set = WeakSet::default();
        let values: Vec<_> = (0..1000).map(Arc::new).collect();
        values.iter().for_each(|value| set.insert(value));
        assert_eq!(set.values().len(), 1000);
        values.iter().skip(1).for_each(|value| set.remove(value));
        assert_eq!(set.values(), [values[0].clone()]);
        assert!(set.0.capacity() <= 64, "{}", set.0.capacity());
    }
}
