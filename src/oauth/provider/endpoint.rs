//! Addresses a provider is reached at, checked once when the provider is made.

use std::fmt;

use url::{Host, Url};

/// Schemes that can never bring a login back to an application.
const REFUSED_REDIRECT_SCHEMES: [&str; 9] =
    ["about", "blob", "data", "file", "ftp", "javascript", "mailto", "ws", "wss"];

/// An absolute `https` URL, or `http` to a loopback host; without user name and password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProviderUrl(Url);

impl ProviderUrl {
    /// Parses an address that requests are sent to.
    ///
    /// # Errors
    ///
    /// [`UrlProblem`] says what is wrong and what to write instead; a fragment is refused, since
    /// it is never sent (RFC 6749 §3.2).
    pub fn parse(text: &str) -> Result<Self, UrlProblem> {
        let url = Self::parse_with_fragment(text)?;
        if url.0.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        Ok(url)
    }

    /// Parses an address that a browser is sent to; a fragment is kept.
    ///
    /// # Errors
    ///
    /// [`UrlProblem`] says what is wrong and what to write instead.
    pub fn parse_with_fragment(text: &str) -> Result<Self, UrlProblem> {
        let url = absolute(text)?;
        if !is_https_or_loopback(&url) {
            return Err(UrlProblem::Unencrypted);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        // What cannot be written into a request line would fail at every request instead.
        if url.as_str().parse::<http::Uri>().is_err() {
            return Err(UrlProblem::Malformed);
        }
        Ok(Self(url))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// The address some path segments below this one.
    pub(crate) fn join(&self, segments: &[&str]) -> Self {
        let mut url = self.0.clone();
        url.path_segments_mut()
            .expect("an http(s) URL has path segments")
            .pop_if_empty()
            .extend(segments);
        Self(url)
    }

    /// The same address with query parameters appended.
    pub(crate) fn with_query(mut self, pairs: &[(&str, String)]) -> Self {
        self.0.query_pairs_mut().extend_pairs(pairs);
        self
    }
}

impl fmt::Debug for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderUrl({})", self.as_str())
    }
}

impl fmt::Display for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address the provider sends the browser back to, byte for byte as it was registered.
///
/// Providers compare it as a string (RFC 9700 §2.1), so it is kept as written, not normalized.
/// It is `https`, `http` to a loopback host, or a native application's own scheme (RFC 8252 §7.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedirectUrl(String);

impl RedirectUrl {
    /// Parses a redirect address.
    ///
    /// # Errors
    ///
    /// [`UrlProblem`] says what is wrong and what to write instead; a fragment is refused
    /// (RFC 6749 §3.1.2).
    pub fn parse(text: &str) -> Result<Self, UrlProblem> {
        let url = absolute(text)?;
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        if REFUSED_REDIRECT_SCHEMES.contains(&url.scheme()) {
            return Err(UrlProblem::Scheme);
        }
        if matches!(url.scheme(), "http" | "https") && !is_https_or_loopback(&url) {
            return Err(UrlProblem::Unencrypted);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        Ok(Self(text.to_owned()))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUrl({})", self.0)
    }
}

/// What is wrong with an address, and what to write instead. Never shows the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It does not parse, or has no host.
    #[error("it is not an absolute URL; write https://host/path")]
    Malformed,
    /// It would send credentials in clear text.
    #[error("it is not encrypted; use https, or http to 127.0.0.1, [::1] or localhost")]
    Unencrypted,
    /// It holds a user name or password.
    #[error("it holds a user name or password; remove everything before the '@'")]
    Credentials,
    /// It has a fragment.
    #[error("it has a fragment; remove everything from the '#' on")]
    Fragment,
    /// Its scheme cannot lead back to an application.
    #[error("its scheme leads to no application; use https or the application's own scheme")]
    Scheme,
}

/// Parses without the silent repairs of browsers: no spaces or control characters anywhere.
fn absolute(text: &str) -> Result<Url, UrlProblem> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlProblem::Malformed);
    }
    Url::parse(text).map_err(|_| UrlProblem::Malformed)
}

fn is_https_or_loopback(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{ProviderUrl, RedirectUrl, UrlProblem};

    #[test]
    fn only_encrypted_or_loopback_addresses_are_requested() {
        for good in [
            "https://idp.example/token?tenant=t",
            "http://127.0.0.1:9/token",
            "http://127.8.9.1/",
            "http://[::1]:80/",
            "http://localhost:8550",
        ] {
            assert!(ProviderUrl::parse(good).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("http://idp.example/", UrlProblem::Unencrypted),
            ("http://localhost.idp.example/", UrlProblem::Unencrypted),
            ("http://10.0.0.1/", UrlProblem::Unencrypted),
            ("ftp://idp.example/", UrlProblem::Unencrypted),
            ("https://u:p@idp.example/", UrlProblem::Credentials),
            ("https://u@idp.example/", UrlProblem::Credentials),
            ("http://localhost@idp.example/", UrlProblem::Unencrypted),
            ("https://idp.example/#x", UrlProblem::Fragment),
            ("idp.example/token", UrlProblem::Malformed),
            ("https://", UrlProblem::Malformed),
            ("https://idp.example/a b", UrlProblem::Malformed),
            ("https://idp.example/\n", UrlProblem::Malformed),
            ("", UrlProblem::Malformed),
        ] {
            assert_eq!(ProviderUrl::parse(bad), Err(problem), "{bad:?}");
        }
    }

    #[test]
    fn a_redirect_url_is_kept_byte_for_byte() {
        for text in ["https://app.example", "HTTPS://App.example/cb?a=1&b=%7e", "com.app:/cb"] {
            assert_eq!(RedirectUrl::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn redirects_to_nowhere_or_in_clear_text_are_refused() {
        for (bad, problem) in [
            ("http://app.example/cb", UrlProblem::Unencrypted),
            ("https://app.example/cb#", UrlProblem::Fragment),
            ("javascript:alert(1)", UrlProblem::Scheme),
            ("data:text/html,x", UrlProblem::Scheme),
            ("/callback", UrlProblem::Malformed),
        ] {
            assert_eq!(RedirectUrl::parse(bad), Err(problem), "{bad:?}");
        }
    }

    #[test]
    fn segments_are_joined_below_the_base() {
        for base in ["https://ghe.example/api/v3", "https://ghe.example/api/v3/"] {
            let joined = ProviderUrl::parse(base).unwrap().join(&["user", "emails"]);

            assert_eq!(joined.as_str(), "https://ghe.example/api/v3/user/emails");
        }
    }
}
