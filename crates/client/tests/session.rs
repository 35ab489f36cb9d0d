//! The client against a server that checks what it signs and answers by a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use api::v1::{
    Alias, BeginCreateAliasRequest, BeginCreateAliasResponse, BeginIdTokenLoginRequest,
    BeginIdTokenLoginResponse, BeginLoginRequest, BeginLoginResponse, CreateAliasRequest,
    CreateAliasResponse, EraseAliasRequest, EraseAliasResponse, ExportAliasRequest, ExportAliasResponse,
    FinishIdTokenLoginRequest, FinishIdTokenLoginResponse, FinishLoginRequest, FinishLoginResponse,
    GetAliasRequest, GetAliasResponse, LinkIdentityRequest, LinkIdentityResponse, LogoutRequest,
    LogoutResponse, SetExclusionTagsRequest, SetExclusionTagsResponse, UpdateAliasRequest,
    UpdateAliasResponse,
    alias_service_server::{AliasService, AliasServiceServer},
};
use client::{Client, Error, Secret, proof_of_work, request_id};
use ed25519_dalek::{Signature, VerifyingKey};
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};

const CHALLENGE: &[u8] = b"sign me";
const BITS: u32 = 8;

/// Refuses as long as the script lasts and remembers what it was sent.
#[derive(Clone, Default)]
struct Scripted {
    refusals: Arc<Mutex<VecDeque<Status>>>,
    login_refusals: Arc<Mutex<Vec<(Step, Status)>>>,
    challenge: Arc<Mutex<Option<Vec<u8>>>>,
    updates: Arc<Mutex<Vec<Update>>>,
    logins: Arc<Mutex<u32>>,
}

/// Where a login is refused, which has two calls.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Begin,
    /// Before the second is looked at, so that the challenge is still good.
    Limit,
    Finish,
}

#[derive(Clone, Debug, PartialEq)]
struct Update {
    request_id: String,
    authorization: String,
}

impl Scripted {
    /// A server on a port of its own, and a client connected to it.
    async fn serve(&self) -> Client {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = AliasServiceServer::new(self.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Client::connect(format!("http://{address}")).await.unwrap()
    }

    fn refuse(&self, status: &Status, times: usize) {
        self.refusals.lock().unwrap().extend(std::iter::repeat_n(status.clone(), times));
    }

    fn refuse_login(&self, step: Step, status: &Status, times: usize) {
        self.login_refusals.lock().unwrap().extend(std::iter::repeat_n((step, status.clone()), times));
    }

    fn login_refusal(&self, step: Step) -> Result<(), Status> {
        let mut refusals = self.login_refusals.lock().unwrap();
        match refusals.iter().position(|(at, _)| *at == step) {
            Some(index) => Err(refusals.remove(index).1),
            None => Ok(()),
        }
    }

    fn refusal(&self) -> Result<(), Status> {
        self.refusals.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn updates(&self) -> Vec<Update> {
        self.updates.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn an_alias_is_made_with_work_and_a_signature() {
    let client = Scripted::default().serve().await;
    let alias = client.create_alias(&Secret::generate().login_key()).await.unwrap();
    assert_eq!(alias.handle, "quiet-heron-4821");
}

/// B3
#[tokio::test]
async fn b3_an_unavailable_server_is_asked_again_for_the_same_thing() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::unavailable("restarting"), 2);

    update(&client).await.unwrap();

    let updates = server.updates();
    assert_eq!(updates.len(), 3);
    assert!(updates.iter().all(|update| *update == updates[0]), "every attempt has the same request id");
}

#[tokio::test]
async fn it_gives_up_after_five_attempts() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::unavailable("gone for long"), 9);

    let error = update(&client).await.unwrap_err();

    assert_eq!(error.refusal().unwrap().code, Code::Unavailable);
    assert_eq!(server.updates().len(), 5);
}

#[tokio::test]
async fn an_ended_token_is_renewed_and_the_call_repeated() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::unauthenticated("the token has expired"), 1);

    update(&client).await.unwrap();

    let updates = server.updates();
    assert_eq!(updates[0].authorization, "Bearer ct1_1");
    assert_eq!(updates[1].authorization, "Bearer ct1_2");
    assert_eq!(updates[0].request_id, updates[1].request_id);
}

