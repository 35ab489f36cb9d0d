//! E3: a worker of the roster signs in at the hospital's identity provider in place of a code.

use std::collections::HashSet;

use api::issuer::v1::{BeginLoginRequest, BeginLoginResponse, IdTokenLogin, IssuePassesRequest};
use chrono::Days;
use issuer::{Desk, Logins, Mode};
use oidc::{Provider, ProviderSettings};
use serde_json::json;
use tonic::Code as Grpc;

use crate::provider::{Fake, Key, Real};
use crate::world::{PASSES, Serving, World, check_refused, roster, terms};

fn logins(settings: &ProviderSettings, claim: &str) -> Logins {
    Logins { provider: Provider::new(settings).unwrap(), claim: claim.to_owned() }
}

async fn begin(issuer: &Serving) -> BeginLoginResponse {
    issuer.client.clone().begin_login(BeginLoginRequest {}).await.unwrap().into_inner()
}

fn with_login(mut request: IssuePassesRequest, nonce: &str, id_token: String) -> IssuePassesRequest {
    request.activation_code.clear();
    request.login = Some(IdTokenLogin { nonce: nonce.to_owned(), id_token });
    request
}

/// By the certified provider, from the browser to passes that the booking side accepts.
#[tokio::test]
async fn a_login_at_a_real_provider_becomes_passes() {
    let mut real = Real::start().await;
    let mut world = World::without_period(Mode::Roster).await;
    world.is_now();
    // The provider goes by the machine's clock.
    let [from, until] = [0, 90].map(|days| (world.app.clock().today() + Days::new(days)).to_string());
    world.period("now", &from, &until).await;
    world.import(&roster(0..50)).await.unwrap();
    let issuer = world.serve_with(Some(logins(&real.settings(), "employee_number"))).await;
    let BeginLoginResponse { nonce, provider_uri, client_id } = begin(&issuer).await;
    assert_eq!((provider_uri, &*client_id), (real.issuer.clone(), "respite"));
    let offer = issuer.offer().await.unwrap();
    let code = world.code("N-7").await;
    let batch = world.batch(&code, &offer);
    let request = with_login(batch.request.clone(), &nonce, real.sign_in("N-7", &nonce).await);
    world.redeem(&batch.finalize(&issuer.issue(&request).await.unwrap()));

    // Somebody who may sign in at the hospital, and is not on the roster.
    let nonce = begin(&issuer).await.nonce;
    let visitor = with_login(batch.request.clone(), &nonce, real.sign_in("N-999", &nonce).await);
    check_refused(issuer.issue(&visitor).await, Grpc::Unauthenticated, "LOGIN_REFUSED");
}

