//! Which partition a key goes to: `murmur2_random`, as Kafka's Java client and librdkafka reckon it for keys that are not
//! null.

/// The partition of `key` in a topic of `partitions` partitions, at least 1.
///
/// ```
/// assert_eq!(_core::kafka::partition_of(b"vehicle-0000042", 1), 0);
/// assert!(_core::kafka::partition_of(b"vehicle-0000042", 6) < 6);
/// ```
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // The sign bit goes, as in Java's `toPositive`, so the value fits.
    (murmur2(key) & 0x7fff_ffff) as i32 % partitions.max(1)
}

/// MurmurHash2, 32 bits, with the seed that Kafka chose.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0, |k, b| k << 8 | u32::from(*b)).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |k, b| k << 8 | u32::from(*b));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    // What org.apache.kafka.common.utils.Utils.murmur2 of Kafka 4.3 gives; tests/python/test_partitioner.py asks it for
    // many more.
    #[test]
    fn it_is_the_java_clients_hash() {
        let known = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("", 275_646_681),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key:?}");
        }
    }
}
