//! Which therapists are wanted (D3), who of them is there, and why (D4).

use std::collections::HashMap;

use api::v1;
use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use store::{
    Modality, TherapistId, credential, session_type,
    therapist::{self, Gender, Profile},
};

use super::{labels, profile};
use crate::{
    App, crisis,
    error::{Error, Violation},
    field,
    vocabulary::{LONGEST_QUERY, Term, Vocabulary},
};

/// Who asks for this is told whom to call at once, whatever else is found.
const URGENT: &str = "suicidal-thoughts";

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
    therapists: Vec<TherapistId>,
}

/// A specialization asked for, and all that answer it: itself and the narrower ones (D2).
#[derive(Debug)]
struct Wanted {
    asked: &'static str,
    answers: Vec<&'static str>,
}

/// A therapist who is wanted and can be booked.
pub(crate) struct Candidate {
    pub(crate) therapist: therapist::Model,
    /// What is offered in one of the modalities wanted.
    pub(crate) session_types: Vec<session_type::Model>,
    /// Never empty.
    pub(crate) reasons: Vec<v1::MatchReason>,
    /// How many of the specializations asked for are met.
    pub(crate) matched: usize,
    /// The most years in a specialization that met one asked for; in any, if none was.
    pub(crate) years: u32,
}

/// Who is wanted, and what kept others out.
#[derive(Default)]
pub(crate) struct Candidates {
    /// By id.
    pub(crate) found: Vec<Candidate>,
    /// Each therapist once, at the first constraint that removed them, in the contract's order.
    pub(crate) removed: Vec<(v1::Constraint, usize)>,
}

impl Filter {
    pub(crate) fn parse(filter: Option<v1::TherapistFilter>) -> Result<Self, Error> {
        let v1::TherapistFilter {
            specializations,
            specialization_match,
            languages,
            modalities,
            jurisdiction,
            genders,
            therapist_ids,
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
            therapists: field::list(therapist_ids, 100, "filter.therapist_ids", |id, path| {
                field::id(&id, path)
            })?,
        })
    }

    /// ISO 3166-1 code of where the worker is, if they say.
    pub(crate) fn country(&self) -> Option<&str> {
        self.jurisdiction.as_deref().map(country)
    }

    /// Whether crisis resources go with the answer even if somebody is found (B9).
    pub(crate) fn urgent(&self) -> bool {
        self.urgent
    }

    /// Why the therapist is wanted, or the first constraint that says they are not. `credentials` hold today.
    fn judge(
        &self,
        profile: &Profile,
        credentials: &[credential::Model],
        offered: &[session_type::Model],
        language: &str,
    ) -> Result<Verdict, v1::Constraint> {
        let (met, years) = self.met(profile).ok_or(v1::Constraint::Specialization)?;
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

        Ok(Verdict { reasons, matched: met.len(), years })
    }

    /// The specializations asked for that the profile meets, each with its best answer, and the most years among
    /// these; nothing if too few are met.
    fn met(&self, profile: &Profile) -> Option<(Vec<(&Wanted, &'static Term)>, u32)> {
        let mut met = Vec::new();
        let mut years = 0;
        for wanted in &self.specializations {
            let had = profile
                .specializations
                .iter()
                .filter(|had| wanted.answers.contains(&had.slug.as_str()))
                .max_by_key(|had| (had.slug == wanted.asked, had.years));
            let term = had.and_then(|had| Vocabulary::get().specialization(&had.slug));
            if let Some((had, term)) = had.zip(term) {
                met.push((wanted, term));
                years = years.max(u32::from(had.years));
            }
        }
        let asked = self.specializations.len();
        if asked == 0 {
            years = profile.specializations.iter().map(|had| u32::from(had.years)).max().unwrap_or_default();
        }
        let enough = if self.all { met.len() == asked } else { asked == 0 || !met.is_empty() };
        enough.then_some((met, years))
    }
}

