//! Problems and schedules from files, with file, line and column where they are wrong.

use std::io::Read as _;

use anyhow::{Context as _, anyhow, bail};
use oaas_manufacturing::schedule::text;
use oaas_proto::oaas::manufacturing::v1 as pb;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// Largest file, in bytes; the largest problem with all setups is below it.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A schedule: the answer of SolveSchedule, the last message of StreamSchedule, or the schedule itself.
///
/// # Errors
/// When the file can't be read, or is none of these.
pub fn schedule(file: &str) -> anyhow::Result<pb::Schedule> {
    let (name, text) = read(file)?;
    let value = json_value(&name, &text)?;
    if value.get("schedule").is_none() {
        return message(&name, &text, "oaas.manufacturing.v1.Schedule");
    }
    let answer: pb::SolveScheduleResponse =
        message(&name, &text, "oaas.manufacturing.v1.SolveScheduleResponse")?;
    answer.schedule.with_context(|| format!("{name}: schedule is empty"))
}

/// A problem: JSON (the problem, or a request of SolveSchedule), or the text form of instances.
///
/// # Errors
/// When the file can't be read, or is none of these.
pub fn problem(file: &str) -> anyhow::Result<pb::ShopProblem> {
    let (name, text) = read(file)?;
    if !text.trim_start().starts_with('{') {
        return Ok(of(&text::read(&text, &name)?));
    }
    if json_value(&name, &text)?.get("problem").is_none() {
        return message(&name, &text, "oaas.manufacturing.v1.ShopProblem");
    }
    let request: pb::SolveScheduleRequest =
        message(&name, &text, "oaas.manufacturing.v1.SolveScheduleRequest")?;
    request.problem.with_context(|| format!("{name}: problem is empty"))
}

/// A message as one line of JSON.
///
/// # Errors
/// When the contract has no such message.
pub fn json(message: &impl prost::Message, of: &str) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS)?;
    let descriptor = pool.get_message_by_name(of).with_context(|| format!("no message {of}"))?;
    let message = DynamicMessage::decode(descriptor, &*message.encode_to_vec())?;
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    Ok(serde_json::to_string(&value)?)
}

fn read(file: &str) -> anyhow::Result<(String, String)> {
    let (name, source): (String, Box<dyn std::io::Read>) = match file {
        "-" => ("standard input".to_owned(), Box::new(std::io::stdin())),
        file => {
            let opened = std::fs::File::open(file).with_context(|| format!("can't read {file}"))?;
            (file.to_owned(), Box::new(opened))
        }
    };
    let mut text = String::new();
    source.take(BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("can't read {name}"))?;
    if text.len() as u64 > BYTES_MAX {
        bail!("{name} is larger than {BYTES_MAX} bytes");
    }
    Ok((name, text))
}

fn json_value(name: &str, text: &str) -> anyhow::Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| at(name, &error))
}

/// Decodes the JSON of a message of the contract.
fn message<T: prost::Message + Default>(name: &str, text: &str, of: &str) -> anyhow::Result<T> {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS)?;
    let descriptor = pool.get_message_by_name(of).with_context(|| format!("no message {of}"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor, &mut json).map_err(|error| at(name, &error))?;
    Ok(T::decode(&*message.encode_to_vec())?)
}

/// The error in the form `file:line:column: what`.
fn at(name: &str, error: &serde_json::Error) -> anyhow::Error {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let place = format!(" at line {line} column {column}");
    anyhow!("{name}:{line}:{column}: {}", text.strip_suffix(&place).unwrap_or(&text))
}

/// The contract's form of a problem that was read as text.
fn of(problem: &oaas_manufacturing::schedule::problem::Problem) -> pb::ShopProblem {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let jobs = problem.jobs.iter().enumerate().map(|(j, job)| {
        let operations = job.operations.iter().map(|operation| pb::ShopOperation {
            machine: small(operation.machine),
            duration: operation.duration,
            family: 0,
        });
        pb::ShopJob { job_id: format!("J{j}"), operations: operations.collect(), ..Default::default() }
    });
    pb::ShopProblem { machines: small(problem.machines), jobs: jobs.collect(), ..Default::default() }
}
