//! Between JSON and the messages of the contract, and the service in this process for files.

use anyhow::Context as _;
use oaas_channel::rebate::grpc::{self, Rebate};
use oaas_proto::oaas::channel::v1::rebate_service_client::RebateServiceClient;
use oaas_proto::oaas::channel::v1::rebate_service_server::RebateServiceServer;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

/// The service, called without a gateway.
pub type Local = RebateServiceClient<RebateServiceServer<Rebate>>;

/// The service in this process, over an empty database in memory: it changes nothing anywhere.
pub async fn local() -> anyhow::Result<Local> {
    let cx = oaas_capability::Context::in_memory().await?;
    Ok(RebateServiceClient::new(grpc::server(&cx).await?))
}

fn descriptor(name: &str) -> anyhow::Result<MessageDescriptor> {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS)?;
    pool.get_message_by_name(name).with_context(|| format!("no message {name}"))
}

/// The messages of a JSON list, of several JSON values, or of one.
pub fn from_json<M: prost::Message + Default>(
    name: &str,
    text: &str,
    source: &str,
) -> anyhow::Result<Vec<M>> {
    let descriptor = descriptor(name)?;
    let mut messages = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        let values = match value.with_context(|| format!("{source} is not JSON"))? {
            serde_json::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let place = messages.len() + 1;
            let message = DynamicMessage::deserialize(descriptor.clone(), value)
                .with_context(|| format!("{source}: fact {place} does not fit {name}"))?;
            messages.push(message.transcode_to()?);
        }
    }
    Ok(messages)
}

/// A message as one line of JSON, with the names of the contract.
pub fn to_json<M: prost::Message>(name: &str, message: &M) -> anyhow::Result<String> {
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message)?;
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let value = dynamic.serialize_with_options(serde_json::value::Serializer, &options)?;
    Ok(serde_json::to_string(&value)?)
}
