//! Therapists and their public profiles.

use sea_orm::{FromJsonQueryResult, QuerySelect, Select, entity::prelude::*, sea_query::LockType};
use serde::{Deserialize, Serialize};

use crate::{Opaque, TherapistId};

/// A therapist.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "therapist")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TherapistId,
    /// The Ed25519 key the therapist signs in with.
    #[sea_orm(unique)]
    pub public_key: Opaque,
    /// Without it nobody finds them.
    pub accepts_new_clients: bool,
    /// Everything else of D1 that is not checked by an operator.
    #[sea_orm(column_type = "JsonBinary")]
    pub profile: Profile,
    /// Raised by the database with every change of this row, of credentials, of session types, of the schedule and of
    /// busy time elsewhere:
    /// two looks that find the same number found the same.
    pub revision: i64,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Locks one therapist's time until the transaction ends, so that whoever writes to it takes turns; the row is the
    /// revision alone.
    pub fn lock(id: TherapistId) -> Select<Self> {
        Self::find_by_id(id).select_only().column(Column::Revision).lock(LockType::NoKeyUpdate)
    }
}

/// What a therapist says about themselves (D1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Profile {
    /// 1 to 100 characters.
    pub display_name: String,
    /// If given.
    pub gender: Option<Gender>,
    /// Slugs of the vocabulary with years of experience.
    pub specializations: Vec<Specialization>,
    /// Slugs.
    pub approaches: Vec<String>,
    /// BCP 47 tags.
    pub languages: Vec<String>,
    /// IANA name.
    pub time_zone: String,
    /// One per language.
    pub texts: Vec<Text>,
    /// Slugs.
    pub cultural_competences: Vec<String>,
    /// Has worked with people who work in healthcare.
    pub experienced_with_healthcare_workers: bool,
    /// Has worked with people who work at night.
    pub experienced_with_night_staff: bool,
    /// Hospitals and units they work for (D5); for the therapist and the operator alone.
    pub exclusion_tags: Vec<String>,
}

/// An entry of the vocabulary, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specialization {
    /// Of the vocabulary.
    pub slug: String,
    /// Of experience.
    pub years: u8,
}

/// A text in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// A BCP 47 tag.
    pub language_code: String,
    /// 1 to 2,000 characters.
    pub text: String,
}

/// A therapist's gender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither, or both.
    NonBinary,
}
