//! `oaas catalog`: check, list, search, show and compare service catalogs, from their files alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use comfy_table::Table;
use oaas_catalog::{
    AuditMode, Degraded, Diff, Hit, KnownDescriptors, LoadError, MethodEntry, Query, ReflectionNeed,
    ServiceEntry, Snapshot, Sources, Stage, Subject, Upstream, Viewer, Visibility, What,
};
use oaas_model::Lang;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use super::Output;

/// Check, list, search, show and compare service catalogs.
#[derive(Clone, Debug, clap::Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum CatalogCommand {
    /// Check every file, and say everything that is wrong at once
    Lint {
        /// Catalog folder; the configured one and its callers when left out
        path: Option<PathBuf>,
        /// Callers file to check with it
        #[arg(long)]
        with_callers: Option<PathBuf>,
    },
    /// List the services
    List(Filter),
    /// Find services by words in English or Chinese
    Search {
        /// Words that must fit
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        filter: Filter,
    },
    /// Show one service with its methods, promise and examples
    Show {
        /// Full gRPC name
        service: String,
    },
    /// Compare two catalog folders: what changes, what breaks, whom it concerns
    Diff {
        /// Folder before
        old: PathBuf,
        /// Folder after
        new: PathBuf,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Filter {
    /// Only this domain
    #[arg(long)]
    domain: Option<String>,
    /// Only services with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only this stage
    #[arg(long, value_parser = ["alpha", "beta", "ga", "deprecated"])]
    stage: Option<String>,
}

/// Runs the command. Lint fails on any fault; diff does not fail on a change that breaks, it says so.
///
/// # Errors
/// When the files can't be read or a service isn't there.
pub fn run(args: CatalogArgs, output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    match args.command {
        CatalogCommand::Lint { path, with_callers } => {
            let sources = match path {
                Some(catalog) => Sources { catalog, callers: with_callers },
                None => {
                    Sources { callers: with_callers.or_else(|| sources.callers.clone()), ..sources.clone() }
                }
            };
            lint(&sources, output)
        }
        CatalogCommand::List(filter) => list("", &filter, output, sources),
        CatalogCommand::Search { words, filter } => list(&words.join(" "), &filter, output, sources),
        CatalogCommand::Show { service } => show(&service, output, sources),
        CatalogCommand::Diff { old, new } => diff(&old, &new, output, sources),
    }
}

/// Loads without asking any upstream; those that describe themselves are left out and named.
fn load(sources: &Sources) -> anyhow::Result<Result<(Snapshot, Vec<ReflectionNeed>), LoadError>> {
    let local = DescriptorPool::decode(oaas_proto::DESCRIPTORS).context("the program's own descriptors")?;
    Ok(oaas_catalog::load_without_reflection(sources, &KnownDescriptors { local, ..Default::default() }))
}

fn loaded(sources: &Sources, output: Output) -> anyhow::Result<Snapshot> {
    let (snapshot, needs) = match load(sources)? {
        Ok(loaded) => loaded,
        Err(LoadError::Diagnostics(found)) => bail!("{}", found.render(output.lang)),
        Err(error) => return Err(error.into()),
    };
    for need in needs {
        eprintln!("{}: {}", need.service, left_out(output.lang));
    }
    Ok(snapshot)
}

fn left_out(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "left out here: its upstream describes it when the platform runs",
        Lang::Zh => "此处略过：平台运行时由其上游提供描述",
    }
}

