//! How platforms write points in time. The clock itself is the caller's.

use std::str;

use crate::scheme::document::{Item, SchemeError};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMilliseconds(pub u64);

impl UnixMilliseconds {
    /// Reads RFC 3339, to the millisecond.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        TimeFormat::Rfc3339.read(text.as_bytes(), Offset::UTC)
    }

    /// As RFC 3339 in UTC, to the second.
    pub fn to_rfc3339(self) -> String {
        TimeFormat::Rfc3339.write(self, Offset::UTC)
    }
}

/// A way of writing a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFormat {
    UnixSeconds,
    UnixMilliseconds,
    Rfc3339,
    Rfc3339Milliseconds,
    /// RFC 9110 section 5.6.7.
    HttpDate,
    DateTime,
    Compact,
    Basic,
}

/// The distance of a wall clock from UTC, and whether zero is written `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    minutes: i64,
    zulu: bool,
}

impl TimeFormat {
    pub(super) const ALL: [Self; 8] = [
        Self::UnixSeconds,
        Self::UnixMilliseconds,
        Self::Rfc3339,
        Self::Rfc3339Milliseconds,
        Self::HttpDate,
        Self::DateTime,
        Self::Compact,
        Self::Basic,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UnixSeconds => "unix-seconds",
            Self::UnixMilliseconds => "unix-milliseconds",
            Self::Rfc3339 => "rfc3339",
            Self::Rfc3339Milliseconds => "rfc3339-milliseconds",
            Self::HttpDate => "http-date",
            Self::DateTime => "yyyy-MM-dd HH:mm:ss",
            Self::Compact => "yyyyMMddHHmmss",
            Self::Basic => "yyyyMMdd'T'HHmmss'Z'",
        }
    }

    /// Whether an offset changes what is written.
    pub(super) const fn takes_offset(self) -> bool {
        matches!(
            self,
            Self::Rfc3339 | Self::Rfc3339Milliseconds | Self::DateTime | Self::Compact
        )
    }

    pub(super) fn write(self, time: UnixMilliseconds, offset: Offset) -> String {
        let utc = i64::try_from(time.0).unwrap_or(i64::MAX);
        let offset = if self.takes_offset() {
            offset
        } else {
            Offset::UTC
        };
        let local = utc.saturating_add(offset.minutes * 60_000);
        let (days, within) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (hour, minute) = (within / 3_600_000, within / 60_000 % 60);
        let (second, milli) = (within / 1000 % 60, within % 1000);
        match self {
            Self::UnixSeconds => (utc / 1000).to_string(),
            Self::UnixMilliseconds => utc.to_string(),
            Self::Rfc3339 => format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{}",
                offset.written()
            ),
            Self::Rfc3339Milliseconds => format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}{}",
                offset.written()
            ),
            Self::HttpDate => {
                // 1970-01-01 was a Thursday.
                let weekday = WEEKDAYS[usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0)];
                let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
                format!(
                    "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
                )
            }
            Self::DateTime => {
                format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
            }
            Self::Compact => {
                format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
            }
            Self::Basic => {
                format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
            }
        }
    }

    /// The point in time that is written so; `None` if none is. The offset is for the formats that do
    /// not write their own.
    pub(super) fn read(self, text: &[u8], offset: Offset) -> Option<UnixMilliseconds> {
        let text = str::from_utf8(text).ok()?;
        let mut rest = Rest(text);
        let milliseconds = match self {
            Self::UnixSeconds => digits_only(text)?.checked_mul(1000)?,
            Self::UnixMilliseconds => digits_only(text)?,
            Self::Rfc3339 | Self::Rfc3339Milliseconds => {
                let date = rest.date("-")?;
                rest.literal("T")?;
                let mut time = rest.time(":")?;
                if rest.literal(".").is_some() {
                    time += rest.fraction()?;
                }
                let offset = Offset::parse(rest.0)?;
                rest.0 = "";
                date + time - offset.minutes * 60_000
            }
            Self::HttpDate => {
                let weekday = rest.word(3)?;
                rest.literal(", ")?;
                let day = rest.number(2)?;
                rest.literal(" ")?;
                let month = rest.word(3)?;
                let month = MONTHS.iter().position(|name| *name == month)? + 1;
                rest.literal(" ")?;
                let year = rest.number(4)?;
                rest.literal(" ")?;
                let date = days(year, i64::try_from(month).ok()?, day)?;
                let expected = usize::try_from((date + 4).rem_euclid(7)).ok()?;
                let time = rest.time(":")?;
                rest.literal(" GMT")?;
                (WEEKDAYS[expected] == weekday).then_some(date * DAY + time)?
            }
            Self::DateTime => {
                let date = rest.date("-")?;
                rest.literal(" ")?;
                date + rest.time(":")? - offset.minutes * 60_000
            }
            Self::Compact => rest.date("")? + rest.time("")? - offset.minutes * 60_000,
            Self::Basic => {
                let date = rest.date("")?;
                rest.literal("T")?;
                let time = rest.time("")?;
                rest.literal("Z")?;
                date + time
            }
        };
        let whole = matches!(self, Self::UnixSeconds | Self::UnixMilliseconds) || rest.0.is_empty();
        let milliseconds = u64::try_from(milliseconds).ok()?;
        whole.then_some(UnixMilliseconds(milliseconds))
    }
}

impl Offset {
    pub(super) const UTC: Self = Self {
        minutes: 0,
        zulu: true,
    };

