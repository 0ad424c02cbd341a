//! The command line: one file a command, each with its arguments and a `run`.

pub mod audit;
pub mod backtest;
pub mod breaker;
pub mod call;
pub mod caller;
pub mod catalog;
pub mod health;
pub mod import;
pub mod rebate;
pub mod scaffold;
pub mod schedule;
pub mod serve;

use std::time::Duration;

use anyhow::Context as _;
use oaas_model::Lang;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// For programs: JSON, one value a line, instead of tables.
    pub json: bool,
    /// Language of texts for people.
    pub lang: Lang,
}

impl Output {
    /// The text in the language of this output.
    #[must_use]
    pub fn say<'a>(&self, en: &'a str, zh: &'a str) -> &'a str {
        match self.lang {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }
}

/// Which gateway a command calls, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Address of the gateway
    #[arg(long, env = "OAAS_ADDRESS", default_value = "http://127.0.0.1:50051", help_heading = "Connection")]
    pub address: String,
    /// Caller's API key
    #[arg(long, env = "OAAS_KEY", hide_env_values = true, help_heading = "Connection")]
    pub key: Option<String>,
    /// PEM file of the authority that signed the gateway's certificate
    #[arg(long, env = "OAAS_CA", help_heading = "Connection")]
    pub ca: Option<std::path::PathBuf>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        let mut endpoint = Endpoint::from_shared(self.address.clone())
            .with_context(|| format!("{} is not an address; try http://127.0.0.1:50051", self.address))?
            .connect_timeout(Duration::from_secs(5));
        if self.address.starts_with("https://") {
            let mut tls = ClientTlsConfig::new().with_enabled_roots();
            if let Some(ca) = &self.ca {
                let pem = std::fs::read(ca).with_context(|| format!("can't read {}", ca.display()))?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls)?;
        }
        endpoint.connect().await.with_context(|| {
            format!(
                "nobody answers at {}; start one with `oaas serve`, or name another with --address",
                self.address
            )
        })
    }

    /// The key as a call's metadata.
    ///
    /// # Errors
    /// When the key has characters that no header may have.
    pub fn authorization(&self) -> anyhow::Result<Option<MetadataValue<Ascii>>> {
        self.key
            .as_ref()
            .map(|key| {
                format!("Bearer {key}").parse().context("the key has characters that no header may have")
            })
            .transpose()
    }

    /// A request that carries the key.
    ///
    /// # Errors
    /// As [`Connection::authorization`].
    pub fn request<T>(&self, message: T) -> anyhow::Result<tonic::Request<T>> {
        let mut request = tonic::Request::new(message);
        if let Some(value) = self.authorization()? {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// A refusal as an error that says what to do next.
#[must_use]
pub fn refused(status: &tonic::Status, output: Output) -> anyhow::Error {
    use prost::Message as _;
    let details = oaas_proto::google::rpc::Status::decode(status.details()).unwrap_or_default();
    let mut lines = vec![format!("{:?}: {}", status.code(), status.message())];
    for detail in &details.details {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        if name == "google.rpc.ErrorInfo"
            && let Ok(info) = oaas_proto::google::rpc::ErrorInfo::decode(&*detail.value)
        {
            lines.push(format!("reason: {} ({})", info.reason, info.domain));
            if let Some(reason) = oaas_model::Reason::parse(&info.reason) {
                lines.push(reason.meaning(output.lang).to_owned());
                lines.push(reason.remedy(output.lang).to_owned());
            }
            if let Some(call_id) = info.metadata.get("call_id") {
                lines.push(format!("{}: oaas explain {call_id}", output.say("more", "详情")));
            }
        }
        if name == "google.rpc.BadRequest"
            && let Ok(bad) = oaas_proto::google::rpc::BadRequest::decode(&*detail.value)
        {
            lines.extend(bad.field_violations.iter().map(|v| format!("  {}: {}", v.field, v.description)));
        }
        if name == "google.rpc.RetryInfo"
            && let Ok(retry) = oaas_proto::google::rpc::RetryInfo::decode(&*detail.value)
            && let Some(delay) = retry.retry_delay
        {
            let seconds = delay.seconds as f64 + f64::from(delay.nanos) / 1e9;
            lines.push(format!("{} {seconds:.3} s", output.say("try again in", "请在此时间后重试：")));
        }
    }
    anyhow::anyhow!(lines.join("\n"))
}
