//! Which (offset, row in record) of one partition have been met: a bit for each.

use std::collections::BTreeMap;

/// Offsets of one block.
const BLOCK: i64 = 1 << 16;

/// 8 KB for each 65,536 offsets that hold a row; a record of several rows takes a bit for each of its rows more, and some
/// hundred bytes.
#[derive(Default)]
pub(super) struct Seen {
    blocks: BTreeMap<i64, Box<[u64]>>,
    /// Rows after the first, by offset.
    further_rows: BTreeMap<i64, Vec<u64>>,
}

impl Seen {
    /// Notes a row; false where it was there already.
    pub(super) fn insert(&mut self, offset: i64, row: i32) -> bool {
        if let Some(place) = usize::try_from(row).ok().and_then(|row| row.checked_sub(1)) {
            let words = self.further_rows.entry(offset).or_default();
            if words.len() <= place / 64 {
                words.resize(place / 64 + 1, 0);
            }
            let new = words[place / 64] & (1 << (place % 64)) == 0;
            words[place / 64] |= 1 << (place % 64);
            return new;
        }
        let block = self.blocks.entry(offset.div_euclid(BLOCK)).or_insert_with(|| vec![0; 1024].into_boxed_slice());
        let bit = offset.rem_euclid(BLOCK) as usize;
        let word = &mut block[bit / 64];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        new
    }

    /// Offsets whose rows are not numbered from 0 on without a hole.
    pub(super) fn with_holes(&self) -> Vec<i64> {
        let holed = |(offset, words): (&i64, &Vec<u64>)| {
            let count: u32 = words.iter().map(|word| word.count_ones()).sum();
            let last = words.last().map_or(0, |word| words.len() as u32 * 64 - word.leading_zeros());
            (count != last || !self.holds(*offset)).then_some(*offset)
        };
        self.further_rows.iter().filter_map(holed).collect()
    }

    fn holds(&self, offset: i64) -> bool {
        let bit = offset.rem_euclid(BLOCK) as usize;
        self.blocks.get(&offset.div_euclid(BLOCK)).is_some_and(|words| words[bit / 64] >> (bit % 64) & 1 == 1)
    }

    /// How many offsets of `from..to` hold a row.
    pub(super) fn within(&self, from: i64, to: i64) -> u64 {
        self.offsets().filter(|o| (from..to).contains(o)).count() as u64
    }

    /// Every offset that holds a row, ascending.
    pub(super) fn offsets(&self) -> impl Iterator<Item = i64> + '_ {
        self.blocks.iter().flat_map(|(block, words)| {
            words.iter().enumerate().flat_map(move |(w, &word)| {
                (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| block * BLOCK + w as i64 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_new_once() {
        let mut seen = Seen::default();
        for offset in [0, 5, 70_000, i64::MAX - 1] {
            assert!(seen.insert(offset, 0));
            assert!(!seen.insert(offset, 0));
            assert!(seen.insert(offset, 1));
            assert!(!seen.insert(offset, 1));
        }
        assert_eq!(seen.offsets().collect::<Vec<_>>(), [0, 5, 70_000, i64::MAX - 1]);
        assert_eq!(seen.within(1, 70_000), 1);
    }

    #[test]
    fn a_record_without_one_of_its_rows_has_a_hole() {
        let mut seen = Seen::default();
        for (offset, rows) in [(1, 0..1), (2, 0..200), (3, 0..65), (4, 1..3)] {
            rows.filter(|row| (offset, *row) != (3, 40)).for_each(|row| assert!(seen.insert(offset, row)));
        }
        assert_eq!(seen.with_holes(), [3, 4]);
        assert!(seen.insert(3, 40) && seen.insert(4, 0));
        assert!(seen.with_holes().is_empty());
    }
}