/// However somebody shows who they are, they have one batch in a period.
#[tokio::test]
async fn logins_and_codes_share_one_quota_and_a_lost_answer_comes_again() {
    let fake = Fake::start().await;
    let world = World::with_roster(50).await;
    let code = world.code("N-1").await;
    let issuer = world.serve_with(Some(logins(&fake.settings(), "sub"))).await;
    let offer = issuer.offer().await.unwrap();
    let login = async |batch: &IssuePassesRequest| {
        let nonce = begin(&issuer).await.nonce;
        with_login(batch.clone(), &nonce, fake.token("N-1", &nonce, world.now()))
    };
    let first = world.batch(&code, &offer);
    let request = login(&first.request).await;
    let signed = issuer.issue(&request).await.unwrap();
    world.redeem(&first.finalize(&signed));
    // The same again, by the same login, by another one, and by the code.
    assert_eq!(issuer.issue(&request).await.unwrap(), signed);
    assert_eq!(issuer.issue(&login(&first.request).await).await.unwrap(), signed);
    assert_eq!(issuer.issue(&first.request).await.unwrap(), signed);
    let other = world.batch(&code, &offer).request;
    for request in [login(&other).await, other] {
        check_refused(issuer.issue(&request).await, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
    }
    // Who has left gets what was signed for them, and nobody learns more of who never was there.
    world.import(&roster(2..60)).await.unwrap();
    assert_eq!(issuer.issue(&login(&first.request).await).await.unwrap(), signed);
    assert!(!world.bytes_on_disk().windows(3).any(|bytes| bytes == b"N-1"));
}

/// Whatever is wrong with a login is one answer, word for word.
#[tokio::test]
async fn a_login_that_does_not_hold_is_refused_and_never_said_why() {
    let mut fake = Fake::start().await;
    let world = World::new(Mode::Roster).await;
    world.import(&(roster(0..50) + "ended,2026-01-01,2026-09-30\n")).await.unwrap();
    let code = world.code("N-1").await;
    let issuer = world.serve_with(Some(logins(&fake.settings(), "employee_number"))).await;
    let offer = issuer.offer().await.unwrap();
    let batch = world.batch(&code, &offer).request;
    let nonce = begin(&issuer).await.nonce;
    let claims = |number: &str, nonce: &str| {
        let mut claims = fake.claims("somebody", nonce, world.now());
        claims["employee_number"] = json!(number);
        claims
    };
    let sound = claims("N-1", &nonce);
    let change = |name: &str, value| {
        let mut claims = sound.clone();
        claims[name] = value;
        fake.key.sign(&claims)
    };
    let other_nonce = begin(&issuer).await.nonce;
    let elsewhere = World::with_roster(1).await.serve_with(Some(logins(&fake.settings(), "sub"))).await;
    let not_ours = begin(&elsewhere).await.nonce;
    let header = json!({ "alg": "ES256", "kid": "first" });
    let wrong = [
        ("another provider", &nonce, change("iss", json!("https://other.example"))),
        ("another client", &nonce, change("aud", json!("payroll"))),
        ("over", &nonce, change("exp", json!(world.now() - 61))),
        ("another login", &other_nonce, fake.key.sign(&sound)),
        ("another issuer's nonce", &not_ours, fake.key.sign(&claims("N-1", &not_ours))),
        ("unsigned", &nonce, format!("{}.", crate::provider::signed(&json!({ "alg": "none" }), &sound))),
        ("a stranger's key", &nonce, Key::generate("other").sign_under(&header, &sound)),
        ("not on the roster", &nonce, change("employee_number", json!("N-51"))),
        ("not eligible any more", &nonce, change("employee_number", json!("ended"))),
        ("no staff number", &nonce, change("employee_number", json!(null))),
        ("not a text", &nonce, change("employee_number", json!(1))),
        ("nothing", &nonce, String::new()),
    ];
    let mut told = HashSet::new();
    for (why, nonce, token) in wrong {
        let refused = issuer.issue(&with_login(batch.clone(), nonce, token)).await;
        let refused = check_refused(refused, Grpc::Unauthenticated, "LOGIN_REFUSED");
        told.insert((refused.message().to_owned(), refused.details().to_vec()));
        assert_eq!(told.len(), 1, "{why}");
    }
    let request = with_login(batch, &nonce, fake.key.sign(&sound));
    let mut both = request.clone();
    both.activation_code = code.to_text().to_string();
    check_refused(issuer.issue(&both).await, Grpc::InvalidArgument, "MALFORMED");
    let [first, last] = [request.clone(), request];
    issuer.issue(&first).await.unwrap();
    // The provider's key has changed, and the new one cannot be had.
    fake.key = Key::generate("second");
    fake.is_away(true);
    world.is("2026-10-02");
    let nonce = begin(&issuer).await.nonce;
    let request = with_login(last, &nonce, fake.token("N-1", &nonce, world.now()));
    let away = check_refused(issuer.issue(&request).await, Grpc::Unavailable, "PROVIDER_UNAVAILABLE");
    assert!(!away.message().contains("127.0.0.1"));
}

/// E3: where there is no roster, whoever may sign in at the hospital is eligible, and has one batch in a period.
#[tokio::test]
async fn whoever_may_sign_in_is_eligible_where_that_was_decided() {
    let fake = Fake::start().await;
    let world = World::new(Mode::Logins { eligible: 50 }).await;
    let issuer = world.serve_with(Some(logins(&fake.settings(), "sub"))).await;
    let offer = issuer.offer().await.unwrap();
    let login = async |who: &str, batch: &IssuePassesRequest| {
        let nonce = begin(&issuer).await.nonce;
        with_login(batch.clone(), &nonce, fake.token(who, &nonce, world.now()))
    };
    // No code belongs to anybody here.
    let card = World::new(Mode::Cards).await.cards(1, "2026-12-31").await.remove(0);
    let first = world.batch(&card, &offer);
    check_refused(issuer.issue(&first.request).await, Grpc::Unauthenticated, "CODE_REFUSED");
    let signed = issuer.issue(&login("nurse", &first.request).await).await.unwrap();
    world.redeem(&first.finalize(&signed));
    assert_eq!(issuer.issue(&login("nurse", &first.request).await).await.unwrap(), signed);
    let other = world.batch(&card, &offer).request;
    check_refused(
        issuer.issue(&login("nurse", &other).await).await,
        Grpc::AlreadyExists,
        "OTHER_BATCH_ISSUED",
    );
    issuer.issue(&login("medic", &other).await).await.unwrap();
    let nonce = begin(&issuer).await.nonce;
    let stranger = Key::generate("first").sign(&fake.claims("nurse", &nonce, world.now()));
    let stranger = with_login(other, &nonce, stranger);
    check_refused(issuer.issue(&stranger).await, Grpc::Unauthenticated, "LOGIN_REFUSED");
    for name in [&b"nurse"[..], b"medic"] {
        assert!(!world.bytes_on_disk().windows(name.len()).any(|bytes| bytes == name));
    }
    // It is the same issuer when it is opened again, and has neither roster nor codes nor cards.
    let app = issuer::App::open(&world.home(), issuer::Clock::System).await.unwrap();
    assert_eq!(app.identity().mode, Mode::Logins { eligible: 50 });
    assert!(world.import(&roster(0..50)).await.is_err());
    assert!(issuer::code::make_cards(&app, 1, issuer::parse_day("2027-01-01").unwrap()).await.is_err());
    assert!(Desk::new(app, None).is_err(), "nobody could show anything");

    let few = World::new(Mode::Logins { eligible: 49 }).await;
    let issuer = few.serve_with(Some(logins(&fake.settings(), "sub"))).await;
    assert_eq!(issuer.offer().await.unwrap_err().code(), Grpc::FailedPrecondition);
}

/// privacy.md 1.6: a card is nobody's, so no login may stand beside it; and a roster without a provider has codes alone.
#[tokio::test]
async fn logins_are_for_rosters_with_a_provider() {
    let fake = Fake::start().await;
    let world = World::new(Mode::Cards).await;
    let app = issuer::App::open(&world.home(), issuer::Clock::System).await.unwrap();
    assert!(Desk::new(app, Some(logins(&fake.settings(), "sub"))).is_err());

    let world = World::with_roster(50).await;
    let issuer = world.serve().await;
    let begun = issuer.client.clone().begin_login(BeginLoginRequest {}).await;
    check_refused(begun, Grpc::FailedPrecondition, "LOGINS_NOT_ACCEPTED");
    let batch = world.batch(&world.code("N-1").await, &issuer.offer().await.unwrap());
    let request = with_login(batch.request, "", String::new());
    check_refused(issuer.issue(&request).await, Grpc::FailedPrecondition, "LOGINS_NOT_ACCEPTED");
    assert_eq!(terms("2026-10-01", "2027-01-01").passes, PASSES);
}
