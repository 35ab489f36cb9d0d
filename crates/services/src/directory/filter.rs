//! Which therapists are wanted (D3), who of them is there, and why (D4).

use std::{collections::HashMap, iter};

use api::v1;
use chrono::{DateTime, NaiveDate, Utc};
use search::{Criterion, Facet, Index};
use store::{
    Modality, Tags, TherapistId, credential, session_type,
    therapist::{Gender, Profile},
};
use vault::Keyring;

use super::{labels, profile};
use crate::{
    crisis,
    error::{Error, Violation},
    exclusions, field,
    listing::Listing,
    vocabulary::{self, LONGEST_QUERY, Term, Vocabulary},
};

/// Who asks for this is told whom to call at once, whatever else is found.
const URGENT: &str = "suicidal-thoughts";

/// More say nothing that fewer do not.
const MOST_WORDS: usize = 10;

/// What is wanted of a therapist; what is empty does not filter.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    specializations: Vec<Wanted>,
    /// All of them, not one of them.
    all: bool,
    urgent: bool,
    languages: Vec<String>,
    modalities: Vec<Modality>,
    jurisdiction: Option<String>,
    genders: Vec<Gender>,
    approaches: Vec<&'static str>,
    competences: Vec<&'static str>,
    words: Vec<Word>,
    therapists: Vec<TherapistId>,
    /// None of which they carry (D5).
    excluded: Tags,
}

/// A word of free text.
#[derive(Debug)]
struct Word {
    /// As typed, folded.
    typed: String,
    /// How many typing errors it may have.
    errors: usize,
    /// The specializations that it may mean by their labels and synonyms, with the narrower ones.
    meant: Vec<&'static str>,
}

/// A specialization asked for, and all that answer it: itself and the narrower ones (D2).
#[derive(Debug)]
struct Wanted {
    asked: &'static str,
    answers: Vec<&'static str>,
}

impl Filter {
    pub(crate) fn parse(keyring: &Keyring, filter: Option<v1::TherapistFilter>) -> Result<Self, Error> {
        let v1::TherapistFilter {
            specializations,
            specialization_match,
            languages,
            modalities,
            jurisdiction,
            genders,
            therapist_ids,
            approaches,
            cultural_competences,
            query,
            exclusion_tags,
        } = filter.unwrap_or_default();
        let (specializations, urgent) = wanted(specializations)?;
        Ok(Self {
            specializations,
            all: all(specialization_match)?,
            urgent,
            languages: field::list(languages, 10, "filter.languages", field::language)?,
            modalities: field::list(modalities, 3, "filter.modalities", field::modality)?,
            jurisdiction: match jurisdiction {
                none if none.is_empty() => None,
                code => Some(field::jurisdiction(code, "filter.jurisdiction")?),
            },
            genders: field::list(genders, 3, "filter.genders", |number, path| {
                profile::gender(number, path)?.ok_or_else(|| field::required(path))
            })?,
            approaches: known(approaches, Vocabulary::get().approaches(), "filter.approaches")?,
            competences: known(
                cultural_competences,
                Vocabulary::get().cultural_competences(),
                "filter.cultural_competences",
            )?,
            words: words_of(query)?,
            therapists: field::list(therapist_ids, 100, "filter.therapist_ids", |id, path| {
                field::id(&id, path)
            })?,
            excluded: exclusions::read(keyring, exclusion_tags, "filter.exclusion_tags")?,
        })
    }

    /// The same for somebody who must not meet these either.
    pub(crate) fn without(self, tags: &Tags) -> Self {
        let excluded = Tags::new(self.excluded.iter().chain(tags.iter()).copied());
        Self { excluded, ..self }
    }

    /// ISO 3166-1 code of where the worker is, if they say.
    pub(crate) fn country(&self) -> Option<&str> {
        self.jurisdiction.as_deref().map(country)
    }

    /// Whether crisis resources go with the answer even if somebody is found (B9).
    pub(crate) fn urgent(&self) -> bool {
        self.urgent
    }

