//! What identity providers send, read once: bytes in, four attributes out. Names, mails and all else that they know of
//! somebody is passed over here, and goes no further.
//!
//! Attributes are found as RFC 7643 says, in any case. Beyond RFC 7644, what Entra ID and Okta send is taken: `op` in
//! capitals, truth values in quotes, several attributes under no path, and paths as their keys.

use serde_json::{Map, Value};
use thiserror::Error;

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// A page of a listing.
const MOST_LISTED: usize = 200;

/// What a request says of a user; what it does not say stays as it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub(super) user_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) employee_number: Option<String>,
    pub(super) active: Option<bool>,
}

/// Which users are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Listing {
    pub(super) filter: Option<Filter>,
    /// Counted from one.
    pub(super) start: usize,
    pub(super) count: usize,
}

/// Who has this.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Filter {
    UserName(String),
    ExternalId(String),
    EmployeeNumber(String),
}

/// Why a request is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Not JSON, or not of this shape.
    #[error("the body is not a request of this kind")]
    Syntax,
    /// An attribute of ours has a value that it cannot have.
    #[error("{0} cannot have this value")]
    Value(&'static str),
    /// An attribute of ours cannot be taken away.
    #[error("{0} cannot be removed")]
    Mutability(&'static str),
    /// Nothing is named that shall be removed.
    #[error("an operation that removes needs a path")]
    NoTarget,
    /// Another filter than `ATTRIBUTE eq "VALUE"`.
    #[error("only userName, externalId and employeeNumber are searched, by eq")]
    Filter,
}

/// The attributes that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    UserName,
    ExternalId,
    EmployeeNumber,
    Active,
}

impl Change {
    /// Reads a whole user, as POST and PUT bring it.
    pub fn from_user(body: &[u8]) -> Result<Self, MessageError> {
        let mut change = Self::default();
        change.set_all(&object(body)?)?;
        Ok(change)
    }

    /// Reads the operations of a PATCH, the later of which win.
    pub fn from_patch(body: &[u8]) -> Result<Self, MessageError> {
        let body = object(body)?;
        let operations = member(&body, "Operations").and_then(Value::as_array).ok_or(MessageError::Syntax)?;
        let mut change = Self::default();
        for operation in operations {
            let operation = operation.as_object().ok_or(MessageError::Syntax)?;
            let op = member(operation, "op").and_then(Value::as_str).ok_or(MessageError::Syntax)?;
            let path = match member(operation, "path") {
                Some(path) => Some(path.as_str().ok_or(MessageError::Syntax)?),
                None => None,
            };
            match (op.to_ascii_lowercase().as_str(), path) {
                ("add" | "replace", Some(path)) => {
                    change.set(path, member(operation, "value").unwrap_or(&Value::Null))?;
                }
                ("add" | "replace", None) => {
                    let values = member(operation, "value").and_then(Value::as_object);
                    change.set_all(values.ok_or(MessageError::Syntax)?)?;
                }
                ("remove", Some(path)) => {
                    if let Some(attribute) = Attribute::find(path) {
                        return Err(MessageError::Mutability(attribute.name()));
                    }
                }
                ("remove", None) => return Err(MessageError::NoTarget),
                _ => return Err(MessageError::Syntax),
            }
        }
        Ok(change)
    }

    fn set_all(&mut self, values: &Map<String, Value>) -> Result<(), MessageError> {
        values.iter().try_for_each(|(path, value)| self.set(path, value))
    }

    /// A null is nothing that was said.
    fn set(&mut self, path: &str, value: &Value) -> Result<(), MessageError> {
        if value.is_null() {
            return Ok(());
        }
        if path.eq_ignore_ascii_case(ENTERPRISE) {
            let extension = value.as_object().ok_or(MessageError::Syntax)?;
            return match member(extension, "employeeNumber") {
                Some(number) => self.set(Attribute::EmployeeNumber.path(), number),
                None => Ok(()),
            };
        }
        let Some(attribute) = Attribute::find(path) else { return Ok(()) };
        let refused = MessageError::Value(attribute.name());
        let text = || match value.as_str() {
            Some(text) if !text.is_empty() => Ok(Some(text.to_owned())),
            _ => Err(refused),
        };
        match attribute {
            Attribute::UserName => self.user_name = text()?,
            Attribute::ExternalId => self.external_id = text()?,
            Attribute::EmployeeNumber => self.employee_number = text()?,
            Attribute::Active => self.active = Some(truth(value).ok_or(refused)?),
        }
        Ok(())
    }
}

