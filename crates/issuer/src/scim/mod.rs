//! Who is eligible, as the hospital's identity provider says by SCIM 2.0 (RFC 7643, RFC 7644) (E3).
//!
//! **Invariant:** of a user, keyed hashes are kept and nothing that can be read. So an answer tells what the request
//! itself said, and of a user whose name was not asked for, the id in its place.

mod message;
mod source;
mod user;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

pub use message::{Change, Listing, MessageError};
pub(crate) use source::expect_off;
pub use source::{StaffNumber, make_token, turn_off};

use crate::{Desk, Error, pace::Pace, service::is_busy};
use message::{ENTERPRISE, USER};
use source::Source;
use user::{Page, Refusal, User};

/// A user with everything that an identity provider knows is a tenth of it.
const LARGEST_BODY: usize = 64 << 10;
const BASE: &str = "/scim/v2";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What answers the identity provider.
pub(crate) struct Front {
    pub(crate) desk: Arc<Desk>,
    pub(crate) pace: Pace,
}

/// Every address there is; whoever has no token sees none of them.
pub(crate) fn routes(front: Front) -> Router {
    let front = Arc::new(front);
    let fixed = |value: fn() -> Value| get(move || async move { answer(StatusCode::OK, &value()) });
    let scim = Router::new()
        .route("/Users", get(list).post(create))
        .route("/Users/{id}", get(read).put(put).patch(patch).delete(delete))
        // Entra ID's test of a connection looks for groups, too.
        .route("/Groups", fixed(|| listed(&[], 0, 1)))
        .route("/ServiceProviderConfig", fixed(provider_config))
        .route("/ResourceTypes", fixed(|| listed(&[resource_type()], 1, 1)))
        .route("/ResourceTypes/User", fixed(resource_type))
        .route("/Schemas", fixed(|| listed(&schemas(), 2, 1)))
        .fallback(async || Refusal::NotFound)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&front), admit))
        .with_state(front);
    Router::new().nest(BASE, scim)
}

/// Lets the identity provider in, at the pace of everybody who knocks.
async fn admit(
    State(front): State<Arc<Front>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    front.pace.turn().await.map_err(|_| Refusal::Overloaded)?;
    let source = source::authenticate(&front.desk.app, bearer(request.headers())).await?;
    request.extensions_mut().insert(source);
    Ok(next.run(request).await)
}

type Known = axum::Extension<Source>;
type Body = Result<Bytes, BytesRejection>;

async fn list(
    State(front): State<Arc<Front>>,
    axum::Extension(source): Known,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let listing = Listing::parse(query.unwrap_or_default().as_bytes())?;
    let Page { users, total, start } = user::list(&front.desk.app, source, listing).await?;
    let users: Vec<_> = users.iter().map(resource).collect();
    Ok(answer(StatusCode::OK, &listed(&users, total, start)))
}

async fn create(
    State(front): State<Arc<Front>>,
    axum::Extension(source): Known,
    body: Body,
) -> Result<Response, Refusal> {
    let user =
        user::create(&front.desk.app, source, Change::from_user(&body.map_err(|_| Refusal::TooLarge)?)?)
            .await?;
    let answer = answer(StatusCode::CREATED, &resource(&user));
    Ok(([(header::LOCATION, location(user.id))], answer).into_response())
}

async fn read(State(front): State<Arc<Front>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(answer(StatusCode::OK, &resource(&user::get(&front.desk.app, parse_id(&id)?).await?)))
}

async fn put(
    State(front): State<Arc<Front>>,
    axum::Extension(source): Known,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let user = user::change(
        &front.desk.app,
        source,
        parse_id(&id)?,
        Change::from_user(&body.map_err(|_| Refusal::TooLarge)?)?,
    )
    .await?;
    Ok(answer(StatusCode::OK, &resource(&user)))
}

async fn patch(
    State(front): State<Arc<Front>>,
    axum::Extension(source): Known,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let user = user::change(
        &front.desk.app,
        source,
        parse_id(&id)?,
        Change::from_patch(&body.map_err(|_| Refusal::TooLarge)?)?,
    )
    .await?;
    Ok(answer(StatusCode::OK, &resource(&user)))
}

