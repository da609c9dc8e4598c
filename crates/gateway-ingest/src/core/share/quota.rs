//! How many shards each process is to hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::Member;

/// The processes that share a pool of shards.
#[derive(Debug)]
pub(super) struct Group {
    members: BTreeSet<String>,
    pub(super) pool: BTreeSet<u32>,
}

impl Group {
    /// The group of `me`, which may hold `range`.
    pub(super) fn of(
        me: &str,
        range: Option<&RangeInclusive<u32>>,
        living: &BTreeMap<String, Member>,
        total: u32,
    ) -> Self {
        let others = living.iter().filter(|(name, _)| *name != me);
        let alike = others
            .clone()
            .filter(|(_, member)| member.range.as_ref() == range);
        let members = alike.map(|(name, _)| name.clone()).chain([me.to_owned()]);
        let elsewhere = |shard: &u32| {
            let mut ranges = others
                .clone()
                .filter_map(|(_, member)| member.range.as_ref());
            ranges.any(|range| range.contains(shard))
        };
        let pool = match range {
            Some(range) => range.clone().filter(|shard| *shard < total).collect(),
            None => (0..total).filter(|shard| !elsewhere(shard)).collect(),
        };
        Self {
            members: members.collect(),
            pool,
        }
    }

    /// How many shards of the pool each member owns.
    pub(super) fn counts(&self, owners: &BTreeMap<u32, String>) -> BTreeMap<&str, usize> {
        let mut counts: BTreeMap<&str, usize> =
            self.members.iter().map(|name| (&**name, 0)).collect();
        for shard in &self.pool {
            let count = owners.get(shard).and_then(|owner| counts.get_mut(&**owner));
            if let Some(count) = count {
                *count += 1;
            }
        }
        counts
    }

    /// How many a member is to hold. Where the pool can't be divided evenly, those that hold most keep one more.
    pub(super) fn quota(&self, name: &str, counts: &BTreeMap<&str, usize>) -> usize {
        let mut order: Vec<_> = counts.iter().collect();
        order.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), **name));
        let place = order.iter().position(|(other, _)| **other == name);
        let (each, more) = (
            self.pool.len() / counts.len().max(1),
            self.pool.len() % counts.len().max(1),
        );
        each + usize::from(place.is_some_and(|place| place < more))
    }

    /// The part of the `free` shards that is for `me`, which has `own`: each member gets what it lacks, in the order of names.
    pub(super) fn part<'a>(
        &self,
        me: &str,
        own: usize,
        counts: &BTreeMap<&str, usize>,
        free: &'a [u32],
    ) -> &'a [u32] {
        let lacks = |name: &str, has: usize| self.quota(name, counts).saturating_sub(has);
        let before = counts.iter().take_while(|(name, _)| **name < me);
        let before: usize = before.map(|(name, has)| lacks(name, *has)).sum();
        let from = before.min(free.len());
        let to = (from + lacks(me, own)).min(free.len());
        &free[from..to]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ranges: &[(&str, Option<RangeInclusive<u32>>)]) -> BTreeMap<String, Member> {
        let member = |(name, range): &(&str, Option<RangeInclusive<u32>>)| {
            let range = range.clone();
            ((*name).to_owned(), Member { range })
        };
        ranges.iter().map(member).collect()
    }

    fn owners(of: &[(&str, RangeInclusive<u32>)]) -> BTreeMap<u32, String> {
        let shards = |(name, range): &(&str, RangeInclusive<u32>)| {
            let name = (*name).to_owned();
            range
                .clone()
                .map(move |shard| (shard, name.clone()))
                .collect::<Vec<_>>()
        };
        of.iter().flat_map(shards).collect()
    }

    fn quotas(living: &BTreeMap<String, Member>, owners: &BTreeMap<u32, String>) -> Vec<usize> {
        let quota = |(name, member): (&String, &Member)| {
            let group = Group::of(name, member.range.as_ref(), living, 10);
            group.quota(name, &group.counts(owners))
        };
        living.iter().map(quota).collect()
    }

    #[test]
    fn the_pool_is_divided_and_who_holds_more_keeps_one_more() {
        let living = members(&[("a", None), ("b", None), ("c", None), ("d", None)]);
        assert_eq!(quotas(&living, &BTreeMap::new()), [3, 3, 2, 2]);
        let held = owners(&[("d", 0..=6), ("c", 7..=9)]);
        assert_eq!(quotas(&living, &held), [2, 2, 3, 3]);
    }

    #[test]
    fn ranges_are_for_those_that_have_them() {
        let living = members(&[
            ("a", Some(0..=3)),
            ("b", Some(0..=3)),
            ("c", None),
            ("d", Some(9..=9)),
        ]);
        assert_eq!(quotas(&living, &BTreeMap::new()), [2, 2, 5, 1]);
    }

    #[test]
    fn the_free_shards_are_parted_without_overlap() {
        let living = members(&[("a", None), ("b", None), ("c", None)]);
        let held = owners(&[("b", 0..=2)]);
        let free = [3, 4, 5, 6, 7, 8, 9];
        let part = |name, own| {
            let group = Group::of(name, None, &living, 10);
            group.part(name, own, &group.counts(&held), &free).to_vec()
        };
        assert_eq!(part("a", 0), [3, 4, 5]);
        assert_eq!(part("b", 3), [6]);
        assert_eq!(part("c", 0), [7, 8, 9]);
    }
}
