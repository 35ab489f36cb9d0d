//! `respite-practice`, as somebody in the practice types it, and what workers' devices make of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use chrono::{DateTime, Days, NaiveDate, Utc};
use data_encoding::{BASE64, HEXLOWER};
use notes::{Certificate, CertificateError, NotesKey, PracticePublicKey};
use uuid::Uuid;

const ADA: Uuid = Uuid::from_u128(7);

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_respite-practice");
    Command::new(program).current_dir(folder).args(arguments).output().unwrap()
}

/// What it prints.
fn practice(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it refuses; then it prints nothing.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the program has the machine's clock")]
fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// The arguments that sign a device's key until a day.
fn sign(device: &NotesKey, fingerprint: &str, until: NaiveDate) -> Vec<String> {
    let public_key = BASE64.encode(&device.public().to_bytes());
    let until = until.to_string();
    let of_ada = ADA.to_string();
    let arguments = [
        "sign",
        "--key",
        "practice.key",
        "--therapist",
        &of_ada,
        "--public-key",
        &public_key,
        "--fingerprint",
        fingerprint,
        "--until",
        &until,
    ];
    arguments.map(str::to_owned).to_vec()
}

fn as_typed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// With a new key, and its public half.
fn with_key() -> (tempfile::TempDir, PracticePublicKey) {
    let files = tempfile::tempdir().unwrap();
    let public = practice(files.path(), &["make", "practice.key"]);
    let public = HEXLOWER.decode(public.trim().as_bytes()).unwrap();
    (files, PracticePublicKey::from_bytes(&public.try_into().unwrap()).unwrap())
}

#[test]
fn what_it_signs_a_workers_device_believes_until_its_last_day_is_over() {
    let (files, known) = with_key();
    let device = NotesKey::from_seed(&[5; 32]);
    let last = today() + Days::new(365);
    // Read out aloud, capitals and blanks are nobody's.
    let read_out = device.public().fingerprint().to_uppercase().replace(' ', "  ");
    let printed = practice(files.path(), &as_typed(&sign(&device, &read_out, last)));

    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let bytes = |field: &str| BASE64.decode(printed[field].as_str().unwrap().as_bytes()).unwrap();
    let ends: DateTime<Utc> = printed["expireTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends, (last + Days::new(1)).and_hms_opt(0, 0, 0).unwrap().and_utc());
    let signed = Certificate {
        public_key: bytes("publicKey").try_into().unwrap(),
        expires_at: ends.timestamp(),
        signature: bytes("signature").try_into().unwrap(),
    };
    let believed = |therapist: Uuid, now| {
        signed.verify(&[known], therapist.into_bytes(), now).map(|key| key.public().to_bytes())
    };
    assert_eq!(believed(ADA, ends.timestamp() - 1), Ok(device.public().to_bytes()));
    assert_eq!(believed(ADA, ends.timestamp()), Err(CertificateError::Expired));
    assert_eq!(believed(Uuid::from_u128(8), 0), Err(CertificateError::Signature));
}

#[test]
fn nothing_is_signed_that_nobody_read_out_or_that_no_server_takes() {
    let (files, _) = with_key();
    let device = NotesKey::from_seed(&[5; 32]);
    let (fingerprint, other) =
        (device.public().fingerprint(), NotesKey::from_seed(&[6; 32]).public().fingerprint());
    let says =
        |fingerprint: &str, until| refused(files.path(), &as_typed(&sign(&device, fingerprint, until)));

    let told = says(&other, today());
    assert!(told.contains("another fingerprint") && !told.contains(&fingerprint), "{told}");
    assert!(says("", today()).contains("another fingerprint"));
    for until in [today() - Days::new(1), today() + Days::new(366), NaiveDate::MAX] {
        assert!(says(&fingerprint, until).contains("the last day"), "{until}");
    }
    let mut malformed = sign(&device, &fingerprint, today());
    malformed[6] = "AAAA".to_owned();
    assert!(refused(files.path(), &as_typed(&malformed)).contains("32 bytes in base64"));

    fs::write(files.path().join("practice.key"), "canary").unwrap();
    let told = says(&fingerprint, today());
    assert!(told.contains("practice.key is not a key") && !told.contains("canary"), "{told}");
}

#[test]
fn a_key_is_made_once_and_its_owner_alone_reads_it() {
    let (files, _) = with_key();
    let file = files.path().join("practice.key");
    let key = fs::read(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refused(files.path(), &["make", "practice.key"]).contains("practice.key"));
    assert_eq!(fs::read(&file).unwrap(), key);
}