#[tokio::test]
async fn a_token_that_is_refused_when_new_is_not_renewed_for_ever() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::unauthenticated("erased"), 9);

    let error = update(&client).await.unwrap_err();

    assert_eq!(error.refusal().unwrap().code, Code::Unauthenticated);
    assert_eq!(server.updates().len(), 2);
}

#[tokio::test]
async fn any_other_refusal_is_final() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::already_exists("somebody was faster"), 1);

    let error = update(&client).await.unwrap_err();

    assert_eq!(error.refusal().unwrap().code, Code::AlreadyExists);
    assert_eq!(server.updates().len(), 1);
}

/// Too much was asked; after so long another call may be made.
fn limited(reason: &str, wait: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "respite", HashMap::new());
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, "too much is asked", details)
}

#[tokio::test]
async fn a_call_that_is_one_too_many_waits_as_long_as_it_is_told() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    let wait = Duration::from_millis(20);
    server.refuse(&limited("RATE_LIMITED", wait), 2);

    let begun = Instant::now();
    update(&client).await.unwrap();

    assert!(begun.elapsed() >= 2 * wait);
    let updates = server.updates();
    assert_eq!(updates.len(), 3);
    assert!(updates.iter().all(|update| *update == updates[0]), "every attempt has the same request id");
}

#[tokio::test]
async fn whoever_is_to_wait_for_long_or_again_and_again_is_told() {
    let check = async |reason, wait, sent| {
        let server = Scripted::default();
        let client = signed_in(&server).await;
        server.refuse(&limited(reason, wait), 9);

        let error = update(&client).await.unwrap_err();

        assert_eq!(error.refusal().unwrap().reason, reason);
        assert_eq!(server.updates().len(), sent, "{reason} {wait:?}");
    };
    check("RATE_LIMITED", Duration::from_millis(1), 3).await;
    check("RATE_LIMITED", Duration::from_millis(5_001), 1).await;
    check("TOO_MANY_HOLDS", Duration::from_millis(1), 1).await;
}

/// Each step by itself: a login that began anew would take of the share what the step waits for.
#[tokio::test]
async fn each_step_of_a_login_waits() {
    let server = Scripted::default();
    for step in [Step::Begin, Step::Limit] {
        server.refuse_login(step, &limited("RATE_LIMITED", Duration::from_millis(1)), 2);
    }
    signed_in(&server).await;
}

#[tokio::test]
async fn a_login_that_meets_an_unavailable_server_starts_again() {
    let unavailable = Status::unavailable("restarting");
    for step in [Step::Begin, Step::Finish] {
        let server = Scripted::default();
        server.refuse_login(step, &unavailable, 1);
        let client = signed_in(&server).await;

        server.refuse(&Status::unauthenticated("the token has expired"), 1);
        server.refuse_login(step, &unavailable, 2);
        update(&client).await.unwrap();

        assert_eq!(server.updates()[1].authorization, "Bearer ct1_2");
    }
}

