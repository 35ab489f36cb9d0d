//! Staff sign in at their practice's identity provider: by its word alone, whom an operator linked, and never an alias.

use std::{collections::HashSet, time::Duration};

use api::v1::{
    self, alias_service_client::AliasServiceClient, availability_service_client::AvailabilityServiceClient,
    directory_service_client::DirectoryServiceClient, link_identity_request::Staff as Named,
    programme_service_client::ProgrammeServiceClient,
};
use chrono::TimeDelta;
use client::{Client, Refusal, Secret, request_id};
use data_encoding::BASE64URL_NOPAD;
use e2e::{Engine, Therapist, World, sign_in, with_token};
use oidc::{Provider, ProviderSettings};
use ring::hmac;
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect, sea_query::LockType};
use serde_json::{Value, json};
use services::{App, Clock, Staff, operators};
use store::{OperatorId, TherapistId, audit::Action, operator};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};

use crate::provider::{Fake, Key, Real, signed};

const BERLIN: &str = "Europe/Berlin";
const NOW: &str = "2026-03-20T09:00:00Z";
/// For what would never end if it had to wait.
const FOREVER: Duration = Duration::from_mins(1);

/// A service whose staff may sign in at a provider, and its operator, whom nobody has linked.
struct Practice {
    app: App,
    channel: Channel,
    operator: Client,
    operator_id: OperatorId,
}

impl Practice {
    async fn with(world: &World, provider: &ProviderSettings) -> Self {
        let staff_provider = Some(std::sync::Arc::new(Provider::new(provider).unwrap()));
        let app = App { staff_provider, ..world.app.clone() };
        let channel = Channel::from_shared(e2e::serves(&app).await).unwrap().connect().await.unwrap();
        let operator_key = Secret::generate().login_key();
        let public_key = operator_key.verifying_key().to_bytes();
        let operator_id = operators::create(&app, "the second", &public_key).await.unwrap();
        let operator = Client::over(channel.clone()).login(operator_key).await.unwrap();
        Self { app, channel, operator, operator_id }
    }

    fn aliases(&self) -> AliasServiceClient<Channel> {
        AliasServiceClient::new(self.channel.clone())
    }

    fn now(&self) -> i64 {
        self.app.clock.now().timestamp()
    }

    async fn begin(&self) -> v1::BeginIdTokenLoginResponse {
        self.aliases().begin_id_token_login(v1::BeginIdTokenLoginRequest {}).await.unwrap().into_inner()
    }

    async fn finish(
        &self,
        challenge: Vec<u8>,
        id_token: String,
    ) -> Result<v1::FinishIdTokenLoginResponse, Status> {
        let request = v1::FinishIdTokenLoginRequest { challenge, id_token };
        self.aliases().finish_id_token_login(request).await.map(tonic::Response::into_inner)
    }

    /// Signs in as whom the provider calls `subject`.
    async fn signs_in(&self, fake: &Fake, subject: &str) -> Result<String, Refusal> {
        let begun = self.begin().await;
        let id_token = fake.token(subject, &begun.nonce, self.now());
        Ok(self.finish(begun.challenge, id_token).await?.access_token)
    }

    /// The same, to be done at another time: why it is refused, if it is.
    async fn login(&self, fake: &Fake, subject: &str) -> impl Future<Output = Option<String>> + use<> {
        let begun = self.begin().await;
        let id_token = fake.token(subject, &begun.nonce, self.now());
        let request = v1::FinishIdTokenLoginRequest { challenge: begun.challenge, id_token };
        let mut aliases = self.aliases();
        async move {
            aliases.finish_id_token_login(request).await.err().map(|refused| Refusal::from(refused).reason)
        }
    }

    async fn links(&self, staff: Named, subject: &str) -> Result<(), Refusal> {
        let request = link(staff, subject);
        self.operator.alias().link_identity(request).await?;
        Ok(())
    }

    /// Whether it is anybody's token.
    async fn holds(&self, token: &str) -> bool {
        let call = with_token(v1::GetAliasRequest {}, token);
        let refused = Refusal::from(self.aliases().get_alias(call).await.unwrap_err());
        assert!(
            ["TOKEN_INVALID", "CALLER_NOT_ALLOWED"].contains(&refused.reason.as_str()),
            "an alias's token"
        );
        refused.reason == "CALLER_NOT_ALLOWED"
    }
}

