//! A therapist's profile between message and row (D1).

use api::v1;
use store::{
    Modality, credential, session_type,
    therapist::{self, Gender, Profile, Specialization, Text},
};

use super::credential as credentials;
use crate::{
    App,
    error::{Error, Violation},
    exclusions, field,
    vocabulary::{Term, Vocabulary},
};

/// Every path of `Therapist` that its therapist may change.
pub(crate) const CHANGEABLE: [&str; 12] = [
    "accepts_new_clients",
    "approaches",
    "cultural_competences",
    "display_name",
    "exclusion_tags",
    "experienced_with_healthcare_workers",
    "experienced_with_night_staff",
    "gender",
    "languages",
    "specializations",
    "texts",
    "time_zone",
];

/// Who looks at a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Anybody: what is verified today, without licence numbers and exclusion tags.
    Public,
    /// The therapist and operators: all of it.
    Full,
}

/// Reads the field at `path` of `from` into the row.
pub(crate) fn set(
    app: &App,
    path: &str,
    from: &v1::Therapist,
    to: &mut therapist::Model,
) -> Result<(), Error> {
    let profile = &mut to.profile;
    match path {
        "accepts_new_clients" => to.accepts_new_clients = from.accepts_new_clients,
        "approaches" => {
            let known = Vocabulary::get().approaches();
            profile.approaches = slugs(from.approaches.clone(), known, "therapist.approaches")?;
        }
        "cultural_competences" => {
            let known = Vocabulary::get().cultural_competences();
            profile.cultural_competences =
                slugs(from.cultural_competences.clone(), known, "therapist.cultural_competences")?;
        }
        "display_name" => {
            profile.display_name = field::line(from.display_name.clone(), 100, "therapist.display_name")?;
        }
        "exclusion_tags" => {
            profile.exclusion_tags =
                field::list(from.exclusion_tags.clone(), 20, "therapist.exclusion_tags", |tag, path| {
                    field::line(tag, exclusions::LONGEST, path)
                })?;
        }
        "experienced_with_healthcare_workers" => {
            profile.experienced_with_healthcare_workers = from.experienced_with_healthcare_workers;
        }
        "experienced_with_night_staff" => {
            profile.experienced_with_night_staff = from.experienced_with_night_staff;
        }
        "gender" => profile.gender = gender(from.gender, "therapist.gender")?,
        "languages" => profile.languages = languages(from.languages.clone())?,
        "specializations" => profile.specializations = specializations(&from.specializations)?,
        "texts" => profile.texts = texts(from.texts.clone())?,
        "time_zone" => {
            let zone = field::zone(app, &from.time_zone, "therapist.time_zone")?;
            zone.name().clone_into(&mut profile.time_zone);
        }
        "credentials" | "id" | "modalities" => {
            return Err(Error::invalid(format!("therapist.{path}"), Violation::NotChangeable));
        }
        _ => return Err(field::malformed("update_mask", "paths of fields of Therapist, or *")),
    }
    Ok(())
}

/// The paths that an empty mask means (AIP-134). `id` and `modalities` are the server's and passed over, so that
/// a profile that was read can be sent back.
pub(crate) fn paths_set(therapist: &v1::Therapist) -> Vec<&'static str> {
    let v1::Therapist {
        id: _,
        display_name,
        gender,
        credentials,
        specializations,
        approaches,
        languages,
        modalities: _,
        time_zone,
        texts,
        cultural_competences,
        experienced_with_healthcare_workers,
        experienced_with_night_staff,
        accepts_new_clients,
        exclusion_tags,
    } = therapist;
    let fields = [
        ("accepts_new_clients", *accepts_new_clients),
        ("approaches", !approaches.is_empty()),
        ("credentials", !credentials.is_empty()),
        ("cultural_competences", !cultural_competences.is_empty()),
        ("display_name", !display_name.is_empty()),
        ("exclusion_tags", !exclusion_tags.is_empty()),
        ("experienced_with_healthcare_workers", *experienced_with_healthcare_workers),
        ("experienced_with_night_staff", *experienced_with_night_staff),
        ("gender", *gender != 0),
        ("languages", !languages.is_empty()),
        ("specializations", !specializations.is_empty()),
        ("texts", !texts.is_empty()),
        ("time_zone", !time_zone.is_empty()),
    ];
    fields.into_iter().filter(|(_, set)| *set).map(|(path, _)| path).collect()
}

