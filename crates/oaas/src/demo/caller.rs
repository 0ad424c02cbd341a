//! A client of the demo: calls by JSON, and writes down how each ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oaas_model::{Clock, SystemClock};
use parking_lot::Mutex;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::dynamic_codec::DynamicCodec;

/// Connections of a client: calls in flight share them.
const CONNECTIONS: usize = 4;

/// What was seen of all calls.
#[derive(Default)]
pub struct Seen {
    methods: Mutex<BTreeMap<String, Vec<u32>>>,
    reasons: Mutex<BTreeMap<String, u64>>,
    degraded: Mutex<u64>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A good answer.
    Good,
    /// A good answer that the gateway made in place of the capability.
    Degraded,
    /// An error, by its reason.
    Refused(String),
}

/// One application's client.
#[derive(Clone)]
pub struct Client {
    channels: Arc<Vec<Channel>>,
    key: MetadataValue<Ascii>,
    pool: DescriptorPool,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
}

impl Seen {
    /// By method: calls, and the latencies at a half and at 99 of 100, microseconds.
    #[must_use]
    pub fn methods(&self) -> Vec<(String, usize, u32, u32)> {
        let mut methods = self.methods.lock();
        methods
            .iter_mut()
            .map(|(method, us)| {
                us.sort_unstable();
                let at = |share: f64| {
                    let rank = (us.len() as f64 * share).ceil() as usize;
                    us.get(rank.saturating_sub(1)).copied().unwrap_or_default()
                };
                (method.clone(), us.len(), at(0.5), at(0.99))
            })
            .collect()
    }

    /// Refusals and errors by reason.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, u64> {
        self.reasons.lock().clone()
    }

    /// Degraded answers.
    #[must_use]
    pub fn degraded(&self) -> u64 {
        *self.degraded.lock()
    }
}

impl Client {
    /// Connects as the owner of `key`.
    ///
    /// # Errors
    /// When nobody answers at `address`.
    pub async fn connect(
        address: &str,
        key: &str,
        pool: &DescriptorPool,
        seen: &Arc<Seen>,
    ) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Endpoint::from_shared(address.to_owned())?.connect().await?);
        }
        Ok(Self {
            channels: Arc::new(channels),
            key: format!("Bearer {key}").parse()?,
            pool: pool.clone(),
            clock: SystemClock::shared(),
            seen: Arc::clone(seen),
        })
    }

    /// Calls `method` ("package.Service/Method") and writes down how it ended; `turn` picks the connection.
    ///
    /// # Errors
    /// When the request does not fit the method: a mistake of the demo, not an answer.
    pub async fn call(
        &self,
        method: &str,
        requests: Vec<Value>,
        turn: usize,
    ) -> anyhow::Result<(End, Option<Value>)> {
        let (service, name) = method.split_once('/').unwrap_or((method, ""));
        let descriptor = self
            .pool
            .get_service_by_name(service)
            .and_then(|service| service.methods().find(|m| m.name() == name))
            .ok_or_else(|| anyhow::anyhow!("no method {method}"))?;
        let messages = requests
            .into_iter()
            .map(|json| DynamicMessage::deserialize(descriptor.input(), json))
            .collect::<Result<Vec<_>, _>>()?;
        let mut request = tonic::Request::new(tokio_stream::iter(messages));
        request.metadata_mut().insert("authorization", self.key.clone());
        request.set_timeout(Duration::from_secs(10));
        let Some(channel) = self.channels.get(turn % CONNECTIONS).cloned() else {
            anyhow::bail!("no connection");
        };
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await?;
        let began = self.clock.now();
        let codec = DynamicCodec::new(descriptor.output());
        let answer = client.client_streaming(request, format!("/{method}").parse()?, codec).await;
        let us = u32::try_from(self.clock.now().since(began).as_micros()).unwrap_or(u32::MAX);
        let end = match &answer {
            Ok(answer) if answer.metadata().contains_key("oaas-degraded") => End::Degraded,
            Ok(_) => End::Good,
            Err(status) => End::Refused(reason(status)),
        };
        self.note(name, us, &end);
        let value = match answer {
            Ok(answer) => Some(serde_json::to_value(answer.into_inner())?),
            Err(_) => None,
        };
        Ok((end, value))
    }

    fn note(&self, method: &str, us: u32, end: &End) {
        match end {
            End::Refused(reason) => *self.seen.reasons.lock().entry(reason.clone()).or_default() += 1,
            End::Degraded => *self.seen.degraded.lock() += 1,
            End::Good => {}
        }
        if !matches!(end, End::Refused(_)) {
            self.seen.methods.lock().entry(method.to_owned()).or_default().push(us);
        }
    }
}

fn reason(status: &tonic::Status) -> String {
    let details = oaas_proto::google::rpc::Status::decode(status.details()).unwrap_or_default();
    details
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo"))
        .and_then(|detail| oaas_proto::google::rpc::ErrorInfo::decode(&*detail.value).ok())
        .map_or_else(|| oaas_model::Code::from_number(status.code() as u32).to_string(), |info| info.reason)
}
