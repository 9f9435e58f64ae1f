//! Which (offset, row in record) of one partition have been met: a bit for each offset.

use std::collections::{BTreeMap, HashSet};

/// Offsets of one block.
const BLOCK: i64 = 1 << 16;

/// 8 KB for each 65,536 offsets that hold a row; a record of several rows takes more for the rows after its first.
#[derive(Default)]
pub(super) struct Seen {
    blocks: BTreeMap<i64, Box<[u64]>>,
    further_rows: HashSet<(i64, i32)>,
}

impl Seen {
    /// Notes a row; false where it was there already.
    pub(super) fn insert(&mut self, offset: i64, row: i32) -> bool {
        if row != 0 {
            return self.further_rows.insert((offset, row));
        }
        let block = self.blocks.entry(offset.div_euclid(BLOCK)).or_insert_with(|| vec![0; 1024].into_boxed_slice());
        let bit = offset.rem_euclid(BLOCK) as usize;
        let word = &mut block[bit / 64];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        new
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
}
