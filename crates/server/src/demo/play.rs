//! After the story: the server goes on, and whoever sits at this machine may play with it.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use notify::Outbox;

use super::DemoError;
use super::screen::{BOLD, Screen};
use crate::serve::ServeError;
use crate::{key, seed};

/// A page under development, which may call from a browser.
pub(super) const WEB_PAGE: &str = "http://localhost:8080";

/// Says what can be done, and shows letters as they leave, until `serving` ends.
pub(super) async fn on(
    screen: &mut Screen,
    address: &str,
    folder: &Path,
    outbox: &Outbox,
    serving: impl Future<Output = Result<(), ServeError>>,
) -> Result<(), DemoError> {
    let key = therapist_key(folder)?;
    invite(screen, address, &key);
    tokio::select! {
        served = serving => Ok(served?),
        never = letters(screen, outbox) => match never {},
    }
}

/// How often it is looked whether letters have left.
const LOOK: Duration = Duration::from_millis(500);

fn invite(screen: &mut Screen, address: &str, key: &Path) {
    let host = address.trim_start_matches("http://");
    let call = "buf curl --protocol grpc --http2-prior-knowledge --schema proto";
    screen.part("Play on");
    screen.say("The server goes on with what is in the database, and its clock is the machine's again.");
    screen.row("gRPC", address);
    screen.row("gRPC-Web", &format!("{address}, also from web pages on {WEB_PAGE}"));
    screen.row("database", &key.with_file_name("respite.db").display().to_string());
    screen.say(
        "To be pasted at the top of the repository; `tests/run tools` puts buf, jq and openssl in place, and its \
         path is target/tools/web/node_modules/.bin:",
    );
    for (method, data) in [
        ("ListSpecializations", r#"{"query": "ich kann nich mehr", "languageCode": "en"}"#),
        (
            "SearchTherapists",
            r#"{"filter": {"specializations": ["burnout"], "languages": ["de"]}, "pageSize": 2}"#,
        ),
        ("ListCrisisResources", r#"{"countryCode": "GB"}"#),
    ] {
        screen.line(format_args!(
            "{BOLD}{call} --data '{data}' {address}/respite.v1.DirectoryService/{method}{BOLD:#}"
        ));
    }
    screen.say("Sign in as one of the made-up therapists, and read their week:");
    screen.line(format_args!("{BOLD}token=$(tests/clients/sign_in.sh {} {host}){BOLD:#}", key.display()));
    screen.line(format_args!(
        "{BOLD}{call} --header \"authorization: Bearer $token\" --data '{{}}' \
         {address}/respite.v1.AvailabilityService/GetSchedule{BOLD:#}"
    ));
    screen
        .say("An alias signs proofs and challenges, which takes a program; this one does all of the story:");
    screen.line(format_args!(
        "{BOLD}target/tools/venv/bin/python tests/clients/python/main_job.py {host}{BOLD:#}"
    ));
    screen.say("Letters that leave are shown here. Ctrl-C ends the server and removes its folder.");
}

async fn letters(screen: &mut Screen, outbox: &Outbox) -> Infallible {
    let mut seen = outbox.letters().len();
    loop {
        for letter in outbox.letters().iter().skip(seen) {
            seen += 1;
            screen.letter(letter);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The key of the first made-up therapist, in a file as `respite key staff` writes it.
fn therapist_key(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("therapist.key");
    let text = HEXLOWER.encode(&seed::therapist_key(0).to_bytes()) + "\n";
    key::write_secret(&path, &text)?;
    Ok(path)
}
