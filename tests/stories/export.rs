//! GDPR 15 and 20: an alias reads everything that is held about it, and nothing about anybody else.

use std::collections::BTreeSet;

use api::v1;
use e2e::{Engine, Worker, World};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::inventory::{Inventory, Told, fill};

/// What is said of the document itself.
const ABOUT_ITSELF: [&str; 5] = ["consent", "exported_at", "left_out", "notice", "schema"];

e2e::stories! {
    // Whatever `.github/DATA.md` says is exported is, under that name, and nothing else is.
    async fn it_says_what_is_held_and_nothing_else(engine: Engine) {
        let world = World::at(engine, "2026-03-02T09:00:00Z").await;
        let Told { nurse, other, booked_by_other } = fill(&world).await;
        let (document, _) = export(&nurse).await;
        let inventory = Inventory::read();
        let said = inventory.exported();
        for place in &said {
            assert!(has(&document, place), "{place} is not in the export");
        }
        let mut leaves = BTreeSet::new();
        walk(&document, String::new(), &mut leaves);
        for leaf in leaves {
            let below = |place: &str| leaf == place || leaf.strip_prefix(place).is_some_and(|rest| rest.starts_with('.'));
            assert!(said.iter().any(|place| below(place)) || ABOUT_ITSELF.into_iter().any(below), "{leaf} is not in DATA.md");
        }
        let text = document.to_string();
        for foreign in [&other.id, &other.handle, &booked_by_other.id] {
            assert!(!text.contains(foreign.as_str()), "{foreign}");
        }

        let mut document = document;
        let mut ids = Vec::new();
        settle(&mut document, &nurse, &mut ids);
        let text = format!("{document:#}\n");
        assert!(text == include_str!("export.json"), "{text}");
    }

    // Of an alias that said nothing; and by whoever reads next year's document, `schema` is known to be this one.
    async fn whoever_said_nothing_has_little(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let (document, _) = export(&world.worker().await).await;
        assert_eq!(document["schema"], "respite/alias-export/v1");
        for nothing in ["contact", "roster", "feed", "fetch_turn_used_until"] {
            assert_eq!(document[nothing], Value::Null, "{nothing}");
        }
        for none in ["bookings", "reminders", "credits", "requests"] {
            assert_eq!(document[none], Value::Array(Vec::new()), "{none}");
        }
        assert_eq!(document["alias"]["settings"]["time_zone"], "Etc/UTC");
    }

    // More than a message may be long.
    async fn however_much_it_is_it_arrives(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let (id, nothing) = match engine {
            Engine::Sqlite => ("randomblob(16)", "x'00'"),
            Engine::Postgres => ("gen_random_uuid()", "'\\x00'::bytea"),
        };
        let many = format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
             insert into request (caller_id, request_id, payload_mac, response, expires_at)
             select id, {id}, {nothing}, {nothing}, 1780000000 from alias, n"
        );
        world.app.db.read().execute_unprepared(&many).await.unwrap();
        let (document, longest) = export(&nurse).await;
        assert_eq!(document["requests"].as_array().map(Vec::len), Some(60_002));
        assert_eq!(document["bookings"].as_array().map(Vec::len), Some(1));
        assert!(document.to_string().len() > 4 << 20 && longest <= 64 << 10, "{longest}");
    }
}

/// The document, and how long its longest piece was.
async fn export(worker: &Worker) -> (Value, usize) {
    let mut pieces =
        worker.client.alias().export_alias(v1::ExportAliasRequest {}).await.unwrap().into_inner();
    let (mut document, mut longest) = (Vec::new(), 0);
    while let Some(v1::ExportAliasResponse { chunk }) = pieces.message().await.unwrap() {
        longest = longest.max(chunk.len());
        document.extend(chunk);
    }
    (serde_json::from_slice(&document).unwrap(), longest)
}

/// Whether there is such a place, in any element of a list.
fn has(value: &Value, place: &str) -> bool {
    match value {
        Value::Array(all) => all.iter().any(|one| has(one, place)),
        _ => match place.split_once('.') {
            Some((first, rest)) => value.get(first).is_some_and(|value| has(value, rest)),
            None => value.get(place).is_some(),
        },
    }
}

fn walk(value: &Value, place: String, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                walk(value, place, leaves);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| walk(one, place.clone(), leaves)),
        Value::Null => {}
        _ => {
            leaves.insert(place);
        }
    }
}

/// What is random in it, or a matter of the day's zone rules, gets a name that stays: ids by where they first are.
fn settle(value: &mut Value, nurse: &Worker, ids: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if ["next_attempt_at", "due_at", "public_key", "rules", "sealed"].contains(&name.as_str())
                    && value.is_string()
                {
                    *value = format!("({name})").into();
                }
                settle(value, nurse, ids);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| settle(one, nurse, ids)),
        Value::String(text) if *text == nurse.handle => *value = "(handle)".into(),
        Value::String(text) if text.parse::<uuid::Uuid>().is_ok() => {
            let known = ids.iter().position(|id| id == text).unwrap_or_else(|| {
                ids.push(text.clone());
                ids.len() - 1
            });
            *value = format!("(id {known})").into();
        }
        _ => {}
    }
}
