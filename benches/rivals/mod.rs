//! The `oauth2` crate used as its documentation shows: what the benches compare with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, RefreshToken, RequestTokenError, TokenUrl,
};

/// Why a refresh failed. Shared by all who waited for it.
pub type RefreshError = RequestTokenError<reqwest::Error, BasicErrorResponse>;

type Client =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// The provider's token endpoint, reached by the `oauth2` crate over the HTTP client tokenhive uses too.
#[derive(Clone)]
pub struct TokenEndpoint {
    client: Arc<Client>,
    http: Http,
}

impl TokenEndpoint {
    pub fn new(url: String) -> Self {
        let client = BasicClient::new(ClientId::new("tokenhive".to_owned()))
            .set_client_secret(ClientSecret::new("simulator-secret".to_owned()))
            .set_token_uri(TokenUrl::new(url).expect("the simulator's own URL"))
            .set_auth_type(AuthType::RequestBody);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .expect("a client without options");
        Self { client: Arc::new(client), http: Http(http) }
    }

    pub async fn refresh(&self, token: &RefreshToken) -> Result<BasicTokenResponse, RefreshError> {
        self.client.exchange_refresh_token(token).request_async(&self.http).await
    }
}

/// What `oauth2`'s own `reqwest` feature does, for the version of reqwest this crate uses.
#[derive(Clone)]
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.0.execute(reqwest::Request::try_from(request)?).await?;
            let mut answer = HttpResponse::new(Vec::new());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            *answer.body_mut() = response.bytes().await?.to_vec();
            Ok(answer)
        })
    }
}
