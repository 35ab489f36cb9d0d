//! What staff did is written down with it, shown to operators, and not to be changed by anybody.

use std::collections::BTreeSet;

use api::v1;
use client::{Client, Secret, request_id};
use data_encoding::HEXLOWER;
use e2e::World;
use sea_orm::{ConnectionTrait, DbBackend};
use services::{
    POLICIES, Policy,
    audit::{self, AuditError},
};
use store::audit::Action;
use tokio::task::JoinSet;

use crate::emergency;

const NOW: &str = "2026-03-20T09:00:00Z";

/// Calls by which staff change something, and the entry that each leaves.
const WRITTEN_DOWN: [(&str, &str); 12] = [
    ("ApproveEmergencyAccess", "approve_emergency_access"),
    ("CreateCredential", "create_credential"),
    ("CreateProgramme", "create_programme"),
    ("CreateProgrammeKey", "create_programme_key"),
    ("CreateTherapist", "create_therapist"),
    ("DeleteCredential", "delete_credential"),
    ("LinkIdentity", "unlink_identity"),
    ("ReadEmergencyContact", "read_emergency_contact"),
    ("RequestEmergencyAccess", "request_emergency_access"),
    ("RevokeProgrammeKey", "revoke_programme_key"),
    ("UpdateProgrammeManager", "update_programme_manager"),
    ("VerifyCredential", "verify_credential"),
];

#[test]
fn every_call_by_which_staff_change_something_is_one_that_is_written_down() {
    let of_staff =
        |policy| matches!(policy, Policy::Operator | Policy::Manager | Policy::TherapistOrOperator);
    let calls: BTreeSet<_> = POLICIES
        .iter()
        .filter(|(_, policy)| of_staff(*policy))
        .filter_map(|(path, _)| path.rsplit('/').next())
        .filter(|call| !call.starts_with("List"))
        .collect();
    assert_eq!(calls, WRITTEN_DOWN.iter().map(|(call, _)| *call).collect());
}

