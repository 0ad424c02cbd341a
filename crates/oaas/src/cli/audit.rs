//! `oaas audit tail`, `oaas audit show <call-id>` and `oaas explain <call-id>`: the call journal, read from
//! its folder, also while a server writes it.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use oaas_audit::record::audit_record::Event;
use oaas_audit::record::{AuditRecord, CallHead};
use oaas_audit::{Entry, Filter, Reader};
use oaas_model::{CallId, Code, Lang};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

use super::Output;

/// Between two looks at a journal that is followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// Most records that `-n` may ask for: they are held in memory.
const TAIL_MAX: usize = 1_000_000;

/// Read the call journal.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// The last records, and with --follow those that come.
    Tail(TailArgs),
    /// All records of one call, field by field.
    Show {
        /// The call's id, as in the `oaas-call-id` header and in `ErrorInfo.metadata`.
        call_id: CallId,
    },
}

#[derive(Debug, Args)]
struct TailArgs {
    /// Go on with the records that come.
    #[arg(long, short)]
    follow: bool,
    /// How many of the last records.
    #[arg(short = 'n', long = "lines", default_value_t = 20, value_name = "N")]
    lines: usize,
    /// Only this application's.
    #[arg(long)]
    application: Option<String>,
    /// Only this method's (/pkg.Service/Method), or this service's.
    #[arg(long)]
    method: Option<String>,
    /// Only those with this reason. Example: RATE_LIMITED.
    #[arg(long)]
    reason: Option<String>,
}

/// Say in words what became of a call, why, and what would change it.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The call's id, as in the `oaas-call-id` header and in `ErrorInfo.metadata`.
    call_id: CallId,
}

/// Runs `oaas audit`.
///
/// # Errors
/// When there is no journal in `<data>/journal`, it is damaged, or the call has no record.
pub fn run(args: AuditArgs, output: Output, data: &Path) -> anyhow::Result<()> {
    let reader = journal(data)?;
    let printer = Printer::new(output)?;
    unless_pipe_closed(match args.command {
        AuditCommand::Tail(args) => tail(&args, &reader, &printer),
        AuditCommand::Show { call_id } => show(call_id, &reader, &printer),
    })
}

/// Runs `oaas explain`.
///
/// # Errors
/// As [`run`]; a call that is only in the counts is explained from them.
pub fn explain(args: ExplainArgs, output: Output, data: &Path) -> anyhow::Result<()> {
    let reader = journal(data)?;
    let mut records = reader.find(args.call_id)?;
    let found = !records.is_empty();
    if !found {
        records = reader.counts_at(args.call_id)?;
    }
    let text = oaas_audit::explain(&records, output.lang);
    let printer = Printer::new(output)?;
    let mut out = anstream::stdout().lock();
    unless_pipe_closed(if output.json {
        let records = records.iter().map(|record| printer.json(record)).collect::<Result<Vec<_>, _>>()?;
        let call_id = args.call_id.to_string();
        let explained =
            serde_json::json!({ "callId": call_id, "found": found, "text": text, "records": records });
        writeln!(out, "{explained}").map_err(Into::into)
    } else {
        writeln!(out, "{text}").map_err(Into::into)
    })
}

fn journal(data: &Path) -> anyhow::Result<Reader> {
    let dir = data.join("journal");
    let hint = || format!("no journal in {}: name the server's data folder with --data", dir.display());
    Reader::open(&dir).with_context(hint)
}

