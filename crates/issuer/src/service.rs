//! The contract's edge: messages in, messages out, and the one table from refusals to statuses.

use std::time::Duration;

use api::issuer::v1::{
    BeginLoginRequest, BeginLoginResponse, GetOfferRequest, GetOfferResponse, IdTokenLogin,
    IssuePassesRequest, IssuePassesResponse, issuer_service_server::IssuerService,
};
use pass::{BlindedMessage, KeyId};
use tonic::{Code, Response, Status, async_trait};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    Error, code,
    issue::{Desk, Refusal, Request, Shown},
    login::{self, Login},
};

/// Whose table of reasons an `ErrorInfo` speaks of.
const DOMAIN: &str = "respite";
/// When to come back.
const RETRY: Duration = Duration::from_secs(1);

#[async_trait]
impl IssuerService for Desk {
    async fn get_offer(
        &self,
        _: tonic::Request<GetOfferRequest>,
    ) -> Result<Response<GetOfferResponse>, Status> {
        let period = self.offer().await?;
        Ok(Response::new(GetOfferResponse {
            programme_id: self.app.identity().programme.to_string(),
            period: period.name.to_string(),
            key_id: period.key_id.as_bytes().to_vec(),
            passes: period.terms.passes,
        }))
    }

    async fn begin_login(
        &self,
        _: tonic::Request<BeginLoginRequest>,
    ) -> Result<Response<BeginLoginResponse>, Status> {
        let logins = self.logins.as_ref().ok_or(Refusal::CodesOnly)?;
        Ok(Response::new(BeginLoginResponse {
            nonce: login::nonce(&self.app.secret, self.app.clock.now()),
            provider_uri: logins.provider.issuer().to_owned(),
            client_id: logins.provider.client_id().to_owned(),
        }))
    }

    async fn issue_passes(
        &self,
        request: tonic::Request<IssuePassesRequest>,
    ) -> Result<Response<IssuePassesResponse>, Status> {
        let signatures = self.issue(parse(request.into_inner())?).await?;
        let blind_signatures = signatures.iter().map(|signature| signature.as_bytes().to_vec()).collect();
        Ok(Response::new(IssuePassesResponse { blind_signatures }))
    }
}

fn parse(request: IssuePassesRequest) -> Result<Request, Status> {
    let IssuePassesRequest { activation_code, key_id, blinded_messages, login } = request;
    let shown = match login {
        None => Shown::Code(code::Code::parse(&activation_code)),
        Some(_) if !activation_code.is_empty() => {
            return Err(invalid("login", "MALFORMED", "must not come with an activation code"));
        }
        Some(IdTokenLogin { nonce, id_token }) => Shown::Login(Login { nonce, id_token }),
    };
    let key_id: [u8; 32] =
        key_id.try_into().map_err(|_| invalid("key_id", "MALFORMED", "must have 32 bytes"))?;
    let message = |(index, message): (usize, &Vec<u8>)| {
        BlindedMessage::try_from(&message[..])
            .map_err(|_| invalid(&format!("blinded_messages[{index}]"), "MALFORMED", "must have 256 bytes"))
    };
    Ok(Request {
        shown,
        key_id: KeyId::from(key_id),
        messages: blinded_messages.iter().enumerate().map(message).collect::<Result<_, _>>()?,
    })
}

impl From<Refusal> for Status {
    /// What the worker is told; internal detail is logged here, once, and goes no further. A refusal is not logged: a
    /// log would say when somebody tried.
    fn from(refusal: Refusal) -> Self {
        let told = refusal.to_string();
        let (code, reason) = match refusal {
            Refusal::Count { .. } => return invalid("blinded_messages", "OUT_OF_RANGE", &told),
            Refusal::OutOfRange { index } => {
                return invalid(&format!("blinded_messages[{index}]"), "OUT_OF_RANGE", &told);
            }
            Refusal::NotIssuing => (Code::FailedPrecondition, "NOT_ISSUING"),
            Refusal::ProgrammeTooSmall => (Code::FailedPrecondition, "PROGRAMME_TOO_SMALL"),
            Refusal::KeyNotSigning => (Code::FailedPrecondition, "KEY_NOT_SIGNING"),
            Refusal::Code => (Code::Unauthenticated, "CODE_REFUSED"),
            Refusal::CodesOnly => (Code::FailedPrecondition, "LOGINS_NOT_ACCEPTED"),
            Refusal::Login => (Code::Unauthenticated, "LOGIN_REFUSED"),
            Refusal::Provider(error) => {
                tracing::warn!(%error, "the identity provider does not answer");
                return later(Code::Unavailable, "PROVIDER_UNAVAILABLE", told);
            }
            Refusal::OtherBatch => (Code::AlreadyExists, "OTHER_BATCH_ISSUED"),
            Refusal::Overloaded => return later(Code::ResourceExhausted, "OVERLOADED", told),
            Refusal::Failed(Error::Database(sqlx::Error::PoolTimedOut)) => return unavailable(),
            Refusal::Failed(Error::Database(sqlx::Error::Database(error))) if is_busy(&*error) => {
                return unavailable();
            }
            Refusal::Failed(Error::Database(error)) => {
                // The database's own words quote what is in it.
                let code = error.as_database_error().and_then(|error| error.code().map(String::from));
                tracing::error!(code, "database failed");
                (Code::Internal, "INTERNAL")
            }
            Refusal::Failed(error) => {
                tracing::error!(%error, "cannot sign");
                (Code::Internal, "INTERNAL")
            }
            Refusal::Signing(error) => {
                tracing::error!(%error, "cannot sign");
                (Code::Internal, "INTERNAL")
            }
        };
        let told = if code == Code::Internal { "internal error".to_owned() } else { told };
        Status::with_error_details(code, told, ErrorDetails::with_error_info(reason, DOMAIN, []))
    }
}