#[tokio::test]
async fn a_login_gives_up_after_five_attempts() {
    let server = Scripted::default();
    server.refuse_login(Step::Finish, &Status::unavailable("gone for long"), 6);

    let error = server.serve().await.login(Secret::generate().login_key()).await.unwrap_err();

    assert_eq!(error.refusal().unwrap().code, Code::Unavailable);
    assert_eq!(server.login_refusals.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_alias_whose_erasure_got_no_answer_cannot_sign_in() {
    let server = Scripted::default();
    let client = signed_in(&server).await;
    server.refuse(&Status::unavailable("erased, and then the connection broke"), 1);
    server.refuse(&Status::unauthenticated("the token has ended"), 1);
    let details = ErrorDetails::with_error_info("LOGIN_REFUSED", "respite", HashMap::new());
    let refused = Status::with_error_details(Code::Unauthenticated, "no such key", details);
    server.refuse_login(Step::Finish, &refused, 1);

    let error = Error::from(client.alias().erase_alias(EraseAliasRequest {}).await.unwrap_err());

    assert_eq!(error.refusal().unwrap().reason, "LOGIN_REFUSED");
}

async fn signed_in(server: &Scripted) -> Client {
    server.serve().await.login(Secret::generate().login_key()).await.unwrap()
}

async fn update(client: &Client) -> Result<(), Error> {
    let request = UpdateAliasRequest { request_id: request_id(), ..Default::default() };
    client.alias().update_alias(request).await?;
    Ok(())
}

fn signed(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Status> {
    let key = VerifyingKey::from_bytes(key.try_into().unwrap()).unwrap();
    key.verify_strict(message, &Signature::from_slice(signature).unwrap())
        .map_err(|_| Status::unauthenticated("the signature is wrong"))
}

#[tonic::async_trait]
impl AliasService for Scripted {
    async fn begin_create_alias(
        &self,
        _: Request<BeginCreateAliasRequest>,
    ) -> Result<Response<BeginCreateAliasResponse>, Status> {
        let proof_of_work_bits = BITS.try_into().unwrap();
        Ok(Response::new(BeginCreateAliasResponse { challenge: CHALLENGE.to_vec(), proof_of_work_bits }))
    }

    async fn create_alias(
        &self,
        request: Request<CreateAliasRequest>,
    ) -> Result<Response<CreateAliasResponse>, Status> {
        let CreateAliasRequest { public_key, challenge, proof_of_work, signature } = request.into_inner();
        assert_eq!(challenge, CHALLENGE);
        assert!(proof_of_work::verify(CHALLENGE, &proof_of_work, BITS));
        signed(&public_key, &[b"respite/create-alias/v1\0", CHALLENGE, &proof_of_work].concat(), &signature)?;
        let alias = Alias { handle: "quiet-heron-4821".to_owned(), ..Default::default() };
        Ok(Response::new(CreateAliasResponse { alias: Some(alias) }))
    }

    async fn begin_login(
        &self,
        _: Request<BeginLoginRequest>,
    ) -> Result<Response<BeginLoginResponse>, Status> {
        self.login_refusal(Step::Begin)?;
        let challenge = uuid::Uuid::new_v4().as_bytes().to_vec();
        *self.challenge.lock().unwrap() = Some(challenge.clone());
        Ok(Response::new(BeginLoginResponse { challenge, audience: "respite.example".to_owned() }))
    }

    async fn finish_login(
        &self,
        request: Request<FinishLoginRequest>,
    ) -> Result<Response<FinishLoginResponse>, Status> {
        self.login_refusal(Step::Limit)?;
        let FinishLoginRequest { public_key, challenge, signature } = request.into_inner();
        if self.challenge.lock().unwrap().take().as_ref() != Some(&challenge) {
            return Err(Status::unauthenticated("a challenge is good once"));
        }
        signed(&public_key, &[b"respite/login/v1\0respite.example\0", &challenge[..]].concat(), &signature)?;
        self.login_refusal(Step::Finish)?;
        let mut logins = self.logins.lock().unwrap();
        *logins += 1;
        let access_token = format!("ct1_{logins}");
        Ok(Response::new(FinishLoginResponse { access_token, ..Default::default() }))
    }

    async fn update_alias(
        &self,
        request: Request<UpdateAliasRequest>,
    ) -> Result<Response<UpdateAliasResponse>, Status> {
        let authorization = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        let request_id = request.into_inner().request_id;
        self.updates.lock().unwrap().push(Update { request_id, authorization });
        self.refusal()?;
        Ok(Response::new(UpdateAliasResponse::default()))
    }

    async fn begin_id_token_login(
        &self,
        _: Request<BeginIdTokenLoginRequest>,
    ) -> Result<Response<BeginIdTokenLoginResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn finish_id_token_login(
        &self,
        _: Request<FinishIdTokenLoginRequest>,
    ) -> Result<Response<FinishIdTokenLoginResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn link_identity(
        &self,
        _: Request<LinkIdentityRequest>,
    ) -> Result<Response<LinkIdentityResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn logout(&self, _: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_alias(&self, _: Request<GetAliasRequest>) -> Result<Response<GetAliasResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn set_exclusion_tags(
        &self,
        _: Request<SetExclusionTagsRequest>,
    ) -> Result<Response<SetExclusionTagsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn erase_alias(
        &self,
        _: Request<EraseAliasRequest>,
    ) -> Result<Response<EraseAliasResponse>, Status> {
        self.refusal()?;
        Ok(Response::new(EraseAliasResponse::default()))
    }

    type ExportAliasStream = tonic::codegen::BoxStream<ExportAliasResponse>;

    async fn export_alias(
        &self,
        _: Request<ExportAliasRequest>,
    ) -> Result<Response<Self::ExportAliasStream>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}
