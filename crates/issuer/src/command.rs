//! What each command does; results go to standard output, everything else to standard error.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use data_encoding::{BASE64, HEXLOWER};
use issuer::period::{self, Period, Terms};
use issuer::roster::{self, Roster};
use issuer::serve::{Front, Tls};
use issuer::{App, Clock, Desk, Identity, Logins, audit, code};
use oidc::{Provider, ProviderSettings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::{Codes, Init, Key, Mode, Scim, Serve, StaffNumber};

/// Nothing, or the sentence that says what went wrong.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

pub(crate) async fn init(home: &Path, init: Init) -> Outcome {
    let Init { programme, name, origin, mode, eligible } = init;
    let mode = match (mode, eligible) {
        (Mode::Cards, None) => issuer::Mode::Cards,
        (Mode::Roster, None) => issuer::Mode::Roster,
        (Mode::Logins, Some(eligible)) => issuer::Mode::Logins { eligible },
        (Mode::Cards | Mode::Roster | Mode::Logins, _) => {
            return Err("--eligible goes with --mode logins".into());
        }
    };
    let app = App::create(home, &Identity { programme, name, origin, mode }, Clock::System).await?;
    app.close().await;
    Ok(())
}

pub(crate) async fn import(home: &Path, file: &Path, dry_run: bool) -> Outcome {
    let app = open(home).await?;
    let imported = roster::import(&app, &read_roster(file)?, dry_run).await?;
    app.close().await;
    let roster::Imported { workers, eligible_today, added, removed } = imported;
    let would = if dry_run { "would be " } else { "" };
    let told = format!(
        "{workers} workers, {eligible_today} of them eligible today; {added} {would}added, {removed} {would}removed"
    );
    Ok(writeln!(io::stdout(), "{told}")?)
}

pub(crate) async fn scim(home: &Path, scim: Scim) -> Outcome {
    let app = open(home).await?;
    match scim {
        Scim::Token { staff_number } => {
            let staff_number = match staff_number {
                StaffNumber::UserName => issuer::scim::StaffNumber::UserName,
                StaffNumber::ExternalId => issuer::scim::StaffNumber::ExternalId,
                StaffNumber::EmployeeNumber => issuer::scim::StaffNumber::EmployeeNumber,
            };
            let token = issuer::scim::make_token(&app, staff_number).await?;
            writeln!(io::stdout(), "{}", *token)?;
        }
        Scim::Off => issuer::scim::turn_off(&app).await?,
    }
    app.close().await;
    Ok(())
}

pub(crate) async fn codes(home: &Path, codes: Codes) -> Outcome {
    let app = open(home).await?;
    let mut out = io::stdout().lock();
    match codes {
        Codes { count: Some(count), until: Some(until), .. } => {
            for code in code::make_cards(&app, count, until).await? {
                writeln!(out, "{}", *code.to_text())?;
            }
        }
        Codes { for_roster, replace, .. } => {
            let list = for_roster.as_deref().ok_or("--count and --until, or --for-roster")?;
            let made = code::make_for_roster(&app, &read_roster(list)?, replace).await?;
            let mut out = csv::Writer::from_writer(out);
            out.write_record(["employee_id", "code"])?;
            for code::WorkerCode { employee_id, code } in made {
                out.write_record([&employee_id, &*code.to_text()])?;
            }
            out.flush()?;
        }
    }
    app.close().await;
    Ok(())
}

pub(crate) async fn key(home: &Path, key: Key) -> Outcome {
    let app = open(home).await?;
    let periods = match key {
        Key::Make { period, passes, first, last, small } => {
            let terms = Terms { passes, first, last, small };
            if terms.publish_by() < app.clock().today() {
                anstream::eprintln!(
                    "respite-issuer: it was to be published by {}: workers refuse a key until a week after it was",
                    terms.publish_by()
                );
            }
            vec![period::make(&app, period, terms).await?]
        }
        Key::Show => period::list(&app).await?,
        Key::Withdraw { period } => {
            let Period { name, key_id, terms } = period::withdraw(&app, &period).await?;
            app.close().await;
            let Terms { passes, first, last, small: _ } = terms;
            let told = format!(
                "period       {name}\npasses       {passes}\nfirst day    {first}\nlast day     {last}\nkey id       {key_id:?}"
            );
            return Ok(writeln!(io::stdout(), "{told}")?);
        }
    };
    let mut out = io::stdout().lock();
    for period in &periods {
        show(&app, period, &mut out)?;
    }
    app.close().await;
    Ok(())
}

pub(crate) async fn audit(home: &Path, seen: Option<&str>) -> Outcome {
    let seen = match seen {
        Some(hash) => Some(HEXLOWER.decode(hash.as_bytes())?.try_into().map_err(|_| "a hash has 64 digits")?),
        None => None,
    };
    let app = open(home).await?;
    let entries = audit::entries(&app).await?;
    let mut out = io::stdout().lock();
    for audit::Entry { at, action, hash } in &entries {
        let at = DateTime::from_timestamp(*at, 0).unwrap_or_default().to_rfc3339();
        writeln!(out, "{at}  {action}\n    {}", HEXLOWER.encode(hash))?;
    }
    app.close().await;
    Ok(audit::verify(&entries, seen)?)
}

pub(crate) async fn serve(home: &Path, serve: Serve) -> Outcome {
    let Serve {
        listen,
        scim_listen,
        origins,
        tls_certificate,
        tls_key,
        oidc_issuer,
        oidc_client_id,
        oidc_claim,
        oidc_ca_file,
    } = serve;
    let tls = match tls_certificate.zip(tls_key) {
        Some((certificate, key)) => {
            let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
            Some(Tls { certificate: read(&certificate)?, key: read(&key)? })
        }
        None if [Some(listen), scim_listen].iter().flatten().all(|listen| listen.ip().is_loopback()) => None,
        None => return Err("without a certificate, only this machine is listened to".into()),
    };
    let logins = match oidc_issuer.zip(oidc_client_id) {
        Some((issuer, client_id)) => {
            let settings = ProviderSettings { issuer, client_id, ca_file: oidc_ca_file };
            let provider = Provider::new(&settings).map_err(|error| format!("--oidc-{error}"))?;
            Some(Logins { provider, claim: oidc_claim })
        }
        None => None,
    };
    log();
    let desk = Arc::new(Desk::new(open(home).await?, logins)?);
    let bind =
        async |address| TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"));
    let workers = bind(listen).await?;
    let scim = match scim_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(address = %workers.local_addr()?, encrypted = tls.is_some(), "listening");
    if let Some(scim) = &scim {
        tracing::info!(address = %scim.local_addr()?, encrypted = tls.is_some(), "listening for SCIM");
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    issuer::serve::serve(desk, Front { workers, scim, origins, tls }, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// An error with its causes, except those it tells itself.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !sentence.contains(&told) {
            sentence = format!("{sentence}: {told}");
        }
        cause = error.source();
    }
    sentence
}

async fn open(home: &Path) -> Result<App, issuer::Error> {
    App::open(home, Clock::System).await
}

/// No more of it than a roster may have.
fn read_roster(path: &Path) -> Result<Roster, Box<dyn Error>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(roster::MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("{}: {error}", path.display()))?;
    Roster::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What the log of keys needs to know, as text.
fn show(app: &App, period: &Period, out: &mut impl Write) -> Outcome {
    let Identity { programme, name, origin, mode: _ } = app.identity();
    let Period { name: period_name, key_id: _, terms } = period;
    let key = period::key(app, period)?;
    let key = key.public_key();
    writeln!(out, "programme    {programme}")?;
    writeln!(out, "period       {period_name}")?;
    writeln!(out, "issuer       {name}")?;
    writeln!(out, "origin       {origin}")?;
    writeln!(out, "passes       {}", terms.passes)?;
    writeln!(out, "first day    {}", terms.first)?;
    writeln!(out, "last day     {}", terms.last)?;
    writeln!(out, "publish by   {}", terms.publish_by())?;
    writeln!(out, "signs from   {}", terms.signing().start)?;
    writeln!(out, "signs until  {}", terms.signing().end)?;
    writeln!(out, "key id       {:?}", key.id())?;
    writeln!(out, "public key   {}\n", BASE64.encode(&key.to_spki()))?;
    Ok(())
}

/// What goes wrong, on standard error; of the database's statements and values, nothing, and of a panic the place alone,
/// since its message may hold what was being worked on.
fn log() {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(["issuer", "respite_issuer"].map(|target| (target, LevelFilter::INFO)))
        .with_target("sqlx", LevelFilter::OFF);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer).with(filter).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}
