//! What is wrong, in words: which defect makes such verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};

use super::gold::TableGrade;
use super::grade::Grade;
use super::label::{LABELS, Labels};
use super::silver::{NO_LABEL, StreamGrade, Tally, Verdict};
use super::value::text;

/// Columns that follow from times, and so are off with them.
const OF_TIMES: [&str; 2] = ["event_date", "lateness_s"];

/// A sentence for each defect, those of silver first. Each begins with the verdict, or the table's name.
pub(super) fn diagnose(grade: &Grade) -> Vec<String> {
    let mut said = Vec::new();
    let silver = &grade.silver;
    said.extend(wrong_zone(silver));
    said.extend(sent_twice(silver));
    said.extend(taken_in_twice(silver));
    said.extend(late_lost(silver));
    said.extend(others_dropped(silver));
    said.extend(missing(silver));
    said.extend(kept(silver));
    said.extend(altered(silver));
    said.extend(unexpected(grade));
    grade.gold.iter().for_each(|table| said.extend(of_table(table)));
    said
}

/// 12345 as `12,345`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn share(part: u64, all: u64, what: &str) -> String {
    if part == all {
        format!("all {} {what}", number(all))
    } else {
        format!("{} of {} {what}", number(part), number(all))
    }
}

fn instant(us: i64) -> String {
    let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC"));
    text(&values, 0)
}