    /// `Z`, or `+07:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "Z" {
            return Some(Self::UTC);
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let mut rest = Rest(rest);
        let hours = rest.number(2)?;
        rest.literal(":")?;
        let minutes = rest.number(2)?;
        (rest.0.is_empty() && hours < 24 && minutes < 60).then_some(Self {
            minutes: sign * (hours * 60 + minutes),
            zulu: false,
        })
    }

    fn written(self) -> String {
        if self.zulu {
            return "Z".to_owned();
        }
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let minutes = self.minutes.abs();
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn word(&mut self, length: usize) -> Option<&'a str> {
        let (word, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }

    fn number(&mut self, length: usize) -> Option<i64> {
        digits_only(self.word(length)?)
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Milliseconds to the start of the day.
    fn date(&mut self, separator: &str) -> Option<i64> {
        let year = self.number(4)?;
        self.literal(separator)?;
        let month = self.number(2)?;
        self.literal(separator)?;
        let day = self.number(2)?;
        Some(days(year, month, day)? * DAY)
    }

    /// Milliseconds since the start of the day.
    fn time(&mut self, separator: &str) -> Option<i64> {
        let hour = self.number(2)?;
        self.literal(separator)?;
        let minute = self.number(2)?;
        self.literal(separator)?;
        let second = self.number(2)?;
        // A leap second is written as 60.
        (hour < 24 && minute < 60 && second <= 60)
            .then_some((hour * 3600 + minute * 60 + second) * 1000)
    }

    /// Up to nine digits of a second; what is finer than a millisecond is left out.
    fn fraction(&mut self) -> Option<i64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit())?;
        let digits = self.word(end)?;
        let padded = format!("{digits:0<3}");
        (1..=9).contains(&digits.len()).then_some(())?;
        digits_only(padded.get(..3)?)
    }
}

fn digits_only(text: &str) -> Option<i64> {
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level
/// date algorithms").
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The other way; `None` if there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

const DAY: i64 = 86_400_000;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(super) fn time_format(item: &Item<'_>) -> Result<TimeFormat, SchemeError> {
    let text = item.text()?;
    let found = TimeFormat::ALL.into_iter().find(|one| one.name() == text);
    found.ok_or_else(|| {
        let names = TimeFormat::ALL.map(TimeFormat::name).join(", ");
        item.refuse(
            "WRONG_VALUE",
            format!("expected one of {names}; found {text:?}"),
        )
    })
}

pub(super) fn time_offset(
    item: Option<Item<'_>>,
    format: TimeFormat,
) -> Result<Offset, SchemeError> {
    let Some(item) = item else {
        return Ok(Offset::UTC);
    };
    let text = item.text()?;
    if !format.takes_offset() {
        let message = format!("{} has no offset", format.name());
        return Err(item.refuse("WRONG_VALUE", message));
    }
    Offset::parse(text).ok_or_else(|| {
        let message = format!("expected Z, or an offset such as +07:00; found {text:?}");
        item.refuse("WRONG_VALUE", message)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values by GNU `date`.
    #[test]
    fn each_format_is_written_and_read() {
        let offset = Offset::parse("+07:00").unwrap();
        for (format, offset, written) in [
            (TimeFormat::UnixSeconds, offset, "1737023456"),
            (TimeFormat::UnixMilliseconds, offset, "1737023456789"),
            (TimeFormat::Rfc3339, offset, "2025-01-16T17:30:56+07:00"),
            (TimeFormat::Rfc3339, Offset::UTC, "2025-01-16T10:30:56Z"),
            (
                TimeFormat::Rfc3339Milliseconds,
                offset,
                "2025-01-16T17:30:56.789+07:00",
            ),
            (
                TimeFormat::HttpDate,
                offset,
                "Thu, 16 Jan 2025 10:30:56 GMT",
            ),
            (TimeFormat::DateTime, offset, "2025-01-16 17:30:56"),
            (TimeFormat::Compact, offset, "20250116173056"),
            (TimeFormat::Basic, offset, "20250116T103056Z"),
        ] {
            assert_eq!(
                format.write(UnixMilliseconds(1_737_023_456_789), offset),
                written
            );
            let read = format.read(written.as_bytes(), offset).unwrap();
            assert_eq!(read.0 / 1000, 1_737_023_456, "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (format, text) in [
            (TimeFormat::UnixSeconds, ""),
            (TimeFormat::UnixSeconds, "+1"),
            (TimeFormat::UnixSeconds, "99999999999999999999"),
            (TimeFormat::UnixSeconds, "9223372036854775807"),
            (TimeFormat::Rfc3339, "2025-02-29T00:00:00Z"),
            (TimeFormat::Rfc3339, "2025-01-16T24:00:00Z"),
            (TimeFormat::Rfc3339, "2025-01-16T17:30:56"),
            (TimeFormat::Rfc3339, "2025-01-16T17:30:56+0700"),
            (TimeFormat::Rfc3339, "1969-12-31T23:59:59Z"),
            (TimeFormat::Compact, "20250116173056 "),
            (TimeFormat::HttpDate, "Fri, 16 Jan 2025 10:30:56 GMT"),
        ] {
            assert_eq!(format.read(text.as_bytes(), Offset::UTC), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..200_000_000_000, index in 0..8_usize) {
            let (format, time) = (TimeFormat::ALL[index], UnixMilliseconds(seconds * 1000));
            let written = format.write(time, Offset::UTC);
            prop_assert_eq!(format.read(written.as_bytes(), Offset::UTC), Some(time));
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..40), at in any::<u64>(), index in 0..8_usize) {
            let _ = TimeFormat::ALL[index].read(&text, Offset::UTC);
            let _ = TimeFormat::ALL[index].write(UnixMilliseconds(at), Offset::UTC);
        }
    }
}
