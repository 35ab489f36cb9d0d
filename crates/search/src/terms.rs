//! What therapists are asked for by: terms, who carries them, and until when.

use std::collections::{BTreeMap, HashMap};

use crate::members::{Members, Wide};

/// What a term is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// A slug of the vocabulary (D2).
    Specialization,
    /// A BCP 47 tag.
    Language,
    /// As given.
    Gender,
    /// A slug, such as that of EMDR.
    Approach,
    /// A slug.
    CulturalCompetence,
    /// Where a credential holds, an ISO 3166 code; until the credential ends.
    Jurisdiction,
    /// What must not be met (D5), such as a hospital, of therapists who work for it. The caller gives a keyed hash; nothing
    /// here knows what it stands for. Sessions carry [`Tag`](crate::Tag)s.
    ExclusionTag,
    /// A word of what the therapist says, or is called; see [`Index::like`](crate::Index::like).
    Word,
}

/// A value of a facet that some therapist carries, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u32);

/// The term of whoever has a credential; no facet has it.
pub(crate) const VERIFIED: Term = Term(0);

/// Every term, and who carries it.
#[derive(Debug)]
pub(crate) struct Terms {
    numbers: HashMap<Facet, BTreeMap<Box<str>, Term>>,
    members: Vec<Members>,
    /// Whose term ends with which day; those past are still among its members.
    until: BTreeMap<(Term, i32), Members>,
}

impl Terms {
    pub(crate) fn new() -> Self {
        Self { numbers: HashMap::new(), members: vec![Members::default()], until: BTreeMap::new() }
    }

    pub(crate) fn intern(&mut self, facet: Facet, value: &str) -> Term {
        let known = self.numbers.entry(facet).or_default();
        if let Some(term) = known.get(value) {
            return *term;
        }
        let term = Term(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        known.insert(value.into(), term);
        self.members.push(Members::default());
        term
    }

    pub(crate) fn get(&self, facet: Facet, value: &str) -> Option<Term> {
        self.numbers.get(&facet)?.get(value).copied()
    }

    pub(crate) fn of(&self, facet: Facet) -> impl Iterator<Item = (&str, Term)> {
        self.numbers.get(&facet).into_iter().flatten().map(|(value, term)| (&**value, *term))
    }

    pub(crate) fn values(&self, facet: Facet) -> Option<&BTreeMap<Box<str>, Term>> {
        self.numbers.get(&facet)
    }

    pub(crate) fn insert(&mut self, term: Term, number: u32) {
        self.members[term.0 as usize].insert(number);
    }

    pub(crate) fn remove(&mut self, term: Term, number: u32) {
        self.members[term.0 as usize].remove(number);
    }

    /// Carries the term until the end of `day`.
    pub(crate) fn insert_until(&mut self, term: Term, day: i32, number: u32) {
        self.insert(term, number);
        self.until.entry((term, day)).or_default().insert(number);
    }

    pub(crate) fn remove_until(&mut self, term: Term, day: i32, number: u32) {
        self.remove(term, number);
        if let Some(members) = self.until.get_mut(&(term, day)) {
            members.remove(number);
            if members.is_empty() {
                self.until.remove(&(term, day));
            }
        }
    }

    /// Who of `numbers` carries one of the terms on the day `today`.
    pub(crate) fn carrying(&self, terms: &[Term], today: i32, numbers: usize) -> Wide {
        let mut carrying = Wide::none(numbers);
        for term in terms {
            let Some(members) = self.members.get(term.0 as usize) else { continue };
            let mut past = self.until.range((*term, i32::MIN)..(*term, today)).peekable();
            if past.peek().is_none() {
                carrying.add(members);
                continue;
            }
            let mut expired = Wide::none(numbers);
            past.for_each(|(_, members)| expired.add(members));
            let mut held = Wide::none(numbers);
            held.add(members);
            held.keep(&expired, false);
            carrying.join(&held);
        }
        carrying
    }
}