e2e::stories! {
    async fn what_staff_did_is_written_down_once_and_in_order(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let operator = world.operator().await;
        let hospital = world.hospital(e2e::hospital::programme()).await;
        hospital.publishes("2026-04-01", "2026-06-30").await.unwrap();
        let key_id = hospital.issuer.public_key().id().as_bytes().to_vec();
        let revoke = v1::RevokeProgrammeKeyRequest { request_id: request_id(), key_id: key_id.clone() };
        hospital.manager.programmes().revoke_programme_key(revoke.clone()).await.unwrap();
        let ada = world.therapist("Ada", "Europe/Berlin").await;
        let claimed = v1::CreateCredentialRequest {
            request_id: request_id(),
            therapist_id: String::new(),
            credential: e2e::profile("Ada", "Europe/Berlin").credentials.pop(),
        };
        let claimed = ada.client.directory().create_credential(claimed).await.unwrap().into_inner().credential.unwrap().id;
        let refuse = v1::VerifyCredentialRequest { request_id: request_id(), credential_id: claimed.clone(), verified: false };
        operator.directory().verify_credential(refuse).await.unwrap();
        let delete = v1::DeleteCredentialRequest { request_id: request_id(), credential_id: claimed.clone() };
        operator.directory().delete_credential(delete.clone()).await.unwrap();

        // What is asked again was done once, and what is refused was not done.
        operator.directory().delete_credential(delete.clone()).await.unwrap();
        hospital.manager.programmes().revoke_programme_key(revoke).await.unwrap();
        let again = v1::DeleteCredentialRequest { request_id: request_id(), ..delete };
        operator.directory().delete_credential(again).await.unwrap_err();
        let other = v1::UpdateProgrammeManagerRequest {
            request_id: request_id(),
            programme_id: hospital.id.clone(),
            public_key: Secret::generate().login_key().verifying_key().to_bytes().to_vec(),
        };
        operator.programmes().update_programme_manager(other).await.unwrap();
        // Whom there is no provider for; `id_token` has the others.
        let unlink = v1::LinkIdentityRequest {
            request_id: request_id(),
            staff: Some(v1::link_identity_request::Staff::TherapistId(ada.id.clone())),
            subject: String::new(),
        };
        operator.alias().link_identity(unlink).await.unwrap();

        let ada = ada.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        let booking = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let (second, _) = emergency::operator(&world).await;
        let asked = emergency::asks(&operator, &booking.id).await.unwrap();
        emergency::agrees(&second, &asked).await.unwrap();
        emergency::reads(&operator, &asked).await.unwrap();

        let entries = listed(&operator, 3).await;
        let told: Vec<_> = entries.iter().map(|entry| (entry.actor_kind.as_str(), entry.action.as_str())).collect();
        assert_eq!(told, [
            ("operator", "create_programme"),
            ("manager", "create_programme_key"),
            ("manager", "revoke_programme_key"),
            ("operator", "create_therapist"),
            ("operator", "verify_credential"),
            ("therapist", "create_credential"),
            ("operator", "refuse_credential"),
            ("operator", "delete_credential"),
            ("operator", "update_programme_manager"),
            ("operator", "unlink_identity"),
            ("terminal", "create_operator"),
            ("operator", "request_emergency_access"),
            ("operator", "approve_emergency_access"),
            ("operator", "read_emergency_contact"),
        ]);
        let seen: BTreeSet<_> = told.iter().map(|(_, action)| *action).filter(|action| !["refuse_credential", "create_operator"].contains(action)).collect();
        assert_eq!(seen, WRITTEN_DOWN.iter().map(|(_, action)| *action).collect());
        assert_eq!((entries[0].object.as_str(), entries[1].actor_id.as_str()), (hospital.id.as_str(), hospital.id.as_str()));
        assert_eq!(entries[1].object, HEXLOWER.encode(&key_id));
        assert_eq!((entries[3].object.as_str(), entries[5].actor_id.as_str()), (ada.id.as_str(), ada.id.as_str()));
        assert_eq!((entries[7].object.as_str(), entries[9].object.as_str()), (claimed.as_str(), ada.id.as_str()));
        assert!(entries[11..].iter().all(|entry| entry.object == asked));
        let positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, (1..=14).collect::<Vec<_>>());
        audit::verify(&audit::entries(&world.app).await.unwrap(), None).unwrap();
    }

    // Nothing that a worker does, and nobody who is one.
    async fn workers_are_not_in_it(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let before = world.count("select count(*) from audit").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(world.count("select count(*) from audit").await, before);
    }

    async fn what_is_done_at_the_terminal_is_in_it_too(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let key = || Secret::generate().login_key().verifying_key().to_bytes();
        let id = services::operators::create(&world.app, "the second", &key()).await.unwrap();
        let ada = e2e::profile("Ada", "Europe/Berlin");
        let ada = services::operators::create_therapist(&world.app, ada, &key()).await.unwrap();
        let credential = ada.credentials[0].id.parse().unwrap();
        services::operators::verify_credential(&world.app, credential, true).await.unwrap();
        services::operators::delete(&world.app, id).await.unwrap();
        let entries = listed(&world.operator().await, 100).await;
        let told: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.object.clone())).collect();
        assert_eq!(told, [
            ("create_operator", id.to_string()),
            ("create_therapist", ada.id),
            ("verify_credential", ada.credentials[0].id.clone()),
            ("delete_operator", id.to_string()),
        ]);
        assert!(entries.iter().all(|entry| entry.actor_kind == "terminal" && entry.actor_id.is_empty()));
    }

    async fn who_acts_at_once_is_written_down_one_after_the_other(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let mut together = JoinSet::new();
        for _ in 0..16 {
            let app = world.app.clone();
            together.spawn(async move {
                let key = Secret::generate().login_key().verifying_key().to_bytes();
                services::operators::create(&app, "one of many", &key).await.unwrap();
            });
        }
        together.join_all().await;
        let entries = audit::entries(&world.app).await.unwrap();
        assert_eq!(entries.len(), 16);
        audit::verify(&entries, None).unwrap();
    }

    async fn the_database_lets_nobody_change_it_and_who_does_so_all_the_same_is_found(engine: Engine) {
        let world = World::at(engine, NOW).await;
        world.therapist("Ada", "Europe/Berlin").await;
        world.hospital(e2e::hospital::programme()).await;
        let db = world.app.db.read();
        let before = world.fingerprint().await;
        let mut attempts = vec![
            "update audit set object = 'x' where position = 1",
            "update audit set position = 9 where position = 1",
            "delete from audit where position = 3",
            "delete from audit",
        ];
        let triggers = if db.get_database_backend() == DbBackend::Postgres {
            attempts.push("truncate audit");
            ["alter table audit disable trigger all", "select 1"]
        } else {
            attempts.push("insert or replace into audit select position, at, actor, actor_id, action, 'x', hash from audit");
            ["drop trigger audit_is_not_changed", "drop trigger audit_is_not_deleted"]
        };
        for attempt in attempts {
            db.execute_unprepared(attempt).await.expect_err(attempt);
        }
        assert!(world.fingerprint().await == before);

        let entries = audit::entries(&world.app).await.unwrap();
        let head: [u8; 32] = entries.last().unwrap().hash.0.clone().try_into().unwrap();
        for statement in triggers {
            db.execute_unprepared(statement).await.unwrap();
        }
        db.execute_unprepared("delete from audit where position = (select max(position) from audit)").await.unwrap();
        let cut_off = audit::entries(&world.app).await.unwrap();
        assert_eq!(audit::verify(&cut_off, None), Ok(()));
        assert_eq!(audit::verify(&cut_off, Some(head)), Err(AuditError::Forked));
        db.execute_unprepared("update audit set action = 'refuse_credential' where action = 'verify_credential'").await.unwrap();
        let changed = audit::entries(&world.app).await.unwrap();
        let position = changed.iter().find(|entry| entry.action == Action::RefuseCredential).unwrap().position;
        assert_eq!(audit::verify(&changed, None), Err(AuditError::Broken { position }));
    }
}

/// The log as an operator reads it, so many entries at a time.
async fn listed(operator: &Client, page_size: i32) -> Vec<v1::AuditEntry> {
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListAuditEntriesRequest { page_size, page_token };
        let page = operator.audit().list_audit_entries(request).await.unwrap().into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}
