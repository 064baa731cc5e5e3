//! Every preset against the facts of Flet 1.0.5, and the facts about reuse.

use std::time::Duration;

use crate::model::ReuseClass;
use crate::oauth::catalogue::{auth0, generic, github, google, microsoft};
use crate::oauth::{
    ClientAuth, Provider, ProviderBuilder, ProviderError, ScopeRequest, ScopeSeparator, authorize,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn built(builder: ProviderBuilder) -> Provider {
    builder.redirect_url("https://app.example/cb").build().unwrap()
}

fn presets() -> Vec<Provider> {
    let generic = generic("own", "id", "https://idp.example/a", "https://idp.example/t");
    [
        github("id", "secret"),
        google("id", "secret"),
        microsoft("id", "secret", "common"),
        auth0("example.us.auth0.com", "id", "secret"),
        generic.client_secret("secret"),
    ]
    .map(built)
    .into()
}

/// Endpoints: authorization, token, user (or API base).
fn endpoints(provider: &Provider) -> [&str; 3] {
    [
        provider.authorization_endpoint().as_str(),
        provider.token_endpoint().as_str(),
        provider.user_endpoint().map_or("", |url| url.as_str()),
    ]
}

#[test]
fn every_preset_is_complete_and_identifies_itself_in_the_body_as_flet_does() {
    let ids: Vec<String> = presets().iter().map(|preset| preset.id().to_string()).collect();

    assert_eq!(ids, ["github", "google", "microsoft", "auth0", "own"]);
    for preset in presets() {
        assert_eq!(preset.client_auth(), ClientAuth::RequestBody);
        assert_eq!(preset.client_secret().unwrap().expose(), "secret");
        assert_eq!(preset.timeout(), Duration::from_secs(10));
        assert_eq!(preset.default_lifetime(), None);
        assert!(!preset.requires_iss());
    }
}

#[test]
fn github_is_flets_with_single_use_refresh_tokens() {
    let github = &presets()[0];

    assert_eq!(
        endpoints(github),
        [
            "https://github.com/login/oauth/authorize",
            "https://github.com/login/oauth/access_token",
            "https://api.github.com/",
        ]
    );
    assert!(github.scopes().is_empty());
    assert_eq!(github.user_scopes(), ["read:user", "user:email"]);
    assert_eq!(github.group_scopes(), ["read:org"]);
    assert_eq!(github.scope_separator(), ScopeSeparator::Comma);
    assert_eq!(github.reuse_class(), ReuseClass::Revoking);
    assert!(github.kills_old_access_token());
}

#[test]
fn google_is_flets_and_gives_refresh_tokens() {
    let google_preset = &presets()[1];

    assert_eq!(
        endpoints(google_preset),
        [
            "https://accounts.google.com/o/oauth2/auth",
            "https://oauth2.googleapis.com/token",
            "https://www.googleapis.com/oauth2/v3/userinfo",
        ]
    );
    assert_eq!(
        google_preset.user_scopes(),
        [
            "https://www.googleapis.com/auth/userinfo.email",
            "https://www.googleapis.com/auth/userinfo.profile",
        ]
    );
    assert_eq!(google_preset.reuse_class(), ReuseClass::NonRotating);
    assert_eq!(google_preset.refresh_token_idle(), Some(180 * DAY));
    assert!(!google_preset.kills_old_access_token());
    let url = authorize(google_preset, &ScopeRequest::default()).unwrap().url;
    assert!(url.ends_with("&access_type=offline&prompt=consent"), "{url}");

    let online = built(google("id", "secret").authorization_param("access_type", ""));
    let url = authorize(&online, &ScopeRequest::default()).unwrap().url;
    assert!(!url.contains("access_type"), "{url}");
}

#[test]
fn microsoft_is_flets_and_gives_refresh_tokens() {
    let contoso = built(microsoft("id", "secret", "contoso.onmicrosoft.com"));

    assert_eq!(
        endpoints(&contoso),
        [
            "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/authorize",
            "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
            "https://graph.microsoft.com/v1.0/me",
        ]
    );
    assert_eq!(contoso.scopes(), ["offline_access"]);
    assert_eq!(contoso.user_scopes(), ["user.read"]);
    assert_eq!(contoso.reuse_class(), ReuseClass::Multiple);
    assert_eq!(contoso.refresh_token_idle(), Some(90 * DAY));
}

#[test]
fn auth0_is_flets() {
    let auth0_preset = &presets()[3];

    assert_eq!(
        endpoints(auth0_preset),
        [
            "https://example.us.auth0.com/authorize",
            "https://example.us.auth0.com/oauth/token",
            "https://example.us.auth0.com/userinfo",
        ]
    );
    assert_eq!(auth0_preset.scopes(), ["offline_access"]);
    assert_eq!(auth0_preset.user_scopes(), ["openid", "profile", "email"]);
    assert_eq!(auth0_preset.reuse_class(), ReuseClass::Revoking);
    let api = built(auth0("a.example", "id", "secret").audience("https://api/x"));
    let url = authorize(&api, &ScopeRequest::default()).unwrap().url;
    assert!(url.ends_with("&audience=https%3A%2F%2Fapi%2Fx"), "{url}");
}

#[test]
fn an_unknown_provider_is_taken_for_the_strictest() {
    let own = &presets()[4];

    assert_eq!(own.reuse_class(), ReuseClass::Revoking);
    assert!(own.kills_old_access_token());
    assert_eq!(own.user_endpoint(), None);
}

#[test]
fn tokens_are_revoked_where_the_provider_documents_an_endpoint() {
    let endpoints: Vec<Option<String>> = presets()
        .iter()
        .map(|preset| preset.revocation_endpoint().map(|url| url.as_str().to_owned()))
        .collect();

    let google = Some("https://oauth2.googleapis.com/revoke".to_owned());
    let auth0 = Some("https://example.us.auth0.com/oauth/revoke".to_owned());
    assert_eq!(endpoints, [None, google, None, auth0, None]);
}

#[test]
fn tenants_and_domains_cannot_bend_the_address() {
    for tenant in ["", "a/b", "../x", "a?b", "a#b", "a b", "..", "a%2fb"] {
        let error = microsoft("id", "secret", tenant).redirect_url("https://a.example/").build();
        assert!(
            matches!(error, Err(ProviderError::Unusable { field: "tenant", .. })),
            "{tenant:?}: {error:?}"
        );
    }
    for domain in ["", "https://a.example", "a.example/", "a.example/x", "u@a.example", "a?b"] {
        let error = auth0(domain, "id", "secret").redirect_url("https://a.example/").build();
        assert!(
            matches!(error, Err(ProviderError::Unusable { field: "domain", .. })),
            "{domain:?}: {error:?}"
        );
    }
}
