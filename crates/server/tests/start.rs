//! What a server refuses to start on, and what the doctor says of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;

use sea_orm::{ActiveValue, ConnectionTrait, EntityTrait, IntoActiveModel};
use sea_orm_migration::seaql_migrations;
use server::config::Config;
use server::doctor::{self, Verdict};
use server::key;
use server::open::{self, OpenError};
use server::schema::{self, Schema};
use store::{AliasId, Opaque, Tags, alias, alias_key};
use tempfile::TempDir;

fn config(files: &TempDir) -> Config {
    let database = files.path().join("respite.db");
    Config::parse("test", &format!("[database]\nurl = \"sqlite://{}\"", database.display())).unwrap()
}

/// What the doctor says of it: at least one line about `subject` that fails, with `text` in it.
async fn check_doctor_fails(config: &Config, subject: &str, text: &str) {
    let findings = doctor::examine(config).await;
    let fails = findings.iter().any(|finding| {
        finding.subject == subject && finding.verdict == Verdict::Fail && finding.text.contains(text)
    });
    assert!(fails, "{findings:?}");
}

/// As after a backup was put back with the key of something else.
#[tokio::test]
async fn a_key_of_another_database_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let config = config(&files);
    let app = open::open(&config).await.unwrap();
    let id = AliasId::random();
    let row = alias::Model {
        id,
        public_key: Opaque(vec![1; 32]),
        handle: "quiet-heron-482136".to_owned(),
        settings: Opaque(vec![2]),
        exclusion_tags: Tags::default(),
    };
    alias::Entity::insert(row.into_active_model()).exec_without_returning(app.db.read()).await.unwrap();
    let kek_id = Opaque(app.keyring.kek_id().to_vec());
    let row = alias_key::Model { alias_id: id, wrapped_key: Opaque(vec![3]), kek_id };
    alias_key::Entity::insert(row.into_active_model()).exec_without_returning(app.db.read()).await.unwrap();
    app.db.close().await.unwrap();
    open::open(&config).await.unwrap().db.close().await.unwrap();

    let path = key::path(&config).unwrap();
    fs::remove_file(&path).unwrap();
    key::make(&path).unwrap();
    let refused = open::open(&config).await.err().unwrap();
    assert!(matches!(refused, OpenError::OtherKey { aliases: 1, .. }), "{refused}");
    check_doctor_fails(&config, "key", "not the key of this database").await;
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let files = tempfile::tempdir().unwrap();
    let config = config(&files);
    let app = open::open(&config).await.unwrap();
    let step = "m20990101_000001_later".to_owned();
    let row = seaql_migrations::ActiveModel {
        version: ActiveValue::Set(step.clone()),
        applied_at: ActiveValue::Set(0),
    };
    seaql_migrations::Entity::insert(row).exec_without_returning(app.db.read()).await.unwrap();
    assert_eq!(schema::of(app.db.read()).await.unwrap(), Schema::Ahead { unknown: vec![step] });
    app.db.close().await.unwrap();

    let refused = open::open(&config).await.err().unwrap();
    assert!(refused.to_string().contains("m20990101_000001_later"), "{refused}");
    check_doctor_fails(&config, "database", "m20990101_000001_later").await;
}

#[tokio::test]
async fn a_schema_that_cannot_be_read_is_not_taken_for_a_newer_one() {
    let files = tempfile::tempdir().unwrap();
    let config = config(&files);
    let app = open::open(&config).await.unwrap();
    app.db.read().execute_unprepared("alter table seaql_migrations rename version to name").await.unwrap();
    assert!(schema::of(app.db.read()).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_as_such() {
    let files = tempfile::tempdir().unwrap();
    let config = config(&files);
    key::make(&key::path(&config).unwrap()).unwrap();
    fs::write(files.path().join("respite.db"), "a letter to somebody, and no database at all\n".repeat(100))
        .unwrap();
    let refused = open::open(&config).await.err().unwrap().to_string();
    assert!(refused.contains("not a SQLite database"), "{refused}");
    check_doctor_fails(&config, "database", "not a SQLite database").await;
}

#[tokio::test]
async fn a_file_that_is_missing_is_told_with_its_setting() {
    let files = tempfile::tempdir().unwrap();
    let mut config = config(&files);
    config.tls =
        Some(server::config::TlsSettings { certificate: "missing.pem".into(), key: "key.pem".into() });
    let refused = open::tls(config.tls.as_ref().unwrap()).err().unwrap().to_string();
    assert!(refused.starts_with("tls.certificate: missing.pem: "), "{refused}");
}