/// Who pipes into `head` wants no more, and that is no error.
fn unless_pipe_closed(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn tail(args: &TailArgs, reader: &Reader, printer: &Printer) -> anyhow::Result<()> {
    let filter = Filter {
        application: args.application.clone(),
        method: args.method.clone(),
        reason: args.reason.clone(),
        ..Filter::default()
    };
    // The end is found first: what is written in between is shown once, by the sequence.
    let following = args.follow.then(|| reader.follow()).transpose()?;
    let last = reader.last(args.lines.min(TAIL_MAX), &filter)?;
    let mut shown = last.last().map_or(0, |entry| entry.record.sequence);
    let mut out = anstream::stdout().lock();
    if printer.output.json || args.follow {
        for Entry { record, .. } in &last {
            printer.line(&mut out, record)?;
        }
    } else {
        printer.table(&mut out, &last)?;
    }
    let Some(mut following) = following else { return Ok(()) };
    loop {
        out.flush()?;
        for entry in following.by_ref() {
            let record = entry?.record;
            if record.sequence > shown && filter.passes(&record) {
                shown = record.sequence;
                printer.line(&mut out, &record)?;
            }
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

fn show(call_id: CallId, reader: &Reader, printer: &Printer) -> anyhow::Result<()> {
    let records = reader.find(call_id)?;
    if records.is_empty() {
        let counts = reader.counts_at(call_id)?;
        bail!("no record of call {call_id}\n{}", oaas_audit::explain(&counts, printer.output.lang));
    }
    let mut out = anstream::stdout().lock();
    for record in &records {
        if printer.output.json {
            printer.line(&mut out, record)?;
        } else {
            printer.fields(&mut out, record)?;
        }
    }
    Ok(())
}

struct Printer {
    output: Output,
    message: MessageDescriptor,
}

impl Printer {
    fn new(output: Output) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS)?;
        let message = pool.get_message_by_name("oaas.audit.v1.AuditRecord");
        Ok(Self { output, message: message.context("the descriptors have no oaas.audit.v1.AuditRecord")? })
    }

    /// A record as protobuf JSON, except that ids and digests are text: a call id as it is written
    /// everywhere, the others in hexadecimal.
    fn json(&self, record: &AuditRecord) -> anyhow::Result<serde_json::Value> {
        let message = DynamicMessage::decode(self.message.clone(), record.encode_to_vec().as_slice())?;
        let mut json = serde_json::to_value(&message)?;
        write_bytes(&mut json, &message);
        Ok(json)
    }

    fn line(&self, out: &mut impl Write, record: &AuditRecord) -> anyhow::Result<()> {
        if self.output.json {
            writeln!(out, "{}", self.json(record)?)?;
        } else {
            writeln!(out, "{}", self.cells(record).join("  ").trim_end())?;
        }
        Ok(())
    }

    fn table(&self, out: &mut impl Write, entries: &[Entry]) -> anyhow::Result<()> {
        let mut table = empty_table();
        table.set_header(match self.output.lang {
            Lang::En => ["time", "record", "application", "method", "result", "call"],
            Lang::Zh => ["时间", "记录", "应用", "方法", "结果", "调用"],
        });
        for entry in entries {
            table.add_row(self.cells(&entry.record));
        }
        writeln!(out, "{table}")?;
        Ok(())
    }

    /// Each field that is set, by its path.
    fn fields(&self, out: &mut impl Write, record: &AuditRecord) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        flatten(String::new(), &self.json(record)?, &mut rows);
        let mut table = empty_table();
        rows.iter().for_each(|(path, value)| {
            table.add_row([path, value]);
        });
        let kind = Row::of(record).kind(self.output.lang);
        writeln!(out, "{}  {kind}\n{table}\n", time(record.time_unix_ns))?;
        Ok(())
    }

    fn cells(&self, record: &AuditRecord) -> [String; 6] {
        let row = Row::of(record);
        let kind = row.kind(self.output.lang).to_owned();
        let call = row.head.and_then(|head| CallId::from_slice(&head.call_id));
        let call = call.map_or_else(String::new, |call| call.to_string());
        [time(record.time_unix_ns), kind, row.application, row.method, row.result, call]
    }
}

/// A record in one line.
struct Row<'a> {
    kind: (&'static str, &'static str),
    head: Option<&'a CallHead>,
    application: String,
    method: String,
    result: String,
}

impl<'a> Row<'a> {
    fn of(record: &'a AuditRecord) -> Self {
        match &record.event {
            Some(Event::Intent(it)) => Self::of_call(("intent", "发起"), it.head.as_ref(), String::new()),
            Some(Event::Outcome(it)) => {
                let degraded = if it.degraded { " degraded" } else { "" };
                let ms = it.elapsed_us.div_ceil(1000);
                let result = format!("{}{degraded} {ms} ms", status(it.status, &it.reason));
                Self::of_call(("outcome", "结果"), it.head.as_ref(), result)
            }
            Some(Event::Refusal(it)) => {
                Self::of_call(("refusal", "拒绝"), it.head.as_ref(), status(it.status, &it.reason))
            }
            Some(Event::RefusalSum(it)) => Self::of_many(
                ("refusals", "拒绝合计"),
                it.application.clone(),
                it.service.clone(),
                format!("{} × {}", it.count, it.reason),
            ),
            Some(Event::Gap(it)) => Self::of_many(
                ("gap", "抽样空缺"),
                String::new(),
                it.method.clone(),
                format!("× {}", it.count),
            ),
            Some(Event::Administration(it)) => Self::of_many(
                ("administration", "管理"),
                it.actor.clone(),
                it.subject.clone(),
                it.action.clone(),
            ),
            Some(Event::OpenCalls(it)) => {
                let count = format!("× {}", it.call_ids.len());
                Self::of_many(("open calls", "进行中"), String::new(), String::new(), count)
            }
            Some(Event::WrittenOff(it)) => {
                let result = format!("× {} {}", it.call_ids.len(), it.cause);
                Self::of_many(("written off", "已注销"), String::new(), String::new(), result)
            }
            None => Self::of_many(("?", "?"), String::new(), String::new(), String::new()),
        }
    }

