//! stub
use std::process::ExitCode;
#[derive(Clone, Debug, clap::Args)]
pub struct CatalogArgs {}
pub fn run(_: CatalogArgs, _: super::Output, _: &oaas_catalog::Sources) -> anyhow::Result<ExitCode> { anyhow::bail!("stub") }
