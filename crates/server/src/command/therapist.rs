//! `respite therapist`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use api::google::r#type::Date;
use api::v1;
use clap::Subcommand;
use serde::Deserialize;
use server::config::Config;
use server::open;
use services::operators;
use store::{CredentialId, TherapistId};

use super::Outcome;
use super::operator::PublicKey;

#[derive(Subcommand)]
pub(crate) enum Therapist {
    /// Add a therapist, who is found once a credential is verified
    #[command(after_long_help = EXAMPLE)]
    Create {
        /// The profile, as TOML
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The public half of the key the therapist signs in with: 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public_key: PublicKey,
    },
    /// Let a therapist sign in with another key, since the old one was lost or stolen
    ///
    /// What the old one is signed in with ends at once, and so does signing in at the identity provider until they are linked
    /// anew. Addresses of calendars that they published, or brought, stay: have them look at these.
    ReplaceKey {
        /// As `respite therapist list` shows it
        therapist_id: TherapistId,
        /// The public half of the new key: 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public_key: PublicKey,
    },
    /// List every therapist with their credentials, verified or not
    List,
    /// Record that a credential was checked against its register
    Verify {
        /// As `respite therapist list` shows it
        credential_id: CredentialId,
        /// The credential does not hold: take its verification back
        #[arg(long)]
        refused: bool,
    },
}

const EXAMPLE: &str = r#"A profile:

  display_name = "Ada Lindner"
  gender = "female"                      # female, male or non-binary; may be left out
  time_zone = "Europe/Berlin"
  languages = ["de", "en"]
  approaches = ["cbt", "emdr"]
  cultural_competences = []
  experienced_with_healthcare_workers = true
  experienced_with_night_staff = true
  accepts_new_clients = true
  exclusion_tags = ["st-agnes-hospital"] # where the therapist works or supervises

  [[specializations]]
  slug = "burnout"
  years = 8

  [[texts]]
  language_code = "de"
  text = "Ich arbeite seit acht Jahren mit Pflegekräften."

  [[credentials]]
  taxonomy_code = "103TC0700X"           # NUCC
  licence_number = "DE-123456"
  jurisdictions = ["DE"]                 # ISO 3166
  expires_on = 2029-12-31
"#;

pub(crate) async fn run(config: &Config, what: Therapist) -> Outcome {
    let app = open::open(config).await?;
    match what {
        Therapist::Create { file, public_key } => {
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let profile: Profile =
                toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            print(&operators::create_therapist(&app, profile.into(), &public_key.0).await?);
        }
        Therapist::ReplaceKey { therapist_id, public_key } => {
            operators::replace_therapist_key(&app, therapist_id, &public_key.0).await?;
        }
        Therapist::List => operators::list_therapists(&app).await?.iter().for_each(print),
        Therapist::Verify { credential_id, refused } => {
            print_credential(&operators::verify_credential(&app, credential_id, !refused).await?);
        }
    }
    app.db.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// A therapist's profile as an operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    display_name: String,
    gender: Option<Gender>,
    time_zone: String,
    languages: Vec<String>,
    #[serde(default)]
    approaches: Vec<String>,
    #[serde(default)]
    cultural_competences: Vec<String>,
    #[serde(default)]
    experienced_with_healthcare_workers: bool,
    #[serde(default)]
    experienced_with_night_staff: bool,
    accepts_new_clients: bool,
    #[serde(default)]
    exclusion_tags: Vec<String>,
    #[serde(default)]
    specializations: Vec<Specialization>,
    #[serde(default)]
    texts: Vec<Text>,
    #[serde(default)]
    credentials: Vec<Credential>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Gender {
    Female,
    Male,
    NonBinary,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Specialization {
    slug: String,
    years: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    language_code: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    taxonomy_code: String,
    licence_number: String,
    jurisdictions: Vec<String>,
    expires_on: toml::value::Date,
}

impl From<Profile> for v1::Therapist {
    fn from(profile: Profile) -> Self {
        let Profile {
            display_name,
            gender,
            time_zone,
            languages,
            approaches,
            cultural_competences,
            experienced_with_healthcare_workers,
            experienced_with_night_staff,
            accepts_new_clients,
            exclusion_tags,
            specializations,
            texts,
            credentials,
        } = profile;
        let gender = match gender {
            None => v1::Gender::Unspecified,
            Some(Gender::Female) => v1::Gender::Female,
            Some(Gender::Male) => v1::Gender::Male,
            Some(Gender::NonBinary) => v1::Gender::NonBinary,
        };
        Self {
            // The server's to give.
            id: String::new(),
            modalities: Vec::new(),
            display_name,
            gender: gender.into(),
            credentials: credentials.into_iter().map(Into::into).collect(),
            specializations: specializations
                .into_iter()
                .map(|Specialization { slug, years }| v1::TherapistSpecialization { slug, years })
                .collect(),
            approaches,
            languages,
            time_zone,
            texts: texts
                .into_iter()
                .map(|Text { language_code, text }| v1::LocalizedText { language_code, text })
                .collect(),
            cultural_competences,
            experienced_with_healthcare_workers,
            experienced_with_night_staff,
            accepts_new_clients,
            exclusion_tags,
        }
    }
}

impl From<Credential> for v1::Credential {
    fn from(credential: Credential) -> Self {
        let Credential { taxonomy_code, licence_number, jurisdictions, expires_on } = credential;
        let toml::value::Date { year, month, day } = expires_on;
        Self {
            id: String::new(),
            verified: false,
            taxonomy_code,
            licence_number,
            jurisdictions,
            expire_date: Some(Date { year: year.into(), month: month.into(), day: day.into() }),
        }
    }
}

fn print(therapist: &v1::Therapist) {
    anstream::println!("{}  {}  {}", therapist.id, therapist.display_name, therapist.time_zone);
    therapist.credentials.iter().for_each(print_credential);
}

fn print_credential(credential: &v1::Credential) {
    let state = if credential.verified { "verified" } else { "not verified" };
    let Date { year, month, day } = credential.expire_date.unwrap_or_default();
    anstream::println!(
        "  {}  {state}, {} {}, {}, until {year:04}-{month:02}-{day:02}",
        credential.id,
        credential.taxonomy_code,
        credential.licence_number,
        credential.jurisdictions.join(" "),
    );
}