/// A profile with nothing in it yet.
pub(crate) fn blank() -> Profile {
    Profile {
        display_name: String::new(),
        gender: None,
        specializations: Vec::new(),
        approaches: Vec::new(),
        languages: Vec::new(),
        time_zone: String::new(),
        texts: Vec::new(),
        cultural_competences: Vec::new(),
        experienced_with_healthcare_workers: false,
        experienced_with_night_staff: false,
        exclusion_tags: Vec::new(),
    }
}

/// The profile as `sight` may see it; credentials in the order given, of which `holding` says which hold today.
pub(crate) fn show(
    therapist: therapist::Model,
    credentials: Vec<credential::Model>,
    offered: &[session_type::Model],
    sight: Sight,
    today: chrono::NaiveDate,
) -> v1::Therapist {
    let therapist::Model { id, public_key: _, accepts_new_clients, profile, revision: _ } = therapist;
    let Profile {
        display_name,
        gender,
        specializations,
        approaches,
        languages,
        time_zone,
        texts,
        cultural_competences,
        experienced_with_healthcare_workers,
        experienced_with_night_staff,
        exclusion_tags,
    } = profile;
    v1::Therapist {
        id: id.to_string(),
        display_name,
        gender: to_gender(gender).into(),
        credentials: credentials
            .into_iter()
            .filter(|credential| {
                sight == Sight::Full || credential.verified && credential.expires_on >= today
            })
            .map(|credential| credentials::show(credential, sight))
            .collect(),
        specializations: specializations
            .into_iter()
            .map(|Specialization { slug, years }| v1::TherapistSpecialization { slug, years: years.into() })
            .collect(),
        approaches,
        languages,
        modalities: modalities(offered).map(|modality| field::to_modality(modality).into()).collect(),
        time_zone,
        texts: texts
            .into_iter()
            .map(|Text { language_code, text }| v1::LocalizedText { language_code, text })
            .collect(),
        cultural_competences,
        experienced_with_healthcare_workers,
        experienced_with_night_staff,
        accepts_new_clients,
        exclusion_tags: match sight {
            Sight::Public => Vec::new(),
            Sight::Full => exclusion_tags,
        },
    }
}

/// A gender, if one is given.
pub(crate) fn gender(number: i32, field: &str) -> Result<Option<Gender>, Error> {
    match v1::Gender::try_from(number) {
        Ok(v1::Gender::Unspecified) => Ok(None),
        Ok(v1::Gender::Female) => Ok(Some(Gender::Female)),
        Ok(v1::Gender::Male) => Ok(Some(Gender::Male)),
        Ok(v1::Gender::NonBinary) => Ok(Some(Gender::NonBinary)),
        Err(_) => Err(field::malformed(field, "a gender")),
    }
}

fn to_gender(gender: Option<Gender>) -> v1::Gender {
    match gender {
        None => v1::Gender::Unspecified,
        Some(Gender::Female) => v1::Gender::Female,
        Some(Gender::Male) => v1::Gender::Male,
        Some(Gender::NonBinary) => v1::Gender::NonBinary,
    }
}

fn slugs(slugs: Vec<String>, known: &[Term], field: &str) -> Result<Vec<String>, Error> {
    field::list(slugs, 30, field, |slug, path| {
        if known.iter().any(|term| term.slug == slug) {
            Ok(slug)
        } else {
            Err(Error::invalid(path, Violation::UnknownTerm))
        }
    })
}

fn languages(tags: Vec<String>) -> Result<Vec<String>, Error> {
    const FIELD: &str = "therapist.languages";
    if tags.is_empty() {
        return Err(field::required(FIELD));
    }
    let tags = field::list(tags, 20, FIELD, field::language)?;
    once_each(&tags, FIELD, |tag| tag.to_ascii_lowercase())?;
    Ok(tags)
}