async fn delete(State(front): State<Arc<Front>>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    user::remove(&front.desk.app, parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn parse_id(id: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(id).map_err(|_| Refusal::NotFound)
}

impl IntoResponse for Refusal {
    /// The one table from refusals to statuses. Internal detail is logged here, once, without the database's words.
    fn into_response(self) -> Response {
        let detail = self.to_string();
        let (status, scim_type) = match self {
            Self::Token => (StatusCode::UNAUTHORIZED, None),
            Self::Message(MessageError::Syntax) => (StatusCode::BAD_REQUEST, Some("invalidSyntax")),
            Self::Message(MessageError::Mutability(_)) => (StatusCode::BAD_REQUEST, Some("mutability")),
            Self::Message(MessageError::NoTarget) => (StatusCode::BAD_REQUEST, Some("noTarget")),
            Self::Message(MessageError::Filter) => (StatusCode::BAD_REQUEST, Some("invalidFilter")),
            Self::Message(MessageError::Value(_)) | Self::Missing(_) | Self::StaffNumber(_) => {
                (StatusCode::BAD_REQUEST, Some("invalidValue"))
            }
            Self::Taken => (StatusCode::CONFLICT, Some("uniqueness")),
            Self::NotFound => (StatusCode::NOT_FOUND, None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, None),
            Self::Failed(Error::Database(sqlx::Error::PoolTimedOut)) => {
                (StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::Failed(Error::Database(sqlx::Error::Database(error))) if is_busy(&*error) => {
                (StatusCode::SERVICE_UNAVAILABLE, None)
            }
            Self::Failed(Error::Database(error)) => {
                let code = error.as_database_error().and_then(|error| error.code().map(String::from));
                tracing::error!(code, "database failed");
                (StatusCode::INTERNAL_SERVER_ERROR, None)
            }
            Self::Failed(error) => {
                tracing::error!(%error, "cannot answer");
                (StatusCode::INTERNAL_SERVER_ERROR, None)
            }
        };
        let detail = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "internal error",
            StatusCode::SERVICE_UNAVAILABLE => "try again in a moment",
            _ => &*detail,
        };
        let mut body = json!({"schemas": [ERROR], "status": status.as_str(), "detail": detail});
        if let Some(scim_type) = scim_type {
            body["scimType"] = scim_type.into();
        }
        let answer = answer(status, &body);
        match status {
            StatusCode::UNAUTHORIZED => ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ([(header::RETRY_AFTER, "1")], answer).into_response()
            }
            _ => answer,
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/scim+json")], body.to_string()).into_response()
}

fn listed(resources: &[Value], total: i64, start: usize) -> Value {
    json!({
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

fn location(id: Uuid) -> String {
    format!("{BASE}/Users/{id}")
}

fn resource(user: &User) -> Value {
    let User { id, active, said: Change { user_name, external_id, employee_number, active: _ } } = user;
    let mut resource = json!({
        "schemas": [USER],
        "id": id.to_string(),
        "userName": user_name.clone().unwrap_or_else(|| id.to_string()),
        "active": active,
        "meta": {"resourceType": "User", "location": location(*id)},
    });
    if let Some(external_id) = external_id {
        resource["externalId"] = external_id.as_str().into();
    }
    if let Some(number) = employee_number {
        resource["schemas"] = json!([USER, ENTERPRISE]);
        resource[ENTERPRISE] = json!({"employeeNumber": number});
    }
    resource
}

fn provider_config() -> Value {
    let no = json!({"supported": false});
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": 200},
        "changePassword": no,
        "sort": no,
        "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "What `respite-issuer scim token` printed",
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{BASE}/ServiceProviderConfig")},
    })
}

fn resource_type() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "schema": USER,
        "schemaExtensions": [{"schema": ENTERPRISE, "required": false}],
        "meta": {"resourceType": "ResourceType", "location": format!("{BASE}/ResourceTypes/User")},
    })
}

/// Only what is read: whoever maps by this sends no more than is needed.
fn schemas() -> [Value; 2] {
    let attribute = |name, kind, required, exact, uniqueness| {
        json!({
            "name": name, "type": kind, "multiValued": false, "required": required, "caseExact": exact,
            "mutability": "readWrite", "returned": "default", "uniqueness": uniqueness,
        })
    };
    let schema = |id, name, attributes: &[Value]| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id, "name": name, "attributes": attributes,
            "meta": {"resourceType": "Schema", "location": format!("{BASE}/Schemas/{id}")},
        })
    };
    [
        schema(
            USER,
            "User",
            &[
                attribute("userName", "string", true, false, "server"),
                attribute("externalId", "string", false, true, "none"),
                attribute("active", "boolean", false, false, "none"),
            ],
        ),
        schema(ENTERPRISE, "EnterpriseUser", &[attribute("employeeNumber", "string", false, true, "server")]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_refusal_has_its_status_and_kind_and_tells_nothing_of_the_inside() {
        let check = async |refusal: Refusal, status: u16, kind: Option<&str>, later: bool| {
            let answer = refusal.into_response();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), later);
            let body = axum::body::to_bytes(answer.into_body(), LARGEST_BODY).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&body["status"], body["scimType"].as_str()), (&json!(status.to_string()), kind));
            assert_eq!(body["detail"] == "internal error", status == 500, "{body}");
        };
        let message = Refusal::Message;
        let database = |error| Refusal::Failed(Error::Database(error));
        check(Refusal::Token, 401, None, false).await;
        check(message(MessageError::Syntax), 400, Some("invalidSyntax"), false).await;
        check(message(MessageError::Value("active")), 400, Some("invalidValue"), false).await;
        check(message(MessageError::Mutability("active")), 400, Some("mutability"), false).await;
        check(message(MessageError::NoTarget), 400, Some("noTarget"), false).await;
        check(message(MessageError::Filter), 400, Some("invalidFilter"), false).await;
        check(Refusal::Missing("userName"), 400, Some("invalidValue"), false).await;
        check(Refusal::StaffNumber("userName"), 400, Some("invalidValue"), false).await;
        check(Refusal::Taken, 409, Some("uniqueness"), false).await;
        check(Refusal::NotFound, 404, None, false).await;
        check(Refusal::TooLarge, 413, None, false).await;
        check(Refusal::Overloaded, 429, None, true).await;
        check(database(sqlx::Error::PoolTimedOut), 503, None, true).await;
        check(database(sqlx::Error::RowNotFound), 500, None, false).await;
        check(Refusal::Failed(Error::Damaged("scim")), 500, None, false).await;
    }
}
