use std::{fmt, str::FromStr};

use http::uri::PathAndQuery;
use thiserror::Error;
use url::{Host, Url};

/// The address of a calendar: `https`, a DNS name, port 443. Whoever knows it reads the calendar, so it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedUrl {
    host: String,
    target: PathAndQuery,
}

impl FeedUrl {
    /// Every address is at most this long, in bytes.
    pub const MAX_LENGTH: usize = 2_000;

    /// The whole address, to be sealed or to be shown to whoever gave it, and for nothing else.
    pub fn expose(&self) -> String {
        format!("https://{}{}", self.host, self.target)
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What is asked of the host: the path and the query.
    pub(crate) fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FeedUrl(..)")
    }
}

/// Reads an address as browsers do, after refusing what browsers mend. `webcal` means `https`.
impl FromStr for FeedUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(UrlError::TooLong);
        }
        // Browsers drop tabs and line breaks, and read a backslash as a slash: two readers could see two hosts.
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(UrlError::Malformed);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        if !["https", "webcal"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(UrlError::Scheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        if authority.is_empty() {
            return Err(UrlError::Host);
        }
        let url = Url::parse(&format!("https://{rest}")).map_err(|_| UrlError::Malformed)?;
        if url.port().is_some() {
            return Err(UrlError::Port);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if is_dns_name(name) => name.to_owned(),
            _ => return Err(UrlError::Host),
        };
        // A fragment stays in the browser.
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let target = target.parse().map_err(|_| UrlError::Malformed)?;
        let url = Self { host, target };
        // Percent signs may have made it longer.
        if url.expose().len() > Self::MAX_LENGTH {
            return Err(UrlError::TooLong);
        }
        Ok(url)
    }
}

/// What keeps a text from being the address of a calendar. It may be told to whoever wrote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It has more than [`FeedUrl::MAX_LENGTH`] bytes, as given or as sent.
    #[error("the address is longer than {} characters", FeedUrl::MAX_LENGTH)]
    TooLong,
    /// It begins with neither `https://` nor `webcal://`.
    #[error("the address does not begin with https:// or webcal://")]
    Scheme,
    /// It holds a user name or a password.
    #[error("the address holds a user name or a password")]
    Credentials,
    /// Its host is not a DNS name of at least two labels: an IP address in any form, or a name of the local network.
    #[error("the address names no host on the internet")]
    Host,
    /// It asks for a port other than 443.
    #[error("the address asks for a port other than 443")]
    Port,
    /// It is not a URL.
    #[error("the address is malformed")]
    Malformed,
}