    /// What the index is asked, each with the constraint whose removals it counts, in the contract's order.
    pub(crate) fn criteria(&self, index: &Index) -> Vec<(v1::Constraint, Criterion)> {
        let any = |facet, wanted: &dyn Fn(&str) -> bool| {
            let terms = index.terms(facet).filter(|(value, _)| wanted(value)).map(|(_, term)| term);
            Criterion::Any(terms.collect())
        };
        let mut criteria = Vec::new();
        if !self.specializations.is_empty() {
            let slug = |slug| index.term(Facet::Specialization, slug);
            let wanted = self.specializations.iter().map(|wanted| search::Wanted {
                asked: slug(wanted.asked),
                answers: wanted.answers.iter().filter_map(|answer| slug(answer)).collect(),
            });
            let wanted = Criterion::Specializations { wanted: wanted.collect(), all: self.all };
            criteria.push((v1::Constraint::Specialization, wanted));
        }
        if !self.languages.is_empty() {
            let spoken = |tag: &str| self.languages.iter().any(|range| speaks(tag, range));
            criteria.push((v1::Constraint::Language, any(Facet::Language, &spoken)));
        }
        if !self.modalities.is_empty() {
            let bits = Criterion::Modalities(modality_bits(&self.modalities));
            criteria.push((v1::Constraint::Modality, bits));
        }
        if let Some(place) = &self.jurisdiction {
            let licensed = |code: &str| holds(code, place);
            criteria.push((v1::Constraint::Jurisdiction, any(Facet::Jurisdiction, &licensed)));
        }
        if !self.genders.is_empty() {
            let wanted = |name: &str| self.genders.iter().any(|gender| gender_name(*gender) == name);
            criteria.push((v1::Constraint::Gender, any(Facet::Gender, &wanted)));
        }
        for (constraint, facet, wanted) in [
            (v1::Constraint::Approach, Facet::Approach, &self.approaches),
            (v1::Constraint::CulturalCompetence, Facet::CulturalCompetence, &self.competences),
        ] {
            if !wanted.is_empty() {
                let has = |slug: &str| wanted.contains(&slug);
                criteria.push((constraint, any(facet, &has)));
            }
        }
        for Word { typed, errors, meant } in &self.words {
            let mut terms = index.like(Facet::Word, typed, *errors);
            terms.extend(meant.iter().filter_map(|slug| index.term(Facet::Specialization, slug)));
            criteria.push((v1::Constraint::Query, Criterion::Any(terms)));
        }
        if !self.excluded.is_empty() {
            let tags = exclusions::terms(&self.excluded).into_iter();
            let carried = tags.filter_map(|tag| index.term(Facet::ExclusionTag, &tag));
            criteria.push((v1::Constraint::Exclusion, Criterion::NoneOf(carried.collect())));
        }
        criteria
    }

    /// Whom to look at; everybody if it is empty.
    pub(crate) fn therapists(&self) -> Vec<search::TherapistId> {
        self.therapists.iter().map(|id| search::TherapistId(id.0)).collect()
    }

    /// Why a therapist whom the index found is wanted (D4), unless they changed since.
    pub(crate) fn explain(
        &self,
        listing: &Listing,
        language: &str,
        now: DateTime<Utc>,
    ) -> Option<Vec<v1::MatchReason>> {
        if self.excluded.meet(&listing.exclusion_tags) {
            return None;
        }
        let holding: Vec<_> = listing
            .credentials
            .iter()
            .filter(|credential| credential.expires_on >= today(now))
            .cloned()
            .collect();
        let offered: Vec<_> = listing.offered().cloned().collect();
        let therapist = &listing.therapist;
        let mut reasons = self.judge(&therapist.profile, &holding, &offered, language).ok()?;
        if self.therapists.contains(&therapist.id) {
            let (id, name) = (therapist.id.to_string(), therapist.profile.display_name.clone());
            reasons.push(reason(v1::Criterion::Therapist, &id, name, &id));
        }
        if reasons.is_empty() {
            let taxonomy_code = &holding.first()?.taxonomy_code;
            reasons.push(plain_reason(v1::Criterion::Verified, taxonomy_code, language));
        }
        Some(reasons)
    }

