//! The control interface under `/_sim`: everything a test in another process needs.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulator::answer::{SimulatorBody, json as json_answer};
use crate::simulator::faults::FaultPlan;
use crate::simulator::form::Parameters;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::world::Shared;

/// Where the control interface lives.
pub(super) const PREFIX: &str = "/_sim/";

/// Most sessions one request may mint.
const MOST_MINTED: usize = 100_000;

/// Answers a control request; `name` is the path behind [`PREFIX`].
pub(super) fn control(
    shared: &Shared,
    (method, name): (&Method, &str),
    query: &str,
    body: &[u8],
) -> Response<SimulatorBody> {
    let answered = match (method.as_str(), name) {
        ("GET", "log") => log(shared, query),
        ("GET", "options") => Ok(options(shared)),
        ("POST", "options") => change_options(shared, body),
        ("POST", "faults") => set_faults(shared, body),
        ("POST", "reset") => {
            shared.world().reset();
            Ok(json!({"reset": true}))
        }
        ("POST", "revoke") => revoke(shared, query),
        ("POST", "mint") => mint(shared, body),
        _ => {
            let body = json!({"error": "no such control; see GET /"});
            return json_answer(StatusCode::NOT_FOUND, &body);
        }
    };
    match answered {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(why) => json_answer(StatusCode::BAD_REQUEST, &json!({"error": why})),
    }
}

fn log(shared: &Shared, query: &str) -> Result<Value, String> {
    let parameters = Parameters::parse(query.as_bytes()).map_err(|error| error.description)?;
    let now = shared.now();
    let truth = match parameters.get("summary") {
        Some("1" | "true") => shared.world().summary(),
        _ => shared.world().ground_truth(now),
    };
    serde_json::to_value(truth).map_err(|error| error.to_string())
}

/// The options in force, without the clients and their secrets.
fn options(shared: &Shared) -> Value {
    let options = Arc::clone(&shared.world().options);
    let mut value = serde_json::to_value(&*options).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.remove("clients");
    }
    value
}

fn change_options(shared: &Shared, body: &[u8]) -> Result<Value, String> {
    let changes: Map<String, Value> = read(body)?;
    {
        let mut world = shared.world();
        let merged: SimulatorOptions = world.options.merged(changes)?;
        world.options = Arc::new(merged);
    }
    Ok(options(shared))
}

fn set_faults(shared: &Shared, body: &[u8]) -> Result<Value, String> {
    let plan: FaultPlan = read(body)?;
    let rules = plan.rules.len();
    shared.world().dice.set(plan);
    Ok(json!({"rules": rules}))
}

fn revoke(shared: &Shared, query: &str) -> Result<Value, String> {
    let parameters = Parameters::parse(query.as_bytes()).map_err(|error| error.description)?;
    let user = parameters.get("user").ok_or("name the user: /_sim/revoke?user=user-1")?;
    let now = shared.now();
    let families = shared.world().revoke_user(user, now);
    Ok(json!({"families": families}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintRequest {
    count: usize,
    #[serde(default)]
    lifetime_ms: Option<u64>,
    #[serde(default)]
    scope: String,
}

fn mint(shared: &Shared, body: &[u8]) -> Result<Value, String> {
    let MintRequest { count, lifetime_ms, scope } = read(body)?;
    if count > MOST_MINTED {
        return Err(format!("mint at most {MOST_MINTED} sessions in one request"));
    }
    let lifetime = lifetime_ms.map(Duration::from_millis);
    let sessions: Vec<_> = (0..count)
        .map(|_| {
            let now = shared.now();
            let mut world = shared.world();
            let lifetime = lifetime.unwrap_or(world.options.access_token_lifetime);
            let (user, pair) = world.mint(&scope, lifetime, now);
            json!({
                "user": user,
                "access_token": pair.access,
                "refresh_token": pair.refresh,
                "expires_in": pair.expires_in.as_secs(),
            })
        })
        .collect();
    Ok(json!({"sessions": sessions}))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
