//! The longest free time of each therapist's days: a byte each.

use crate::clock::{DAY, Minute};
use crate::rows::Rows;

/// Free time in fives of minutes, rounded up, by days counted from the epoch. Most days that are too full for a session
/// are told by this alone.
#[derive(Debug)]
pub(crate) struct Rooms(Rows);

impl Rooms {
    pub(crate) fn starting(first: Minute) -> Self {
        Self(Rows::starting(first))
    }

    /// Writes down the longest free minutes of days from `day` on.
    pub(crate) fn set(&mut self, number: u32, day: Minute, longest: &[Minute]) {
        let room = |minutes: &Minute| u8::try_from(minutes.div_ceil(5)).unwrap_or(u8::MAX);
        self.0.set(number, day, longest.iter().map(room));
    }

    /// Forgets the days before `first`.
    pub(crate) fn forget(&mut self, first: Minute) {
        self.0.forget(first);
    }

    /// Forgets all days of a therapist.
    pub(crate) fn clear(&mut self, number: u32) {
        self.0.clear(number);
    }

    /// The days that `[from, to)` touches and that have room for so many minutes, as far as they tell.
    pub(crate) fn days(
        &self,
        number: u32,
        range: (Minute, Minute),
        needed: Minute,
    ) -> impl Iterator<Item = Minute> + '_ {
        let (first, days) = self.block(number as usize / 64, range);
        let has_room = move |day: &[u8; 64]| u32::from(day[number as usize % 64]) * 5 >= needed;
        (first..).zip(days).filter(move |(_, day)| has_room(day)).map(|(day, _)| day)
    }

    /// Which of 64 numbers have such a day.
    pub(crate) fn with_room(&self, block: usize, range: (Minute, Minute), needed: Minute) -> u64 {
        let (_, days) = self.block(block, range);
        let mut most = [0_u8; 64];
        for day in days {
            for (most, room) in most.iter_mut().zip(day) {
                *most = (*most).max(*room);
            }
        }
        let has_room = |most: u8| u64::from(u32::from(most) * 5 >= needed);
        (0..).zip(most).fold(0, |known, (bit, most)| known | has_room(most) << bit)
    }

    fn block(&self, block: usize, (from, to): (Minute, Minute)) -> (Minute, &[[u8; 64]]) {
        self.0.block(block, (from / DAY, to.div_ceil(DAY)))
    }
}