fn specializations(specializations: &[v1::TherapistSpecialization]) -> Result<Vec<Specialization>, Error> {
    const FIELD: &str = "therapist.specializations";
    let read = |message: &v1::TherapistSpecialization, path: &str| {
        let v1::TherapistSpecialization { slug, years } = message;
        if Vocabulary::get().specialization(slug).is_none() {
            return Err(Error::invalid(format!("{path}.slug"), Violation::UnknownTerm));
        }
        let years = u8::try_from(*years).ok().filter(|years| *years <= 70);
        let years = years.ok_or_else(|| field::out_of_range(&format!("{path}.years"), "0 to 70"))?;
        Ok(Specialization { slug: slug.clone(), years })
    };
    let specializations = field::list(specializations.iter().collect(), 30, FIELD, read)?;
    once_each(&specializations, FIELD, |specialization| specialization.slug.clone())?;
    Ok(specializations)
}

fn texts(texts: Vec<v1::LocalizedText>) -> Result<Vec<Text>, Error> {
    const FIELD: &str = "therapist.texts";
    let texts = field::list(texts, 10, FIELD, |v1::LocalizedText { language_code, text }, path| {
        Ok(Text {
            language_code: field::language(language_code, &format!("{path}.language_code"))?,
            text: field::text(text, 2_000, &format!("{path}.text"))?,
        })
    })?;
    once_each(&texts, FIELD, |text| text.language_code.to_ascii_lowercase())?;
    Ok(texts)
}

/// Refuses elements that differ, yet mean the same thing.
fn once_each<T>(elements: &[T], field: &str, key: impl Fn(&T) -> String) -> Result<(), Error> {
    let keys: Vec<_> = elements.iter().map(key).collect();
    match (1..keys.len()).find(|index| keys[..*index].contains(&keys[*index])) {
        Some(index) => Err(Error::invalid(format!("{field}[{index}]"), Violation::Duplicate)),
        None => Ok(()),
    }
}

