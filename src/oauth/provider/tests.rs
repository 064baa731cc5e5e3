//! What a builder refuses, and that it says so in words one can act on.

use std::time::Duration;

use crate::oauth::catalogue::{generic, github};
use crate::oauth::{
    ClientAuth, Provider, ProviderBuilder, ProviderError, ScopeSeparator, UrlProblem, UserId,
};

fn builder() -> ProviderBuilder {
    generic("own", "cid", "https://idp.example/authorize", "https://idp.example/token")
        .redirect_url("https://app.example/cb")
}

/// The field an error names, and its whole message.
fn refusal(builder: ProviderBuilder) -> (&'static str, String) {
    let error = builder.build().expect_err("the builder refuses");
    let message = error.to_string();
    let field = match error {
        ProviderError::Id(_) => "id",
        ProviderError::Missing { field, .. }
        | ProviderError::Url { field, .. }
        | ProviderError::ReservedParam { field, .. }
        | ProviderError::Unusable { field, .. } => field,
    };
    (field, message)
}

#[test]
fn settings_come_back_as_given() {
    let provider: Provider = builder()
        .id("other")
        .client_secret("secret")
        .client_auth(ClientAuth::Basic)
        .revocation_endpoint("https://idp.example/revoke")
        .scope_separator(ScopeSeparator::Comma)
        .keeps_old_access_token()
        .default_lifetime(Duration::from_secs(1))
        .refresh_token_idle(Duration::from_secs(2))
        .timeout(Duration::from_secs(3))
        .issuer("https://idp.example")
        .require_iss()
        .build()
        .unwrap();

    assert_eq!(provider.id().as_str(), "other");
    assert_eq!(provider.client_auth(), ClientAuth::Basic);
    assert_eq!(provider.revocation_endpoint().unwrap().as_str(), "https://idp.example/revoke");
    assert_eq!(provider.scope_separator(), ScopeSeparator::Comma);
    assert!(!provider.kills_old_access_token());
    assert_eq!(provider.default_lifetime(), Some(Duration::from_secs(1)));
    assert_eq!(provider.refresh_token_idle(), Some(Duration::from_secs(2)));
    assert_eq!(provider.timeout(), Duration::from_secs(3));
    assert_eq!((provider.issuer(), provider.requires_iss()), (Some("https://idp.example"), true));
}

#[test]
fn every_refusal_names_provider_and_setting() {
    for (builder, field) in [
        (builder().client_id(""), "client_id"),
        (builder().client_secret(""), "client_secret"),
        (builder().client_auth(ClientAuth::Basic), "client_secret"),
        (builder().authorization_endpoint("http://idp.example/"), "authorization_endpoint"),
        (
            builder().authorization_endpoint("https://idp.example/?state=x"),
            "authorization_endpoint",
        ),
        (builder().token_endpoint("https://idp.example/#x"), "token_endpoint"),
        (builder().revocation_endpoint("http://idp.example/"), "revocation_endpoint"),
        (builder().redirect_url("https://app.example/#x"), "redirect_url"),
        (builder().user_endpoint("idp", UserId::pointer("/sub")), "user_endpoint"),
        (builder().user_endpoint("https://idp.example/", UserId::pointer("sub")), "user_endpoint"),
        (builder().user_id_fn(|_| None), "user_endpoint"),
        (builder().groups_claim("/groups"), "user_endpoint"),
        (builder().groups_claim("groups"), "groups_claim"),
        (builder().api_base("http://ghe.example"), "api_base"),
        (builder().timeout(Duration::ZERO), "timeout"),
        (builder().default_lifetime(Duration::ZERO), "default_lifetime"),
        (builder().issuer(""), "issuer"),
        (builder().require_iss(), "issuer"),
    ] {
        let (named, message) = refusal(builder);

        assert_eq!(named, field, "{message}");
        assert!(message.starts_with("provider own: ") && message.contains(field), "{message}");
        assert!(!message.ends_with('.'), "{message}");
    }
    assert_eq!(refusal(builder().id("No Id")).0, "id");
    let unfinished = github("id", "secret");
    assert_eq!(refusal(unfinished).0, "redirect_url");
}

#[test]
fn parameters_of_the_login_itself_are_refused() {
    for name in [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "nonce",
    ] {
        let (field, message) = refusal(builder().authorization_param(name, "x"));

        assert_eq!(field, "authorization_param");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_fragment_is_kept_only_where_a_browser_goes() {
    let provider = builder().authorization_endpoint("https://idp.example/a#f").build().unwrap();

    assert_eq!(provider.authorization_endpoint().as_str(), "https://idp.example/a#f");
    let user_endpoint = builder().user_endpoint("https://idp.example/me#f", UserId::pointer("/id"));
    assert!(matches!(
        user_endpoint.build(),
        Err(ProviderError::Url { problem: UrlProblem::Fragment, .. })
    ));
}

#[test]
fn the_later_user_source_replaces_the_earlier() {
    let moved = github("id", "secret")
        .redirect_url("https://app.example/cb")
        .user_endpoint("https://app.example/me", UserId::pointer("/sub"))
        .build()
        .unwrap();

    assert_eq!(moved.user_endpoint().unwrap().as_str(), "https://app.example/me");
}

#[test]
fn debug_shows_no_secret() {
    let builder = builder().client_secret("hunter2");

    assert!(!format!("{builder:?}").contains("hunter2"));
    assert!(!format!("{:?}", builder.build().unwrap()).contains("hunter2"));
}
