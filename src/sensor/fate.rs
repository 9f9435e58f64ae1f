//! What befalls one event: draws of the [`Faults`], each from numbers of its own, so that turning one on changes nothing
//! else. Pure functions of (seed, device or event, time): any thread, part or resumed run draws the same.

use super::faults::{DUPLICATE_WITHIN, DriftKind, Faults, LONGEST_JUMP};
use crate::city::rng::{Purpose, Rng, to_normal, to_unit};
use crate::schema::Harm;

/// An event before its faults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    /// Its stream and entity.
    pub(super) key: u64,
    /// The device, which may serve two streams.
    pub(super) device: u64,
    pub(super) counter: u64,
    /// When it was made.
    pub(super) time: i64,
    /// When it would be sent.
    pub(super) sent: i64,
    /// Counter and sending of the device's next event in its rhythm.
    pub(super) next: Option<(u64, i64)>,
}

/// What befalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it is sent.
    pub(super) sent: i64,
    pub(super) late: bool,
    pub(super) out_of_order: bool,
    pub(super) outage: bool,
    /// Hours by which the clock is off.
    pub(super) jump: i8,
    pub(super) drop: bool,
    pub(super) harm: Harm,
    /// Sent a second time so much later, in milliseconds.
    pub(super) duplicate: Option<i64>,
    /// Sent again and again.
    pub(super) retry_loop: bool,
}

/// Draws beside the four that have a [`Purpose`] of their own. The number is part of the draw: append, never reorder.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
enum Lane {
    OutOfOrder = 1,
    Outage,
    ClockJump,
    SchemaDrift,
    Tombstone,
    PoisonPill,
    BadJson,
    WrongType,
    MissingField,
    OutOfRange,
    RetryLoop,
}

/// Keys and device numbers stay below 2⁵⁶, so no two lanes share a number.
fn draw(rng: Rng, lane: Lane, entity: u64, counter: u64) -> u64 {
    rng.bits(Purpose::FaultCorrupt, (lane as u64) << 56 | entity, counter)
}

fn hit(rng: Rng, lane: Lane, entity: u64, counter: u64, rate: f64) -> bool {
    rate > 0.0 && to_unit(draw(rng, lane, entity, counter)) < rate
}

/// Decides.
pub(super) fn decide(faults: &Faults, rng: Rng, event: Subject) -> Fate {
    let Subject { key, device, counter, .. } = event;
    let own = |purpose, rate: f64| rate > 0.0 && rng.unit(purpose, key, counter << 2) < rate;
    let more = |purpose| rng.bits(purpose, key, counter << 2 | 1);
    let mut sent = event.sent;
    let mut out_of_order = false;
    if let Some(behind) = held_back(faults, rng, event) {
        (sent, out_of_order) = (behind, true);
    }
    let after_outage = after_outage(faults, rng, device, sent);
    let outage = after_outage != sent;
    sent = after_outage;
    let late = own(Purpose::FaultLate, faults.late);
    if late {
        let delay = 60_000.0 * libm::exp(to_normal(more(Purpose::FaultLate)));
        sent += (delay as i64).clamp(1, faults.late_bound.max(1));
    }
    let duplicate = own(Purpose::FaultDuplicate, faults.duplicate)
        .then(|| 1 + (to_unit(more(Purpose::FaultDuplicate)) * DUPLICATE_WITHIN as f64) as i64);
    Fate {
        sent,
        late,
        out_of_order,
        outage,
        jump: jump(faults, rng, device, event.time),
        drop: own(Purpose::FaultDrop, faults.drop),
        harm: harm(faults, rng, event),
        duplicate,
        retry_loop: hit(rng, Lane::RetryLoop, device, 0, faults.retry_loop),
    }
}

/// When an event that is overtaken by its successor is sent: just after it.
fn held_back(faults: &Faults, rng: Rng, event: Subject) -> Option<i64> {
    let (next, next_sent) = event.next?;
    let behind = |counter| hit(rng, Lane::OutOfOrder, event.key, counter, faults.out_of_order);
    let delay = next_sent + 1 - event.sent;
    let fits = delay > 1 && delay <= faults.out_of_order_bound;
    // A successor that waits for its own successor would not overtake.
    (fits && behind(event.counter) && !behind(next)).then_some(next_sent + 1)
}

/// When an event that would be sent at `sent` leaves a device that may be silent then. The backlog leaves a hundred times
/// as fast as it came, in its order, and what comes meanwhile queues behind it.
fn after_outage(faults: &Faults, rng: Rng, device: u64, sent: i64) -> i64 {
    const FASTER: i64 = 100;
    if faults.outage <= 0.0 {
        return sent;
    }
    let Some((from, length)) = spell(rng, Lane::Outage, device, sent, faults.outage_bound, faults.outage) else {
        return sent;
    };
    let since = sent - from;
    // The queue is empty when as much has come as has left: since = length + since / FASTER.
    if (0..length + length / (FASTER - 1)).contains(&since) {
        return sent.max(from + length + since / FASTER);
    }
    sent
}

