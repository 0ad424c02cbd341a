//! stub
use std::process::ExitCode;
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {}
pub async fn run(_: DemoArgs, _: crate::config::Config, _: crate::cli::Output) -> anyhow::Result<ExitCode> { anyhow::bail!("stub") }
