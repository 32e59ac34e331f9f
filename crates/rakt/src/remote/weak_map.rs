//! A map and a list that keep none of their values alive.

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

/// What somebody else holds on to. Values that nobody uses are cleared out as others are added.
pub(crate) struct WeakList<V>(Vec<Weak<V>>);

impl<V> Default for WeakList<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> WeakList<V> {
    pub(crate) fn push(&mut self, value: &Arc<V>) {
        self.0.retain(|value| value.strong_count() > 0);
        self.0.push(Arc::downgrade(value));
    }

    pub(crate) fn values(&self) -> Vec<Arc<V>> {
        self.0.iter().filter_map(Weak::upgrade).collect()
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
    fn a_list_forgets_what_is_gone() {
        let mut list = WeakList::default();
        for n in 0..100 {
            let value = Arc::new(n);
            list.push(&value);
            assert_eq!((list.0.len(), list.values().len()), (1, 1));
        }
        assert!(list.values().is_empty());
    }
}