fn lint(sources: &Sources, output: Output) -> anyhow::Result<ExitCode> {
    let (snapshot, needs) = match load(sources)? {
        Ok(good) => good,
        Err(LoadError::Diagnostics(found)) => {
            let text = if output.json { lines_of(&found.to_json()) } else { found.render(output.lang) };
            say(&text)?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let (services, methods) = (snapshot.services.len(), snapshot.methods.len());
    let (plans, callers) = (snapshot.plans.len(), snapshot.callers.applications.len());
    let unseen: Vec<&str> = needs.iter().map(|need| &*need.service).collect();
    if output.json {
        say(&lines_of(&json!({
            "errors": [], "more": 0, "version": &*snapshot.version, "services": services, "methods": methods,
            "plans": plans, "applications": callers, "described_by_upstream": unseen,
        })))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = match output.lang {
        Lang::En => format!(
            "{}: {services} services, {methods} methods, {plans} plans, {callers} applications; nothing is wrong\n",
            snapshot.version
        ),
        Lang::Zh => {
            format!(
                "{}：{services} 个服务，{methods} 个方法，{plans} 个套餐，{callers} 个应用；没有错误\n",
                snapshot.version
            )
        }
    };
    for service in unseen {
        let _ = writeln!(text, "{service}: {}", left_out(output.lang));
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn list(words: &str, filter: &Filter, output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let snapshot = loaded(sources, output)?;
    let query = Query {
        text: words,
        domain: filter.domain.as_deref(),
        tag: filter.tag.as_deref(),
        stage: filter.stage.as_deref().and_then(stage_of),
        viewer: Viewer::Everything,
    };
    let hits = oaas_catalog::search(&snapshot, &query);
    if output.json {
        say(&hits.iter().map(|hit| lines_of(&service_json(&hit.service))).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if hits.is_empty() {
        let nothing = match output.lang {
            Lang::En => "nothing found; `oaas catalog list` shows every service\n",
            Lang::Zh => "没有找到；`oaas catalog list` 列出全部服务\n",
        };
        say(nothing)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{}\n", hits_table(&hits, output.lang)))?;
    Ok(ExitCode::SUCCESS)
}

fn hits_table(hits: &[Hit], lang: Lang) -> Table {
    let mut table = table(match lang {
        Lang::En => &["service", "title", "domain", "stage", "visible to", "methods"],
        Lang::Zh => &["服务", "名称", "领域", "阶段", "可见范围", "方法数"],
    });
    for Hit { service, .. } in hits {
        table.add_row(vec![
            service.name.to_string(),
            text_of(&service.title, lang).to_owned(),
            service.domain.to_string(),
            stage_name(service.stage).to_owned(),
            visibility_name(service.visibility).to_owned(),
            service.methods.len().to_string(),
        ]);
    }
    table
}

fn show(name: &str, output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let snapshot = loaded(sources, output)?;
    let Some(service) = snapshot.service(name) else {
        let query = Query { text: name, viewer: Viewer::Everything, ..Query::default() };
        let near: Vec<String> = oaas_catalog::search(&snapshot, &query)
            .iter()
            .take(3)
            .map(|hit| hit.service.name.to_string())
            .collect();
        let hint = if near.is_empty() { "oaas catalog list".to_owned() } else { near.join(", ") };
        match output.lang {
            Lang::En => bail!("no service {name:?} in the catalog; see: {hint}"),
            Lang::Zh => bail!("目录中没有服务 {name:?}；可查看：{hint}"),
        }
    };
    if output.json {
        say(&lines_of(&service_json(service)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = facts(service, output.lang);
    let _ = writeln!(text, "\n{}", methods_table(service, output.lang));
    for method in service.methods.values() {
        for example in &method.examples {
            for request in &example.requests {
                let _ = writeln!(
                    text,
                    "\n# {}: {}\noaas call {} -d '{request}'",
                    method.name, example.name, method.path
                );
            }
        }
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn facts(service: &ServiceEntry, lang: Lang) -> String {
    let mut text = format!(
        "{}  {}\n{}\n\n",
        service.name,
        text_of(&service.title, lang),
        text_of(&service.summary, lang)
    );
    let upstream = match &service.upstream {
        Upstream::Local => "local".to_owned(),
        Upstream::Remote { endpoints, .. } => {
            endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    };
    let sla = format!(
        "deadline {} ms, p99 {} ms, {} %",
        service.sla.deadline.as_millis(),
        service.sla.p99.as_millis(),
        service.sla.availability_percent
    );
    for (en, zh, value) in [
        ("domain", "领域", service.domain.to_string()),
        ("owner", "负责人", service.owner.clone()),
        ("stage", "阶段", stage_name(service.stage).to_owned()),
        ("visible to", "可见范围", visibility_name(service.visibility).to_owned()),
        ("tags", "标签", service.tags.join(", ")),
        ("upstream", "上游", upstream),
        ("promise", "承诺", sla),
        ("file", "文件", service.file.display().to_string()),
    ] {
        let label = if lang == Lang::Zh { zh } else { en };
        let _ = writeln!(text, "{label}: {value}");
    }
    text
}

fn methods_table(service: &ServiceEntry, lang: Lang) -> Table {
    let mut table = table(match lang {
        Lang::En => &["method", "effect", "audit", "price", "deadline", "degraded", "errors"],
        Lang::Zh => &["方法", "作用", "审计", "价格", "时限", "降级应答", "错误"],
    });
    for method in service.methods.values() {
        table.add_row(vec![
            method.name.to_string(),
            format!("{:?}", method.effect).to_lowercase(),
            audit_name(method.audit),
            price_name(method),
            format!("{} ms", method.deadline.as_millis()),
            degraded_name(&method.degraded),
            method.error_reasons.join("\n"),
        ]);
    }
    table
}

fn diff(old: &Path, new: &Path, output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let mut without_callers = false;
    let mut side = |catalog: &Path| -> anyhow::Result<Snapshot> {
        let with = Sources { catalog: catalog.to_owned(), callers: sources.callers.clone() };
        if let Ok((snapshot, _)) = load(&with)? {
            return Ok(snapshot);
        }
        // Callers that name what one side doesn't have: the other side still says whom it concerns.
        without_callers = true;
        loaded(&Sources { callers: None, ..with }, output).with_context(|| catalog.display().to_string())
    };
    let (old, new) = (side(old)?, side(new)?);
    let mut diff = oaas_catalog::diff(&old, &new);
    if without_callers {
        diff.changes.retain(|change| !matches!(change.subject, Subject::Application | Subject::Issuer));
        eprintln!(
            "{}",
            match output.lang {
                Lang::En =>
                    "the callers fit only one of the two catalogs: check the new one with `oaas catalog lint`",
                Lang::Zh => "调用方文件只与其中一个目录相符：请用 `oaas catalog lint` 检查新目录",
            }
        );
    }
    let text =
        if output.json { lines_of(&serde_json::to_value(&diff)?) } else { diff_text(&diff, output.lang) };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn diff_text(diff: &Diff, lang: Lang) -> String {
    if diff.changes.is_empty() {
        return match lang {
            Lang::En => format!("{} and {}: no difference\n", diff.old, diff.new),
            Lang::Zh => format!("{} 与 {}：没有差异\n", diff.old, diff.new),
        };
    }
    let mut table = table(match lang {
        Lang::En => &["", "what", "field", "before", "after", "concerns"],
        Lang::Zh => &["", "对象", "字段", "之前", "之后", "涉及应用"],
    });
    for change in &diff.changes {
        let sign = |breaking: bool, sign: &str| if breaking { format!("{sign} !") } else { sign.to_owned() };
        let what = format!("{} {}", format!("{:?}", change.subject).to_lowercase(), change.name);
        let concerns = concerned(&change.affected);
        match &change.what {
            What::Added => {
                table.add_row(vec![
                    sign(false, "+"),
                    what,
                    String::new(),
                    String::new(),
                    String::new(),
                    concerns,
                ]);
            }
            What::Removed => {
                table.add_row(vec![
                    sign(true, "-"),
                    what,
                    String::new(),
                    String::new(),
                    String::new(),
                    concerns,
                ]);
            }
            What::Changed(fields) => {
                for field in fields {
                    let value = |value: &Option<String>| value.clone().unwrap_or_default();
                    let row = [sign(field.breaking, "~"), what.clone(), field.field.clone()];
                    table.add_row(row.into_iter().chain([
                        value(&field.old),
                        value(&field.new),
                        concerns.clone(),
                    ]));
                }
            }
        }
    }
    let breaking = diff.changes.iter().filter(|change| change.breaking).count();
    let (changes, affected) = (diff.changes.len(), diff.affected().len());
    let last = match lang {
        Lang::En => {
            format!("{changes} changes, {breaking} of them break (!), {affected} applications concerned")
        }
        Lang::Zh => format!("{changes} 处变更，其中 {breaking} 处不兼容（!），涉及 {affected} 个应用"),
    };
    format!("{} -> {}\n{table}\n{last}\n", diff.old, diff.new)
}

/// The first few applications, and how many more.
fn concerned(applications: &[std::sync::Arc<str>]) -> String {
    /// Applications that one row names.
    const NAMED: usize = 3;
    let mut text = applications.iter().take(NAMED).map(|id| &**id).collect::<Vec<_>>().join(", ");
    if let Some(more) = applications.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = write!(text, " + {more}");
    }
    text
}

fn service_json(service: &ServiceEntry) -> Value {
    let methods: Vec<Value> = service.methods.values().map(|method| method_json(method)).collect();
    json!({
        "name": &*service.name, "domain": &*service.domain,
        "title": { "en": service.title.en, "zh": service.title.zh },
        "summary": { "en": service.summary.en, "zh": service.summary.zh },
        "owner": service.owner, "tags": service.tags, "stage": stage_name(service.stage),
        "visibility": visibility_name(service.visibility), "file": service.file.display().to_string(),
        "sla": {
            "deadline_ms": u64::try_from(service.sla.deadline.as_millis()).ok(),
            "p99_ms": u64::try_from(service.sla.p99.as_millis()).ok(),
            "availability_percent": service.sla.availability_percent,
        },
        "methods": methods,
    })
}

fn method_json(method: &MethodEntry) -> Value {
    json!({
        "name": &*method.name, "path": &*method.path, "effect": format!("{:?}", method.effect).to_lowercase(),
        "idempotent": method.idempotent, "audit": audit_name(method.audit),
        "request": method.descriptor.input().full_name(), "response": method.descriptor.output().full_name(),
        "client_streaming": method.descriptor.is_client_streaming(),
        "server_streaming": method.descriptor.is_server_streaming(),
        "price": method.price.as_ref().map(|price| json!({
            "amount": price.amount.to_string(), "currency": price.currency.code(), "unit": price.unit,
        })),
        "error_reasons": method.error_reasons, "degraded": degraded_name(&method.degraded),
        "deadline_ms": u64::try_from(method.deadline.as_millis()).ok(),
        "request_bytes_max": method.request_bytes_max, "response_bytes_max": method.response_bytes_max,
        "examples": method.examples.iter().map(|example| json!({
            "name": example.name, "requests": example.requests,
        })).collect::<Vec<_>>(),
    })
}

fn audit_name(audit: AuditMode) -> String {
    match audit {
        AuditMode::Strict => "strict".to_owned(),
        AuditMode::Standard => "standard".to_owned(),
        AuditMode::Sampled(one_in) => format!("1/{one_in}"),
    }
}

fn degraded_name(degraded: &Degraded) -> String {
    match degraded {
        Degraded::None => "none".to_owned(),
        Degraded::Message(_) => "message".to_owned(),
        Degraded::LastGood { age_max } => format!("last good, {} s", age_max.as_secs()),
        Degraded::Method(path) => path.to_string(),
    }
}

fn price_name(method: &MethodEntry) -> String {
    method.price.as_ref().map_or_else(String::new, |price| format!("{} {}", price.amount, price.currency))
}

fn stage_of(word: &str) -> Option<Stage> {
    [Stage::Alpha, Stage::Beta, Stage::Ga, Stage::Deprecated]
        .into_iter()
        .find(|stage| stage_name(*stage) == word)
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Alpha => "alpha",
        Stage::Beta => "beta",
        Stage::Ga => "ga",
        Stage::Deprecated => "deprecated",
    }
}

fn visibility_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Internal => "internal",
        Visibility::Private => "private",
        Visibility::Operators => "operators",
    }
}

fn text_of(text: &oaas_catalog::Text, lang: Lang) -> &str {
    match lang {
        Lang::En => &text.en,
        Lang::Zh => &text.zh,
    }
}

/// A table: with lines on a terminal, bare columns in a pipe.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let bare = !std::io::IsTerminal::is_terminal(&std::io::stdout());
    table.load_preset(if bare {
        comfy_table::presets::NOTHING
    } else {
        comfy_table::presets::UTF8_FULL_CONDENSED
    });
    if !bare {
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    }
    table.set_header(header);
    table
}

fn lines_of(value: &Value) -> String {
    format!("{value}\n")
}

/// Writes to standard output; a reader that has gone away is no fault.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
