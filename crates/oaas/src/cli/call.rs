//! `oaas call`: any method, by reflection: JSON in, JSON lines out.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

use super::{Connection, Output, refused};
use crate::descriptors::Reflection;
use crate::dynamic_codec::DynamicCodec;

/// Messages of one request stream.
const MESSAGES_MAX: usize = 1_000_000;

/// Arguments of `oaas call`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallArgs {
    /// Method. Example: oaas.channel.v1.RebateService/CalculateRebate
    method: String,
    /// Request as JSON, @file, or - for the standard input; several values make a stream
    #[arg(short = 'd', long = "request", default_value = "{}")]
    request: String,
    /// Further header, `name: value`; may be repeated
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// Deadline, milliseconds
    #[arg(long)]
    deadline_ms: Option<u64>,
    /// Print the answer's headers and trailers too
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Calls.
///
/// # Errors
/// When nobody answers, the method is not to be found, the JSON doesn't fit it, or the call is refused.
pub async fn run(args: CallArgs, output: Output) -> anyhow::Result<ExitCode> {
    let channel = args.connection.channel().await?;
    let method = find(&args, channel.clone(), output).await?;
    let messages = read(&args.request, &method)?;
    if messages.len() != 1 && !method.is_client_streaming() {
        bail!("{} takes one message, and the data has {}", method.full_name(), messages.len());
    }
    let mut request = args.connection.request(tokio_stream::iter(messages))?;
    if let Some(ms) = args.deadline_ms {
        request.set_timeout(std::time::Duration::from_millis(ms));
    }
    for header in &args.headers {
        let (name, value) =
            header.split_once(':').with_context(|| format!("header {header:?} is not `name: value`"))?;
        let name: tonic::metadata::MetadataKey<tonic::metadata::Ascii> = name.trim().parse()?;
        request.metadata_mut().insert(name, value.trim().parse()?);
    }
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let codec = DynamicCodec::new(method.output());
    let answer = client
        .streaming(request, path.parse()?, codec)
        .await
        .map_err(|status| told(&status, args.verbose, output))?;
    if args.verbose {
        headers(answer.metadata());
    }
    let mut answers = answer.into_inner();
    while let Some(message) = answers.next().await {
        let message = message.map_err(|status| told(&status, args.verbose, output))?;
        print(&message, method.is_server_streaming() || output.json)?;
    }
    if args.verbose
        && let Ok(Some(trailers)) = answers.trailers().await
    {
        headers(&trailers);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(status: &tonic::Status, verbose: bool, output: Output) -> anyhow::Error {
    if verbose {
        headers(status.metadata());
    }
    refused(status, output)
}

async fn find(args: &CallArgs, channel: Channel, output: Output) -> anyhow::Result<MethodDescriptor> {
    let name = args.method.trim_start_matches('/');
    let (service, method) = name
        .rsplit_once('/')
        .or_else(|| name.rsplit_once('.'))
        .with_context(|| format!("{name:?} is not `package.Service/Method`"))?;
    let mut reflection = Reflection::open(channel, args.connection.authorization()?)
        .await
        .map_err(|status| refused(&status, output))?;
    let set = match reflection.describe(service).await {
        Ok(set) => set,
        Err(_) => {
            let there = reflection.services().join("\n  ");
            bail!("no service {service:?} that you may see; there are\n  {there}");
        }
    };
    let pool = DescriptorPool::decode(&*set).context("the server's description of itself")?;
    let service = pool.get_service_by_name(service).with_context(|| format!("no service {service:?}"))?;
    service.methods().find(|m| m.name() == method).with_context(|| {
        let there = service.methods().map(|m| m.name().to_owned()).collect::<Vec<_>>().join(", ");
        format!("{} has no method {method:?}; there are {there}", service.full_name())
    })
}

/// Messages of the method from one or more JSON values (or a JSON list, for a stream).
fn read(data: &str, method: &MethodDescriptor) -> anyhow::Result<Vec<DynamicMessage>> {
    let (source, text) = match data.strip_prefix('@') {
        Some(file) => (file, std::fs::read_to_string(file).with_context(|| format!("can't read {file}"))?),
        None if data == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            ("the standard input", text)
        }
        None => ("the request", data.to_owned()),
    };
    let mut messages = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>() {
        let value = value.with_context(|| format!("{source} is not JSON"))?;
        let values = match value {
            serde_json::Value::Array(values) if method.is_client_streaming() => values,
            value => vec![value],
        };
        for value in values {
            if messages.len() >= MESSAGES_MAX {
                bail!("{source} has more than {MESSAGES_MAX} messages");
            }
            let message = DynamicMessage::deserialize(method.input(), value)
                .with_context(|| format!("{source} does not fit {}", method.input().full_name()))?;
            messages.push(message);
        }
    }
    Ok(messages)
}

fn print(message: &DynamicMessage, one_line: bool) -> anyhow::Result<()> {
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    let text = if one_line { serde_json::to_string(&value)? } else { serde_json::to_string_pretty(&value)? };
    anstream::println!("{text}");
    Ok(())
}

fn headers(metadata: &tonic::metadata::MetadataMap) {
    for entry in metadata.iter() {
        match entry {
            tonic::metadata::KeyAndValueRef::Ascii(name, value) => {
                anstream::eprintln!("{name}: {}", value.to_str().unwrap_or("?"));
            }
            tonic::metadata::KeyAndValueRef::Binary(name, value) => {
                anstream::eprintln!("{name}: {}", value.to_bytes().map_or(0, |b| b.len()));
            }
        }
    }
}
