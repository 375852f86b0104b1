//! When something was recorded: UTC to the microsecond, as RFC 3339 of one fixed width.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// Microseconds since 1970, `2026-11-22T14:49:36.123456Z` in records; from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A text that is not a time as the log writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected UTC to the microsecond, such as 2026-11-22T14:49:36.123456Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_microseconds(microseconds: u64) -> Self {
        Self(if microseconds < END {
            microseconds
        } else {
            END - 1
        })
    }

    /// Microseconds since 1970.
    pub const fn microseconds(self) -> u64 {
        self.0
    }

    /// The day, counted since 1970.
    pub const fn day(self) -> u64 {
        self.0 / DAY
    }
}

impl Timestamp {
    /// As records have it.
    pub(super) fn text(self) -> [u8; 27] {
        let (year, month, day) = civil(self.0 / DAY);
        let (second, micros) = (self.0 % DAY / 1_000_000, self.0 % 1_000_000);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let numbers = [
            (year, 0..4),
            (month, 5..7),
            (day, 8..10),
            (second / 3600, 11..13),
            (second / 60 % 60, 14..16),
            (second % 60, 17..19),
            (micros, 20..26),
        ];
        for (mut number, place) in numbers {
            for digit in text[place].iter_mut().rev() {
                *digit = b"0123456789"[(number % 10) as usize];
                number /= 10;
            }
        }
        text
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_microseconds(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + std::time::Duration::from_micros(time.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let bytes = text.as_bytes();
        if bytes.len() != 27 {
            return Err(InvalidTimestamp);
        }
        for (place, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
            .into_iter()
            .chain([(19, b'.'), (26, b'Z')])
        {
            if bytes[place] != mark {
                return Err(InvalidTimestamp);
            }
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().try_fold(0, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + u64::from(digit - b'0'))
                    .ok_or(InvalidTimestamp)
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let micros = number(20, 26)?;
        if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return Err(InvalidTimestamp);
        }
        let days = days(year, month, day);
        // A day that the month does not have comes back as another date.
        if civil(days) != (year, month, day) {
            return Err(InvalidTimestamp);
        }
        Ok(Self(
            days * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros,
        ))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a time in UTC")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The date of a day since 1970: years counted from March, so that leap days come last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let (month, later) = if from_march < 10 {
        (from_march + 3, 0)
    } else {
        (from_march - 9, 1)
    };
    (era * 400 + year + later, month, day)
}

const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * from_march + 2) / 5 + day;
    // One is taken off for the day, which counts from 1.
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 1 - 719_468
}

const DAY: u64 = 86_400_000_000;
/// The first moment of the year 10000.
const END: u64 = days(10_000, 1, 1) * DAY;

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn times_are_those_of_gnu_date() {
        // `date -u -d @SECONDS +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_795_358_976, "2026-11-22T14:49:36.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000000Z"),
        ] {
            let time = Timestamp::from_microseconds(seconds * 1_000_000);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        for bad in [
            "2026-02-29T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "1969-12-31T23:59:59.000000Z",
            "2026-11-22T14:49:60.000000Z",
            "2026-11-22 14:49:36.000000Z",
            "2026-11-22T14:49:36Z",
            "+026-11-22T14:49:36.000000Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