/// What is offered in at least one session type, each once.
fn modalities(offered: &[session_type::Model]) -> impl Iterator<Item = Modality> {
    [Modality::Video, Modality::Audio, Modality::Chat]
        .into_iter()
        .filter(|modality| offered.iter().any(|offered| offered.modalities.0.contains(modality)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::NaiveDate;
    use prost::Message;
    use store::{CredentialId, List, Opaque, TherapistId};

    use super::*;
    use crate::{Clock, Settings};

    async fn app() -> App {
        App {
            db: store::Db::connect("sqlite::memory:", 1).await.unwrap(),
            clock: Clock::stopped(chrono::DateTime::UNIX_EPOCH),
            rules: calendar::Rules::compiled_in(),
            keyring: Arc::new(vault::Keyring::generate()),
            post: notify::Post::Log,
            staff_provider: None,
            settings: Arc::new(Settings {
                audience: String::new(),
                proof_of_work_bits: 0,
                join_template: String::new(),
                pass_required: false,
            }),
            listings: Arc::default(),
            mirror: Arc::default(),
            callers: Arc::default(),
            watches: Arc::default(),
            keys: Arc::default(),
            rates: Arc::new(crate::Rates::new(crate::rates::Allowances {
                anonymous: 1,
                searches: 1,
                holds: 1,
                imports: 1,
            })),
            feeds: Arc::new(crate::feeds::Feeds::Off),
        }
    }

    fn row() -> therapist::Model {
        therapist::Model {
            id: TherapistId::random(),
            public_key: Opaque(vec![0; 32]),
            accepts_new_clients: false,
            profile: blank(),
            revision: 1,
        }
    }

    fn message() -> v1::Therapist {
        v1::Therapist {
            id: String::new(),
            display_name: "Ada Lindner".to_owned(),
            gender: v1::Gender::Female.into(),
            credentials: Vec::new(),
            specializations: vec![v1::TherapistSpecialization { slug: "burnout".to_owned(), years: 70 }],
            approaches: vec!["cbt".to_owned()],
            languages: vec!["de".to_owned(), "en".to_owned()],
            modalities: Vec::new(),
            time_zone: "Europe/Berlin".to_owned(),
            texts: vec![v1::LocalizedText {
                language_code: "de".to_owned(),
                text: "Guten Tag.\nBis bald.".to_owned(),
            }],
            cultural_competences: vec!["migration".to_owned()],
            experienced_with_healthcare_workers: true,
            experienced_with_night_staff: true,
            accepts_new_clients: true,
            exclusion_tags: vec!["St. Agnes".to_owned()],
        }
    }

    fn fields() -> Vec<String> {
        let set = prost_types::FileDescriptorSet::decode(api::DESCRIPTORS).unwrap();
        let messages = set.file.into_iter().flat_map(|file| file.message_type);
        let therapist = messages.into_iter().find(|message| message.name() == "Therapist").unwrap();
        therapist.field.iter().map(|field| field.name().to_owned()).collect()
    }

    #[tokio::test]
    async fn d1_every_field_of_a_profile_is_changed_or_refused() {
        let app = app().await;
        for field in fields() {
            let outcome = set(&app, &field, &message(), &mut row());
            match outcome {
                Ok(()) => assert!(CHANGEABLE.contains(&field.as_str()), "{field}"),
                Err(Error::Invalid { violation: Violation::NotChangeable, .. }) => {
                    assert!(["credentials", "id", "modalities"].contains(&field.as_str()), "{field}");
                }
                Err(other) => panic!("{field}: {other}"),
            }
        }
        for path in ["", "name", "*", "texts.text", "displayName"] {
            let refused = set(&app, path, &message(), &mut row()).unwrap_err();
            assert!(
                matches!(refused, Error::Invalid { field, violation: Violation::Malformed { .. } } if field == "update_mask")
            );
        }
    }

    #[tokio::test]
    async fn d1_what_was_written_is_what_is_shown() {
        let app = app().await;
        let mut row = row();
        for path in CHANGEABLE {
            set(&app, path, &message(), &mut row).unwrap();
        }
        let id = row.id.to_string();
        let shown = show(row, Vec::new(), &[], Sight::Full, NaiveDate::MIN);
        assert!(shown == v1::Therapist { id, ..message() });
    }

    #[test]
    fn an_empty_mask_means_what_is_set_and_passes_over_what_is_the_servers() {
        let therapist = v1::Therapist {
            id: "x".to_owned(),
            modalities: vec![1],
            texts: message().texts,
            accepts_new_clients: true,
            ..Default::default()
        };
        assert_eq!(paths_set(&therapist), ["accepts_new_clients", "texts"]);
        let therapist = v1::Therapist { credentials: vec![v1::Credential::default()], ..Default::default() };
        assert_eq!(paths_set(&therapist), ["credentials"], "which is then refused");
        let mut all = paths_set(&message());
        all.sort_unstable();
        assert_eq!(all, CHANGEABLE);
    }

    fn check(app: &App, path: &str, change: fn(&mut v1::Therapist), field: &str, wanted: &Violation) {
        let mut message = message();
        change(&mut message);
        match set(app, path, &message, &mut row()) {
            Err(Error::Invalid { field: found, violation }) => {
                assert_eq!((found.as_str(), &violation), (field, wanted));
            }
            other => panic!("{path} {field}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn d1_bad_texts_are_refused_by_field() {
        let app = app().await;
        let check =
            |path: &str, change, field: &str, wanted: &Violation| check(&app, path, change, field, wanted);
        let characters = |most| Violation::TooLong { most, unit: "characters" };
        check(
            "display_name",
            |t| t.display_name = " ".to_owned(),
            "therapist.display_name",
            &Violation::Required,
        );
        check(
            "display_name",
            |t| t.display_name = "a".repeat(101),
            "therapist.display_name",
            &characters(100),
        );
        check(
            "display_name",
            |t| t.display_name = "a\nb".to_owned(),
            "therapist.display_name",
            &Violation::Malformed { expected: "text on one line" },
        );
        check("gender", |t| t.gender = 9, "therapist.gender", &Violation::Malformed { expected: "a gender" });
        check("languages", |t| t.languages.clear(), "therapist.languages", &Violation::Required);
        check(
            "languages",
            |t| t.languages.push("DE".to_owned()),
            "therapist.languages[2]",
            &Violation::Duplicate,
        );
        check(
            "languages",
            |t| t.languages = vec!["d".to_owned()],
            "therapist.languages[0]",
            &Violation::Malformed { expected: "a BCP 47 language tag" },
        );
        check(
            "time_zone",
            |t| t.time_zone = "Berlin".to_owned(),
            "therapist.time_zone",
            &Violation::UnknownZone,
        );
        check(
            "texts",
            |t| t.texts[0].text = "a".repeat(2_001),
            "therapist.texts[0].text",
            &characters(2_000),
        );
        check("texts", |t| t.texts[0].text.clear(), "therapist.texts[0].text", &Violation::Required);
        check(
            "texts",
            |t| t.texts.push(v1::LocalizedText { language_code: "DE".to_owned(), text: "b".to_owned() }),
            "therapist.texts[1]",
            &Violation::Duplicate,
        );
        check(
            "exclusion_tags",
            |t| t.exclusion_tags = (0..21).map(|n| n.to_string()).collect(),
            "therapist.exclusion_tags",
            &Violation::TooMany { most: 20 },
        );
        check(
            "exclusion_tags",
            |t| t.exclusion_tags[0] = "a".repeat(61),
            "therapist.exclusion_tags[0]",
            &characters(60),
        );
    }

    #[tokio::test]
    async fn d1_bad_terms_are_refused_by_field() {
        let app = app().await;
        let check =
            |path: &str, change, field: &str, wanted: &Violation| check(&app, path, change, field, wanted);
        let out_of_years = Violation::OutOfRange { allowed: "0 to 70" };
        check(
            "approaches",
            |t| t.approaches = vec!["burnout".to_owned()],
            "therapist.approaches[0]",
            &Violation::UnknownTerm,
        );
        check(
            "cultural_competences",
            |t| t.cultural_competences = vec!["cbt".to_owned()],
            "therapist.cultural_competences[0]",
            &Violation::UnknownTerm,
        );
        check(
            "specializations",
            |t| t.specializations[0].slug = "Burnout".to_owned(),
            "therapist.specializations[0].slug",
            &Violation::UnknownTerm,
        );
        check(
            "specializations",
            |t| t.specializations[0].years = 71,
            "therapist.specializations[0].years",
            &out_of_years,
        );
        check(
            "specializations",
            |t| t.specializations[0].years = -1,
            "therapist.specializations[0].years",
            &out_of_years,
        );
        check(
            "specializations",
            |t| {
                t.specializations.push(v1::TherapistSpecialization { slug: "burnout".to_owned(), years: 1 });
            },
            "therapist.specializations[1]",
            &Violation::Duplicate,
        );
    }

    #[test]
    fn d1_the_public_sees_what_holds_today_and_no_licence_number() {
        let today: NaiveDate = "2026-11-23".parse().unwrap();
        let credential = |verified, expires: &str| credential::Model {
            id: CredentialId::random(),
            therapist_id: TherapistId::random(),
            taxonomy_code: "103TC0700X".to_owned(),
            licence_number: "DE-1".to_owned(),
            jurisdictions: List(vec!["DE".to_owned()]),
            expires_on: expires.parse().unwrap(),
            verified,
        };
        let credentials = vec![
            credential(true, "2026-11-23"),
            credential(true, "2026-11-22"),
            credential(false, "2027-01-01"),
        ];
        let mut row = row();
        row.profile.exclusion_tags = vec!["St. Agnes".to_owned()];
        let public = show(row.clone(), credentials.clone(), &[], Sight::Public, today);
        assert_eq!(public.credentials.len(), 1, "a licence holds through its last day");
        assert!(public.credentials[0].licence_number.is_empty() && public.exclusion_tags.is_empty());
        let full = show(row, credentials, &[], Sight::Full, today);
        assert_eq!(full.credentials.len(), 3);
        assert_eq!((full.credentials[0].licence_number.as_str(), full.exclusion_tags.len()), ("DE-1", 1));
    }
}