    /// Why the therapist is wanted, or the first constraint that says they are not. `credentials` hold today.
    fn judge(
        &self,
        profile: &Profile,
        credentials: &[credential::Model],
        offered: &[session_type::Model],
        language: &str,
    ) -> Result<Vec<v1::MatchReason>, v1::Constraint> {
        let met = self.met(profile).ok_or(v1::Constraint::Specialization)?;
        let mut reasons: Vec<_> = met
            .iter()
            .map(|(wanted, had)| {
                let label = had.label(language).to_owned();
                reason(v1::Criterion::Specialization, &had.slug, label, wanted.asked)
            })
            .collect();

        let spoken = any(&self.languages, |range| {
            let tag = profile.languages.iter().find(|tag| speaks(tag, range))?;
            Some(reason(v1::Criterion::Language, tag, labels::language(tag), range))
        });
        reasons.extend(spoken.ok_or(v1::Constraint::Language)?);

        let held = any(&self.modalities, |wanted| {
            offered.iter().find(|offered| offered.modalities.0.contains(wanted))?;
            let value = modality_name(*wanted);
            let label = labels::modality(*wanted, language).to_owned();
            Some(reason(v1::Criterion::Modality, value, label, value))
        });
        reasons.extend(held.ok_or(v1::Constraint::Modality)?);

        let licensed = any(self.jurisdiction.as_slice(), |place| {
            let codes = || credentials.iter().flat_map(|credential| &credential.jurisdictions.0);
            let code =
                codes().find(|code| *code == place).or_else(|| codes().find(|code| holds(code, place)))?;
            Some(reason(v1::Criterion::Jurisdiction, code, code.clone(), place))
        });
        reasons.extend(licensed.ok_or(v1::Constraint::Jurisdiction)?);

        let gender = any(&self.genders, |wanted| {
            profile.gender.filter(|gender| gender == wanted)?;
            let value = gender_name(*wanted);
            Some(reason(v1::Criterion::Gender, value, labels::gender(*wanted, language).to_owned(), value))
        });
        reasons.extend(gender.ok_or(v1::Constraint::Gender)?);

        let has = |criterion, wanted: &[&str], had: &[String], terms: &[Term]| {
            any(wanted, |slug| {
                let term = terms.iter().find(|term| term.slug == *slug && had.contains(&term.slug))?;
                Some(reason(criterion, slug, term.label(language).to_owned(), slug))
            })
        };
        let terms = Vocabulary::get().approaches();
        let approach = has(v1::Criterion::Approach, &self.approaches, &profile.approaches, terms);
        reasons.extend(approach.ok_or(v1::Constraint::Approach)?);
        let (terms, had) = (Vocabulary::get().cultural_competences(), &profile.cultural_competences);
        let competence = has(v1::Criterion::CulturalCompetence, &self.competences, had, terms);
        reasons.extend(competence.ok_or(v1::Constraint::CulturalCompetence)?);

        let said = if self.words.is_empty() { Vec::new() } else { said(profile) };
        for word in &self.words {
            let found = word.found(&said, profile, language);
            reasons.push(found.ok_or(v1::Constraint::Query)?);
        }

        Ok(reasons)
    }

    /// The specializations asked for that the profile meets, each with its best answer; nothing if too few are met.
    fn met(&self, profile: &Profile) -> Option<Vec<(&Wanted, &'static Term)>> {
        let best = |wanted: &Wanted| {
            let answers =
                profile.specializations.iter().filter(|had| wanted.answers.contains(&had.slug.as_str()));
            let had = answers.max_by_key(|had| (had.slug == wanted.asked, had.years))?;
            Vocabulary::get().specialization(&had.slug)
        };
        let met: Vec<_> =
            self.specializations.iter().filter_map(|wanted| Some((wanted, best(wanted)?))).collect();
        let asked = self.specializations.len();
        let enough = if self.all { met.len() == asked } else { asked == 0 || !met.is_empty() };
        enough.then_some(met)
    }
}

/// Whom to call at once (B9): the country's, then what works everywhere.
pub(crate) fn crisis_resources(country: Option<&str>) -> Vec<v1::CrisisResource> {
    let message = |resource: &crisis::Resource| {
        let kind = match resource.kind {
            crisis::Kind::Emergency => v1::CrisisResourceKind::Emergency,
            crisis::Kind::CrisisLine => v1::CrisisResourceKind::CrisisLine,
            crisis::Kind::Text => v1::CrisisResourceKind::Text,
            crisis::Kind::Chat => v1::CrisisResourceKind::Chat,
            crisis::Kind::HealthcareWorkers => v1::CrisisResourceKind::HealthcareWorkers,
        };
        v1::CrisisResource {
            name: resource.name.clone(),
            kind: kind.into(),
            uri: resource.contact.clone(),
            hours: resource.hours.clone(),
            languages: resource.languages.clone(),
            country_code: resource.country.clone().unwrap_or_default(),
            source_uri: resource.source.clone(),
        }
    };
    crisis::resources(country).into_iter().map(message).collect()
}

