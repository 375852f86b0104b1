//! Pages of the log, from either end: what was looked at, and which records are left to look at.

use std::ops::Range;

use crate::audit::{Filter, ReadError, Reader, Record, filter::Sieve};

/// From which end records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By number.
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// Some records, and what is left.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What was found, with their lines, in the order that was asked for.
    pub records: Vec<(Record, String)>,
    /// The numbers that were not looked at; empty at the end.
    pub rest: Range<u64>,
}

impl Reader {
    /// At most `most` of the records with these numbers that pass a filter. Where few do, it is given up before all
    /// have been looked at, and there may be none in the page, and some in the rest.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`ReadError::Removed`] also if records of the range are not there any more.
    pub fn list(
        &self,
        range: Range<u64>,
        order: Order,
        filter: &Filter,
        most: usize,
    ) -> Result<Listing, ReadError> {
        let listed = match order {
            Order::OldestFirst => self.forward(range.clone(), filter, most, MOST_BYTES),
            Order::NewestFirst => self.backward(range.clone(), filter, most),
        };
        // Also if they were removed while they were read.
        let first = self.first()?;
        if !range.is_empty() && range.start < first {
            let index = range.start;
            return Err(ReadError::Removed { index, first });
        }
        listed
    }

    fn forward(
        &self,
        range: Range<u64>,
        filter: &Filter,
        most: usize,
        most_bytes: usize,
    ) -> Result<Listing, ReadError> {
        let mut listing = Listing {
            records: Vec::new(),
            rest: range.clone(),
        };
        if range.is_empty() {
            return Ok(listing);
        }
        let Some(mut follower) = self.follow(range.start)? else {
            listing.rest.start = range.end;
            return Ok(listing);
        };
        let mut sieve = Sieve::new(self, filter);
        let mut bytes = 0;
        while listing.rest.start < range.end
            && listing.rest.start - range.start < PATIENCE
            && listing.records.len() < most
            && bytes < most_bytes
        {
            let Some(followed) = follower.read()? else {
                listing.rest.start = range.end;
                break;
            };
            listing.rest.start = followed.record.sequence + 1;
            if sieve.takes(&followed.record)? {
                bytes += followed.line.len();
                let line = String::from_utf8_lossy(followed.line).into_owned();
                listing.records.push((followed.record, line));
            }
        }
        Ok(listing)
    }

    /// In stretches that are each read forward: only so is it seen that each record follows the one before it.
    fn backward(
        &self,
        range: Range<u64>,
        filter: &Filter,
        most: usize,
    ) -> Result<Listing, ReadError> {
        let mut listing = Listing {
            records: Vec::new(),
            rest: range.clone(),
        };
        let mut bytes = 0;
        while !listing.rest.is_empty()
            && range.end - listing.rest.end < PATIENCE
            && listing.records.len() < most
            && bytes < MOST_BYTES
        {
            let end = listing.rest.end;
            let begin = end.saturating_sub(STRETCH).max(range.start);
            let stretch = self.forward(begin..end, filter, usize::MAX, usize::MAX)?;
            for (record, line) in stretch.records.into_iter().rev() {
                if listing.records.len() == most || bytes >= MOST_BYTES {
                    return Ok(listing);
                }
                bytes += line.len();
                listing.rest.end = record.sequence;
                listing.records.push((record, line));
            }
            listing.rest.end = begin;
        }
        Ok(listing)
    }
}

/// How many records are looked at for one page.
const PATIENCE: u64 = 20_000;
/// How many are read forward at a time.
const STRETCH: u64 = 256;
/// A page ends with the record that makes it larger.
const MOST_BYTES: usize = 1 << 20;
