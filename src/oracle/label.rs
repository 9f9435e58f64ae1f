//! The fault labels of an event as bits.

use crate::schema::Harm;

/// Every label of `truth_fault`, in the order in which reports list them.
pub const LABELS: [&str; 15] = [
    "late",
    "out_of_order",
    "outage",
    "clock_jump",
    "duplicate",
    "drop",
    "bad_json",
    "wrong_type",
    "missing_field",
    "out_of_range",
    "tombstone",
    "poison_pill",
    "field_renamed",
    "field_added",
    "field_retyped",
];

/// A set of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Labels(u16);

impl Labels {
    /// The set with the label called `name`; empty where there is none of the name.
    pub fn named(name: &str) -> Self {
        LABELS.iter().position(|label| *label == name).map_or(Self(0), |place| Self(1 << place))
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether they share a label.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The labels' places in [`LABELS`].
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..LABELS.len()).filter(move |place| self.0 & 1 << place != 0)
    }
}

/// Where docs/faults.md says an event with harmed bytes belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belongs {
    /// Its row rules decide.
    Rules,
    /// It breaks a rule in any case.
    Quarantine,
    /// It can't be decoded.
    DeadLetter,
}

pub(super) fn belongs(harm: Harm) -> Belongs {
    match harm {
        Harm::None | Harm::FieldAdded => Belongs::Rules,
        Harm::WrongType | Harm::MissingField | Harm::OutOfRange | Harm::FieldRenamed | Harm::FieldRetyped => {
            Belongs::Quarantine
        }
        Harm::BadJson | Harm::Tombstone | Harm::PoisonPill => Belongs::DeadLetter,
    }
}

/// The harm whose number is `value`.
pub(super) fn harm(value: u8) -> Harm {
    const ALL: [Harm; 10] = [
        Harm::None,
        Harm::BadJson,
        Harm::WrongType,
        Harm::MissingField,
        Harm::OutOfRange,
        Harm::Tombstone,
        Harm::PoisonPill,
        Harm::FieldRenamed,
        Harm::FieldAdded,
        Harm::FieldRetyped,
    ];
    ALL.get(usize::from(value)).copied().unwrap_or(Harm::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_harm_has_its_number_and_its_label() {
        for number in 0..10 {
            let found = harm(number);
            assert_eq!(found as u8, number);
            assert_eq!(Labels::named(found.name()).is_empty(), found == Harm::None, "{found:?}");
        }
    }
}
