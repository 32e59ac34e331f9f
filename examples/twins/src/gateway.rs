//! HTTP on one side, twins on the other.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /devices/{name}/reports` with `{"number": 1, "celsius": 20.5}` | the state of the twin, once it is kept |
//! | `GET /devices/{name}` | the state of the twin |
//! | `GET /alarms` | all alarms |
//!
//! The header `x-attempts` says how often the node was asked. Status 503 means that it is not known whether the report
//! was taken: a device that repeats it, with its number, does no harm.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rakt::error::Chain;
use rakt::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::messages::{ListAlarms, Look, Report};
use crate::{alarms, twins};

/// How long a request is tried.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts. rakt itself dials a node that is not there less and less often, at first after 50 ms and
/// after some time every 5 s.
const PAUSE: Duration = Duration::from_millis(100);

struct Gateway {
    client: remote::Client,
    twins: remote::NodeRef,
    alarms: Address,
}

#[derive(Deserialize)]
struct Body {
    number: u64,
    celsius: f64,
}

impl Gateway {
    /// Asks the twin of a device, which is started if it is not there, until it answers.
    ///
    /// What is asked may have had its effect when it is asked again. So it is only for messages for which that is no
    /// harm; for others `AskError::is_safe_to_retry` says whether it has.
    async fn ask_twin<M>(&self, device: &str, message: M) -> Response
    where
        M: Message<Reply: Serialize> + Clone,
    {
        let (host, port) = (self.twins.host(), self.twins.port());
        let Ok(address) = Address::new(device, twins::SYSTEM, host, port) else {
            return (StatusCode::BAD_REQUEST, "no name for a device").into_response();
        };
        let begun = Instant::now();
        for attempt in 1_u32.. {
            let error = match self.client.ask(&address, message.clone()).await {
                Ok(reply) => return answer(attempt, reply),
                Err(error) => error,
            };
            if begun.elapsed() >= LIMIT || !(error.is_worth_retrying() || is_gone(&error)) {
                return unavailable(&error);
            }
            if is_gone(&error) {
                // New, passivated, or of a node that has been restarted. Several that do this at once get one twin.
                let spawn = self.twins.spawn::<twins::Twin>(device, twins::KIND).or_existing();
                match spawn.await {
                    Ok(_) => continue,
                    Err(error) if error.is_worth_retrying() => {}
                    Err(error) => return unavailable(&error),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("the limit comes first")
    }
}

fn is_gone<M>(error: &AskError<M>) -> bool {
    error.refusal().is_some_and(Refusal::is_gone)
}

fn answer(attempts: u32, body: impl Serialize) -> Response {
    ([("x-attempts", attempts.to_string())], Json(body)).into_response()
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Chain(error).to_string()).into_response()
}

async fn report(
    State(gateway): State<Arc<Gateway>>,
    Path(device): Path<String>,
    Json(Body { number, celsius }): Json<Body>,
) -> Response {
    gateway.ask_twin(&device, Report { number, celsius }).await
}

async fn look(State(gateway): State<Arc<Gateway>>, Path(device): Path<String>) -> Response {
    gateway.ask_twin(&device, Look {}).await
}

async fn list_alarms(State(gateway): State<Arc<Gateway>>) -> Response {
    match gateway.client.ask(&gateway.alarms, ListAlarms).await {
        Ok(alarms) => answer(1, alarms),
        Err(error) => unavailable(&error),
    }
}

pub(crate) async fn run(http: u16, twins: u16, alarms_port: u16) -> Result {
    let client = remote::Client::new("gateway", remote::ClientConfig::new())?;
    let gateway = Arc::new(Gateway {
        twins: client.node("127.0.0.1", twins),
        alarms: Address::new(alarms::ACTOR, alarms::SYSTEM, "127.0.0.1", alarms_port)?,
        client,
    });
    let router = Router::new()
        .route("/devices/{name}", get(look))
        .route("/devices/{name}/reports", post(report))
        .route("/alarms", get(list_alarms))
        .with_state(gateway.clone());
    let listener = TcpListener::bind(("127.0.0.1", http)).await?;
    crate::listening(listener.local_addr()?.port());
    let told_to_end = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, router).with_graceful_shutdown(told_to_end).await?;
    gateway.client.close().await;
    Ok(())
}