/// A difference of times: `2 h too late`.
fn off(us: i64) -> String {
    let minutes = us.abs() / 60_000_000;
    let length = match (minutes / 60, minutes % 60) {
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    format!("{length} too {}", if us > 0 { "late" } else { "early" })
}

/// `vehicle 12, gps 3` of streams that have any.
fn by_stream(silver: &[StreamGrade], count: impl Fn(&StreamGrade) -> u64) -> (u64, String) {
    let counts: Vec<_> = silver.iter().map(|s| (s.stream.name(), count(s))).filter(|(_, n)| *n > 0).collect();
    let words: Vec<_> = counts.iter().map(|(name, n)| format!("{name} {}", number(*n))).collect();
    (counts.iter().map(|(_, n)| n).sum(), words.join(", "))
}

fn present(tally: &Tally) -> u64 {
    [Verdict::Correct, Verdict::Altered, Verdict::Doubled].into_iter().map(|v| tally[v as usize]).sum()
}

/// The difference that explains nearly all values of a column of times, and how many.
fn shift_of(grade: &StreamGrade, column: &str) -> Option<(i64, u64)> {
    let (off, events) = grade.clues.shifts.get(column)?.iter().max_by_key(|(off, n)| (**n, **off))?;
    let single = grade.count(Verdict::Correct) + grade.count(Verdict::Altered);
    (*events * 10 >= single * 9).then_some((*off, *events))
}

fn wrong_zone(silver: &[StreamGrade]) -> Vec<String> {
    let mut found: BTreeMap<(String, i64), (Vec<&str>, u64)> = BTreeMap::new();
    for grade in silver {
        for column in grade.clues.shifts.keys() {
            if let Some((off, events)) = shift_of(grade, column) {
                let entry = found.entry((column.clone(), off)).or_default();
                entry.0.push(grade.stream.name());
                entry.1 += events;
            }
        }
    }
    let say = |((column, by), (streams, events)): ((String, i64), (Vec<&str>, u64))| {
        format!(
            "wrong time zone: {column} is {} in {} events ({}). Local time is taken for UTC, or UTC for local time",
            off(by),
            number(events),
            streams.join(", ")
        )
    };
    found.into_iter().map(say).collect()
}

fn sent_twice(silver: &[StreamGrade]) -> Option<String> {
    let (doubled, streams) = by_stream(silver, |s| s.clues.doubled[0]);
    let label = LABELS.iter().position(|l| *l == "duplicate").unwrap_or(NO_LABEL);
    let all: u64 = silver.iter().map(|s| present(&s.by_label[label])).sum();
    let why = if doubled * 2 >= all {
        "Copies are not removed by id"
    } else {
        "Copies are removed only where they come close together"
    };
    let what = share(doubled, all, "events that were sent twice");
    (doubled > 0).then(|| format!("doubled: {what} stand more than once ({streams}). {why}"))
}

fn taken_in_twice(silver: &[StreamGrade]) -> Vec<String> {
    let of = |s: &StreamGrade| {
        let doubled = s.clues.doubled[1];
        let begin = format!(
            "doubled: {} events of {} that were sent once stand more than once",
            number(doubled),
            s.stream.name()
        );
        (doubled > 0).then(|| match s.clues.twice.stretch() {
            Some((from, to, false)) => format!(
                "{begin}, all of them sent between {} and {}. That stretch was taken in twice, as after a restart that goes \
                 back behind what was written",
                instant(from),
                instant(to)
            ),
            Some((.., true)) => format!("{begin}, over the whole time. Everything was taken in twice"),
            None => format!("{begin}, spread over time. Records are delivered again, and not told apart by id"),
        })
    };
    silver.iter().filter_map(of).collect()
}

fn late_lost(silver: &[StreamGrade]) -> Option<String> {
    let (lost, streams) = by_stream(silver, |s| s.clues.late[1]);
    let all: u64 = silver.iter().map(|s| s.clues.late.iter().sum::<u64>()).sum();
    let least = silver.iter().filter_map(|s| s.clues.lost_from).min()?;
    (lost > 0).then(|| {
        format!(
            "wrongly dropped: {} are not there ({streams}), the least late of them by {:.1} s. Rows behind a \
             watermark are thrown away",
            share(lost, all, "events that came late"),
            least as f64 / 1e6
        )
    })
}

fn others_dropped(silver: &[StreamGrade]) -> Option<String> {
    let late = ["late", "out_of_order", "outage", "clock_jump"];
    let mut found: Vec<(&str, u64)> = Vec::new();
    for (place, label) in LABELS.iter().enumerate().filter(|(_, l)| !late.contains(l)) {
        let dropped: u64 = silver.iter().map(|s| s.by_label[place][Verdict::WronglyDropped as usize]).sum();
        if dropped > 0 {
            found.push((label, dropped));
        }
    }
    // Those that are late too are told of already.
    let told: u64 = silver.iter().map(|s| s.clues.late[1]).sum();
    let all: u64 = silver.iter().map(|s| s.count(Verdict::WronglyDropped)).sum();
    let words: Vec<_> = found.iter().map(|(label, n)| format!("{label} {}", number(*n))).collect();
    (all > told && !found.is_empty()).then(|| {
        let what = words.join(", ");
        format!(
            "wrongly dropped: {} further events are not there, whose fault is no reason for it ({what})",
            number(all - told)
        )
    })
}

fn missing(silver: &[StreamGrade]) -> Vec<String> {
    let of = |s: &StreamGrade| {
        let lost = s.count(Verdict::Missing);
        let begin = format!("missing: {} events of {} without a fault are not there", number(lost), s.stream.name());
        (lost > 0).then(|| match s.clues.gone.stretch() {
            Some((.., true)) if s.rows == 0 => format!("{begin}: the table is empty"),
            Some((from, to, false)) => {
                format!("{begin}, all of them sent between {} and {}. A stretch was lost", instant(from), instant(to))
            }
            _ => begin,
        })
    };
    silver.iter().filter_map(of).collect()
}

fn kept(silver: &[StreamGrade]) -> Option<String> {
    let (all, streams) = by_stream(silver, |s| s.count(Verdict::KeptHarmed));
    let labels = (0..LABELS.len()).filter_map(|place| {
        let kept: u64 = silver.iter().map(|s| s.by_label[place][Verdict::KeptHarmed as usize]).sum();
        (kept > 0).then(|| format!("{} {}", LABELS[place], number(kept)))
    });
    let labels: Vec<_> = labels.collect();
    let refused: u64 = silver.iter().map(|s| s.count(Verdict::Refused)).sum();
    (all > 0).then(|| {
        format!(
            "harmed but kept: {} are there ({streams}; {}). Rows are not checked before they are kept",
            share(all, all + refused, "events that break a rule or can't be decoded"),
            labels.join(", ")
        )
    })
}

fn altered(silver: &[StreamGrade]) -> Vec<String> {
    let mut said = Vec::new();
    for grade in silver {
        let shifted = |name: &str| shift_of(grade, name).is_some();
        let any = grade.clues.shifts.keys().any(|name| shifted(name));
        let single = grade.count(Verdict::Correct) + grade.count(Verdict::Altered);
        for (name, events) in &grade.altered {
            if shifted(name) || any && OF_TIMES.contains(&name.as_str()) {
                continue;
            }
            let example = grade.examples.iter().find(|e| e.column.as_ref() == Some(name));
            let example = example.and_then(|e| Some((e.expected.as_ref()?, e.found.as_ref()?, &e.id)));
            let example = example.map_or_else(String::new, |(a, b, id)| format!(", such as {b} for {a} of {id}"));
            let stream = grade.stream.name();
            said.push(format!("altered: {name} of {stream} differs in {}{example}", share(*events, single, "events")));
        }
    }
    said
}

fn unexpected(grade: &Grade) -> Option<String> {
    let (all, streams) = by_stream(&grade.silver, |s| s.count(Verdict::Unexpected));
    let unsent: u64 = grade.silver.iter().map(unsent).sum();
    let all = all + grade.strangers;
    (all > 0).then(|| {
        let streams = if streams.is_empty() { String::new() } else { format!(" ({streams})") };
        let of_them = if unsent > 0 { format!("; {} of them were made and never sent", number(unsent)) } else { String::new() };
        format!("unexpected: {} ids that this city never sent{streams}{of_them}. Is it the same city, with the same options?", number(all))
    })
}

fn unsent(grade: &StreamGrade) -> u64 {
    let dropped = Labels::named("drop").places().next().unwrap_or(NO_LABEL);
    grade.by_label[dropped][Verdict::Unexpected as usize]
}

fn of_table(table: &TableGrade) -> Vec<String> {
    let mut said = Vec::new();
    let name = format!("gold.{}", table.name);
    if let Some(by) = table.shift {
        said.push(format!("{name}: wrong time zone: its times are {}", off(by)));
        return said;
    }
    let windows = &table.excess.windows;
    let sum = |which: usize| windows.values().map(|w| w[which]).sum::<u64>();
    let (all, over, twice, under) = (sum(0), sum(1), sum(2), sum(3));
    if over > 0 {
        let hit: Vec<i64> = windows.iter().filter(|(_, w)| w[1] > 0).map(|(start, _)| *start).collect();
        let (first, last) = (hit[0], hit[hit.len() - 1]);
        let inside: u64 = windows.range(first..=last).map(|(_, w)| w[0]).sum();
        let double = if twice > 0 { format!(", {} of them exactly double", number(twice)) } else { String::new() };
        let rows = share(over, all, "rows");
        let again = twice * 2 >= over || over * 2 >= inside;
        let words = match (again, windows.len() > 1 && inside < all) {
            (true, true) => format!(
                "counts twice: {rows} count too much{double}, all of them of the windows from {} to {}. That stretch was \
                 counted again, as after a restart that adds to what was there",
                instant(first),
                instant(last)
            ),
            (true, false) => format!("counts twice: {rows} count too much{double}"),
            (false, _) => format!("counts too much in {rows}{double}"),
        };
        said.push(format!("{name}: {words}"));
    }
    if under > 0 {
        said.push(format!("{name}: counts too little in {}", share(under, all, "rows")));
    }
    if table.doubled > 0 {
        said.push(format!("{name}: {} keys have more than one row", number(table.doubled)));
    }
    if table.missing > 0 {
        said.push(format!("{name}: {} are missing", share(table.missing, table.expected(), "rows")));
    }
    if table.extra > 0 {
        said.push(format!("{name}: {} rows too many", number(table.extra)));
    }
    // Counts that are off make every other column differ.
    if over + under == 0 && table.differing > 0 {
        let columns: Vec<_> = table.altered.iter().map(|(column, n)| format!("{column} {}", number(*n))).collect();
        said.push(format!("{name}: {} rows differ ({})", number(table.differing), columns.join(", ")));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_differences_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(off(7_200_000_000), "2 h too late");
        assert_eq!(off(-19_800_000_000), "5 h 30 min too early");
        assert_eq!(instant(1_780_272_000_000_000), "2026-06-01T00:00:00Z");
    }
}
