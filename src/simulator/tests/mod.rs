//! The simulator over real HTTP: a hand-written client, since the crate's own is what it must judge.

mod control;
mod faults;
mod login;
mod resources;

use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use serde_json::Value;
use url::Url;

use super::token::challenge;
use super::{Simulator, SimulatorOptions};

const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more-0123456789";
const CALLBACK: &str = "http://127.0.0.1:8550/callback";

/// A provider and a client of it.
struct Bench {
    simulator: Simulator,
    http: reqwest::Client,
}

struct Tokens {
    access: String,
    refresh: String,
}

struct Answered {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    fn tokens(&self) -> Tokens {
        let json = self.json();
        let member = |name: &str| json[name].as_str().expect(name).to_owned();
        Tokens { access: member("access_token"), refresh: member("refresh_token") }
    }

    /// The `error` member, after checking the status that goes with it.
    fn error(&self) -> String {
        let expected = if self.json()["error"] == "invalid_client" { 401 } else { 400 };
        assert_eq!(self.status, expected, "{}", self.body);
        self.json()["error"].as_str().expect("an error member").to_owned()
    }
}

impl Bench {
    async fn new() -> Self {
        Self::with(SimulatorOptions::default()).await
    }

    async fn with(options: SimulatorOptions) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { simulator, http }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answered, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answered { status, headers, body: response.text().await? })
    }

    /// Sends an authorization request made of the usual members, `changes` replacing or (with an
    /// empty value) removing some.
    async fn authorize(&self, changes: &[(&str, &str)]) -> Answered {
        let challenge = challenge(VERIFIER);
        let usual = [
            ("client_id", "tokenhive"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
            ("state", "the state"),
            ("scope", "read write"),
        ];
        let kept = usual.iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
        let mut url = Url::parse(&self.simulator.authorization_endpoint()).unwrap();
        url.query_pairs_mut().extend_pairs(kept).extend_pairs(changes);
        self.send(self.http.get(url)).await.unwrap()
    }

    /// Where the browser is sent back to, as query members.
    async fn callback(&self, changes: &[(&str, &str)]) -> Callback {
        let answered = self.authorize(changes).await;
        assert_eq!(answered.status, StatusCode::FOUND, "{}", answered.body);
        Callback::read(&answered)
    }

    async fn code(&self) -> String {
        self.callback(&[]).await.get("code").expect("a code")
    }

    /// Posts a token request with client authentication in the body.
    async fn token(&self, members: &[(&str, &str)]) -> Result<Answered, reqwest::Error> {
        let client = [("client_id", "tokenhive"), ("client_secret", "simulator-secret")];
        self.post("/token", &[members, &client].concat()).await
    }

    async fn post(&self, path: &str, members: &[(&str, &str)]) -> Result<Answered, reqwest::Error> {
        let url = format!("{}{path}", self.simulator.base_url());
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
        let form_type = "application/x-www-form-urlencoded; charset=utf-8";
        self.send(self.http.post(url).header(CONTENT_TYPE, form_type).body(form)).await
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Answered {
        let members = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
        ];
        self.token(&members).await.unwrap()
    }

    async fn refresh(&self, refresh_token: &str) -> Result<Answered, reqwest::Error> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    /// Logs in, from the authorization request to the tokens.
    async fn login(&self) -> Tokens {
        let code = self.code().await;
        let answered = self.exchange(&code, VERIFIER).await;
        assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
        answered.tokens()
    }

    async fn get(&self, path: &str, access_token: &str) -> Answered {
        let url = format!("{}{path}", self.simulator.base_url());
        let bearer = format!("Bearer {access_token}");
        self.send(self.http.get(url).header(AUTHORIZATION, bearer)).await.unwrap()
    }

    async fn is_accepted(&self, access_token: &str) -> bool {
        self.get("/api/echo", access_token).await.status == StatusCode::OK
    }

    async fn control(&self, path: &str, body: Value) -> Answered {
        let url = format!("{}/_sim/{path}", self.simulator.base_url());
        self.send(self.http.post(url).body(body.to_string())).await.unwrap()
    }
}

/// The query of a redirect back to the client.
struct Callback(Vec<(String, String)>);

impl Callback {
    fn read(answered: &Answered) -> Self {
        let url = Url::parse(answered.headers[LOCATION].to_str().unwrap()).unwrap();
        assert!(url.as_str().starts_with(CALLBACK), "{url}");
        Self(url.query_pairs().into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }
}
