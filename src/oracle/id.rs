//! Event ids as numbers: 16 bytes instead of 36, and the shard that an id belongs to.

/// The number of a UUID text, in any case; `None` where the text is none.
pub(super) fn uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (place, &byte) in bytes.iter().enumerate() {
        if matches!(place, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
        } else {
            value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
        }
    }
    Some(value)
}

/// The shard of an id: all events of one entity stand in the same, so that what a device does can be seen whole.
pub(super) fn shard(id: u128, shards: u32) -> u32 {
    // As `schema::EventId` lays it out: 4 bits of stream, 30 of entity, 40 of counter, around version and variant.
    let tail = ((id >> 64) & 0xfff) << 62 | (id & 0x3fff_ffff_ffff_ffff);
    let entity = ((tail >> 40) & 0x3fff_ffff) as u64;
    let mixed = (entity + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed % u64::from(shards.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CityId, EventId, Stream};

    #[test]
    fn events_of_one_entity_share_a_shard_and_entities_spread() {
        let id = |entity, counter| {
            let id = EventId { city: CityId(0xabc_def0_1234), stream: Stream::Gps, entity, counter };
            uuid(&id.to_text()).unwrap()
        };
        let mut seen = [0; 16];
        for entity in 0..1_000 {
            let of = shard(id(entity, 0), 16);
            assert!((1..50).all(|n| shard(id(entity, n << 30), 16) == of));
            seen[of as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (30..100).contains(&n)), "{seen:?}");
        assert_ne!(id(1, 2), id(2, 1));
    }

    #[test]
    fn only_a_uuid_is_one() {
        assert_eq!(uuid("00000000-0000-8000-8000-00000000000A"), uuid("00000000-0000-8000-8000-00000000000a"));
        for text in ["", "x", "0000000000008000800000000000000a", "00000000-0000-8000-8000-00000000000g"] {
            assert_eq!(uuid(text), None, "{text}");
        }
        assert_eq!(uuid("000000000-000-8000-8000-00000000000a"), None);
    }
}
