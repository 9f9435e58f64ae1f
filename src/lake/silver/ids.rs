//! The ids of new rows of one event date, and which row has each.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

use super::hash::Seed;
use super::held::At;

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

/// Maps that the ids are spread over, so that the one in work fits into the processor's cache.
const PARTS: usize = 64;

/// The ids of one date. One that is a UUID in its usual spelling, as ours are, takes 24 bytes.
pub(super) struct Ids {
    seed: Seed,
    uuids: Vec<HashMap<Uuid, Holder, Seed>>,
    others: HashMap<String, Holder>,
    /// A bit for each hash of a UUID: most ids that are not here are told by it, without a look into a map.
    filter: Vec<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        let seed = Seed::default();
        let uuids = (0..PARTS).map(|_| HashMap::with_hasher(seed.clone())).collect();
        Self { seed, uuids, others: HashMap::new(), filter: Vec::new() }
    }
}

/// The map that a hash belongs to. The maps themselves use its lowest and its highest bits.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

impl Ids {
    /// Notes new rows; `taken` hears of each whose id has a holder already.
    pub(super) fn claim<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a str, At)>,
        mut taken: impl FnMut(&mut Holder, At),
    ) {
        let mut parts: Vec<Vec<(Uuid, At)>> = vec![Vec::new(); PARTS];
        for (id, at) in rows {
            let Some(value) = uuid(id) else {
                claim(self.others.entry(id.to_owned()), at, &mut taken);
                continue;
            };
            let id = Uuid::from(value);
            parts[part(self.seed.hash_one(id))].push((id, at));
        }
        for (map, ids) in self.uuids.iter_mut().zip(parts) {
            map.reserve(ids.len());
            for (id, at) in ids {
                claim(map.entry(id), at, &mut taken);
            }
        }
    }

    /// The holder of an id.
    pub(super) fn holder(&mut self, id: &str) -> Option<&mut Holder> {
        match uuid(id).map(Uuid::from) {
            Some(id) => self.uuids[part(self.seed.hash_one(id))].get_mut(&id),
            None => self.others.get_mut(id),
        }
    }

    /// What tells the ids, for a long row of questions.
    pub(super) fn known(&mut self) -> Known<'_> {
        let count: usize = self.uuids.iter().map(HashMap::len).sum();
        let bits = (count * 16).next_power_of_two().max(64);
        self.filter = vec![0; bits / 64];
        for id in self.uuids.iter().flat_map(HashMap::keys) {
            let bit = self.seed.hash_one(id) as usize & (bits - 1);
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        Known(self)
    }
}

fn claim<K>(entry: Entry<'_, K, Holder>, at: At, taken: &mut impl FnMut(&mut Holder, At)) {
    match entry {
        Entry::Vacant(free) => {
            free.insert(Winner::New(at).into());
        }
        Entry::Occupied(held) => taken(held.into_mut(), at),
    }
}

/// The ids, to be asked.
pub(super) struct Known<'a>(&'a Ids);

impl Known<'_> {
    pub(super) fn contains(&self, id: &str) -> bool {
        let Some(value) = uuid(id) else { return self.0.others.contains_key(id) };
        let id = Uuid::from(value);
        let hash = self.0.seed.hash_one(id);
        let bit = hash as usize & (self.0.filter.len() * 64 - 1);
        self.0.filter[bit / 64] >> (bit % 64) & 1 == 1 && self.0.uuids[part(hash)].contains_key(&id)
    }
}

/// Ids that are UUIDs.
#[derive(Default)]
pub(crate) struct UuidSet(HashSet<Uuid, Seed>);

impl UuidSet {
    /// Notes an id; false where it was there already.
    pub(crate) fn insert(&mut self, value: u128) -> bool {
        self.0.insert(Uuid::from(value))
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

/// The number that a UUID in its usual spelling stands for; `None` for any other text.
pub(crate) fn uuid(text: &str) -> Option<u128> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let dashes = [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-');
    let eight = |a: usize, b: usize| {
        let mut digits = [0; 8];
        digits[..4].copy_from_slice(&bytes[a..a + 4]);
        digits[4..].copy_from_slice(&bytes[b..b + 4]);
        hexadecimal(digits)
    };
    let parts = [eight(0, 4)?, eight(9, 14)?, eight(19, 24)?, eight(28, 32)?];
    dashes.then(|| parts.into_iter().fold(0, |value, part| value << 32 | u128::from(part)))
}

/// The number that eight small hexadecimal digits stand for, all eight at once.
fn hexadecimal(digits: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(digits);
    // Letters have bit 6 set, digits have not; `a` is 0x61.
    let letters = text >> 6 & ONES;
    let values = (text & (ONES * 15)) + letters * 9;
    // Spelled again, the values must give the text; a `g` would, as 16.
    let above_nine = (values + ONES * 6) >> 4 & ONES;
    let again = values + ONES * 0x30 + above_nine * 0x27;
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (again == text && values & (ONES * 0xf0) == 0).then_some((fours | fours >> 16) as u32)
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
            "0123456/-89ab-8def-8123-456789abcdef",
            "0123456:-89ab-8def-8123-456789abcdef",
            "0123456`-89ab-8def-8123-456789abcdef",
            "0123456g-89ab-8def-8123-456789abcdef",
            "012345é-89ab-8def-8123-456789abcdef",
            "x",
            "",
        ];
        for other in others {
            assert_eq!(uuid(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_is_held_by_one_row() {
        let mut ids = Ids::default();
        let texts: Vec<_> =
            (0..1000_u128).map(|n| uuid::Uuid::from_u128(n << 40 | n).to_string()).chain(["odd".into()]).collect();
        ids.claim((0..).zip(&texts).map(|(n, id)| (id.as_str(), (0, n))), |_, at| panic!("{at:?} is the first"));
        let known = ids.known();
        assert!(texts.iter().all(|id| known.contains(id)));
        assert!(!known.contains("even") && !known.contains("01234567-89ab-8def-8123-456789abcdef"));
        let mut taken = Vec::new();
        ids.claim([(texts[7].as_str(), (9, 9)), ("odd", (9, 10))].into_iter(), |holder, at| {
            taken.push((holder.get(), at));
            holder.set(Winner::Old(5));
        });
        taken.sort_by_key(|(_, at)| *at);
        assert_eq!(taken, [(Winner::New((0, 7)), (9, 9)), (Winner::New((0, 1000)), (9, 10))]);
        assert_eq!(ids.holder(&texts[7]).map(|h| h.get()), Some(Winner::Old(5)));
        assert!(ids.holder("even").is_none());
    }
}
