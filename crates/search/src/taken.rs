//! What is taken of one therapist's time: sessions, packed small, and holds.

use std::collections::HashMap;
use std::fmt;

use calendar::{Admitted, HeldSession, Span};
use chrono::{DateTime, Utc};

use crate::clock::{DAY, Minute, outward, span};
use crate::{Booked, Hold};

/// What must not be met (D5), as a session carries it: the hash that the caller gives. It is kept as it is, and goes with
/// the session: whoever changes their tags as often as they like leaves nothing behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub [u8; 16]);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag")
    }
}

/// A minute, counted from its record's first and so near enough for 21 bits, and 11 bits beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed(u32);

impl Packed {
    pub(crate) const BESIDE: u32 = (1 << 11) - 1;
    const LATEST: u32 = (1 << 21) - 1;

    pub(crate) fn new(minute: Minute, beside: u32) -> Option<Self> {
        (minute <= Self::LATEST && beside <= Self::BESIDE).then_some(Self(minute << 11 | beside))
    }

    pub(crate) fn minute(self) -> Minute {
        self.0 >> 11
    }

    pub(crate) fn beside(self) -> u32 {
        self.0 & Self::BESIDE
    }
}

/// The lengths of a session and its buffers, and its load weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    before: u16,
    duration: u16,
    after: u16,
    weight: u32,
}

impl Shape {
    fn whole(self) -> Minute {
        Minute::from(self.before) + Minute::from(self.duration) + Minute::from(self.after)
    }
}

/// What sessions look like: interned, because therapists resemble each other.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    numbers: HashMap<Shape, u32>,
    all: Vec<Shape>,
}

impl Shapes {
    /// The number of the shape of a session, if it has one that can be packed.
    fn number(&mut self, held: &Held) -> Option<u32> {
        let length = |minutes: Option<Minute>| u16::try_from(minutes?).ok();
        let shape = Shape {
            before: length(held.session.0.checked_sub(held.busy.0))?,
            duration: length(held.session.1.checked_sub(held.session.0))?,
            after: length(held.busy.1.checked_sub(held.session.1))?,
            weight: held.weight,
        };
        // A single long one would make every look at the others longer.
        if shape.whole() > DAY {
            return None;
        }
        if let Some(number) = self.numbers.get(&shape) {
            return Some(*number);
        }
        let number = u32::try_from(self.all.len()).ok().filter(|number| *number <= Packed::BESIDE)?;
        self.numbers.insert(shape, number);
        self.all.push(shape);
        Some(number)
    }
}

/// A session in minutes: the order is that of the time it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    /// With its buffers.
    pub(crate) busy: (Minute, Minute),
    /// Without them.
    pub(crate) session: (Minute, Minute),
    pub(crate) weight: u32,
}

impl Held {
    fn new(booked: &Booked) -> Self {
        let &Booked { time: Admitted { session, busy }, weight, tags: _ } = booked;
        Self { busy: outward(busy), session: outward(session), weight }
    }

    /// As limits count it.
    pub(crate) fn counted(self) -> Option<HeldSession> {
        Some(HeldSession { span: span(self.session)?, load_weight: self.weight })
    }
}

/// How taken time is read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) shapes: &'a Shapes,
    /// When holds have to be live to count; without it none does.
    pub(crate) now: Option<DateTime<Utc>>,
    /// B4: what is being moved, which counts as free.
    pub(crate) moving: Option<(Minute, Minute)>,
}

impl<'a> View<'a> {
    /// What is booked, and nothing else.
    pub(crate) fn booked(shapes: &'a Shapes) -> Self {
        Self { shapes, now: None, moving: None }
    }
}

/// What is taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What packed minutes count from; nothing that ended before it is known.
    since: Minute,
    /// The longest that is packed.
    longest: Minute,
    /// Sessions that are not given up: the start of the buffer before, and the number of a shape. Sorted.
    booked: Vec<Packed>,
    /// What most therapists have nothing of at most times, so that it takes them no room.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Default)]
struct Rare {
    /// Holds with their expiry, and sessions that cannot be packed without one.
    aside: Vec<(Held, Option<DateTime<Utc>>)>,
    /// What sessions carry, by time. Sorted.
    tagged: Vec<Tagged>,
}

/// A session, known by its time, carries a tag (D5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tagged {
    busy: (Minute, Minute),
    tag: Tag,
}

impl Taken {
    /// Nothing is taken yet.
    pub(crate) fn starting(since: Minute) -> Self {
        Self { since, ..Self::default() }
    }

    /// Forgets what ended before `since`.
    pub(crate) fn forget(&mut self, since: Minute) {
        let Some(gone) = since.checked_sub(self.since).filter(|gone| *gone > 0) else { return };
        // One that started before has ended by now: it lasts a day at most, and `since` is a day ago.
        let kept = self
            .booked
            .iter()
            .filter_map(|packed| Packed::new(packed.minute().checked_sub(gone)?, packed.beside()));
        self.booked = kept.collect();
        self.retain(|(held, _)| held.busy.1 > since, |tagged| tagged.busy.1 > since);
        self.since = since;
    }

    /// Takes the time of many sessions.
    pub(crate) fn book_all(&mut self, sessions: &[Booked], shapes: &mut Shapes) {
        self.booked.reserve_exact(sessions.len());
        for session in sessions {
            self.book(session, shapes);
        }
        self.booked.shrink_to_fit();
    }

