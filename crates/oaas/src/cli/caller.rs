//! stub
use std::process::ExitCode;
#[derive(Clone, Debug, clap::Args)]
pub struct CallerArgs {}
pub fn run(_: CallerArgs, _: super::Output, _: &std::path::Path, _: &oaas_catalog::Sources) -> anyhow::Result<ExitCode> { anyhow::bail!("stub") }
