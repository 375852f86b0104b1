//! What one measurement gives: how many operations in what time, and how long each took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    /// Of each call, in nanoseconds.
    latencies: Vec<u64>,
}

/// How soon one call follows the one before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// At once.
    BackToBack,
    /// After a rest, so that everything has gone to sleep.
    Resting,
}

impl Pace {
    pub(crate) const fn pause(self) -> Option<Duration> {
        match self {
            Self::BackToBack => None,
            Self::Resting => Some(Duration::from_millis(3)),
        }
    }
}

impl Sample {
    /// Nothing yet.
    pub(crate) fn start() -> Self {
        Self {
            latencies: Vec::with_capacity(1 << 16),
            ..Self::default()
        }
    }

    /// Counts a call that did so many operations.
    pub(crate) fn took(&mut self, time: Duration, operations: u64) {
        self.operations += operations;
        self.latencies
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Of those that ran side by side.
    pub(crate) fn sum(samples: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for sample in samples {
            sum.operations += sample.operations;
            sum.seconds = sum.seconds.max(sample.seconds);
            sum.latencies.extend(sample.latencies);
        }
        sum
    }

    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// The latency that so much of the calls stayed under, in microseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
        sorted
            .get(index)
            .map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1000.0)
    }
}

/// The middle, the least and the most of several.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self {
            median,
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}
