//! `oaas health`: is a gateway, and each of its services, serving?

use std::process::ExitCode;

use comfy_table::Table;
use oaas_proto::grpc::health::v1::HealthListRequest;
use oaas_proto::grpc::health::v1::health_check_response::ServingStatus;
use oaas_proto::grpc::health::v1::health_client::HealthClient;

use super::{Connection, Output, refused};

/// Arguments of `oaas health`.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Prints the health of each service; fails when the process as a whole is not serving.
///
/// # Errors
/// When nobody answers.
pub async fn run(args: HealthArgs, output: Output) -> anyhow::Result<ExitCode> {
    let mut client = HealthClient::new(args.connection.channel().await?);
    let answer = client
        .list(args.connection.request(HealthListRequest {})?)
        .await
        .map_err(|status| refused(&status, output))?
        .into_inner();
    let mut statuses: Vec<_> =
        answer.statuses.into_iter().map(|(service, s)| (service, s.status())).collect();
    statuses.sort_by(|a, b| a.0.cmp(&b.0));
    let serving = statuses.iter().any(|(name, status)| name.is_empty() && *status == ServingStatus::Serving);
    if output.json {
        for (service, status) in statuses {
            let line = serde_json::json!({ "service": service, "status": status.as_str_name() });
            anstream::println!("{line}");
        }
    } else {
        let mut table = Table::new();
        table.set_header([output.say("service", "服务"), output.say("status", "状态")]);
        for (service, status) in statuses {
            let name = if service.is_empty() {
                output.say("(the process)", "（进程）").to_owned()
            } else {
                service
            };
            table.add_row([name, status.as_str_name().to_owned()]);
        }
        anstream::println!("{table}");
    }
    Ok(if serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
