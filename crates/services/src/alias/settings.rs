//! How sessions are fitted between an alias's shifts (S2); sealed.

use api::v1;
use calendar::{ShiftRules, ShiftRulesError};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde::{Deserialize, Serialize};
use store::{AliasId, alias};

use crate::{
    App,
    error::Error,
    field::{self, duration, given, malformed, minutes, out_of_range, zone},
    once::Once,
};

/// What an alias says about its days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AliasSettings {
    /// What is kept free around shifts.
    pub(crate) shift_rules: ShiftRules,
    /// IANA name of the zone the worker lives in.
    pub(crate) time_zone: String,
}

impl Default for AliasSettings {
    fn default() -> Self {
        Self { shift_rules: ShiftRules::default(), time_zone: "Etc/UTC".to_owned() }
    }
}

/// Changes what `update_mask` names, and returns the alias as it is then.
pub(super) async fn update(
    app: &App,
    once: &Once,
    alias: AliasId,
    wanted: Option<v1::AliasSettings>,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<v1::Alias, Error> {
    let wanted = given(wanted, "settings")?;
    let fields = fields(&wanted, &update_mask.unwrap_or_default().paths)?;
    let safe = once.safe()?;
    let settings = changed(app, safe.settings()?, wanted, &fields)?;
    let sealed = Set(safe.seal_settings(&settings)?);
    let change = alias::ActiveModel { id: Set(alias), settings: sealed, ..Default::default() };
    let row = change.update(&once.tx).await?;
    Ok(print(row, settings))
}

pub(super) fn print(row: alias::Model, settings: AliasSettings) -> v1::Alias {
    // What the alias signs in with, and whom it must not meet, is its own to know.
    let alias::Model { id, public_key: _, handle, settings: _, exclusion_tags } = row;
    let AliasSettings { shift_rules, time_zone } = settings;
    let ShiftRules { commute, rest_before, sleep_after_night, on_call_blocks } = shift_rules;
    let settings = v1::AliasSettings {
        commute: Some(duration(commute)),
        rest_before_shift: Some(duration(rest_before)),
        sleep_after_night: Some(duration(sleep_after_night)),
        on_call_blocks,
        time_zone,
    };
    let exclusion_tag_count = field::count(exclusion_tags.iter().len());
    v1::Alias { id: id.to_string(), handle, settings: Some(settings), exclusion_tag_count }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Commute,
    RestBeforeShift,
    SleepAfterNight,
    OnCallBlocks,
    TimeZone,
}

impl Field {
    const ALL: [Self; 5] =
        [Self::Commute, Self::RestBeforeShift, Self::SleepAfterNight, Self::OnCallBlocks, Self::TimeZone];

    fn path(self) -> &'static str {
        match self {
            Self::Commute => "commute",
            Self::RestBeforeShift => "rest_before_shift",
            Self::SleepAfterNight => "sleep_after_night",
            Self::OnCallBlocks => "on_call_blocks",
            Self::TimeZone => "time_zone",
        }
    }

    fn is_set(self, wanted: &v1::AliasSettings) -> bool {
        let v1::AliasSettings { commute, rest_before_shift, sleep_after_night, on_call_blocks, time_zone } =
            wanted;
        match self {
            Self::Commute => commute.is_some(),
            Self::RestBeforeShift => rest_before_shift.is_some(),
            Self::SleepAfterNight => sleep_after_night.is_some(),
            Self::OnCallBlocks => *on_call_blocks,
            Self::TimeZone => !time_zone.is_empty(),
        }
    }
}

/// AIP-134: no mask means what is set.
fn fields(wanted: &v1::AliasSettings, paths: &[String]) -> Result<Vec<Field>, Error> {
    if paths.is_empty() {
        return Ok(Field::ALL.into_iter().filter(|field| field.is_set(wanted)).collect());
    }
    if paths == ["*"] {
        return Ok(Field::ALL.into());
    }
    field::mask(paths)?
        .into_iter()
        .map(|path| Field::ALL.into_iter().find(|field| field.path() == path))
        .collect::<Option<_>>()
        .ok_or_else(|| malformed("update_mask", "paths of AliasSettings, or `*` alone"))
}

/// `before` with each of `fields` as wanted, or as it is unless said.
fn changed(
    app: &App,
    before: AliasSettings,
    wanted: v1::AliasSettings,
    fields: &[Field],
) -> Result<AliasSettings, Error> {
    let v1::AliasSettings { commute, rest_before_shift, sleep_after_night, on_call_blocks, time_zone } =
        wanted;
    let AliasSettings { shift_rules: mut rules, time_zone: mut lives_in } = before;
    let unless_said = ShiftRules::default();
    let time = |time: Option<_>, field, otherwise| match time {
        Some(time) => minutes(Some(time), field),
        None => Ok(otherwise),
    };
    for field in fields {
        match field {
            Field::Commute => rules.commute = time(commute, "settings.commute", unless_said.commute)?,
            Field::RestBeforeShift => {
                rules.rest_before =
                    time(rest_before_shift, "settings.rest_before_shift", unless_said.rest_before)?;
            }
            Field::SleepAfterNight => {
                rules.sleep_after_night =
                    time(sleep_after_night, "settings.sleep_after_night", unless_said.sleep_after_night)?;
            }
            Field::OnCallBlocks => rules.on_call_blocks = on_call_blocks,
            Field::TimeZone if time_zone.is_empty() => lives_in = AliasSettings::default().time_zone,
            Field::TimeZone => zone(app, &time_zone, "settings.time_zone")?.name().clone_into(&mut lives_in),
        }
    }
    rules.validate().map_err(|error| match error {
        ShiftRulesError::Commute => out_of_range("settings.commute", "0 to 6 hours"),
        ShiftRulesError::RestBefore => out_of_range("settings.rest_before_shift", "0 to 6 hours"),
        ShiftRulesError::SleepAfterNight => out_of_range("settings.sleep_after_night", "0 to 16 hours"),
    })?;
    Ok(AliasSettings { shift_rules: rules, time_zone: lives_in })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_mask_names_what_changes_and_none_means_what_is_set() {
        let wanted = v1::AliasSettings { time_zone: "Europe/Berlin".to_owned(), ..Default::default() };
        assert_eq!(fields(&wanted, &[]).unwrap(), [Field::TimeZone]);
        assert_eq!(fields(&wanted, &paths(&["*"])).unwrap(), Field::ALL);
        assert_eq!(
            fields(&wanted, &paths(&["on_call_blocks", "commute"])).unwrap(),
            [Field::OnCallBlocks, Field::Commute]
        );
        for wrong in [&["handle"][..], &["settings.commute"], &["*", "commute"], &[""]] {
            assert!(fields(&wanted, &paths(wrong)).is_err(), "{wrong:?}");
        }
    }
}
