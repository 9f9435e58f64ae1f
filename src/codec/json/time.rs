//! Times: microseconds since 1970 ⇄ ISO 8601.

use super::number::pair;

const DAY: i64 = 86_400_000_000;

/// 0000-01-01 and 9999-12-31 in days since 1970: what four digits can say.
const FIRST_DAY: i64 = -719_528;
const LAST_DAY: i64 = 2_932_896;

/// Writes times; keeps the date of the last one, since neighbours share it.
#[derive(Debug)]
pub(super) struct TimeWriter {
    day: i64,
    text: [u8; 26],
}

impl TimeWriter {
    pub(super) fn new() -> Self {
        Self { day: i64::MIN, text: *b"\"0000-00-00T00:00:00.000Z\"" }
    }

    /// `"2026-06-01T08:00:00.000Z"` with its quotes, cut to milliseconds; `None` outside the years 0 to 9999.
    #[inline]
    pub(super) fn write(&mut self, micros: i64) -> Option<&[u8; 26]> {
        let day = micros.div_euclid(DAY);
        if day != self.day {
            if !(FIRST_DAY..=LAST_DAY).contains(&day) {
                return None;
            }
            let (year, month, date) = civil_from_days(day);
            self.text[1..3].copy_from_slice(&pair(year / 100));
            self.text[3..5].copy_from_slice(&pair(year));
            self.text[6..8].copy_from_slice(&pair(month));
            self.text[9..11].copy_from_slice(&pair(date));
            self.day = day;
        }
        let millis = (micros.rem_euclid(DAY) / 1000) as u32;
        let seconds = millis / 1000;
        self.text[12..14].copy_from_slice(&pair(seconds / 3600));
        self.text[15..17].copy_from_slice(&pair(seconds / 60 % 60));
        self.text[18..20].copy_from_slice(&pair(seconds % 60));
        let fraction = millis % 1000;
        self.text[21] = b'0' + (fraction / 100) as u8;
        self.text[22..24].copy_from_slice(&pair(fraction));
        Some(&self.text)
    }
}

/// Reads times; keeps the date of the last one.
#[derive(Debug)]
pub(in crate::codec) struct TimeReader {
    date: [u8; 10],
    day: i64,
}

impl TimeReader {
    pub(in crate::codec) fn new() -> Self {
        Self { date: *b"1970-01-01", day: 0 }
    }

    /// Microseconds since 1970 of `2026-06-01T08:00:00`, then optionally a point and 1 to 9 digits, then `Z`, `±hh:mm`,
    /// `±hhmm` or `±hh`. `None` where the text is something else or names no instant.
    #[inline]
    pub(in crate::codec) fn read(&mut self, text: &str) -> Option<i64> {
        let (head, tail) = text.as_bytes().split_first_chunk::<19>()?;
        let &[date @ .., b'T', h1, h2, b':', m1, m2, b':', s1, s2] = head else { return None };
        if date != self.date {
            self.day = read_date(date)?;
            self.date = date;
        }
        let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let micros = self.day * DAY + i64::from(hour * 3600 + minute * 60 + second) * 1_000_000;
        if let &[b'.', a, b, c, b'Z'] = tail {
            return Some(micros + i64::from(digit(a)? * 100 + two(b, c)?) * 1000);
        }
        let (fraction, zone) = read_fraction(tail)?;
        Some(micros + fraction - read_zone(zone)?)
    }
}

#[inline]
fn digit(byte: u8) -> Option<u32> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(u32::from(value))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u32> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Days since 1970 of a date that the calendar has.
fn read_date(text: [u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let (year, month, date) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    (1..=last).contains(&date).then(|| days_from_civil(year, month, date))
}

/// Microseconds of the fraction, if there is one, and what follows it.
fn read_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((0, text)) };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, zone) = rest.split_at(count);
    let micros = (0..6).fold(0, |sum, i| sum * 10 + digits.get(i).map_or(0, |d| i64::from(d - b'0')));
    Some((micros, zone))
}

/// Microseconds that the zone is ahead of UTC.
fn read_zone(text: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match *text {
        [b'Z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, two(h1, h2)?, two(m1, m2)?),
        [sign, h1, h2] => (sign, two(h1, h2)?, 0),
        _ => return None,
    };
    if hour > 23 || minute > 59 {
        return None;
    }
    let ahead = i64::from(hour * 60 + minute) * 60_000_000;
    match sign {
        b'+' => Some(ahead),
        b'-' => Some(-ahead),
        _ => None,
    }
}

// Both directions count from 1 March of year 0, so that the leap day is the last of its year (H. Hinnant,
// "chrono-Compatible Low-Level Date Algorithms").

fn days_from_civil(year: u32, month: u32, date: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(date) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, date as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        TimeReader::new().read(text)
    }

    #[test]
    fn every_day_of_ten_thousand_years_reads_back() {
        let (mut writer, mut reader) = (TimeWriter::new(), TimeReader::new());
        let mut days = 0;
        for day in FIRST_DAY..=LAST_DAY {
            let micros = day * DAY + (day.rem_euclid(86_400)) * 1_000_000 + 987_000;
            let text = writer.write(micros).unwrap();
            let text = std::str::from_utf8(&text[1..25]).unwrap();
            assert_eq!(reader.read(text), Some(micros), "{text}");
            days += 1;
        }
        assert_eq!(days, 3_652_425);
        assert!(writer.write((LAST_DAY + 1) * DAY).is_none());
        assert!(writer.write(FIRST_DAY * DAY - 1).is_none());
    }

    #[test]
    fn known_instants_in_all_accepted_forms() {
        let june = 1_780_272_000_000_000;
        for text in [
            "2026-06-01T00:00:00Z",
            "2026-06-01T00:00:00.0Z",
            "2026-06-01T00:00:00.000Z",
            "2026-06-01T00:00:00.000000000Z",
            "2026-06-01T00:00:00+00:00",
            "2026-06-01T00:00:00.000+00:00",
            "2026-06-01T02:00:00+02:00",
            "2026-06-01T05:30:00.000+0530",
            "2026-05-31T14:00:00-10",
        ] {
            assert_eq!(read(text), Some(june), "{text}");
        }
        assert_eq!(read("2026-06-01T00:00:00.123456789Z"), Some(june + 123_456));
        assert_eq!(read("2026-06-01T00:00:00.5Z"), Some(june + 500_000));
        assert_eq!(read("1969-12-31T23:59:59.999Z"), Some(-1000));
        assert_eq!(read("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000));
    }

    #[test]
    fn texts_that_name_no_instant_are_refused() {
        for text in [
            "",
            "now",
            "2026-06-01",
            "2026-06-01T00:00:00",
            "2026-06-01 00:00:00Z",
            "2026-06-01T00:00:00.Z",
            "2026-06-01T00:00:00.0000000000Z",
            "2026-06-01T00:00:00z",
            "2026-06-01T00:00:00ZZ",
            "2026-06-01T24:00:00Z",
            "2026-06-01T00:60:00Z",
            "2026-06-01T00:00:60Z",
            "2026-06-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-06-00T00:00:00Z",
            "2026-6-01T00:00:00.00Z",
            "2026-06-01T00:00:00+24:00",
            "2026-06-01T00:00:00+1",
            "2026-06-01T00:00:00x00:00",
            "é026-06-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_cut_to_milliseconds_towards_the_past() {
        let mut writer = TimeWriter::new();
        assert_eq!(writer.write(-1).unwrap(), b"\"1969-12-31T23:59:59.999Z\"");
        assert_eq!(writer.write(1_999).unwrap(), b"\"1970-01-01T00:00:00.001Z\"");
    }
}