/// Hours by which a device's clock is off at `time`.
fn jump(faults: &Faults, rng: Rng, device: u64, time: i64) -> i8 {
    if faults.clock_jump <= 0.0 {
        return 0;
    }
    match spell(rng, Lane::ClockJump, device, time, LONGEST_JUMP, faults.clock_jump) {
        Some((from, length)) if (from..from + length).contains(&time) => {
            let bits = draw(rng, Lane::ClockJump, device, (from as u64) << 2 | 3);
            let hours = 1 + (to_unit(bits) * 12.0) as i8;
            if bits & 1 == 0 { hours } else { -hours }
        }
        _ => 0,
    }
}

/// The spell of trouble, begin and length, in the slot of a device's time that `time` falls in. A slot is a quarter longer
/// than the longest spell; a spell is a quarter to all of the longest, so half a slot on average.
fn spell(rng: Rng, lane: Lane, device: u64, time: i64, longest: i64, rate: f64) -> Option<(i64, i64)> {
    let slot_length = longest + longest / 4 + 1;
    let phase = (to_unit(draw(rng, lane, device, u64::MAX)) * slot_length as f64) as i64;
    let slot = (time + phase).div_euclid(slot_length);
    let bits = |n: u64| draw(rng, lane, device, (slot as u64) << 2 | n);
    if to_unit(bits(0)) >= rate * 2.0 {
        return None;
    }
    let length = ((0.25 + 0.75 * to_unit(bits(1))) * longest as f64) as i64;
    // Room for an outage's queue after it.
    let room = slot_length - length - length / 50;
    Some((slot * slot_length - phase + (to_unit(bits(2)) * room as f64) as i64, length))
}

