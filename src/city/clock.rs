//! Simulated time: integer milliseconds since the epoch, UTC.

/// A second in milliseconds.
pub const SECOND: i64 = 1_000;
/// A minute in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// An hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// A day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// Days since the epoch.
pub fn day(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// Milliseconds since midnight.
pub fn time_of_day(time: i64) -> i64 {
    time.rem_euclid(DAY)
}

/// Whether `day` (since the epoch) is a Saturday or Sunday.
pub fn is_weekend(day: i64) -> bool {
    // The epoch was a Thursday.
    (day + 3).rem_euclid(7) >= 5
}

/// Share of the year that has passed at `day`, 0 at 1 January; leap days are spread evenly.
pub fn year_share(day: i64) -> f64 {
    (day as f64 / 365.2425).rem_euclid(1.0)
}

/// Calendar year of `day`, exact to a day at the turn of the year.
pub fn year(day: i64) -> i32 {
    1970 + (day as f64 / 365.2425).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        let monday = 20_605; // 2026-06-01
        assert!(!is_weekend(monday) && !is_weekend(monday + 4) && is_weekend(monday + 5) && is_weekend(monday + 6));
        assert_eq!(year(monday), 2026);
        assert!((year_share(monday) - 151.0 / 365.0).abs() < 0.01);
        assert_eq!(time_of_day(-1), DAY - 1);
    }
}