/// Everybody who is verified, takes on new people, and is wanted: three statements, and time in proportion to the
/// number of therapists.
pub(crate) async fn candidates(
    app: &App,
    filter: &Filter,
    language: &str,
    now: DateTime<Utc>,
) -> Result<Candidates, Error> {
    let db = app.db.read();
    let therapists = therapist::Entity::find()
        .filter(therapist::COLUMN.accepts_new_clients.eq(true))
        .filter(among(therapist::Column::Id, &filter.therapists))
        .order_by_asc(therapist::Column::Id)
        .all(db)
        .await?;
    let credentials = credential::Entity::holding(today(now))
        .filter(among(credential::Column::TherapistId, &filter.therapists))
        .order_by_asc(credential::Column::Id)
        .all(db)
        .await?;
    let offered = session_type::Entity::find()
        .filter(session_type::COLUMN.withdrawn.eq(false))
        .filter(among(session_type::Column::TherapistId, &filter.therapists))
        .order_by_asc(session_type::Column::Id)
        .all(db)
        .await?;
    let mut credentials = by_therapist(credentials, |credential| credential.therapist_id);
    let mut offered = by_therapist(offered, |offered| offered.therapist_id);

    let mut found = Vec::new();
    let mut removed: HashMap<v1::Constraint, usize> = HashMap::new();
    for therapist in therapists {
        let Some(credentials) = credentials.remove(&therapist.id) else { continue };
        let mut session_types = offered.remove(&therapist.id).unwrap_or_default();
        match filter.judge(&therapist.profile, &credentials, &session_types, language) {
            Ok(Verdict { mut reasons, matched, years }) => {
                session_types.retain(|offered| {
                    filter.modalities.is_empty()
                        || filter.modalities.iter().any(|wanted| offered.modalities.0.contains(wanted))
                });
                if filter.therapists.contains(&therapist.id) {
                    let (id, name) = (therapist.id.to_string(), therapist.profile.display_name.clone());
                    reasons.push(reason(v1::Criterion::Therapist, &id, name, &id));
                }
                if reasons.is_empty() {
                    reasons.push(plain_reason(
                        v1::Criterion::Verified,
                        &credentials[0].taxonomy_code,
                        language,
                    ));
                }
                found.push(Candidate { therapist, session_types, reasons, matched, years });
            }
            Err(constraint) => *removed.entry(constraint).or_default() += 1,
        }
    }
    let mut removed: Vec<_> = removed.into_iter().collect();
    removed.sort_unstable_by_key(|(constraint, _)| *constraint as i32);
    Ok(Candidates { found, removed })
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

struct Verdict {
    reasons: Vec<v1::MatchReason>,
    matched: usize,
    years: u32,
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

fn among(column: impl ColumnTrait, therapists: &[TherapistId]) -> Condition {
    let anybody = Condition::all();
    if therapists.is_empty() { anybody } else { anybody.add(column.is_in(therapists.iter().copied())) }
}

fn modality_name(modality: Modality) -> &'static str {
    match modality {
        Modality::Video => "video",
        Modality::Audio => "audio",
        Modality::Chat => "chat",
    }
}

fn gender_name(gender: Gender) -> &'static str {
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
        Filter::parse(Some(filter)).unwrap()
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
    fn judge(
        filter: v1::TherapistFilter,
        had: &[(&str, u8)],
    ) -> Result<(Vec<String>, usize, u32), &'static str> {
        let (credentials, offered) = (licensed_in(&["US", "CA-BC"]), offers(&[Modality::Video]));
        match asked(filter).judge(&therapist(had), &credentials, &offered, "de-CH") {
            Ok(Verdict { reasons, matched, years }) => {
                let text = |reason: &v1::MatchReason| {
                    let name = reason.criterion().as_str_name();
                    let name = name.strip_prefix("CRITERION_").unwrap();
                    let asked = if reason.asked.is_empty() { "" } else { " for " };
                    format!("{name} {} ({}){asked}{}", reason.value, reason.label, reason.asked)
                };
                Ok((reasons.iter().map(text).collect(), matched, years))
            }
            Err(constraint) => Err(constraint.as_str_name()),
        }
    }

    type Expected<'a> = Result<(&'a [&'a str], usize, u32), &'static str>;

    #[track_caller]
    fn check(filter: v1::TherapistFilter, had: &[(&str, u8)], expected: Expected<'_>) {
        let expected = expected.map(|(reasons, matched, years)| {
            (reasons.iter().map(|reason| (*reason).to_owned()).collect::<Vec<_>>(), matched, years)
        });
        assert_eq!(judge(filter, had), expected);
    }

    #[track_caller]
    fn check_refused(filter: v1::TherapistFilter, field: &str, wanted: &Violation) {
        match Filter::parse(Some(filter)).unwrap_err() {
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
            Ok((&["SPECIALIZATION ptsd (Posttraumatische Belastungsstörung) for trauma"], 1, 4)),
        );
    }

    #[test]
    fn d4_the_entry_asked_for_is_a_better_answer_than_a_narrower_one() {
        let had = [("ptsd", 20), ("trauma", 2)];
        check(specializations(&["trauma"]), &had, Ok((&["SPECIALIZATION trauma (Trauma)"], 1, 2)));
    }

    #[test]
    fn d3_any_takes_one_and_all_takes_all() {
        let had = [("burnout", 3)];
        let mut filter = specializations(&["burnout", "panic"]);
        check(filter.clone(), &had, Ok((&["SPECIALIZATION burnout (Burn-out)"], 1, 3)));
        filter.set_specialization_match(v1::SpecializationMatch::All);
        check(filter, &had, Err("CONSTRAINT_SPECIALIZATION"));
    }

    #[test]
    fn d3_a_narrower_term_does_not_find_the_broader() {
        check(specializations(&["ptsd"]), &[("trauma", 30)], Err("CONSTRAINT_SPECIALIZATION"));
    }

    #[test]
    fn d4_without_a_question_years_are_the_most_in_anything() {
        check(v1::TherapistFilter::default(), &[("burnout", 3), ("grief", 8)], Ok((&[], 0, 8)));
    }

    #[test]
    fn d3_every_criterion_removes_whom_it_does_not_fit_and_the_first_counts() {
        let genders = vec![v1::Gender::Male.into()];
        let mut filter = v1::TherapistFilter { genders, ..Default::default() };
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
            ..Default::default()
        };
        let reasons: &[&str] = &[
            "LANGUAGE de-AT (Deutsch (AT)) for DE",
            "LANGUAGE en (English)",
            "MODALITY video (Video)",
            "JURISDICTION US (US) for US-NY",
            "GENDER non_binary (Nichtbinär)",
        ];
        check(filter, &[], Ok((reasons, 0, 0)));
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
