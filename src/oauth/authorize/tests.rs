//! Authorization URLs: the ones Flet 1.0.5 builds, and where this crate differs on purpose.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;

use crate::model::Secret;
use crate::oauth::catalogue::generic;
use crate::oauth::{
    AuthorizationRequest, AuthorizeError, Provider, ProviderBuilder, ScopeRequest, authorize,
};

/// What every URL of this client holds between the endpoint and the scope.
const CLIENT: &str = "response_type=code&client_id=cid\
     &redirect_uri=http%3A%2F%2Flocalhost%3A8550%2Foauth_callback%3Fa%3D1%26b%3D2";

/// What every URL holds after the scope, with [`shown`]'s stand-ins.
const LOGIN: &str = "&state=STATE&code_challenge=CH&code_challenge_method=S256";

fn builder(endpoint: &str) -> ProviderBuilder {
    generic("test", "cid", endpoint, "https://idp.test/token")
        .redirect_url("http://localhost:8550/oauth_callback?a=1&b=2")
}

fn provider() -> ProviderBuilder {
    builder("http://127.0.0.1:9/authorize")
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn request(provider: &Provider, wanted: &ScopeRequest<'_>) -> AuthorizationRequest {
    authorize(provider, wanted).unwrap()
}

fn param(request: &AuthorizationRequest, name: &str) -> Option<String> {
    let url = Url::parse(&request.url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The URL with stand-ins for what is random.
fn shown(request: &AuthorizationRequest) -> String {
    let mut url = request.url.replace(request.state.expose(), "STATE");
    url = url.replace(&param(request, "code_challenge").unwrap(), "CH");
    match &request.nonce {
        Some(nonce) => url.replace(nonce.expose(), "NONCE"),
        None => url,
    }
}

#[test]
fn without_scopes_there_is_no_scope_parameter() {
    let request = request(&provider().build().unwrap(), &ScopeRequest::default());

    assert_eq!(shown(&request), format!("http://127.0.0.1:9/authorize?{CLIENT}{LOGIN}"));
    assert!(request.scope.is_empty());
}

#[test]
fn scopes_of_caller_provider_user_and_groups_follow_each_other_once_each() {
    let provider =
        provider().scopes(["b", "a"]).user_scopes(["openid", "b"]).group_scopes(["g"]).build();
    let scope = strings(&["x y", "b", "x/ü+&"]);
    let wanted = ScopeRequest {
        scope: &scope,
        fetch_user: true,
        fetch_groups: true,
        ..ScopeRequest::default()
    };

    let request = request(&provider.unwrap(), &wanted);

    // Flet sends `b` twice.
    assert_eq!(request.scope, ["x y", "b", "x/ü+&", "a", "openid", "g"]);
    assert_eq!(
        shown(&request),
        format!(
            "http://127.0.0.1:9/authorize?{CLIENT}&scope=x+y+b+x%2F%C3%BC%2B%26+a+openid+g{LOGIN}\
             &nonce=NONCE"
        )
    );
}

#[test]
fn user_and_group_scopes_are_asked_for_only_when_wanted() {
    let provider = provider().scopes(["b"]).user_scopes(["u"]).group_scopes(["g"]).build().unwrap();
    for (fetch_user, fetch_groups, scopes) in
        [(false, false, "b"), (true, false, "b u"), (false, true, "b g"), (true, true, "b u g")]
    {
        let wanted = ScopeRequest { fetch_user, fetch_groups, ..ScopeRequest::default() };

        assert_eq!(request(&provider, &wanted).scope.join(" "), scopes);
    }
}

#[test]
fn extra_parameters_come_last_in_their_order_and_empty_ones_not_at_all() {
    let provider = provider()
        .scopes(["a"])
        .authorization_param("prompt", "consent")
        .authorization_param("audience", "https://api/x y")
        .authorization_param("empty", "")
        .authorization_param("access_type", "offline")
        .build()
        .unwrap();

    assert_eq!(
        shown(&request(&provider, &ScopeRequest::default())),
        format!(
            "http://127.0.0.1:9/authorize?{CLIENT}&scope=a{LOGIN}\
             &prompt=consent&audience=https%3A%2F%2Fapi%2Fx+y&access_type=offline"
        )
    );
}

#[test]
fn a_logins_own_parameters_replace_the_providers() {
    let provider = provider()
        .authorization_param("prompt", "consent")
        .authorization_param("hd", "x")
        .build()
        .unwrap();
    let params = [("prompt", "login"), ("hd", ""), ("hint", "u")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wanted = ScopeRequest { params: &params, ..ScopeRequest::default() };

    let url = shown(&request(&provider, &wanted));

    assert!(url.ends_with(&format!("{LOGIN}&prompt=login&hint=u")), "{url}");
}

#[test]
fn an_endpoints_query_comes_first_and_its_fragment_last() {
    let query = builder("https://idp.test/auth?tenant=t+1&x=").scopes(["a"]).build().unwrap();
    let fragment = builder("https://idp.test/auth#frag").scopes(["a"]).build().unwrap();

    assert_eq!(
        shown(&request(&query, &ScopeRequest::default())),
        format!("https://idp.test/auth?tenant=t+1&x=&{CLIENT}&scope=a{LOGIN}")
    );
    assert_eq!(
        shown(&request(&fragment, &ScopeRequest::default())),
        format!("https://idp.test/auth?{CLIENT}&scope=a{LOGIN}#frag")
    );
}

#[test]
fn the_logins_own_parameters_cannot_be_overridden() {
    let provider = provider().build().unwrap();
    for name in ["scope", "response_type", "client_id", "state", "code_challenge_method", "nonce"] {
        let params = [(name.to_owned(), "x".to_owned())];
        let wanted = ScopeRequest { params: &params, ..ScopeRequest::default() };

        assert_eq!(
            authorize(&provider, &wanted).unwrap_err(),
            AuthorizeError::ReservedParam { name: name.to_owned() }
        );
    }
}

#[test]
fn the_challenge_is_the_verifiers_sha256() {
    let request = request(&provider().build().unwrap(), &ScopeRequest::default());
    let verifier = request.verifier.expose();

    assert!((43..=128).contains(&verifier.len()), "RFC 7636 §4.1");
    let hash = digest(&SHA256, verifier.as_bytes());
    assert_eq!(param(&request, "code_challenge"), Some(BASE64_URL_SAFE_NO_PAD.encode(hash)));
    assert_eq!(param(&request, "code_challenge_method").as_deref(), Some("S256"));
    assert!(!request.url.contains(verifier));
}

#[test]
fn everything_random_is_fresh_for_each_login() {
    let provider = provider().scopes(["openid"]).build().unwrap();
    let first = request(&provider, &ScopeRequest::default());
    let second = request(&provider, &ScopeRequest::default());
    let bytes = |secret: &Secret| BASE64_URL_SAFE_NO_PAD.decode(secret.expose()).unwrap().len();

    assert!(bytes(&first.state) >= 16 && bytes(first.nonce.as_ref().unwrap()) >= 16);
    assert_ne!(first.state, second.state);
    assert_ne!(first.verifier, second.verifier);
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(Some(first.state), first.nonce);
}

#[test]
fn a_nonce_belongs_to_openid_alone() {
    let scopes = |scopes: &[&str]| {
        let provider = provider().scopes(scopes.iter().copied()).build().unwrap();
        request(&provider, &ScopeRequest::default())
    };

    assert!(scopes(&["profile", "openid"]).nonce.is_some());
    assert!(scopes(&["profile openid"]).nonce.is_some());
    assert!(scopes(&["openid2", "profile"]).nonce.is_none());
}

#[test]
fn debug_shows_no_secret_of_the_login() {
    let provider = provider().scopes(["openid"]).build().unwrap();
    let request = request(&provider, &ScopeRequest::default());
    let printed = format!("{request:?}");

    for secret in [&request.state, &request.verifier, request.nonce.as_ref().unwrap()] {
        assert!(!printed.contains(secret.expose()));
    }
}
