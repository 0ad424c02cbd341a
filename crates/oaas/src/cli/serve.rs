//! `oaas serve`: one start-up line, then serve until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Output;
use crate::config::{Config, Role};
use crate::server::{self, Server};

/// Serves.
///
/// # Errors
/// When the process can't start, or the last counters can't be stored.
pub async fn run(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = server::start(config).await?;
    announce(config, &server, output);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    let report = server.stop().await?;
    tracing::info!(
        connections = report.connections,
        calls = report.calls,
        calls_cut = report.calls_cut,
        "stopped"
    );
    Ok(ExitCode::SUCCESS)
}

/// The one line that says where the process is to be found.
fn announce(config: &Config, server: &Server, output: Output) {
    let version = env!("CARGO_PKG_VERSION");
    let scheme = if config.tls.certificate.as_os_str().is_empty() { "http" } else { "https" };
    let admin = server.admin.map(|address| format!("http://{address}/metrics")).unwrap_or_default();
    let catalog = server.catalog_version.as_deref().unwrap_or_default();
    let roles: Vec<&str> = config
        .roles
        .iter()
        .map(|role| match role {
            Role::Gateway => "gateway",
            Role::Capabilities => "capabilities",
        })
        .collect();
    if output.json {
        let line = serde_json::json!({
            "version": version, "grpc": format!("{scheme}://{}", server.address), "metrics": admin,
            "catalog": catalog, "roles": roles, "data": config.data, "pid": std::process::id(),
        });
        anstream::println!("{line}");
    } else {
        anstream::println!(
            "oaas {version} ({}): grpc {scheme}://{}{}{} data {}",
            roles.join("+"),
            server.address,
            if admin.is_empty() { String::new() } else { format!(" metrics {admin}") },
            if catalog.is_empty() { String::new() } else { format!(" catalog {catalog}") },
            config.data.display()
        );
    }
}