impl Listing {
    /// Reads what follows the question mark of an address.
    pub fn parse(query: &[u8]) -> Result<Self, MessageError> {
        let mut listing = Self { filter: None, start: 1, count: MOST_LISTED };
        for (name, value) in url::form_urlencoded::parse(query) {
            // RFC 7644, 3.4.2.4: what is too small is as small as can be.
            let number = |smallest: usize, name| match value.parse::<i64>() {
                Ok(number) => Ok(usize::try_from(number).unwrap_or(0).max(smallest)),
                Err(_) => Err(MessageError::Value(name)),
            };
            match &*name {
                "filter" => listing.filter = Some(Filter::parse(&value).ok_or(MessageError::Filter)?),
                "startIndex" => listing.start = number(1, "startIndex")?,
                "count" => listing.count = number(0, "count")?.min(MOST_LISTED),
                _ => {}
            }
        }
        Ok(listing)
    }
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        let (path, rest) = text.trim().split_once(' ')?;
        let (operator, value) = rest.trim_start().split_once(' ')?;
        let value: String = serde_json::from_str(value.trim()).ok()?;
        match Attribute::find(path)? {
            _ if !operator.eq_ignore_ascii_case("eq") => None,
            Attribute::UserName => Some(Self::UserName(value)),
            Attribute::ExternalId => Some(Self::ExternalId(value)),
            Attribute::EmployeeNumber => Some(Self::EmployeeNumber(value)),
            Attribute::Active => None,
        }
    }
}

