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
    field,
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
                    field::line(tag, 60, path)
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
    let therapist::Model { id, public_key: _, accepts_new_clients, profile } = therapist;
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