/// What happens to the bytes; of several harms the first.
fn harm(faults: &Faults, rng: Rng, event: Subject) -> Harm {
    let Subject { key, counter, device, .. } = event;
    let single = [
        (Lane::Tombstone, faults.tombstone, Harm::Tombstone),
        (Lane::PoisonPill, faults.poison_pill, Harm::PoisonPill),
        (Lane::BadJson, faults.bad_json, Harm::BadJson),
        (Lane::WrongType, faults.wrong_type, Harm::WrongType),
        (Lane::MissingField, faults.missing_field, Harm::MissingField),
        (Lane::OutOfRange, faults.out_of_range, Harm::OutOfRange),
    ];
    if let Some((.., harm)) = single.into_iter().find(|(lane, rate, _)| hit(rng, *lane, key, counter, *rate)) {
        return harm;
    }
    if faults.corrupt > 0.0 && rng.unit(Purpose::FaultCorrupt, key, counter << 2) < faults.corrupt {
        return match rng.bits(Purpose::FaultCorrupt, key, counter << 2 | 1) % 4 {
            0 => Harm::BadJson,
            1 => Harm::WrongType,
            2 => Harm::MissingField,
            _ => Harm::OutOfRange,
        };
    }
    if event.time >= faults.schema_drift_from && hit(rng, Lane::SchemaDrift, device, 0, faults.schema_drift) {
        return match faults.schema_drift_kind {
            DriftKind::Renamed => Harm::FieldRenamed,
            DriftKind::Added => Harm::FieldAdded,
            DriftKind::Retyped => Harm::FieldRetyped,
            DriftKind::Any => match draw(rng, Lane::SchemaDrift, device, 1) % 3 {
                0 => Harm::FieldRenamed,
                1 => Harm::FieldAdded,
                _ => Harm::FieldRetyped,
            },
        };
    }
    Harm::None
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_780_272_000_000;

    /// A device that reports each ten seconds.
    fn event(device: u64, n: u64) -> Subject {
        let sent = |n: u64| START + n as i64 * 10_000 + 100 + (n as i64 * 37) % 50;
        let time = START + n as i64 * 10_000;
        Subject {
            key: device << 4,
            device: device << 4,
            counter: n,
            time,
            sent: sent(n),
            next: Some((n + 1, sent(n + 1))),
        }
    }

    fn all() -> Faults {
        Faults {
            late: 0.05,
            late_bound: 120_000,
            duplicate: 0.02,
            retry_loop: 0.02,
            drop: 0.01,
            out_of_order: 0.02,
            corrupt: 0.03,
            tombstone: 0.02,
            poison_pill: 0.02,
            schema_drift: 0.1,
            clock_jump: 0.05,
            outage: 0.1,
            ..Faults::NONE
        }
    }

    #[test]
    fn rates_hold() {
        let (rng, faults) = (Rng::new(7), all());
        // Devices that share a fate are few, so there must be many of them.
        let (devices, events) = (4_000, 100);
        let mut seen = [0_u32; 10];
        for device in 0..devices {
            for n in 0..events {
                let at = event(device, n);
                let fate = decide(&faults, rng, at);
                assert!((0..=faults.longest_delay()).contains(&(fate.sent - at.sent)), "{fate:?}");
                assert!(fate.duplicate.is_none_or(|d| (1..=DUPLICATE_WITHIN).contains(&d)));
                let corrupt =
                    matches!(fate.harm, Harm::BadJson | Harm::WrongType | Harm::MissingField | Harm::OutOfRange);
                let drift = matches!(fate.harm, Harm::FieldRenamed | Harm::FieldAdded | Harm::FieldRetyped);
                let happened = [
                    fate.late,
                    fate.duplicate.is_some(),
                    fate.retry_loop,
                    fate.drop,
                    fate.out_of_order,
                    corrupt,
                    fate.harm == Harm::Tombstone,
                    drift,
                    fate.jump != 0,
                    fate.outage,
                ];
                seen.iter_mut().zip(happened).for_each(|(sum, one)| *sum += u32::from(one));
            }
        }
        let rates = [0.05, 0.02, 0.02, 0.01, 0.02, 0.03, 0.02, 0.1, 0.05, 0.1];
        for (n, (count, rate)) in seen.into_iter().zip(rates).enumerate() {
            let share = f64::from(count) / (devices * events) as f64;
            assert!((share / rate - 1.0).abs() < 0.2, "fault {n}: {share} for {rate}");
        }
    }

    #[test]
    fn a_fault_alone_happens_to_the_same_events_as_among_others() {
        let rng = Rng::new(9);
        let (with_all, only) = (all(), Faults { late: 0.05, late_bound: 120_000, outage: 0.1, ..Faults::NONE });
        for device in 0..50 {
            for n in 0..500 {
                let (a, b) = (decide(&with_all, rng, event(device, n)), decide(&only, rng, event(device, n)));
                assert_eq!(a.late, b.late);
                assert!(a.out_of_order || (a.sent == b.sent && a.outage == b.outage), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_device_is_silent_in_an_outage_and_then_sends_its_backlog_in_order() {
        let (rng, faults) = (Rng::new(3), Faults { outage: 0.3, ..Faults::NONE });
        let mut outages = 0;
        for device in 0..200 {
            let sent: Vec<(i64, i64)> =
                (0..2_000).map(|n| (event(device, n).sent, decide(&faults, rng, event(device, n)).sent)).collect();
            assert!(sent.windows(2).all(|w| w[0].1 <= w[1].1), "the backlog keeps its order");
            for w in sent.windows(2) {
                if w[0].0 == w[0].1 && w[1].0 != w[1].1 {
                    outages += 1;
                    let gap = w[1].1 - w[0].1;
                    assert!((110_000..=650_000).contains(&gap), "silent for {gap} ms");
                }
            }
        }
        assert!(outages > 200, "{outages}");
    }

    #[test]
    fn a_clock_is_off_by_whole_hours_for_a_while_both_ways() {
        let (rng, faults) = (Rng::new(3), Faults { clock_jump: 0.2, ..Faults::NONE });
        let (mut ahead, mut behind, mut changes, mut off) = (0, 0, 0, 0);
        for device in 0..300 {
            let jumps: Vec<i8> = (0..2_000).map(|n| decide(&faults, rng, event(device, n)).jump).collect();
            ahead += jumps.iter().filter(|j| (1..=12).contains(*j)).count();
            behind += jumps.iter().filter(|j| (-12..=-1).contains(*j)).count();
            off += jumps.iter().filter(|j| **j != 0).count();
            changes += jumps.windows(2).filter(|w| w[0] == 0 && w[1] != 0).count();
        }
        assert!(ahead > off / 3 && behind > off / 3 && ahead + behind == off, "{ahead} {behind} {off}");
        // 15 to 60 minutes are 90 to 360 reports.
        assert!((180..280).contains(&(off / changes)), "{} reports a jump", off / changes);
    }

    #[test]
    fn drift_begins_at_its_moment_and_stays() {
        let faults = Faults { schema_drift: 0.5, schema_drift_from: START + 500_000, ..Faults::NONE };
        let mut drifting = 0;
        for device in 0..100 {
            let harms: Vec<Harm> = (0..100).map(|n| decide(&faults, Rng::new(3), event(device, n)).harm).collect();
            assert!(harms[..50].iter().all(|h| *h == Harm::None));
            assert!(harms[50..].iter().all(|h| *h == harms[50]));
            drifting += i32::from(harms[50] != Harm::None);
        }
        assert!((35..65).contains(&drifting), "{drifting}");
    }
}
