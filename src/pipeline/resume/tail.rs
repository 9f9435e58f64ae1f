//! The end of one partition, as far as it matters for going on behind it.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use super::own::Whose;

/// Key and value as one number; a null value is no empty one.
pub(super) fn fingerprint(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in [key, value] {
        match part {
            None => hasher.write_u64(u64::MAX),
            Some(bytes) => {
                hasher.write_u64(bytes.len() as u64);
                hasher.write(bytes);
            }
        }
    }
    hasher.finish()
}

/// The last record that is surely ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) fingerprint: u64,
    /// When it was sent, in milliseconds.
    pub(super) sent: i64,
}

/// What was read of a partition's end.
#[derive(Debug, Default)]
pub(super) struct Tail {
    anchor: Option<Anchor>,
    /// One of ours with other bytes stands before it: so the anchor is the first of its bytes.
    proven: bool,
    /// Fingerprints of what may be ours behind the anchor, or, where there is none, from the first record on.
    behind: Vec<u64>,
}

impl Tail {
    /// Reads one record, the next.
    pub(super) fn push(&mut self, whose: Whose, key: Option<&[u8]>, value: Option<&[u8]>) {
        match whose {
            Whose::Theirs => {}
            Whose::Unknown => self.behind.push(fingerprint(key, value)),
            Whose::Ours(sent) => {
                let fingerprint = fingerprint(key, value);
                if self.anchor.is_some_and(|anchor| anchor.fingerprint == fingerprint) {
                    // A copy with the very same bytes: the first of them marks the place.
                    self.behind.push(fingerprint);
                } else {
                    self.proven = self.anchor.is_some();
                    self.anchor = Some(Anchor { fingerprint, sent });
                    self.behind.clear();
                }
            }
        }
    }

    /// Whether it was read from far enough back.
    pub(super) fn is_enough(&self) -> bool {
        self.proven
    }

    /// The last record that is surely ours.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// How many records behind the anchor may be ours.
    pub(super) fn held(&self) -> usize {
        self.behind.len()
    }
}

/// Which messages of a partition's sequence stand in it. They come in order, each asked about once.
#[derive(Debug)]
pub(super) struct Place {
    tail: Tail,
    /// Up to here `behind` is matched.
    at: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the anchor, or at it.
    Before,
    /// Behind it, where each message that is there is found in the tail.
    Behind,
    /// What comes is new.
    New,
}

impl Place {
    pub(super) fn new(tail: Tail) -> Self {
        let stage = if tail.anchor.is_some() { Stage::Before } else { Stage::Behind };
        Self { tail, at: 0, stage }
    }

    /// Whether the next message is to be sent.
    ///
    /// What is ours in the tail is a beginning of what is asked about behind the anchor, with strangers' records between.
    /// Taking for each message the first equal record that is left finds the longest such beginning.
    pub(super) fn is_new(&mut self, fingerprint: u64) -> bool {
        match self.stage {
            Stage::New => true,
            Stage::Before => {
                if self.tail.anchor.is_some_and(|anchor| anchor.fingerprint == fingerprint) {
                    self.stage = Stage::Behind;
                }
                false
            }
            Stage::Behind => {
                let ahead = self.tail.behind[self.at..].iter().position(|found| *found == fingerprint);
                if let Some(ahead) = ahead {
                    self.at += ahead + 1;
                } else {
                    self.stage = Stage::New;
                    self.tail.behind = Vec::new();
                    self.at = 0;
                }
                self.stage == Stage::New
            }
        }
    }

    /// Whether all that comes is new.
    pub(super) fn is_behind_all(&self) -> bool {
        self.stage == Stage::New
    }

    /// When the anchor was sent, while it is still looked for.
    pub(super) fn looks_for(&self) -> Option<i64> {
        self.tail.anchor.filter(|_| self.stage == Stage::Before).map(|anchor| anchor.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A city's message: when it is sent where that can be read, and its bytes.
    type Made = (Option<i64>, &'static str);

    const SEQUENCE: [Made; 12] = [
        (Some(1), "a"),
        (None, "tombstone"),
        (Some(2), "b"),
        (Some(2), "b"),
        (None, "tombstone"),
        (None, "pill"),
        (None, "tombstone"),
        (Some(3), "c"),
        (None, "pill"),
        (Some(4), "d"),
        (Some(4), "d"),
        (None, "tombstone"),
    ];

    /// What is sent by a run that finds `there`, of which `from` records and more are looked at.
    fn resumed(there: &[(Whose, &'static str)], from: usize) -> Vec<&'static str> {
        let mut window = from.max(1);
        let tail = loop {
            let mut tail = Tail::default();
            let start = there.len().saturating_sub(window);
            there[start..].iter().for_each(|(whose, value)| tail.push(*whose, Some(b"k"), Some(value.as_bytes())));
            if tail.is_enough() || start == 0 {
                break tail;
            }
            window *= 2;
        };
        let since = tail.anchor().map_or(0, |anchor| anchor.sent);
        let mut place = Place::new(tail);
        // Regenerated from the anchor's instant: everything before the first message of that instant is left out.
        let first = SEQUENCE.iter().position(|(sent, _)| sent.is_some_and(|s| s >= since)).unwrap_or(0);
        let first = if since == 0 { 0 } else { first };
        let made = SEQUENCE[first..].iter();
        made.filter(|(_, value)| place.is_new(fingerprint(Some(b"k"), Some(value.as_bytes()))))
            .map(|(_, v)| *v)
            .collect()
    }

    #[test]
    fn from_each_place_and_each_window_the_rest_is_sent_and_nothing_twice() {
        for delivered in 0..=SEQUENCE.len() {
            let ours = |(sent, value): &Made| (sent.map_or(Whose::Unknown, Whose::Ours), *value);
            let there: Vec<_> = SEQUENCE[..delivered].iter().map(ours).collect();
            let rest: Vec<_> = SEQUENCE[delivered..].iter().map(|(_, value)| *value).collect();
            for window in 1..=there.len().max(1) {
                assert_eq!(resumed(&there, window), rest, "{delivered} delivered, a window of {window}");
            }
        }
    }

    #[test]
    fn strangers_in_between_change_nothing() {
        let strangers = [(Whose::Theirs, "b"), (Whose::Unknown, "another's pill"), (Whose::Theirs, "x")];
        for delivered in 0..=SEQUENCE.len() {
            let mut there = vec![strangers[1]];
            for (n, (sent, value)) in SEQUENCE[..delivered].iter().enumerate() {
                there.push((sent.map_or(Whose::Unknown, Whose::Ours), *value));
                there.extend(strangers.iter().cycle().skip(n).take(n % 4));
            }
            there.extend(strangers);
            let rest: Vec<_> = SEQUENCE[delivered..].iter().map(|(_, value)| *value).collect();
            assert_eq!(resumed(&there, 3), rest, "{delivered} delivered");
        }
    }

    #[test]
    fn no_value_is_not_an_empty_value() {
        let all = [
            fingerprint(None, None),
            fingerprint(Some(b""), None),
            fingerprint(None, Some(b"")),
            fingerprint(Some(b"ab"), Some(b"c")),
            fingerprint(Some(b"a"), Some(b"bc")),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
