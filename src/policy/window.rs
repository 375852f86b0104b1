//! When a rule holds: from one instant to another, at some hours of some days, on a clock at a fixed distance from UTC.

use std::fmt;

use serde::Deserialize;

use crate::scheme::UnixMilliseconds;

/// The times at which a rule holds; whatever is not said does not limit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    not_before: Option<Instant>,
    not_after: Option<Instant>,
    hours: Option<Hours>,
    days: Option<Days>,
    zone: Zone,
}

/// An instant, RFC 3339: `2026-12-31T23:59:59Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Instant(UnixMilliseconds);

/// From one minute of the day to before another; past midnight if the second is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hours {
    from: u16,
    to: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Days of the week, a bit each, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Days(u8);

/// The distance of the rule's clock from UTC, in minutes, east being more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Zone(i16);

/// What a rule says of time.
pub(super) struct Times {
    pub(super) not_before: Option<Instant>,
    pub(super) not_after: Option<Instant>,
    pub(super) hours: Option<Hours>,
    pub(super) days: Option<Vec<Day>>,
    pub(super) zone: Option<Zone>,
}

/// Times that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidWindow {
    #[error("the list is empty; expected at least one entry")]
    NoDay,
    #[error("it is not later than not_before, so the rule would never hold")]
    Backwards,
    #[error("it is for the entries hours and days, and the rule has neither; leave it out")]
    IdleZone,
}

impl Window {
    /// `None` if the rule always holds.
    pub(super) fn new(times: Times) -> Result<Option<Self>, InvalidWindow> {
        let Times {
            not_before,
            not_after,
            hours,
            days,
            zone,
        } = times;
        if days.as_ref().is_some_and(Vec::is_empty) {
            return Err(InvalidWindow::NoDay);
        }
        if let (Some(from), Some(to)) = (not_before, not_after)
            && to <= from
        {
            return Err(InvalidWindow::Backwards);
        }
        if zone.is_some() && hours.is_none() && days.is_none() {
            return Err(InvalidWindow::IdleZone);
        }
        let days = days.map(|days| Days(days.iter().fold(0, |set, day| set | 1 << *day as u8)));
        let limited =
            not_before.is_some() || not_after.is_some() || hours.is_some() || days.is_some();
        Ok(limited.then_some(Self {
            not_before,
            not_after,
            hours,
            days,
            zone: zone.unwrap_or_default(),
        }))
    }

    /// Whether the rule holds then. Both ends are part of the time between `not_before` and `not_after`, as in a
    /// certificate; hours end before the minute that is their end.
    pub(super) fn contains(&self, now: UnixMilliseconds) -> bool {
        if self.not_before.is_some_and(|from| now < from.0)
            || self.not_after.is_some_and(|to| now > to.0)
        {
            return false;
        }
        let minutes =
            i64::try_from(now.0 / 60_000).unwrap_or(i64::MAX / 2) + i64::from(self.zone.0);
        let (day, minute) = (minutes.div_euclid(DAY), minutes.rem_euclid(DAY));
        let on = |day| self.days.is_none_or(|days| days.contains(day));
        match self.hours {
            None => on(day),
            Some(Hours { from, to }) => {
                let (from, to) = (i64::from(from), i64::from(to));
                if from < to {
                    on(day) && (from..to).contains(&minute)
                } else {
                    // Hours past midnight belong to the day on which they begin.
                    (minute >= from && on(day)) || (minute < to && on(day - 1))
                }
            }
        }
    }

    /// Whether it will never hold again.
    pub(super) fn is_over(&self, now: UnixMilliseconds) -> bool {
        self.not_after.is_some_and(|to| now > to.0)
    }
}

impl Days {
    /// Of a day counted since 1970-01-01, a Thursday.
    const fn contains(self, day: i64) -> bool {
        self.0 & (1 << (day + 3).rem_euclid(7)) != 0
    }
}

impl TryFrom<String> for Instant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        UnixMilliseconds::from_rfc3339(&text)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "{:?} is no point in time: expected RFC 3339, such as \"2026-12-31T23:59:59Z\"",
                    shown(&text)
                )
            })
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (clock(from)?, clock(to)?);
            (from < 24 * 60 && from != to).then_some(Self { from, to })
        };
        read().ok_or_else(|| {
            format!(
                "{:?} are no hours: expected two different times of 00:00 to 24:00, such as \"08:00-18:00\"",
                shown(&text)
            )
        })
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (sign, rest) = match text.as_bytes().first()? {
                b'+' => (1, &text[1..]),
                b'-' => (-1, &text[1..]),
                _ => return (text == "Z").then_some(Self(0)),
            };
            let minutes = i16::try_from(clock(rest)?).ok()?;
            (minutes < 24 * 60).then_some(Self(sign * minutes))
        };
        read().ok_or_else(|| {
            format!(
                "{:?} is no time zone: expected Z or a fixed distance from UTC, such as \"+07:00\"",
                shown(&text)
            )
        })
    }
}