/// A reason of a criterion that needs no question to be understood.
pub(crate) fn plain_reason(criterion: v1::Criterion, value: &str, language: &str) -> v1::MatchReason {
    reason(criterion, value, labels::criterion(criterion, language).to_owned(), value)
}

/// The day that decides which credentials hold: the UTC date, so a licence ends with its last day there.
pub(crate) fn today(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive()
}

/// Rows by therapist, in the order they came.
pub(crate) fn by_therapist<T>(
    rows: Vec<T>,
    therapist: impl Fn(&T) -> TherapistId,
) -> HashMap<TherapistId, Vec<T>> {
    let mut grouped: HashMap<_, Vec<T>> = HashMap::new();
    for row in rows {
        grouped.entry(therapist(&row)).or_default().push(row);
    }
    grouped
}

fn wanted(texts: Vec<String>) -> Result<(Vec<Wanted>, bool), Error> {
    const FIELD: &str = "filter.specializations";
    let texts = field::list(texts, 20, FIELD, |text, path| field::text(text, LONGEST_QUERY, path))?;
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut urgent = false;
    for (index, text) in texts.iter().enumerate() {
        let meant = Vocabulary::get().find(text);
        let Some(best) = meant.first() else {
            return Err(Error::invalid(format!("{FIELD}[{index}]"), Violation::UnknownTerm));
        };
        // One reading of what they typed is enough to show a number to call.
        urgent |= meant.iter().any(|meant| meant.slug == URGENT);
        if wanted.iter().all(|known| known.asked != best.slug) {
            let answers = Vocabulary::get().narrower_or_same(best.slug);
            wanted.push(Wanted { asked: best.slug, answers });
        }
    }
    Ok((wanted, urgent))
}

/// Every word that a therapist is called or says, folded.
pub(crate) fn said(profile: &Profile) -> Vec<String> {
    let texts = profile.texts.iter().map(|text| text.text.as_str());
    let all: Vec<_> = iter::once(profile.display_name.as_str()).chain(texts).collect();
    vocabulary::words(&all.join(" "))
}

impl Word {
    /// The word that answers this one, or the specialization that it means.
    fn found(&self, said: &[String], profile: &Profile, language: &str) -> Option<v1::MatchReason> {
        let near = |word: &&String| {
            word.starts_with(&self.typed) || strsim::osa_distance(word, &self.typed) <= self.errors
        };
        let exact = said.iter().find(|word| **word == self.typed);
        if let Some(word) = exact.or_else(|| said.iter().find(near)) {
            return Some(reason(v1::Criterion::Query, word, word.clone(), &self.typed));
        }
        let mut had = profile.specializations.iter().map(|had| had.slug.as_str());
        let term = Vocabulary::get().specialization(had.find(|slug| self.meant.contains(slug))?)?;
        Some(reason(v1::Criterion::Query, &term.slug, term.label(language).to_owned(), &self.typed))
    }
}

/// The telling words of free text.
fn words_of(query: String) -> Result<Vec<Word>, Error> {
    const FIELD: &str = "filter.query";
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let query = field::text(query, LONGEST_QUERY, FIELD)?;
    let typed = vocabulary::typed_words(&query);
    let telling = Vocabulary::get().telling(&typed);
    if telling.len() > MOST_WORDS {
        return Err(Error::invalid(FIELD, Violation::TooMany { most: MOST_WORDS }));
    }
    let word = |typed: &str| {
        let errors = vocabulary::tolerance(typed.chars().count());
        let meant = Vocabulary::get().find(typed).into_iter();
        let meant = meant.flat_map(|found| Vocabulary::get().narrower_or_same(found.slug)).collect();
        Word { typed: typed.to_owned(), errors, meant }
    };
    Ok(telling.into_iter().map(word).collect())
}

