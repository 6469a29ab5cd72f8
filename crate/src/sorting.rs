//! Stable sorting with one compiled sort for all types: the standard library compiles 4 KB for each, which users download.

use std::cmp::Ordering;

/// Sorts by an order of two items.
pub fn sort_by<T>(list: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    let mut places: Vec<usize> = (0..list.len()).collect();
    sort_places(&mut places, &|a, b| order(&list[a], &list[b]));
    let mut targets = vec![0; places.len()];
    places.into_iter().enumerate().for_each(|(target, place)| targets[place] = target);
    for at in 0..targets.len() {
        while targets[at] != at {
            let target = targets[at];
            list.swap(at, target);
            targets.swap(at, target);
        }
    }
}

/// Sorts by a key, the smallest first.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(list, |a, b| key(a).cmp(&key(b)));
}

fn sort_places(places: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|&a, &b| order(a, b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_as_the_standard_library_does() {
        let mut random = 1u32;
        for len in [0, 1, 2, 3, 10, 100, 1000] {
            let mut list: Vec<(u32, usize)> = (0..len)
                .map(|index| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16 & 31, index)
                })
                .collect();
            let mut expected = list.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort_by_key(&mut list, |(key, _)| *key);
            assert_eq!(list, expected);
        }
    }
}