    /// Takes the time of a session, once; a hold of the same time is done with.
    pub(crate) fn book(&mut self, session: &Booked, shapes: &mut Shapes) {
        let held = Held::new(session);
        self.retain(|(known, expiry)| known.busy != held.busy || expiry.is_none(), |_| true);
        if held.busy.1 <= self.since || self.is_booked(held.busy, shapes) {
            return;
        }
        self.tag(held.busy, &session.tags);
        let packed = held.busy.0.checked_sub(self.since).and_then(|minute| {
            let number = shapes.number(&held)?;
            Packed::new(minute, number)
        });
        let Some(packed) = packed else {
            self.rare().aside.push((held, None));
            return;
        };
        self.longest = self.longest.max(held.busy.1 - held.busy.0);
        let index = self.booked.partition_point(|known| *known < packed);
        if self.booked.len() == self.booked.capacity() {
            // Doubling would cost more memory than it saves time.
            self.booked.reserve_exact(8);
        }
        self.booked.insert(index, packed);
    }

    /// Takes the time of a session until `expiry`, unless it is booked.
    pub(crate) fn hold(&mut self, Hold { booked, expiry }: &Hold, shapes: &Shapes) {
        let held = Held::new(booked);
        if !self.is_booked(held.busy, shapes) {
            self.tag(held.busy, &booked.tags);
            let aside = &mut self.rare().aside;
            aside.retain(|(known, _)| known.busy != held.busy);
            aside.push((held, Some(*expiry)));
        }
    }

    /// Gives the time of a session back, held or booked.
    pub(crate) fn release(&mut self, busy: Span, shapes: &Shapes) {
        let busy = outward(busy);
        self.retain(|(known, _)| known.busy != busy, |tagged| tagged.busy != busy);
        let Self { since, booked, .. } = self;
        booked.retain(|packed| unpacked(*packed, *since, shapes).busy != busy);
    }

    /// Lets go of holds that have expired.
    pub(crate) fn sweep(&mut self, now: DateTime<Utc>) {
        self.retain(|(_, expiry)| expiry.is_none_or(|expiry| expiry > now), |_| true);
    }

    /// What is taken of `[from, to)` by sessions that carry one of `tags`.
    pub(crate) fn sharing<'a>(
        &'a self,
        range: (Minute, Minute),
        view: View<'a>,
        tags: &'a [Tag],
    ) -> impl Iterator<Item = Held> + 'a {
        let tagged = self.rare.as_ref().map_or(&[][..], |rare| rare.tagged.as_slice());
        self.held(range, view).filter(move |held| {
            let first = tagged.partition_point(|tagged| tagged.busy < held.busy);
            let own = tagged[first..].iter().take_while(|tagged| tagged.busy == held.busy);
            own.into_iter().any(|tagged| tags.contains(&tagged.tag))
        })
    }

    /// Writes down what the session at a time carries.
    fn tag(&mut self, busy: (Minute, Minute), tags: &[Tag]) {
        if tags.is_empty() && self.rare.is_none() {
            return;
        }
        let tagged = &mut self.rare().tagged;
        let first = tagged.partition_point(|tagged| tagged.busy < busy);
        let before = tagged[first..].partition_point(|tagged| tagged.busy == busy);
        tagged.splice(first..first + before, tags.iter().map(|tag| Tagged { busy, tag: *tag }));
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Keeps of what is rare what these say.
    fn retain(
        &mut self,
        aside: impl Fn(&(Held, Option<DateTime<Utc>>)) -> bool,
        tagged: impl Fn(&Tagged) -> bool,
    ) {
        let Some(rare) = &mut self.rare else { return };
        rare.aside.retain(aside);
        rare.tagged.retain(tagged);
        if rare.aside.is_empty() && rare.tagged.is_empty() {
            self.rare = None;
        }
    }

    fn is_booked(&self, busy: (Minute, Minute), shapes: &Shapes) -> bool {
        self.held((busy.0, busy.1.max(busy.0 + 1)), View::booked(shapes)).any(|held| held.busy == busy)
    }

    /// What is taken of `[from, to)`, by start: sessions, and holds that count.
    pub(crate) fn held<'a>(
        &'a self,
        (from, to): (Minute, Minute),
        view: View<'a>,
    ) -> impl Iterator<Item = Held> + 'a {
        let View { shapes, now, moving } = view;
        let mut aside: Vec<Held> = Vec::new();
        if let Some(rare) = &self.rare {
            let counts = |expiry: &Option<DateTime<Utc>>| {
                expiry.is_none_or(|expiry| now.is_some_and(|now| expiry > now))
            };
            let counting = rare.aside.iter().filter(|(held, expiry)| held.busy.1 > from && counts(expiry));
            aside.extend(counting.map(|(held, _)| *held));
            aside.sort_unstable();
        }
        let nearest = from.saturating_sub(self.since).saturating_sub(self.longest);
        let first = self.booked.partition_point(|packed| packed.minute() < nearest);
        let since = self.since;
        let mut booked =
            self.booked[first..].iter().map(move |packed| unpacked(*packed, since, shapes)).peekable();
        let mut aside = aside.into_iter().peekable();
        std::iter::from_fn(move || match (booked.peek(), aside.peek()) {
            (Some(a), Some(b)) if a.busy > b.busy => aside.next(),
            (Some(_), _) => booked.next(),
            (None, _) => aside.next(),
        })
        .take_while(move |held| held.busy.0 < to)
        .filter(move |held| moving != Some(held.busy))
    }
}

fn unpacked(packed: Packed, since: Minute, shapes: &Shapes) -> Held {
    let Shape { before, duration, after, weight } = shapes.all[packed.beside() as usize];
    let from = since + packed.minute();
    let start = from + Minute::from(before);
    let end = start + Minute::from(duration);
    Held { busy: (from, end + Minute::from(after)), session: (start, end), weight }
}