/// Slugs of a part of the vocabulary.
fn known(slugs: Vec<String>, terms: &'static [Term], field: &str) -> Result<Vec<&'static str>, Error> {
    field::list(slugs, 20, field, |slug, path| {
        let term = terms.iter().find(|term| term.slug == slug);
        term.map(|term| term.slug.as_str()).ok_or_else(|| Error::invalid(path, Violation::UnknownTerm))
    })
}

fn all(specialization_match: i32) -> Result<bool, Error> {
    match v1::SpecializationMatch::try_from(specialization_match) {
        Ok(v1::SpecializationMatch::All) => Ok(true),
        Ok(v1::SpecializationMatch::Any | v1::SpecializationMatch::Unspecified) => Ok(false),
        Err(_) => Err(field::malformed("filter.specialization_match", "a way to match")),
    }
}

/// The reasons for all that are met of what was asked; none if something was asked and nothing is met.
fn any<T>(asked: &[T], met: impl FnMut(&T) -> Option<v1::MatchReason>) -> Option<Vec<v1::MatchReason>> {
    let reasons: Vec<_> = asked.iter().filter_map(met).collect();
    (asked.is_empty() || !reasons.is_empty()).then_some(reasons)
}

fn reason(criterion: v1::Criterion, value: &str, label: String, asked: &str) -> v1::MatchReason {
    let asked = if asked == value { String::new() } else { asked.to_owned() };
    v1::MatchReason { criterion: criterion.into(), value: value.to_owned(), label, asked }
}

/// Basic filtering of RFC 4647: a range finds its tag and every tag that goes on after it.
fn speaks(tag: &str, range: &str) -> bool {
    let (head, rest) = tag.split_at_checked(range.len()).unwrap_or_default();
    head.eq_ignore_ascii_case(range) && (rest.is_empty() || rest.starts_with('-'))
}

/// Whether a credential for `code` holds at `place`: a country's holds in all of it, and a subdivision's nowhere
/// else, so that a worker who names only their country is offered what holds wherever in it they are.
fn holds(code: &str, place: &str) -> bool {
    code == place || code == country(place)
}

fn country(code: &str) -> &str {
    code.split_once('-').map_or(code, |(country, _)| country)
}

/// A bit for each, as the index has them.
pub(crate) fn modality_bits(modalities: &[Modality]) -> u8 {
    modalities.iter().fold(0, |bits, modality| {
        bits | match modality {
            Modality::Video => 1,
            Modality::Audio => 2,
            Modality::Chat => 4,
        }
    })
}

fn modality_name(modality: Modality) -> &'static str {
    match modality {
        Modality::Video => "video",
        Modality::Audio => "audio",
        Modality::Chat => "chat",
    }
}

pub(crate) fn gender_name(gender: Gender) -> &'static str {
    match gender {
        Gender::Female => "female",
        Gender::Male => "male",
        Gender::NonBinary => "non_binary",
    }
}

#[cfg(test)]
mod tests {
    use store::{CredentialId, List, SessionTypeId, therapist::Specialization};

    use super::*;

    fn asked(filter: v1::TherapistFilter) -> Filter {
        Filter::parse(&Keyring::generate(), Some(filter)).unwrap()
    }

    fn specializations(texts: &[&str]) -> v1::TherapistFilter {
        let specializations = texts.iter().map(|text| (*text).to_owned()).collect();
        v1::TherapistFilter { specializations, ..Default::default() }
    }

    fn therapist(had: &[(&str, u8)]) -> Profile {
        let specializations = had
            .iter()
            .map(|(slug, years)| Specialization { slug: (*slug).to_owned(), years: *years })
            .collect();
        Profile {
            specializations,
            languages: vec!["en".to_owned(), "de-AT".to_owned()],
            gender: Some(Gender::NonBinary),
            approaches: vec!["cbt".to_owned()],
            ..profile::blank()
        }
    }

    fn licensed_in(jurisdictions: &[&str]) -> Vec<credential::Model> {
        vec![credential::Model {
            id: CredentialId::random(),
            therapist_id: TherapistId::random(),
            taxonomy_code: "103TC0700X".to_owned(),
            licence_number: "1".to_owned(),
            jurisdictions: List(jurisdictions.iter().map(|code| (*code).to_owned()).collect()),
            expires_on: NaiveDate::MAX,
            verified: true,
        }]
    }

    fn offers(modalities: &[Modality]) -> Vec<session_type::Model> {
        vec![session_type::Model {
            id: SessionTypeId::random(),
            therapist_id: TherapistId::random(),
            display_name: String::new(),
            duration_minutes: 50,
            buffer_before_minutes: 0,
            buffer_after_minutes: 0,
            grid_interval_minutes: 30,
            grid_offset_minutes: 0,
            modalities: List(modalities.to_vec()),
            withdrawn: false,
            load_weight: 1,
        }]
    }

