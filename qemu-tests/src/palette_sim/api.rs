//! The HTTP face of the [`World`]: paths, headers, status codes, and the page for people.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, patch, post},
};
use serde_json::{Value, json};

use super::{
    rate::RateLimit,
    world::{HostRecord, Refusal, World, labels_of},
};

/// An answer that a test puts in the place of the real one.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, sent as `application/json`.
    pub body: String,
    /// How long to wait before answering.
    pub delay: Duration,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    api_key: Option<String>,
    rate: Mutex<RateLimit>,
    answers: Mutex<VecDeque<Answer>>,
}

impl Shared {
    pub(super) fn new(world: World, api_key: Option<String>) -> Self {
        Self {
            world: Mutex::new(world),
            api_key,
            rate: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        lock(&self.answers)
    }

    fn check_key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get("ApiKey").map(HeaderValue::as_bytes);
        match &self.api_key {
            Some(key) if given != Some(key.as_bytes()) => Err(Refusal {
                status: 401,
                code: "InvalidApiKey",
                message: "The header ApiKey is missing or wrong".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shares = State<std::sync::Arc<Shared>>;

/// All routes.
pub(super) fn router(shared: std::sync::Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/v1/edgehosts", post(add))
        .route("/v1/edgehosts/register", post(register))
        .route("/v1/edgehosts/metadata", get(metadata))
        .route("/v1/edgehosts/{uid}", get(host).delete(delete))
        .route("/v1/edgehosts/{uid}/health", patch(health))
        .layer(middleware::from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/", get(page))
        .route("/page/hosts", get(page_hosts))
        .merge(api)
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(shared)
}

/// First the rate limit, then what a test wants, then the real thing.
async fn guard(
    State(shared): Shares,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if !lock(&shared.rate).allows(source.ip(), Instant::now()) {
        let refusal = Refusal {
            status: 429,
            code: "TooManyRequests",
            message: "Slow down".to_owned(),
        };
        return ([(header::RETRY_AFTER, "1")], refusal).into_response();
    }
    let planned = shared.answers().pop_front();
    let Some(answer) = planned else {
        return next.run(request).await;
    };
    tokio::time::sleep(answer.delay).await;
    answer.into_response()
}

async fn register(
    State(shared): Shares,
    body: Option<Json<Value>>,
) -> Result<Json<Value>, Refusal> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let record = shared.world().register(&body, SystemTime::now())?;
    Ok(Json(device(&record)))
}

async fn add(
    State(shared): Shares,
    headers: HeaderMap,
    body: Option<Json<Value>>,
) -> Result<Response, Refusal> {
    shared.check_key(&headers)?;
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let uid = body
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    shared.world().add(uid, labels_of(&body))?;
    Ok((StatusCode::CREATED, Json(json!({ "uid": uid }))).into_response())
}

async fn host(
    State(shared): Shares,
    headers: HeaderMap,
    Path(uid): Path<String>,
) -> Result<Json<Value>, Refusal> {
    shared.check_key(&headers)?;
    let record = shared.world().host(&uid, SystemTime::now())?;
    Ok(Json(device(&record)))
}

async fn delete(
    State(shared): Shares,
    headers: HeaderMap,
    Path(uid): Path<String>,
) -> Result<StatusCode, Refusal> {
    shared.check_key(&headers)?;
    shared.world().delete(&uid)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn health(
    State(shared): Shares,
    Path(uid): Path<String>,
    body: Option<Json<Value>>,
) -> Result<StatusCode, Refusal> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    shared
        .world()
        .report_health(&uid, &body, SystemTime::now())?;
    Ok(StatusCode::NO_CONTENT)
}

async fn metadata(State(shared): Shares, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    shared.check_key(&headers)?;
    let hosts: Vec<Value> = shared
        .world()
        .hosts(SystemTime::now())
        .iter()
        .map(|host| {
            json!({
                "uid": host.uid,
                "name": host.name,
                "state": host.state,
                "healthState": host.health,
                "archType": host.device.get("archType"),
                "edgeHostType": "edge-native",
            })
        })
        .collect();
    Ok(Json(json!({ "edgeHosts": hosts })))
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

/// What the page shows. Open to everybody, as the page is: this is a simulation on a test machine.
async fn page_hosts(State(shared): Shares) -> Json<Value> {
    let now = SystemTime::now();
    let hosts: Vec<Value> = shared
        .world()
        .hosts(now)
        .iter()
        .map(|host| {
            let seen = host
                .last_seen
                .and_then(|seen| now.duration_since(seen).ok());
            let mut row = json!(host);
            row["seenSecondsAgo"] = json!(seen.map(|seen| seen.as_secs()));
            row
        })
        .collect();
    Json(json!({ "hosts": hosts, "keyRequired": shared.api_key.is_some() }))
}

/// A record as `v1EdgeHostDevice`.
fn device(record: &HostRecord) -> Value {
    json!({
        "metadata": { "uid": record.uid, "name": record.uid, "labels": record.labels },
        "spec": {
            "host": { "hostUid": record.uid, "hostAddress": record.address },
            "device": record.device,
        },
        "status": {
            "state": record.state,
            "health": record.health.map(|state| json!({ "state": state, "message": record.message })),
        },
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body =
            json!({ "code": self.code, "message": self.message, "ref": "", "details": null });
        (status, Json(body)).into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            self.body,
        )
            .into_response();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
