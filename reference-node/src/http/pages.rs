//! What each page says.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;

use super::{Page, TEXT};
use crate::doors;
use crate::metrics::{self, Metrics, Seen, lane_index};
use crate::operator::Operator;
use crate::owner::Look;
use crate::session::Browsers;

/// How long the owner may take to answer before it counts as stuck: a commit on a slow disk is far shorter.
const OWNER: Duration = Duration::from_secs(5);

/// The pages.
pub struct Pages {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who can look at the owner.
    pub probe: Probe,
    /// The type of the well-known document, and the document.
    pub well_known: (&'static str, Vec<u8>),
    /// Where devices in browsers open sessions.
    pub browsers: Option<Browsers>,
}

/// Whether the node is well.
#[derive(Clone)]
pub struct Probe {
    /// The operator's view of it.
    pub operator: Arc<Operator>,
}

/// Whether it can take work, and what stands in the way.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    causes: Vec<String>,
}

impl Probe {
    /// Whether the owner answers, and whether its clock is held. Cheap: this is asked every few seconds.
    ///
    /// # Errors
    /// That it is gone, or doesn't answer in time.
    pub async fn alive(&self) -> Result<bool, &'static str> {
        self.ask(|look| look.clock.jump().is_some()).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Look<'_>) -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        tokio::time::timeout(OWNER, doors::look(&self.operator.inbox, ask))
            .await
            .map_err(|_| "the owner does not answer: its disk may be stuck")?
            .map_err(|_| "the owner is gone, or its store can't be opened")
    }

    /// All that is shown of the node, every mail that waits counted.
    ///
    /// # Errors
    /// That it is gone, or doesn't answer in time.
    pub async fn look(&self) -> Result<Seen, &'static str> {
        let seen = self.ask(|look| {
            let links = look.server.links_up().count() as u64;
            let mut seen = Seen { links, sessions: look.server.sessions().0 as u64, ..Seen::default() };
            let mut clock = *look.clock;
            let (now, _) = clock.now();
            for (lane, queue) in look.server.lanes() {
                let Some((mails, oldest)) = seen.queued.get_mut(lane_index(lane)) else { continue };
                *mails += queue.len() as u64;
                let waits = queue.entries().map(|shown| now.since(shown.entry.arrived) / 1_000).max();
                *oldest = (*oldest).max(waits.unwrap_or(0));
            }
            (seen.clock_held, seen.connections) = (look.clock.jump().is_some(), look.connections);
            seen
        });
        let mut seen = seen.await?;
        seen.users = (self.operator.users)();
        seen.draining = self.operator.is_draining();
        seen.uptime = self.operator.started.elapsed().as_secs();
        Ok(seen)
    }

    /// What stands in the way of taking work.
    async fn causes(&self) -> Vec<String> {
        let clock_held = match self.alive().await {
            Ok(clock_held) => clock_held,
            Err(why) => return vec![why.to_owned()],
        };
        let mut causes = Vec::new();
        if self.operator.is_draining() {
            causes.push("the node is going down".to_owned());
        }
        if clock_held {
            causes.push("the clock jumped; `postline clock accept` if it is right".to_owned());
        }
        causes
    }
}

impl Pages {
    pub(super) fn well_known(&self) -> Page {
        let (kind, document) = &self.well_known;
        Page::new(StatusCode::OK, kind, Bytes::from(document.clone()))
    }

    pub(super) async fn metrics(&self) -> Page {
        match self.probe.look().await {
            Ok(seen) => Page::new(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.page(&seen).into()),
            Err(why) => Page::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into()),
        }
    }

    /// Alive: whoever restarts a node that isn't does right.
    pub(super) async fn health(&self) -> Page {
        match self.probe.alive().await {
            Ok(_) => Page::new(StatusCode::OK, TEXT, "ok\n".into()),
            Err(why) => Page::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into()),
        }
    }

    /// Ready: alive, and nothing stands in the way of taking work.
    pub(super) async fn readiness(&self) -> Page {
        let causes = self.probe.causes().await;
        let status = if causes.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let said = Readiness { ready: causes.is_empty(), causes };
        match serde_json::to_vec(&said) {
            Ok(body) => Page::new(status, "application/json", body.into()),
            Err(why) => Page::new(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{why}\n").into()),
        }
    }
}
