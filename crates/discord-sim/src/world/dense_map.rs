//! A keyed collection from which one can draw at random in constant time.

use std::collections::HashMap;

use rand::Rng;

/// Values by id, in a dense list: removal moves the last one into the gap, so that the order, and
/// with it everything drawn, depends only on what was done before.
#[derive(Debug, Clone)]
pub(crate) struct DenseMap<T> {
    items: Vec<(u64, T)>,
    places: HashMap<u64, usize>,
}

impl<T> Default for DenseMap<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<T> DenseMap<T> {
    /// Inserts or replaces.
    pub(crate) fn insert(&mut self, id: u64, value: T) {
        match self.places.get(&id) {
            Some(&place) => self.items[place].1 = value,
            None => {
                self.places.insert(id, self.items.len());
                self.items.push((id, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let place = self.places.remove(&id)?;
        let (_, value) = self.items.swap_remove(place);
        if let Some((moved, _)) = self.items.get(place) {
            self.places.insert(*moved, place);
        }
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u64, &T) -> bool) {
        self.items.retain(|(id, value)| keep(*id, value));
        self.places = self
            .items
            .iter()
            .enumerate()
            .map(|(place, (id, _))| (*id, place))
            .collect();
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        self.places.get(&id).map(|&place| &self.items[place].1)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.places.get(&id).map(|&place| &mut self.items[place].1)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.items.iter().map(|(id, value)| (*id, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, value)| value)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.items.iter().map(|(id, _)| *id)
    }

    /// Any id.
    pub(crate) fn pick(&self, rng: &mut impl Rng) -> Option<u64> {
        if self.items.is_empty() {
            return None;
        }
        Some(self.items[rng.random_range(0..self.items.len())].0)
    }

    /// Any id whose value passes: a few draws, then the first that passes in list order.
    pub(crate) fn pick_where(
        &self,
        rng: &mut impl Rng,
        mut passes: impl FnMut(&T) -> bool,
    ) -> Option<u64> {
        if self.items.is_empty() {
            return None;
        }
        for _ in 0..8 {
            let (id, value) = &self.items[rng.random_range(0..self.items.len())];
            if passes(value) {
                return Some(*id);
            }
        }
        self.items
            .iter()
            .find(|(_, value)| passes(value))
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn ids_stay_reachable_through_removals() {
        let mut map = DenseMap::default();
        for id in 0..100u64 {
            map.insert(id, id * 2);
        }
        for id in (0..100).step_by(3) {
            assert_eq!(map.remove(id), Some(id * 2));
            assert_eq!(map.remove(id), None);
        }
        map.retain(|id, _| id % 7 != 0);
        for id in 0..100 {
            let expected = (id % 3 != 0 && id % 7 != 0).then_some(id * 2);
            assert_eq!(map.get(id).copied(), expected);
        }
        let mut rng = StdRng::seed_from_u64(1);
        assert!(map.contains(map.pick(&mut rng).unwrap()));
        assert_eq!(map.pick_where(&mut rng, |value| *value == 2), Some(1));
        assert_eq!(map.pick_where(&mut rng, |value| *value == 3), None);
    }
}