/// Minutes of `hh:mm`, up to 24:00.
fn clock(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    let digits = bytes.len() == 5
        && bytes[2] == b':'
        && [0, 1, 3, 4]
            .iter()
            .all(|place| bytes[*place].is_ascii_digit());
    if !digits {
        return None;
    }
    let (hours, minutes): (u16, u16) = (text[..2].parse().ok()?, text[3..].parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(Instant(from)) = self.not_before {
            parts.push(format!("from {}", from.to_rfc3339()));
        }
        if let Some(Instant(to)) = self.not_after {
            parts.push(format!("until {}", to.to_rfc3339()));
        }
        if let Some(Days(days)) = self.days {
            let named = NAMES
                .iter()
                .zip(0..)
                .filter(|(_, bit)| days & (1 << bit) != 0);
            parts.push(named.map(|(name, _)| *name).collect::<Vec<_>>().join(" "));
        }
        if let Some(Hours { from, to }) = self.hours {
            let (a, b, c, d) = (from / 60, from % 60, to / 60, to % 60);
            parts.push(format!("{a:02}:{b:02}-{c:02}:{d:02}"));
        }
        if self.hours.is_some() || self.days.is_some() {
            parts.push(match self.zone.0 {
                0 => "UTC".to_owned(),
                minutes => {
                    let (sign, distance) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
                    format!("UTC{sign}{:02}:{:02}", distance / 60, distance % 60)
                }
            });
        }
        formatter.write_str(&parts.join(" "))
    }
}

const DAY: i64 = 24 * 60;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        #[derive(Deserialize)]
        struct Raw {
            not_before: Option<Instant>,
            not_after: Option<Instant>,
            hours: Option<Hours>,
            days: Option<Vec<Day>>,
            time_zone: Option<Zone>,
        }
        let raw: Raw = toml::from_str(text).unwrap();
        let times = Times {
            not_before: raw.not_before,
            not_after: raw.not_after,
            hours: raw.hours,
            days: raw.days,
            zone: raw.time_zone,
        };
        Window::new(times).unwrap().unwrap()
    }

    fn holds(window: &Window, at: &str) -> bool {
        window.contains(UnixMilliseconds::from_rfc3339(at).unwrap())
    }

    /// By `date -d`: 2026-11-20 was a Friday.
    #[test]
    fn office_hours_are_those_of_the_rules_clock() {
        let office = window(
            "hours = \"08:00-18:00\"\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]\ntime_zone = \"+07:00\"",
        );
        for (at, expected) in [
            ("2026-11-20T00:59:59.999Z", false),
            ("2026-11-20T01:00:00Z", true),
            ("2026-11-20T08:00:00+07:00", true),
            ("2026-11-20T10:59:59.999Z", true),
            ("2026-11-20T11:00:00Z", false),
            ("2026-11-21T03:00:00Z", false),
            ("2026-11-22T03:00:00Z", false),
            // Monday in Jakarta, Sunday in London.
            ("2026-11-23T08:30:00+07:00", true),
            ("1970-01-01T08:00:00+07:00", true),
        ] {
            assert_eq!(holds(&office, at), expected, "{at}");
        }
        assert_eq!(
            office.to_string(),
            "mon tue wed thu fri 08:00-18:00 UTC+07:00"
        );
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_begin() {
        let night = window("hours = \"22:00-06:00\"\ndays = [\"fri\"]");
        for (at, expected) in [
            ("2026-11-20T05:00:00Z", false),
            ("2026-11-20T21:59:59Z", false),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-21T05:59:59Z", true),
            ("2026-11-21T06:00:00Z", false),
            ("2026-11-21T22:00:00Z", false),
        ] {
            assert_eq!(holds(&night, at), expected, "{at}");
        }
        let end = window("hours = \"12:00-24:00\"\ntime_zone = \"-03:30\"");
        assert!(holds(&end, "2026-11-20T23:59:59-03:30"));
        assert!(!holds(&end, "2026-11-21T00:00:00-03:30"));
    }

    #[test]
    fn both_ends_of_a_validity_are_in_it() {
        let term = window(
            "not_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2026-12-31T23:59:59+01:00\"",
        );
        for (at, expected) in [
            ("2025-12-31T23:59:59.999Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-12-31T22:59:59Z", true),
            ("2026-12-31T22:59:59.001Z", false),
        ] {
            assert_eq!(holds(&term, at), expected, "{at}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "8:00-18:00",
            "08:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:60-09:00",
            "08:00-24:01",
            "08.00-09.00",
            "é:00-09:00",
        ] {
            assert!(Hours::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in [
            "",
            "z",
            "+7",
            "+07",
            "07:00",
            "+24:00",
            "Asia/Jakarta",
            "é07:00",
        ] {
            assert!(Zone::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in [
            "2026-01-01",
            "2026-02-30T00:00:00Z",
            "2026-01-01T00:00:00",
            "now",
        ] {
            assert!(Instant::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
