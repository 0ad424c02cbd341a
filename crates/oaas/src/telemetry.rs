//! Logs to the terminal, and traces and logs over OTLP where an address is set.

use anyhow::Context as _;
use opentelemetry::global;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, Telemetry};

/// What must be told to flush before the process ends.
#[derive(Default)]
pub struct Exporters {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Exporters {
    /// Sends what is still waiting.
    pub fn shutdown(self) {
        if let Some(traces) = self.traces {
            let _ = traces.shutdown();
        }
        if let Some(logs) = self.logs {
            let _ = logs.shutdown();
        }
    }
}

/// Starts logging, once a process. Within a tokio runtime when an OTLP address is set.
///
/// # Errors
/// When the filter can't be parsed, or an exporter can't be made.
pub fn start(settings: &Telemetry) -> anyhow::Result<Exporters> {
    let filter = || EnvFilter::try_new(&settings.log).context("telemetry.log");
    let terminal = match settings.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    let registry = tracing_subscriber::registry().with(terminal.with_filter(filter()?));
    if settings.otlp.is_empty() {
        let _ = registry.try_init();
        return Ok(Exporters::default());
    }
    let resource = Resource::builder()
        .with_service_name("oaas")
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let spans = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp)
        .build()
        .context("telemetry.otlp: traces")?;
    // The gateway samples before it makes a span, so all that are made are exported.
    let traces = SdkTracerProvider::builder()
        .with_batch_exporter(spans)
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.clone())
        .build();
    global::set_tracer_provider(traces.clone());
    let records = opentelemetry_otlp::LogExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp)
        .build()
        .context("telemetry.otlp: logs")?;
    let logs = SdkLoggerProvider::builder().with_batch_exporter(records).with_resource(resource).build();
    // The exporter's own words would be exported again, without end.
    let quiet = EnvFilter::try_new(format!(
        "{},hyper=off,tonic=off,h2=off,tower=off,opentelemetry=off",
        settings.log
    ))
    .context("telemetry.log")?;
    let _ = registry.with(OpenTelemetryTracingBridge::new(&logs).with_filter(quiet)).try_init();
    Ok(Exporters { traces: Some(traces), logs: Some(logs) })
}
