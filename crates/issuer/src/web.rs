//! Workers' web pages: which of them may ask, from a browser, by gRPC-Web.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer, Vary};

/// A preflight request's answer holds for two hours, the longest browsers believe.
const PREFLIGHT: Duration = Duration::from_hours(2);

/// Where a web page comes from, as a browser says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected an origin such as https://app.example.org, without a path or a / at the end";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(EXPECTED);
        };
        if format!("{scheme}://{authority}") != text
            || text.contains('@')
            || text.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(EXPECTED);
        }
        let is_here = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
        if scheme != "https" && !(scheme == "http" && is_here) {
            return Err("an origin is https, or http on this machine");
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| EXPECTED)
    }
}

/// Calls from these pages, and from no other.
pub(crate) fn cors(origins: Vec<Origin>) -> CorsLayer {
    let requested = ["x-grpc-web", "x-user-agent", "grpc-timeout"].map(HeaderName::from_static);
    let told = ["grpc-status", "grpc-message", "grpc-status-details-bin"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.into_iter().map(|Origin(origin)| origin)))
        .allow_methods([Method::POST])
        .allow_headers(requested.into_iter().chain([header::CONTENT_TYPE]).collect::<Vec<_>>())
        .expose_headers(told)
        .max_age(PREFLIGHT)
        // No cache keeps the answer to a POST.
        .vary(Vary::list([]))
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn an_origin_is_what_a_browser_says() {
        let check = |text: &str, sound| assert_eq!(text.parse::<Origin>().is_ok(), sound, "{text}");
        check("https://app.example.org", true);
        check("https://app.example.org:8443", true);
        check("http://localhost:8080", true);
        check("http://127.0.0.1", true);
        check("http://[::1]:8080", true);
        check("http://app.example.org", false);
        check("http://localhost.example.org", false);
        check("https://app.example.org/", false);
        check("https://App.example.org", false);
        check("https://somebody@app.example.org", false);
        check("app.example.org", false);
        check("*", false);
        check("null", false);
        check("", false);
    }
}
