//! The parts of the bench that are programs: what is called, what calls, and two forwards to compare with.
//! `bench/run` starts them beside the others.

mod echo;
mod forward;
mod in_process;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A plain tonic server
    Upstream { listen: SocketAddr },
    /// hyper to hyper, and nothing else
    Forward {
        listen: SocketAddr,
        to: SocketAddr,
        /// On threads of their own, as the gateway does
        #[arg(long)]
        lanes: bool,
    },
    /// The platform with the echo as a capability in its own process
    InProcess {
        #[command(flatten)]
        settings: oaas::config::SettingsArgs,
    },
    /// Writes a descriptor set
    Descriptors {
        file: PathBuf,
        /// The contract; the echo's own when none is given
        #[arg(long)]
        proto: Option<PathBuf>,
    },
    /// Calls, and prints what it saw as JSON
    Load(load::LoadArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Upstream { listen } => echo::serve(listen).await,
        Command::Forward { listen, to, lanes } => forward::serve(listen, to, lanes).await,
        Command::InProcess { settings } => in_process::serve(&settings).await,
        Command::Descriptors { file, proto } => echo::describe(&file, proto.as_deref()),
        Command::Load(args) => load::run(args).await,
    }
}