/// At least two labels of letters, digits and inner hyphens. The last begins with a letter, so that no resolver takes
/// the whole for a number; none is empty, so that no dot stands at the end.
fn is_dns_name(name: &str) -> bool {
    name.len() <= 253
        && name.rsplit_once('.').is_some_and(|(_, last)| last.starts_with(|c: char| c.is_ascii_alphabetic()))
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, UrlError>) {
        let url: Result<FeedUrl, _> = text.parse();
        assert_eq!(url.map(|url| url.expose()), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn addresses_as_people_copy_them() {
        for (text, expected) in [
            ("https://example.com/cal.ics", "https://example.com/cal.ics"),
            (
                "webcal://p26-caldav.icloud.com/published/2/A_b-c",
                "https://p26-caldav.icloud.com/published/2/A_b-c",
            ),
            (
                "https://calendar.google.com/calendar/ical/a%40example.com/private-1f/basic.ics",
                "https://calendar.google.com/calendar/ical/a%40example.com/private-1f/basic.ics",
            ),
            ("https://example.com/a@b?c=d@e", "https://example.com/a@b?c=d@e"),
            ("HTTPS://EXAMPLE.COM/A", "https://example.com/A"),
            ("WebCal://example.com", "https://example.com/"),
            ("https://example.com:443/", "https://example.com/"),
            ("https://example.com?token=1", "https://example.com/?token=1"),
            ("https://example.com/a#b", "https://example.com/a"),
            ("https://example.com/a/../b/./c", "https://example.com/b/c"),
            ("https://example.com/Dienst/März?q=ä", "https://example.com/Dienst/M%C3%A4rz?q=%C3%A4"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://ex%61mple.com/", "https://example.com/"),
            ("https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/"),
        ] {
            check(text, Ok(expected));
        }
    }

    #[test]
    fn other_schemes() {
        for text in [
            "",
            "example.com/cal.ics",
            "//example.com/",
            "http://example.com/",
            "webcals://example.com/",
            "file:///etc/passwd",
            "ftp://example.com/",
            "gopher://example.com/",
            "https:example.com",
            "https:/example.com",
            "data:text/calendar,BEGIN:VCALENDAR",
            "view-source:https://example.com/",
            "javascript://example.com/",
        ] {
            check(text, Err(UrlError::Scheme));
        }
    }

    #[test]
    fn hosts_that_are_no_dns_names() {
        for text in [
            "https://",
            "https:///example.com/",
            "https:////example.com/",
            "https://?a",
            "https://#a",
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://0/",
            "https://8.8.8.8/",
            "https://%31%32%37.0.0.1/",
            "https://127%2e0%2e0%2e1/",
            "https://１２７.０.０.１/",
            "https://①②⑦.⓪.⓪.①/",
            "https://127。0。0。1/",
            "https://[::]/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[2001:4860:4860::8888]/",
            "https://localhost/",
            "https://localhost./",
            "https://intranet/",
            "https://example.com./",
            "https://example.com../",
            "https://-a.example.com/",
            "https://a-.example.com/",
            "https://a_b.example.com/",
            "https://a..example.com/",
            "https://.example.com/",
            "https://example.1com/",
        ] {
            let url: Result<FeedUrl, _> = text.parse();
            assert!(matches!(url, Err(UrlError::Host | UrlError::Malformed)), "{text}: {url:?}");
        }
        check(&format!("https://{}.com/", "a".repeat(64)), Err(UrlError::Host));
        check(&format!("https://{}com/", "abc.".repeat(63)), Err(UrlError::Host));
    }

    #[test]
    fn names_and_passwords() {
        for text in [
            "https://ada@example.com/",
            "https://ada:secret@example.com/",
            "https://@example.com/",
            "https://:@example.com/",
            "https://example.com@127.0.0.1/",
            "webcal://ada@example.com?",
            "https://example.com:443@127.0.0.1#@example.com/",
        ] {
            check(text, Err(UrlError::Credentials));
        }
    }

    #[test]
    fn other_ports() {
        for text in [
            "https://example.com:80/",
            "https://example.com:8443/",
            "https://example.com:0/",
            "webcal://a.example:22",
        ] {
            check(text, Err(UrlError::Port));
        }
        check("https://example.com:65536/", Err(UrlError::Malformed));
        check("https://example.com:a/", Err(UrlError::Malformed));
    }

    #[test]
    fn what_two_readers_could_read_differently() {
        for text in [
            " https://example.com/",
            "https://example.com/ ",
            "https://example.com\\@127.0.0.1/",
            "https://example.com\t/",
            "https://exam\nple.com/",
            "https://example.com/a\r\nHost: inner",
            "https://example.com/\0",
            "https://example.com/\u{2028}",
            "https://exa<mple.com/",
            "https://exa%00mple.com/",
        ] {
            check(text, Err(UrlError::Malformed));
        }
    }

    #[test]
    fn the_length_counts_as_given_and_as_sent() {
        let head = "https://example.com/";
        let fits = format!("{head}{}", "a".repeat(2_000 - head.len()));
        check(&fits, Ok(&fits));
        check(&format!("{fits}a"), Err(UrlError::TooLong));
        check(&format!("{head}#{}", "a".repeat(2_000)), Err(UrlError::TooLong));
        check(&format!("{head}{}", "é".repeat(400)), Err(UrlError::TooLong));
    }

    #[test]
    fn debug_tells_nothing() {
        let url: FeedUrl = "https://example.com/secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "FeedUrl(..)");
    }

    proptest! {
        #[test]
        fn whatever_parses_is_https_to_a_dns_name(
            text in prop_oneof![
                any::<String>(),
                "(https|webcal|HTTPS|http)(://|:|:/|:///)[ -~]{0,40}",
                "(https|webcal)://[a-z0-9.@:%\\[\\]x①。ü_-]{1,30}[/?#a-z@:.{}|^`'\"<>é]{0,12}",
            ],
        ) {
            let Ok(url) = text.parse::<FeedUrl>() else { return Ok(()) };
            let exposed = url.expose();
            prop_assert!(exposed.is_ascii() && exposed.len() <= FeedUrl::MAX_LENGTH);
            prop_assert!(url.host().contains('.') && url.host().parse::<IpAddr>().is_err());
            prop_assert!(is_dns_name(url.host()));
            prop_assert!(url.target().as_str().starts_with('/'));

            let read = Url::parse(&exposed).unwrap();
            prop_assert_eq!((read.scheme(), read.port_or_known_default()), ("https", Some(443)));
            prop_assert_eq!((read.username(), read.password(), read.fragment()), ("", None, None));
            prop_assert_eq!(read.host_str(), Some(url.host()));
            prop_assert_eq!(exposed.parse(), Ok(url));
        }
    }
}
