//! Making an alias and signing in: what is signed, byte for byte.

use api::v1::{
    Alias, BeginCreateAliasRequest, BeginLoginRequest, CreateAliasRequest, FinishLoginRequest,
    alias_service_client::AliasServiceClient,
};
use ed25519_dalek::{Signer, SigningKey};
use http::HeaderValue;
use tonic::Status;

use crate::{error::Error, proof_of_work, session::Session};

const CREATE_ALIAS: &[u8] = b"respite/create-alias/v1\0";
const LOGIN: &[u8] = b"respite/login/v1\0";

/// Makes the alias of `key`, or finds it made.
pub(crate) async fn create_alias(session: Session, key: &SigningKey) -> Result<Alias, Error> {
    let mut service = AliasServiceClient::new(session);
    let public_key = key.verifying_key().to_bytes().to_vec();

    let asked = BeginCreateAliasRequest { public_key: public_key.clone() };
    let begun = service.begin_create_alias(asked).await?.into_inner();
    let (challenge, bits) = (begun.challenge, begun.proof_of_work_bits);

    let proof_of_work = prove_work(challenge.clone(), bits).await?;
    let signature = key.sign(&[CREATE_ALIAS, &challenge, &proof_of_work].concat()).to_bytes().to_vec();
    let answer = CreateAliasRequest { public_key, challenge, proof_of_work, signature };
    let created = service.create_alias(answer).await?.into_inner();
    created.alias.ok_or(Error::Incomplete { field: "alias" })
}

/// Signs a challenge and returns the `authorization` that the server gives for it.
///
/// A challenge is good once: another attempt starts from the beginning.
pub(crate) async fn login(session: Session, key: &SigningKey) -> Result<HeaderValue, Status> {
    let mut service = AliasServiceClient::new(session);
    let public_key = key.verifying_key().to_bytes().to_vec();

    let asked = BeginLoginRequest { public_key: public_key.clone() };
    let begun = service.begin_login(asked).await?.into_inner();
    let (challenge, audience) = (begun.challenge, begun.audience);

    let signature = key.sign(&[LOGIN, audience.as_bytes(), b"\0", &challenge].concat()).to_bytes().to_vec();
    let answer = FinishLoginRequest { public_key, challenge, signature };
    let token = service.finish_login(answer).await?.into_inner().access_token;
    let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Status::internal("the access token does not fit a header"))?;
    authorization.set_sensitive(true);
    Ok(authorization)
}

async fn prove_work(challenge: Vec<u8>, bits: i32) -> Result<Vec<u8>, Error> {
    let asked = u32::try_from(bits).map_err(|_| Error::Incomplete { field: "proof_of_work_bits" })?;
    let nonce = tokio::task::spawn_blocking(move || proof_of_work::solve(&challenge, asked))
        .await
        .expect("counting up does not panic");
    nonce.map(Vec::from).ok_or(Error::TooMuchWork { bits })
}