    fn of_call(kind: (&'static str, &'static str), head: Option<&'a CallHead>, result: String) -> Self {
        let application = head.map(|head| head.application.clone()).unwrap_or_default();
        let method = head.map(|head| head.method.clone()).unwrap_or_default();
        Self { kind, head, application, method, result }
    }

    fn of_many(
        kind: (&'static str, &'static str),
        application: String,
        method: String,
        result: String,
    ) -> Self {
        Self { kind, head: None, application, method, result }
    }

    fn kind(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.kind.0,
            Lang::Zh => self.kind.1,
        }
    }
}

fn status(number: u32, reason: &str) -> String {
    let code = Code::from_number(number);
    if reason.is_empty() { code.to_string() } else { format!("{code} {reason}") }
}

/// Local time to the millisecond.
fn time(unix_ns: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(
        |_| unix_ns.to_string(),
        |time| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    )
}

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Puts the bytes fields of `message` into its JSON as people write them.
fn write_bytes(json: &mut serde_json::Value, message: &DynamicMessage) {
    for (field, value) in message.fields() {
        let Some(place) = json.get_mut(field.json_name()) else { continue };
        match value {
            Value::Bytes(bytes) => *place = id_text(field.name(), bytes),
            Value::Message(inner) => write_bytes(place, inner),
            Value::List(items) => {
                for (place, item) in place.as_array_mut().into_iter().flatten().zip(items) {
                    match item {
                        Value::Bytes(bytes) => *place = id_text(field.name(), bytes),
                        Value::Message(inner) => write_bytes(place, inner),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn id_text(field: &str, bytes: &[u8]) -> serde_json::Value {
    let call = field.starts_with("call_id").then(|| CallId::from_slice(bytes)).flatten();
    let hex = || bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    call.map_or_else(hex, |call| call.to_string()).into()
}

/// Leaves of a JSON value, each with its path. Example: ("outcome.head.method", "/a.B/C").
fn flatten(path: String, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(below(name), value, rows));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| flatten(below(&at.to_string()), item, rows));
        }
        serde_json::Value::String(text) => rows.push((path, text.clone())),
        other => rows.push((path, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use oaas_audit::record::{Decision, Outcome};

    use super::*;

    fn outcome(call: CallId) -> AuditRecord {
        let head = CallHead {
            call_id: call.as_bytes().to_vec(),
            application: "shop".into(),
            method: "/a.B/C".into(),
            trace_id: vec![0xab; 16],
            ..CallHead::default()
        };
        let decisions = vec![Decision { stage: "admit".into(), ..Decision::default() }];
        let outcome = Outcome { head: Some(head), elapsed_us: 1500, decisions, ..Outcome::default() };
        AuditRecord { sequence: 7, event: Some(Event::Outcome(outcome)), ..AuditRecord::default() }
    }

    #[test]
    fn json_names_calls_as_people_do() {
        let printer = Printer::new(Output { json: true, lang: Lang::En }).unwrap();
        let call = CallId::fresh();
        let json = printer.json(&outcome(call)).unwrap();
        assert_eq!(json["outcome"]["head"]["callId"], call.to_string());
        assert_eq!(json["outcome"]["head"]["traceId"], "ab".repeat(16));
        assert_eq!(json["sequence"], "7");
    }

    #[test]
    fn fields_and_lines_show_what_was_recorded() {
        let printer = Printer::new(Output { json: false, lang: Lang::Zh }).unwrap();
        let call = CallId::fresh();
        let mut out = Vec::new();
        printer.fields(&mut out, &outcome(call)).unwrap();
        printer.line(&mut out, &outcome(call)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("outcome.decisions.0.stage"), "{text}");
        assert!(text.contains(&format!("结果  shop  /a.B/C  OK 2 ms  {call}")), "{text}");
    }
}