impl Attribute {
    fn find(path: &str) -> Option<Self> {
        let core = path.get(..=USER.len()).filter(|start| start.eq_ignore_ascii_case(&format!("{USER}:")));
        let path = core.map_or(path, |core| &path[core.len()..]);
        [Self::UserName, Self::ExternalId, Self::EmployeeNumber, Self::Active]
            .into_iter()
            .find(|attribute| path.eq_ignore_ascii_case(attribute.path()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::UserName => "userName",
            Self::ExternalId => "externalId",
            Self::EmployeeNumber => "employeeNumber",
            Self::Active => "active",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::EmployeeNumber => {
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"
            }
            other => other.name(),
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, MessageError> {
    serde_json::from_slice(body).map_err(|_| MessageError::Syntax)
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change(..)")
    }
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listing(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Said<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<bool>);

    fn said(change: &Change) -> Said<'_> {
        let Change { user_name, external_id, employee_number, active } = change;
        (user_name.as_deref(), external_id.as_deref(), employee_number.as_deref(), *active)
    }

    #[test]
    fn a_user_is_four_attributes_whatever_else_is_sent() {
        let check = |body: &str, expected: Result<Said<'_>, MessageError>| {
            let change = Change::from_user(body.as_bytes());
            assert_eq!(change.as_ref().map(said).map_err(|error| *error), expected, "{body}");
        };
        check("{}", Ok((None, None, None, None)));
        check(
            r#"{"userName":"a","externalId":"b","active":true,"name":{"userName":"x"},"password":"p"}"#,
            Ok((Some("a"), Some("b"), None, Some(true))),
        );
        check(r#"{"USERNAME":"a","Active":"False"}"#, Ok((Some("a"), None, None, Some(false))));
        check(
            r#"{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"7","department":"x"}}"#,
            Ok((None, None, Some("7"), None)),
        );
        check(r#"{"userName":"a","externalId":null}"#, Ok((Some("a"), None, None, None)));
        check(r#"{"employeeNumber":"7"}"#, Ok((None, None, None, None)));
        check(r#"{"userName":""}"#, Err(MessageError::Value("userName")));
        check(r#"{"userName":["a"]}"#, Err(MessageError::Value("userName")));
        check(r#"{"externalId":7}"#, Err(MessageError::Value("externalId")));
        check(r#"{"active":"no"}"#, Err(MessageError::Value("active")));
        check(r#"{"active":0}"#, Err(MessageError::Value("active")));
        check("[]", Err(MessageError::Syntax));
        check("", Err(MessageError::Syntax));
        check("{\"userName\":\"a\"} {}", Err(MessageError::Syntax));
        check(&"[".repeat(60_000), Err(MessageError::Syntax));
    }

    #[test]
    fn operations_are_read_in_every_form_that_is_sent() {
        let check = |operations: &str, expected: Result<Said<'_>, MessageError>| {
            let body = format!(r#"{{"schemas":[],"Operations":[{operations}]}}"#);
            let change = Change::from_patch(body.as_bytes());
            assert_eq!(change.as_ref().map(said).map_err(|error| *error), expected, "{operations}");
        };
        let inactive = Ok((None, None, None, Some(false)));
        check(r#"{"op":"replace","path":"active","value":false}"#, inactive);
        check(r#"{"op":"Replace","path":"active","value":"False"}"#, inactive);
        check(r#"{"op":"Add","path":"active","value":"false"}"#, inactive);
        check(r#"{"op":"replace","value":{"active":false}}"#, inactive);
        check(
            r#"{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:active","value":false}"#,
            inactive,
        );
        check(
            r#"{"op":"Replace","path":"active","value":true},{"op":"Replace","path":"active","value":false}"#,
            inactive,
        );
        check(
            r#"{"op":"Add","value":{"userName":"a","name.familyName":"x",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber":"7"}}"#,
            Ok((Some("a"), None, Some("7"), None)),
        );
        let nothing = Ok((None, None, None, None));
        check("", nothing);
        check(r#"{"op":"Replace","path":"emails[type eq \"work\"].value","value":"x@y"}"#, nothing);
        check(r#"{"op":"Remove","path":"name.familyName"}"#, nothing);
        check(r#"{"op":"remove","path":"userName"}"#, Err(MessageError::Mutability("userName")));
        check(r#"{"op":"remove","path":"active"}"#, Err(MessageError::Mutability("active")));
        check(r#"{"op":"remove"}"#, Err(MessageError::NoTarget));
        check(r#"{"op":"replace","value":false}"#, Err(MessageError::Syntax));
        check(r#"{"op":"move","path":"active"}"#, Err(MessageError::Syntax));
        check(r#"{"path":"active"}"#, Err(MessageError::Syntax));
        check(r#"{"op":"add","path":7,"value":1}"#, Err(MessageError::Syntax));
        check("7", Err(MessageError::Syntax));
        assert_eq!(Change::from_patch(b"{}"), Err(MessageError::Syntax));
    }

    #[test]
    fn a_listing_is_one_user_or_a_page() {
        let check = |query: &str, filter: Option<Filter>, start, count| {
            assert!(Listing::parse(query.as_bytes()) == Ok(Listing { filter, start, count }), "{query}");
        };
        let name = |name: &str| Some(Filter::UserName(name.to_owned()));
        check("", None, 1, 200);
        check("startIndex=1&count=100", None, 1, 100);
        check("startIndex=0&count=-3", None, 1, 0);
        check("count=9999999", None, 1, 200);
        check("filter=userName+eq+%22a%40b%22&startIndex=1&count=100", name("a@b"), 1, 100);
        check("filter=userName%20eq%20%22non-existent%20user%22", name("non-existent user"), 1, 200);
        check("filter=USERNAME%20EQ%20%22a%5C%22b%22", name("a\"b"), 1, 200);
        check("filter=externalId eq \"7\"", Some(Filter::ExternalId("7".to_owned())), 1, 200);
        let number = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";
        check(&format!("filter={number} eq \"7\""), Some(Filter::EmployeeNumber("7".to_owned())), 1, 200);
        for filter in
            ["", "userName", "userName pr", "userName co \"a\"", "active eq \"true\"", "userName eq a"]
        {
            assert_eq!(Listing::parse(format!("filter={filter}").as_bytes()), Err(MessageError::Filter));
        }
        let both = "filter=userName eq \"a\" and externalId eq \"b\"";
        assert_eq!(Listing::parse(both.as_bytes()), Err(MessageError::Filter));
        assert_eq!(Listing::parse(b"count=many"), Err(MessageError::Value("count")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in r#"\{"(userName|active|Operations)":[\[\]{}":,a-z0-9]{0,40}\}"#,
        ) {
            for bytes in [&bytes, text.as_bytes()] {
                let _ = (Change::from_user(bytes), Change::from_patch(bytes), Listing::parse(bytes));
            }
        }

        /// What is put in place of a value is what is read, and nothing else is.
        #[test]
        fn any_name_is_read_as_it_was_sent(name in "\\PC{1,40}") {
            let user = serde_json::json!({"userName": name, "displayName": "x"}).to_string();
            prop_assert_eq!(Change::from_user(user.as_bytes()).unwrap().user_name, Some(name.clone()));
            let filter = format!("userName eq {}", Value::from(&*name));
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter).finish();
            prop_assert!(Listing::parse(query.as_bytes()).unwrap().filter == Some(Filter::UserName(name)));
        }
    }
}
