//! The ids of a shard's new rows, by event date, and which row has each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// A row of a shard: batch and row in it.
pub(super) type At = (u32, u32);

/// The row that has an id, packed into 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder(u64);

/// Who has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Winner {
    /// A new row.
    New(At),
    /// The n-th of the rows that silver has already.
    Old(u32),
}

const OLD: u64 = 1 << 63;

impl Holder {
    pub(super) fn set(&mut self, winner: Winner) {
        *self = winner.into();
    }

    pub(super) fn get(self) -> Winner {
        if self.0 & OLD == 0 { Winner::New(((self.0 >> 32) as u32, self.0 as u32)) } else { Winner::Old(self.0 as u32) }
    }
}

impl From<Winner> for Holder {
    fn from(winner: Winner) -> Self {
        match winner {
            Winner::New((batch, row)) => Self(u64::from(batch) << 32 | u64::from(row)),
            Winner::Old(n) => Self(OLD | u64::from(n)),
        }
    }
}

/// Ids by event date. One that is a UUID in its usual spelling, as ours are, takes 24 bytes.
pub(super) struct Ids {
    dates: Vec<(i32, OfDate)>,
    rows: usize,
}

#[derive(Default)]
struct OfDate {
    uuids: HashMap<Uuid, Holder, Seed>,
    others: HashMap<String, Holder>,
    /// A bit for each hash of a UUID: most ids that are not here are told by it, without a look into the map.
    filter: Vec<u64>,
}

impl Ids {
    /// For so many rows; most of a shard's are of one date.
    pub(super) fn new(rows: usize) -> Self {
        Self { dates: Vec::new(), rows }
    }

    fn date(&mut self, date: i32) -> &mut OfDate {
        // There are few dates, and rows of one come in runs.
        let at = self.dates.iter().position(|(d, _)| *d == date).unwrap_or_else(|| {
            let mut of_date = OfDate::default();
            if self.dates.is_empty() {
                of_date.uuids.reserve(self.rows);
            }
            self.dates.push((date, of_date));
            self.dates.len() - 1
        });
        &mut self.dates[at].1
    }

    /// Notes a new row; returns the holder of its id where there is one already.
    pub(super) fn claim(&mut self, date: i32, id: &str, row: At) -> Option<&mut Holder> {
        let of_date = self.date(date);
        let new = Holder::from(Winner::New(row));
        match uuid(id) {
            Some(value) => match of_date.uuids.entry(Uuid::from(value)) {
                Entry::Vacant(free) => {
                    free.insert(new);
                    None
                }
                Entry::Occupied(taken) => Some(taken.into_mut()),
            },
            None => match of_date.others.entry(id.to_owned()) {
                Entry::Vacant(free) => {
                    free.insert(new);
                    None
                }
                Entry::Occupied(taken) => Some(taken.into_mut()),
            },
        }
    }

    /// The holder of an id.
    pub(super) fn holder(&mut self, date: i32, id: &str) -> Option<&mut Holder> {
        let of_date = self.date(date);
        match uuid(id) {
            Some(value) => of_date.uuids.get_mut(&Uuid::from(value)),
            None => of_date.others.get_mut(id),
        }
    }

    /// What tells the ids of a date, for a long row of questions.
    pub(super) fn of(&mut self, date: i32) -> Known<'_> {
        let of_date = self.date(date);
        if of_date.filter.is_empty() {
            let bits = (of_date.uuids.len() * 16).next_power_of_two().max(64);
            of_date.filter = vec![0; bits / 64];
            let seed = of_date.uuids.hasher();
            for id in of_date.uuids.keys() {
                let bit = seed.hash_one(id) as usize & (bits - 1);
                of_date.filter[bit / 64] |= 1 << (bit % 64);
            }
        }
        Known(of_date)
    }
}

/// The ids of one date.
pub(super) struct Known<'a>(&'a OfDate);

impl Known<'_> {
    pub(super) fn contains(&self, id: &str) -> bool {
        let Some(value) = uuid(id) else { return self.0.others.contains_key(id) };
        let id = Uuid::from(value);
        let bit = self.0.uuids.hasher().hash_one(&id) as usize & (self.0.filter.len() * 64 - 1);
        self.0.filter[bit / 64] >> (bit % 64) & 1 == 1 && self.0.uuids.contains_key(&id)
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
struct Uuid(u64, u64);

impl From<u128> for Uuid {
    fn from(value: u128) -> Self {
        Self((value >> 64) as u64, value as u64)
    }
}

impl Hash for Uuid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
        state.write_u64(self.1);
    }
}

/// A hash of two numbers by folded multiplication, an order of magnitude faster than the standard library's; the seed is
/// random, since ids come from outside.
struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seed {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

struct Fold(u64);

/// The golden ratio's first 64 bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(ODD);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// The number that a UUID in its usual spelling stands for; `None` for any other text.
pub(crate) fn uuid(text: &str) -> Option<u128> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let (mut value, mut wrong) = (0_u128, 0_u8);
    for (from, to) in [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)] {
        let mut part = 0_u64;
        for &byte in &bytes[from..to] {
            let digit = HEX[usize::from(byte)];
            wrong |= digit;
            part = part << 4 | u64::from(digit & 15);
        }
        value = value << (4 * (to - from)) | u128::from(part);
    }
    let dashes = [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-');
    (dashes && wrong < 16).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_spelling() {
        assert_eq!(uuid("01234567-89ab-8def-8123-456789abcdef"), Some(0x0123_4567_89ab_8def_8123_4567_89ab_cdef));
        let others = [
            "01234567-89AB-8def-8123-456789abcdef",
            "01234567-89ab-8def-8123-456789abcdeg",
            "0123456--9ab-8def-8123-456789abcdef",
            "01234567089ab-8def-8123-456789abcdef",
            "x",
            "",
        ];
        for other in others {
            assert_eq!(uuid(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_is_held_by_one_row_a_date() {
        let mut ids = Ids::new(10);
        let texts: Vec<_> =
            (0..1000_u128).map(|n| uuid::Uuid::from_u128(n << 40 | n).to_string()).chain(["odd".into()]).collect();
        for (n, id) in (0..).zip(&texts) {
            assert!(ids.claim(1, id, (0, n)).is_none());
        }
        for id in &texts {
            assert!(ids.of(1).contains(id) && !ids.of(2).contains(id));
            assert!(ids.claim(2, id, (3, 4)).is_none());
        }
        assert!(!ids.of(1).contains("even") && !ids.of(1).contains("01234567-89ab-8def-8123-456789abcdef"));
        let holder = ids.claim(1, &texts[7], (9, 9)).unwrap();
        assert_eq!(holder.get(), Winner::New((0, 7)));
        holder.set(Winner::Old(5));
        assert_eq!(ids.holder(1, &texts[7]).map(|h| h.get()), Some(Winner::Old(5)));
        assert_eq!(ids.holder(2, "odd").map(|h| h.get()), Some(Winner::New((3, 4))));
    }
}