    /// What the filter says to somebody with everything: reasons as `CRITERION value (label) for asked`.
    fn judge(filter: v1::TherapistFilter, had: &[(&str, u8)]) -> Result<Vec<String>, &'static str> {
        let (credentials, offered) = (licensed_in(&["US", "CA-BC"]), offers(&[Modality::Video]));
        match asked(filter).judge(&therapist(had), &credentials, &offered, "de-CH") {
            Ok(reasons) => {
                let text = |reason: &v1::MatchReason| {
                    let name = reason.criterion().as_str_name();
                    let name = name.strip_prefix("CRITERION_").unwrap();
                    let asked = if reason.asked.is_empty() { "" } else { " for " };
                    format!("{name} {} ({}){asked}{}", reason.value, reason.label, reason.asked)
                };
                Ok(reasons.iter().map(text).collect())
            }
            Err(constraint) => Err(constraint.as_str_name()),
        }
    }

    type Expected<'a> = Result<&'a [&'a str], &'static str>;

    #[track_caller]
    fn check(filter: v1::TherapistFilter, had: &[(&str, u8)], expected: Expected<'_>) {
        let expected =
            expected.map(|reasons| reasons.iter().map(|reason| (*reason).to_owned()).collect::<Vec<_>>());
        assert_eq!(judge(filter, had), expected);
    }

    #[track_caller]
    fn check_refused(filter: v1::TherapistFilter, field: &str, wanted: &Violation) {
        match Filter::parse(&Keyring::generate(), Some(filter)).unwrap_err() {
            Error::Invalid { field: found, violation } => {
                assert_eq!((found.as_str(), &violation), (field, wanted));
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn d2_a_broader_term_finds_the_narrower_and_says_so() {
        let had = [("ptsd", 4), ("burnout", 9)];
        check(
            specializations(&["trauma"]),
            &had,
            Ok(&["SPECIALIZATION ptsd (Posttraumatische Belastungsstörung) for trauma"]),
        );
    }

    #[test]
    fn d4_the_entry_asked_for_is_a_better_answer_than_a_narrower_one() {
        let had = [("ptsd", 20), ("trauma", 2)];
        check(specializations(&["trauma"]), &had, Ok(&["SPECIALIZATION trauma (Trauma)"]));
    }

    #[test]
    fn d3_any_takes_one_and_all_takes_all() {
        let had = [("burnout", 3)];
        let mut filter = specializations(&["burnout", "panic"]);
        check(filter.clone(), &had, Ok(&["SPECIALIZATION burnout (Burn-out)"]));
        filter.set_specialization_match(v1::SpecializationMatch::All);
        check(filter, &had, Err("CONSTRAINT_SPECIALIZATION"));
    }

    #[test]
    fn d3_a_narrower_term_does_not_find_the_broader() {
        check(specializations(&["ptsd"]), &[("trauma", 30)], Err("CONSTRAINT_SPECIALIZATION"));
    }

    #[test]
    fn d3_every_criterion_removes_whom_it_does_not_fit_and_the_first_counts() {
        let competences = vec!["lgbtq".to_owned()];
        let mut filter = v1::TherapistFilter { cultural_competences: competences, ..Default::default() };
        check(filter.clone(), &[], Err("CONSTRAINT_CULTURAL_COMPETENCE"));
        filter.approaches = vec!["emdr".to_owned()];
        check(filter.clone(), &[], Err("CONSTRAINT_APPROACH"));
        filter.genders = vec![v1::Gender::Male.into()];
        check(filter.clone(), &[], Err("CONSTRAINT_GENDER"));
        filter.jurisdiction = "CA".to_owned();
        check(filter.clone(), &[], Err("CONSTRAINT_JURISDICTION"));
        filter.modalities = vec![v1::Modality::Chat.into()];
        check(filter.clone(), &[], Err("CONSTRAINT_MODALITY"));
        filter.languages = vec!["fr".to_owned()];
        check(filter.clone(), &[], Err("CONSTRAINT_LANGUAGE"));
        filter.specializations = vec!["burnout".to_owned()];
        check(filter, &[], Err("CONSTRAINT_SPECIALIZATION"));
    }

    #[test]
    fn d4_every_criterion_that_matched_is_a_reason() {
        let filter = v1::TherapistFilter {
            languages: vec!["DE".to_owned(), "fr".to_owned(), "en".to_owned()],
            modalities: vec![v1::Modality::Chat.into(), v1::Modality::Video.into()],
            jurisdiction: "US-NY".to_owned(),
            genders: vec![v1::Gender::NonBinary.into()],
            approaches: vec!["emdr".to_owned(), "cbt".to_owned()],
            ..Default::default()
        };
        let reasons: &[&str] = &[
            "LANGUAGE de-AT (Deutsch (AT)) for DE",
            "LANGUAGE en (English)",
            "MODALITY video (Video)",
            "JURISDICTION US (US) for US-NY",
            "GENDER non_binary (Nichtbinär)",
            "APPROACH cbt (Kognitive Verhaltenstherapie (KVT))",
        ];
        check(filter, &[], Ok(reasons));
    }

    #[test]
    fn d3_languages_are_found_by_basic_filtering() {
        for (tag, range, found) in [
            ("de", "de", true),
            ("de-AT", "de", true),
            ("de-AT", "DE-at", true),
            ("de", "de-AT", false),
            ("den", "de", false),
            ("fil", "fi", false),
            ("zh-Hant-TW", "zh-Hant", true),
            ("zh-Hant-TW", "zh-TW", false),
        ] {
            assert_eq!(speaks(tag, range), found, "{range} and {tag}");
        }
    }

    #[test]
    fn d3_a_credential_holds_where_it_was_given_and_inside() {
        for (code, place, found) in [
            ("US-NY", "US-NY", true),
            ("US", "US-NY", true),
            ("US", "US", true),
            ("US-NY", "US", false),
            ("US-NY", "US-NJ", false),
            ("DE", "US", false),
        ] {
            assert_eq!(holds(code, place), found, "{code} at {place}");
        }
    }

    #[test]
    fn d2_words_that_mean_one_thing_are_asked_once() {
        let filter = asked(specializations(&["burnout", "burned out", "Burn-out"]));
        assert_eq!(filter.specializations.len(), 1);
    }

    #[test]
    fn b9_whoever_types_it_is_told_whom_to_call() {
        for text in ["suicidal-thoughts", "I want to die", "suicide", "Suizid", "sucidal thoughts"] {
            assert!(asked(specializations(&["burnout", text])).urgent(), "{text}");
        }
        assert!(!asked(specializations(&["burnout"])).urgent());
    }

    #[test]
    fn bad_filters_are_refused_by_field() {
        let text = |text: &str| text.to_owned();
        check_refused(
            specializations(&["burnout", "xyzzy"]),
            "filter.specializations[1]",
            &Violation::UnknownTerm,
        );
        check_refused(
            specializations(&["burnout", "burnout"]),
            "filter.specializations[1]",
            &Violation::Duplicate,
        );
        let long = "a".repeat(101);
        let too_long = Violation::TooLong { most: 100, unit: "characters" };
        check_refused(specializations(&[&long]), "filter.specializations[0]", &too_long);
        let many = (0..11).map(|n| format!("x{n}")).collect();
        let filter = v1::TherapistFilter { languages: many, ..Default::default() };
        check_refused(filter, "filter.languages", &Violation::TooMany { most: 10 });
        let filter = v1::TherapistFilter { genders: vec![0], ..Default::default() };
        check_refused(filter, "filter.genders[0]", &Violation::Required);
        let filter = v1::TherapistFilter { therapist_ids: vec![text("me")], ..Default::default() };
        check_refused(filter, "filter.therapist_ids[0]", &Violation::Malformed { expected: "a UUID" });
        let filter = v1::TherapistFilter { approaches: vec![text("CBT")], ..Default::default() };
        check_refused(filter, "filter.approaches[0]", &Violation::UnknownTerm);
        let filter = v1::TherapistFilter { specialization_match: 9, ..Default::default() };
        let expected = Violation::Malformed { expected: "a way to match" };
        check_refused(filter, "filter.specialization_match", &expected);
    }

    #[test]
    fn a_country_is_the_head_of_a_jurisdiction() {
        let filter = v1::TherapistFilter { jurisdiction: "US-NY".to_owned(), ..Default::default() };
        assert_eq!(asked(filter).country(), Some("US"));
        assert_eq!(Filter::default().country(), None);
    }
}
