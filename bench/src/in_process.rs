//! The platform with the echo as a capability in its own process.

use anyhow::Context as _;
use oaas::config::{Config, SettingsArgs};
use oaas_capability::Registration;

use crate::echo::Echo;

/// A contract that the program has, with an echo behind it: the gateway does not look into messages.
const SERVICE: &str = "oaas.demo.v1.CarrierService";

/// Serves until it is told to stop.
pub async fn serve(settings: &SettingsArgs) -> anyhow::Result<()> {
    let config = Config::load(settings, std::env::vars())?;
    let registration = Registration { name: SERVICE, ..Registration::new(Echo) };
    let server = oaas::server::start_with(&config, vec![registration]).await?;
    println!("{}", server.address);
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    stop.recv().await.context("no signal")?;
    server.stop().await?;
    Ok(())
}