fn invalid(field: &str, reason: &str, violation: &str) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(field, violation);
    details.set_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {violation}"), details)
}

fn unavailable() -> Status {
    tracing::warn!("the database is busy");
    later(Code::Unavailable, "UNAVAILABLE", "try again in a moment".to_owned())
}

fn later(code: Code, reason: &str, told: String) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(code, told, details)
}

/// SQLITE_BUSY, in any of its kinds: a command of the staff is writing.
pub(crate) fn is_busy(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}

#[cfg(test)]
mod tests {
    use api::issuer::v1::IssuePassesRequest;
    use proptest::prelude::*;
    use prost::Message;

    use pass::IssueError;
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::parse;
    use crate::{Error, issue::Refusal};

    #[test]
    fn every_refusal_has_its_code_and_reason_and_tells_nothing_of_the_inside() {
        let check = |refusal, code, reason, retry| {
            let status = Status::from(refusal);
            let details = status.get_error_details();
            let told = details.error_info().map(|info| (&*info.domain, &*info.reason));
            assert_eq!((status.code(), told), (code, Some(("respite", reason))));
            assert_eq!(details.retry_info().is_some(), retry);
            assert_eq!(details.bad_request().is_some(), code == Code::InvalidArgument);
            assert_eq!(status.message() == "internal error", code == Code::Internal, "{status:?}");
        };
        let database = |error| Refusal::Failed(Error::Database(error));
        check(Refusal::NotIssuing, Code::FailedPrecondition, "NOT_ISSUING", false);
        check(Refusal::ProgrammeTooSmall, Code::FailedPrecondition, "PROGRAMME_TOO_SMALL", false);
        check(Refusal::KeyNotSigning, Code::FailedPrecondition, "KEY_NOT_SIGNING", false);
        check(Refusal::Count { expected: 8 }, Code::InvalidArgument, "OUT_OF_RANGE", false);
        check(Refusal::OutOfRange { index: 7 }, Code::InvalidArgument, "OUT_OF_RANGE", false);
        check(Refusal::Code, Code::Unauthenticated, "CODE_REFUSED", false);
        check(Refusal::CodesOnly, Code::FailedPrecondition, "LOGINS_NOT_ACCEPTED", false);
        check(Refusal::Login, Code::Unauthenticated, "LOGIN_REFUSED", false);
        let away = Refusal::Provider(oidc::HttpError::Timeout);
        check(away, Code::Unavailable, "PROVIDER_UNAVAILABLE", true);
        check(Refusal::OtherBatch, Code::AlreadyExists, "OTHER_BATCH_ISSUED", false);
        check(Refusal::Overloaded, Code::ResourceExhausted, "OVERLOADED", true);
        check(database(sqlx::Error::PoolTimedOut), Code::Unavailable, "UNAVAILABLE", true);
        check(database(sqlx::Error::RowNotFound), Code::Internal, "INTERNAL", false);
        check(Refusal::Failed(Error::Damaged("code")), Code::Internal, "INTERNAL", false);
        check(Refusal::Signing(IssueError::Fault), Code::Internal, "INTERNAL", false);
    }

    proptest! {
        /// Whatever comes is refused or a request, and nothing of it is shown.
        #[test]
        fn any_message_is_read_or_refused(
            activation_code in "\\PC{0,80}|[0-9A-Z]{20}",
            key_length in prop_oneof![Just(32), 0_usize..40],
            lengths in prop::collection::vec(prop_oneof![9 => Just(256), 1 => 0_usize..300], 0..12),
        ) {
            let sound = key_length == 32 && lengths.iter().all(|length| *length == 256);
            let blinded_messages = lengths.iter().map(|length| vec![7; *length]).collect();
            let key_id = vec![7; key_length];
            let request = IssuePassesRequest { activation_code, key_id, blinded_messages, login: None };
            prop_assert_eq!(format!("{request:?}"), "IssuePassesRequest(..)");
            match parse(request) {
                Ok(request) => prop_assert!(sound && request.messages.len() == lengths.len()),
                Err(status) => prop_assert!(!sound && status.code() == tonic::Code::InvalidArgument),
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = IssuePassesRequest::decode(&bytes[..]).map(parse);
        }
    }
}