e2e::stories! {
    // By the certified provider, from the browser to a call of each kind of staff.
    async fn a_login_at_a_real_provider_signs_staff_in(engine: Engine) {
        let world = World::at(engine, NOW).await;
        world.app.clock.set(Clock::System.now());
        let mut real = Real::start().await;
        let practice = Practice::with(&world, &real.settings()).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let hospital = world.hospital(e2e::hospital::programme()).await;
        let staff = [
            ("ada", staff_of(&Named::TherapistId(ada.id.clone())), v1::CallerKind::Therapist),
            ("olga", Staff::Operator(practice.operator_id), v1::CallerKind::Operator),
            ("matt", staff_of(&Named::ProgrammeId(hospital.id.clone())), v1::CallerKind::Manager),
        ];
        for (subject, staff, caller) in staff {
            operators::link_identity(&practice.app, staff, subject).await.unwrap();
            let begun = practice.begin().await;
            assert_eq!((begun.provider_uri, &*begun.client_id), (real.issuer.clone(), "respite"));
            let id_token = real.sign_in(subject, &begun.nonce).await;
            let token = practice.finish(begun.challenge, id_token).await.unwrap();
            assert_eq!(token.caller(), caller);
            assert_eq!(token.expire_time.unwrap().seconds, practice.now() + 15 * 60);
            assert_eq!(answers_to(&practice.channel, &token.access_token).await, [caller]);
        }
        // Somebody who may sign in at the practice, and is not linked.
        let begun = practice.begin().await;
        let visitor = practice.finish(begun.challenge, real.sign_in("visitor", &begun.nonce).await).await;
        assert_eq!(Refusal::from(visitor.unwrap_err()).reason, "LOGIN_REFUSED");
    }

    async fn whatever_is_wrong_with_a_login_is_one_answer(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let (ada, nurse) = (world.therapist("Ada", BERLIN).await, world.worker().await);
        practice.links(Named::TherapistId(ada.id.clone()), "ada").await.unwrap();
        // Who is gone: an operator as it is done, and a therapist whom nobody unlinked.
        let gone = operators::create_linked(&practice.app, "gone", None, "gone").await.unwrap();
        operators::delete(&practice.app, gone).await.unwrap();
        let removed = world.therapist("Ben", BERLIN).await;
        practice.links(Named::TherapistId(removed.id.clone()), "removed").await.unwrap();
        let delete = format!("delete from therapist where id = {}", literal(engine, &removed.id));
        world.app.db.read().execute_unprepared(&delete).await.unwrap();

        let now = practice.now();
        let begun = practice.begin().await;
        let sound = fake.claims("ada", &begun.nonce, now);
        let change = |name: &str, value: Value| {
            let mut claims = sound.clone();
            claims[name] = value;
            fake.key.sign(&claims)
        };
        let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
        // Whatever of the public key may be taken for a shared secret.
        let by_secret = |secret: &[u8]| {
            let text = signed(&header("HS256", "first"), &sound);
            let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
            format!("{text}.{}", BASE64URL_NOPAD.encode(code.as_ref()))
        };
        let point = ["x", "y"].map(|half| {
            BASE64URL_NOPAD.decode(fake.key.jwk()[half].as_str().unwrap().as_bytes()).unwrap()
        });
        let point = [&[4][..], &point[0], &point[1]].concat();
        let second = Key::generate("second");
        fake.publish(vec![fake.key.jwk(), second.jwk()]);

        let used = practice.begin().await;
        let used_token = fake.token("ada", &used.nonce, now);
        practice.finish(used.challenge.clone(), used_token.clone()).await.unwrap();
        let other = practice.begin().await;
        let elsewhere = Practice::with(&World::at(engine, NOW).await, &fake.settings()).await.begin().await;
        let key = Secret::generate().login_key();
        let public_key = key.verifying_key().to_bytes().to_vec();
        let by_key = v1::BeginLoginRequest { public_key: public_key.clone() };
        let by_key = practice.aliases().begin_login(by_key).await.unwrap().into_inner().challenge;
        let alias = v1::BeginCreateAliasRequest { public_key };
        let alias = practice.aliases().begin_create_alias(alias).await.unwrap().into_inner().challenge;
        let late = practice.begin().await;
        let mut forged = begun.challenge.clone();
        forged[20] ^= 1;
        let ours = || begun.challenge.clone();
        let token = fake.key.sign(&sound);

        let wrong = [
            ("another provider", ours(), change("iss", json!("https://other.example"))),
            ("almost this provider", ours(), change("iss", json!(format!("{}/", fake.issuer)))),
            ("another client", ours(), change("aud", json!("payroll"))),
            ("several clients, and not said whose", ours(), change("aud", json!(["respite", "payroll"]))),
            ("over", ours(), change("exp", json!(now - 61))),
            ("not begun", ours(), change("iat", json!(now + 61))),
            ("no nonce", ours(), change("nonce", Value::Null)),
            ("another login's nonce", ours(), change("nonce", json!(other.nonce))),
            ("another login's challenge", other.challenge, token.clone()),
            ("unsigned", ours(), format!("{}.", signed(&header("none", "first"), &sound))),
            ("by the public key as a secret", ours(), by_secret(&point)),
            ("by its text as a secret", ours(), by_secret(fake.key.jwk().to_string().as_bytes())),
            ("by another key of the provider's", ours(), second.sign_under(&header("ES256", "first"), &sound)),
            ("by the name of another key", ours(), fake.key.sign_under(&header("ES256", "second"), &sound)),
            ("by a key that nobody knows", ours(), Key::generate("third").sign(&sound)),
            ("by a stranger's key", ours(), Key::generate("first").sign(&sound)),
            ("a changed letter", ours(), token.replacen('e', "f", 1)),
            ("nothing like a token", ours(), "token".to_owned()),
            ("endless", ours(), "a".repeat(60_000)),
            ("used", used.challenge, used_token),
            ("forged", forged.clone(), fake.token("ada", &begun.nonce, now)),
            ("cut short", ours()[..55].to_vec(), token.clone()),
            ("the nonce for the challenge", begun.nonce.clone().into_bytes(), token.clone()),
            ("another service's challenge", elsewhere.challenge, fake.token("ada", &elsewhere.nonce, now)),
            ("a challenge for a key", by_key.clone(), fake.token("ada", &BASE64URL_NOPAD.encode(&by_key), now)),
            ("a challenge for an alias", alias.clone(), fake.token("ada", &BASE64URL_NOPAD.encode(&alias), now)),
            ("nobody who is linked", ours(), change("sub", json!("nobody"))),
            ("as others write it", ours(), change("sub", json!("Ada"))),
            ("a therapist's id", ours(), change("sub", json!(ada.id))),
            ("an alias's id", ours(), change("sub", json!(nurse.id))),
            ("an alias's handle", ours(), change("sub", json!(nurse.handle))),
            ("an operator who is gone", ours(), change("sub", json!("gone"))),
            ("a therapist who is gone", ours(), change("sub", json!("removed"))),
        ];
        let before = world.fingerprint().await;
        let mut told = HashSet::new();
        for (why, challenge, id_token) in wrong {
            let refused = practice.finish(challenge, id_token).await.err().unwrap_or_else(|| panic!("{why}"));
            told.insert((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
            assert_eq!(told.len(), 1, "{why}");
            let refused = Refusal::from(refused);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "LOGIN_REFUSED"), "{why}");
        }
        assert!(world.fingerprint().await == before, "who is refused leaves nothing");

        // It was none of their doing: the same challenge, a moment before its end, with the token as it was.
        world.pass(TimeDelta::seconds(300));
        practice.finish(ours(), token).await.unwrap();
        world.pass(TimeDelta::seconds(299));
        let in_time = fake.token("ada", &late.nonce, practice.now());
        let challenge = late.challenge.clone();
        world.pass(TimeDelta::seconds(1));
        let refused = practice.finish(challenge, in_time).await.unwrap_err();
        told.insert((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
        assert_eq!(told.len(), 1, "too late");
    }

    async fn an_operator_says_who_is_who_and_tokens_end_with_it(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let key = Secret::generate().login_key();
        let ada = v1::CreateTherapistRequest {
            request_id: request_id(),
            therapist: Some(e2e::profile("Ada", BERLIN)),
            public_key: key.verifying_key().to_bytes().to_vec(),
        };
        let ada = practice.operator.directory().create_therapist(ada).await.unwrap().into_inner().therapist.unwrap().id;
        let ada = || Named::TherapistId(ada.clone());
        let hospital = world.hospital(e2e::hospital::programme()).await;

        let by_key = sign_in(&practice.channel, &key).await;
        let first = link(ada(), "ada@practice.example");
        practice.operator.alias().link_identity(first.clone()).await.unwrap();
        assert!(!practice.holds(&by_key).await, "a token of before");
        let token = practice.signs_in(&fake, "ada@practice.example").await.unwrap();
        let by_key = sign_in(&practice.channel, &key).await;
        // What is asked again was done once, and ends nothing.
        practice.operator.alias().link_identity(first).await.unwrap();
        assert!(practice.holds(&token).await && practice.holds(&by_key).await);
        practice.links(ada(), "ada@practice.example").await.unwrap();
        assert!(!practice.holds(&token).await && !practice.holds(&by_key).await);

        // Another name, and the one of before is nobody's.
        let token = practice.signs_in(&fake, "ada@practice.example").await.unwrap();
        practice.links(ada(), "lovelace").await.unwrap();
        assert!(!practice.holds(&token).await);
        assert_eq!(practice.signs_in(&fake, "ada@practice.example").await.unwrap_err().reason, "LOGIN_REFUSED");
        let token = practice.signs_in(&fake, "lovelace").await.unwrap();
        let manager = Named::ProgrammeId(hospital.id.clone());
        let refused = practice.links(manager.clone(), "lovelace").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "IDENTITY_IN_USE"));
        assert!(practice.holds(&token).await, "who was there first stays");
        practice.links(manager, "ada@practice.example").await.unwrap();

        // Nothing of a name is kept, nor of the provider.
        let data = format!("{:?}", world.fingerprint().await);
        for told in ["ada@practice.example", "lovelace", fake.issuer.as_str()] {
            assert!(!data.contains(told), "{told}");
        }

        practice.links(ada(), "").await.unwrap();
        assert!(!practice.holds(&token).await);
        assert_eq!(practice.signs_in(&fake, "lovelace").await.unwrap_err().reason, "LOGIN_REFUSED");
        assert!(practice.holds(&sign_in(&practice.channel, &key).await).await, "the key still does");

        // Operators may be made by a name alone, which goes with them, and linked anew.
        let olga = operators::create_linked(&practice.app, "olga", None, "lovelace").await.unwrap();
        let token = practice.signs_in(&fake, "lovelace").await.unwrap();
        assert_eq!(answers_to(&practice.channel, &token).await, [v1::CallerKind::Operator]);
        let taken = operators::create_linked(&practice.app, "twice", None, "lovelace").await.unwrap_err();
        assert_eq!(Refusal::from(Status::from(taken)).reason, "IDENTITY_IN_USE");
        operators::link_identity(&practice.app, Staff::Operator(olga), "olga").await.unwrap();
        assert!(!practice.holds(&token).await);
        let token = practice.signs_in(&fake, "olga").await.unwrap();
        operators::delete(&practice.app, olga).await.unwrap();
        assert!(!practice.holds(&token).await);
        assert_eq!(world.count("select count(*) from staff_identity").await, 1);
        assert_eq!(world.count("select count(*) from operator").await, 2);

        let written: Vec<_> = services::audit::entries(&world.app).await.unwrap();
        let written: Vec<_> = written.iter().filter(|entry| matches!(entry.action, Action::LinkIdentity | Action::UnlinkIdentity)).collect();
        let objects: HashSet<_> = written.iter().map(|entry| entry.object.clone()).collect();
        assert_eq!((written.len(), objects.len()), (7, 3));
    }

    async fn another_key_ends_the_old_one_and_the_name_beside_it(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let (ada, hospital) = (world.therapist("Ada", BERLIN).await, world.hospital(e2e::hospital::programme()).await);
        let id = || ada.id.parse().unwrap();
        let public = |key: &client::SigningKey| key.verifying_key().to_bytes().to_vec();
        let (key, of_manager) = (Secret::generate().login_key(), Secret::generate().login_key());
        let refuses = async |id, key: &[u8]| {
            let refused = operators::replace_therapist_key(&practice.app, id, key).await.unwrap_err();
            Refusal::from(Status::from(refused)).reason
        };
        let before = world.fingerprint().await;
        assert_eq!(refuses(id(), &public(&ada.key)).await, "KEY_IN_USE");
        assert_eq!(refuses(id(), &public(&hospital.key)).await, "KEY_IN_USE");
        assert_eq!(refuses(TherapistId::random(), &public(&key)).await, "NOT_FOUND");
        assert!(world.fingerprint().await == before, "a refused key changed something");

        let request = v1::UpdateProgrammeManagerRequest {
            request_id: request_id(),
            programme_id: hospital.id.clone(),
            public_key: public(&of_manager),
        };
        let mut tokens = Vec::new();
        for (named, subject, old) in [
            (Named::TherapistId(ada.id.clone()), "ada", &ada.key),
            (Named::ProgrammeId(hospital.id.clone()), "matt", &hospital.key),
        ] {
            practice.links(named, subject).await.unwrap();
            tokens.push(sign_in(&practice.channel, old).await);
            tokens.push(practice.signs_in(&fake, subject).await.unwrap());
        }
        operators::replace_therapist_key(&practice.app, id(), &public(&key)).await.unwrap();
        practice.operator.programmes().update_programme_manager(request).await.unwrap();

        for token in tokens {
            assert!(!practice.holds(&token).await, "of before");
        }
        for (subject, old, new) in [("ada", &ada.key, &key), ("matt", &hospital.key, &of_manager)] {
            assert_eq!(practice.signs_in(&fake, subject).await.unwrap_err().reason, "LOGIN_REFUSED");
            let refused = Client::over(practice.channel.clone()).login(old.clone()).await.err().unwrap();
            assert_eq!(refused.refusal().unwrap().reason, "LOGIN_REFUSED");
            assert!(practice.holds(&sign_in(&practice.channel, new).await).await);
        }
        let last = services::audit::entries(&world.app).await.unwrap().into_iter().map(|entry| entry.action);
        let last: Vec<_> = last.skip_while(|action| *action != Action::ReplaceTherapistKey).collect();
        assert_eq!(last, [Action::ReplaceTherapistKey, Action::UpdateProgrammeManager]);
    }

    async fn no_alias_is_linked_or_signed_in(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let (ada, nurse) = (world.therapist("Ada", BERLIN).await, world.worker().await);
        // An alias's id is nobody's, whatever it is said to be.
        for named in [Named::TherapistId, Named::ProgrammeId] {
            let alias = practice.links(named(nurse.id.clone()), "nurse").await.unwrap_err();
            assert_eq!(alias, practice.links(named(request_id()), "nurse").await.unwrap_err());
            assert_eq!((alias.code, alias.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
        }
        // Neither are staff whom it is not.
        practice.links(Named::ProgrammeId(ada.id.clone()), "ada").await.unwrap_err();
        // Nor is an operator, for another operator: one who did that would act as two.
        practice.links(Named::TherapistId(practice.operator_id.to_string()), "olga").await.unwrap_err();
        assert_eq!(world.count("select count(*) from staff_identity").await, 0);

        // Nor does the database let anybody say so by hand,
        practice.links(Named::TherapistId(ada.id.clone()), "ada").await.unwrap();
        let db = world.app.db.read();
        let is_an_alias = db.execute_unprepared("update staff_identity set staff_kind = 'alias'").await;
        is_an_alias.expect_err("an alias by its kind");
        // and by the id of an alias nobody signs in.
        practice.signs_in(&fake, "ada").await.unwrap();
        let is_hers = format!("update staff_identity set staff_id = {}", literal(engine, &nurse.id));
        db.execute_unprepared(&is_hers).await.unwrap();
        for kind in ["therapist", "operator", "manager"] {
            db.execute_unprepared(&format!("update staff_identity set staff_kind = '{kind}'")).await.unwrap();
            assert_eq!(practice.signs_in(&fake, "ada").await.unwrap_err().reason, "LOGIN_REFUSED", "{kind}");
        }
    }

    async fn a_provider_may_change_its_keys_and_be_away(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let mut fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let ada = world.therapist("Ada", BERLIN).await;
        practice.links(Named::TherapistId(ada.id), "ada").await.unwrap();
        practice.signs_in(&fake, "ada").await.unwrap();
        let old = std::mem::replace(&mut fake.key, Key::generate("second"));
        fake.publish(vec![fake.key.jwk()]);
        world.pass(TimeDelta::seconds(10));
        practice.signs_in(&fake, "ada").await.unwrap();
        // One login of all that were made asked for keys again.
        assert_eq!(fake.asked(), 2);
        let new = std::mem::replace(&mut fake.key, old);
        assert_eq!(practice.signs_in(&fake, "ada").await.unwrap_err().reason, "LOGIN_REFUSED");

        // Keys are believed for an hour; then nobody knows better until the provider is back.
        fake.key = new;
        fake.is_away(true);
        practice.signs_in(&fake, "ada").await.unwrap();
        world.pass(TimeDelta::hours(1));
        let begun = practice.begin().await;
        let token = fake.token("ada", &begun.nonce, practice.now());
        let away = practice.finish(begun.challenge.clone(), token.clone()).await.unwrap_err();
        assert!(!away.message().contains("127.0.0.1"), "{}", away.message());
        let away = Refusal::from(away);
        assert_eq!((away.code, away.reason.as_str()), (Code::Unavailable, "PROVIDER_UNAVAILABLE"));
        // Who has no challenge learns nothing of that.
        let stranger = practice.finish(vec![7; 56], token.clone()).await.unwrap_err();
        assert_eq!(Refusal::from(stranger).reason, "LOGIN_REFUSED");
        fake.is_away(false);
        world.pass(TimeDelta::seconds(10));
        practice.finish(begun.challenge, token).await.unwrap();

        // Whom another provider calls the same is somebody else.
        let other = Fake::start().await;
        let moved = Practice::with(&world, &other.settings()).await;
        assert_eq!(moved.signs_in(&other, "ada").await.unwrap_err().reason, "LOGIN_REFUSED");
    }

    // A login that is under way when its link is taken away leaves no token, whoever is first.
    async fn who_is_unlinked_is_signed_in_nowhere(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let ada = world.therapist("Ada", BERLIN).await;
        let staff = Staff::Therapist(ada.id.parse().unwrap());
        let of_ada = format!("select count(*) from access_token where caller_id = {}", literal(engine, &ada.id));
        for _ in 0..5 {
            operators::link_identity(&practice.app, staff, "ada").await.unwrap();
            let mut together = JoinSet::new();
            for _ in 0..6 {
                together.spawn(practice.login(&fake, "ada").await);
            }
            let app = practice.app.clone();
            together.spawn(async move {
                operators::link_identity(&app, staff, "").await.unwrap();
                None
            });
            for reason in together.join_all().await.into_iter().flatten() {
                assert_eq!(reason, "LOGIN_REFUSED");
            }
            assert_eq!(world.count(&of_ada).await, 0);
        }
        if engine == Engine::Sqlite {
            // One transaction writes at a time.
            return;
        }
        // The login has found who it is when the link goes, and the link goes first.
        operators::link_identity(&practice.app, staff, "ada").await.unwrap();
        let unlinking = world.app.db.write().await.unwrap();
        unlinking.execute_unprepared("delete from staff_identity").await.unwrap();
        let login = tokio::spawn(practice.login(&fake, "ada").await);
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        while !login.is_finished() && world.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        unlinking.commit().await.unwrap();
        assert_eq!(login.await.unwrap().as_deref(), Some("LOGIN_REFUSED"));
    }

    // Whoever calls has their own row locked.
    async fn an_operator_is_linked_whatever_they_are_doing(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let fake = Fake::start().await;
        let practice = Practice::with(&world, &fake.settings()).await;
        let key = Secret::generate().login_key().verifying_key().to_bytes();
        let busy = operators::create(&practice.app, "the third", &key).await.unwrap();
        let call = match engine {
            // One transaction writes at a time.
            Engine::Sqlite => None,
            Engine::Postgres => {
                let call = world.app.db.write().await.unwrap();
                let row = operator::Entity::find_by_id(busy).lock(LockType::NoKeyUpdate).one(&call).await;
                row.unwrap().unwrap();
                Some(call)
            }
        };
        let links = operators::link_identity(&practice.app, Staff::Operator(busy), "busy");
        timeout(FOREVER, links).await.expect("nobody waits").unwrap();
        drop(call);
        practice.signs_in(&fake, "busy").await.unwrap();
    }

    async fn without_a_provider_staff_sign_in_with_their_keys(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (anybody, operator) = (world.anybody().await, world.operator().await);
        let ada = world.therapist("Ada", BERLIN).await;
        let begun = anybody.alias().begin_id_token_login(v1::BeginIdTokenLoginRequest {}).await.map(drop);
        let finished = v1::FinishIdTokenLoginRequest { challenge: vec![1; 56], id_token: "a.b.c".to_owned() };
        let finished = anybody.alias().finish_id_token_login(finished).await.map(drop);
        let linked = operator.alias().link_identity(link(Named::TherapistId(ada.id.clone()), "ada")).await.map(drop);
        for answer in [begun, finished, linked] {
            let refused = Refusal::from(answer.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "LOGINS_NOT_ACCEPTED"));
        }
        let unnamed = v1::LinkIdentityRequest { request_id: String::new(), ..link(Named::TherapistId(ada.id.clone()), "ada") };
        let unnamed = Refusal::from(operator.alias().link_identity(unnamed).await.unwrap_err());
        assert_eq!((unnamed.code, unnamed.reason.as_str()), (Code::InvalidArgument, "REQUIRED"), "first of all");
        // A provider that is gone from the settings leaves nobody linked who should not be.
        operator.alias().link_identity(link(Named::TherapistId(ada.id), "")).await.unwrap();
    }
}

/// Links a therapist, for stories that look at what is kept.
pub(crate) async fn links(world: &World, therapist: &Therapist) {
    let issuer = "https://login.practice.example".to_owned();
    let provider = ProviderSettings { issuer, client_id: "respite".to_owned(), ca_file: None };
    let staff_provider = Some(std::sync::Arc::new(Provider::new(&provider).unwrap()));
    let app = App { staff_provider, ..world.app.clone() };
    let staff = Staff::Therapist(therapist.id.parse().unwrap());
    operators::link_identity(&app, staff, "ada").await.unwrap();
}

fn link(staff: Named, subject: &str) -> v1::LinkIdentityRequest {
    v1::LinkIdentityRequest { request_id: request_id(), staff: Some(staff), subject: subject.to_owned() }
}

fn staff_of(named: &Named) -> Staff {
    match named {
        Named::TherapistId(id) => Staff::Therapist(id.parse().unwrap()),
        Named::ProgrammeId(id) => Staff::Manager(id.parse().unwrap()),
    }
}

/// An id as the engine reads it.
fn literal(engine: Engine, id: &str) -> String {
    match engine {
        Engine::Sqlite => format!("x'{}'", id.replace('-', "")),
        Engine::Postgres => format!("'{id}'"),
    }
}

/// As whom the token is answered, of the three kinds of staff.
async fn answers_to(channel: &Channel, token: &str) -> Vec<v1::CallerKind> {
    let channel = || channel.clone();
    let schedule = with_token(v1::GetScheduleRequest {}, token);
    let therapists = with_token(v1::ListTherapistsRequest::default(), token);
    let reports = with_token(v1::ListReportsRequest {}, token);
    let answered = [
        AvailabilityServiceClient::new(channel()).get_schedule(schedule).await.is_ok(),
        DirectoryServiceClient::new(channel()).list_therapists(therapists).await.is_ok(),
        ProgrammeServiceClient::new(channel()).list_reports(reports).await.is_ok(),
    ];
    let kinds = [v1::CallerKind::Therapist, v1::CallerKind::Operator, v1::CallerKind::Manager];
    kinds.into_iter().zip(answered).filter(|(_, answered)| *answered).map(|(kind, _)| kind).collect()
}
