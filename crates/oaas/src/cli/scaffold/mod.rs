//! `oaas capability new`: the files of a new capability, from templates, in a checkout's root.

mod names;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use super::Output;
use names::Names;

const CORE: &str = include_str!("core.rs.txt");
const ADAPTER: &str = include_str!("grpc.rs.txt");
const TESTS: &str = include_str!("tests.rs.txt");
const CONTRACT: &str = include_str!("contract.proto.txt");
const ENTRY: &str = include_str!("entry.yaml.txt");

/// Add a capability to the code.
#[derive(Clone, Debug, clap::Args)]
pub struct ScaffoldArgs {
    #[command(subcommand)]
    command: ScaffoldCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum ScaffoldCommand {
    /// Write the files of a new capability; to be run in the root of a checkout
    New(NewArgs),
}

/// What the new capability is called.
#[derive(Clone, Debug, clap::Args)]
pub struct NewArgs {
    /// Domain and name, in lower case with dashes. Example: channel/credit-check
    #[arg(value_name = "DOMAIN/NAME")]
    capability: String,
    /// Its first RPC: verb and noun. Example: CheckCredit
    #[arg(long, value_name = "VerbNoun")]
    rpc: String,
    /// Title in Chinese
    #[arg(long)]
    title_zh: Option<String>,
    /// Mail address of the team that answers for it; left out: that of the domain's team
    #[arg(long)]
    owner: Option<String>,
}

/// Writes the files in the current folder.
///
/// # Errors
/// When this is no checkout, the domain is not there, a name is not as it must be or is taken.
pub fn run(args: ScaffoldArgs, output: Output) -> anyhow::Result<ExitCode> {
    let ScaffoldCommand::New(new) = args.command;
    let written = write(Path::new("."), &new)?;
    if output.json {
        anstream::println!("{}", serde_json::json!({ "written": written.files, "service": written.service }));
    } else {
        anstream::println!("{}", next(&written, output));
    }
    Ok(ExitCode::SUCCESS)
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Files, from the root: new ones first, the changed `lib.rs` last.
    pub files: Vec<PathBuf>,
    /// Full name of the new service.
    pub service: String,
    names: Names,
}

/// Writes the files below `root`; nothing is written when anything is in the way.
///
/// # Errors
/// As [`run`].
pub fn write(root: &Path, args: &NewArgs) -> anyhow::Result<Written> {
    let names = Names::new(&args.capability, &args.rpc)?;
    let lib = PathBuf::from(format!("crates/{}/src/lib.rs", names.domain));
    let text = std::fs::read_to_string(root.join(&lib)).map_err(|error| {
        anyhow::anyhow!(
            "no domain {:?} here: can't read {}: {error}; run this in the root of a checkout, and see \
             CONTRIBUTING.md on how a domain is added",
            names.domain,
            lib.display()
        )
    })?;
    let folder = format!("crates/{}/src/{}", names.domain, names.module);
    let owner = args.owner.clone().unwrap_or_else(|| format!("{}-team@example.com", names.domain));
    let title_zh = args.title_zh.clone().unwrap_or_else(|| format!("{}（请填写中文名）", names.title));
    let fill =
        |template: &str| names.fill(template).replace("{{owner}}", &owner).replace("{{title_zh}}", &title_zh);
    let new = [
        (format!("{folder}/mod.rs"), formatted(root, &fill(CORE))),
        (format!("{folder}/grpc.rs"), formatted(root, &fill(ADAPTER))),
        (format!("{folder}/tests.rs"), formatted(root, &fill(TESTS))),
        (format!("proto/oaas/{}/v1/{}.proto", names.package, names.module), fill(CONTRACT)),
        (format!("catalog/{}/{}.yaml", names.domain, names.name), fill(ENTRY)),
    ];
    for path in new.iter().map(|(path, _)| path.as_str()).chain([folder.as_str(), &format!("{folder}.rs")]) {
        if root.join(path).exists() {
            bail!("{path} is there already, and is not overwritten");
        }
    }
    refuse_taken_messages(root, &names)?;
    let text = formatted(root, &registered(&text, &names).with_context(|| lib.display().to_string())?);
    for (path, content) in &new {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
        }
        std::fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))?;
    }
    std::fs::write(root.join(&lib), text).with_context(|| format!("can't write {}", lib.display()))?;
    let files = new.into_iter().map(|(path, _)| PathBuf::from(path)).chain([lib]).collect();
    Ok(Written { files, service: names.service(), names })
}

/// `lib.rs` with the module and the registration in it.
fn registered(lib: &str, names: &Names) -> anyhow::Result<String> {
    let line = format!("pub mod {};", names.module);
    let mut lines: Vec<&str> = lib.lines().collect();
    let is_module = |text: &str| text.starts_with("pub mod ");
    let after = lines.iter().position(|text| is_module(text) && *text > line.as_str());
    let at = after.or_else(|| lines.iter().rposition(|text| is_module(text)).map(|last| last + 1));
    lines.insert(at.context("no line `pub mod …;` to put the module beside")?, &line);
    let text = lines.join("\n") + "\n";
    let (start, end) = ("Ok(vec![", "])");
    let missing = "no `Ok(vec![…])` in `services` to put the registration into";
    let begin = text.find(start).context(missing)? + start.len();
    let length = text.get(begin..).and_then(|rest| rest.find(&format!("{end}\n"))).context(missing)?;
    let (head, rest) = text.split_at(begin);
    let (items, tail) = rest.split_at(length);
    let items = items.trim().trim_end_matches(',');
    let separator = if items.is_empty() { "" } else { ",\n        " };
    Ok(format!("{head}\n        {items}{separator}{}::grpc::registration(cx),\n    {tail}", names.module))
}

/// Messages of one package share their names, whatever file they are in.
fn refuse_taken_messages(root: &Path, names: &Names) -> anyhow::Result<()> {
    let folder = root.join(format!("proto/oaas/{}/v1", names.package));
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains(&format!("message {}Request ", names.rpc)) {
            bail!("{} has a message {}Request; choose another --rpc", path.display(), names.rpc);
        }
    }
    Ok(())
}

/// The code as rustfmt writes it; as it is where there is no rustfmt.
fn formatted(root: &Path, code: &str) -> String {
    let format = || -> std::io::Result<Option<String>> {
        let mut child = Command::new("rustfmt")
            .args(["--edition", "2024"])
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // Closed at the end of the statement, or rustfmt would wait for more.
        child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(code.as_bytes()))?;
        let done = child.wait_with_output()?;
        Ok(String::from_utf8(done.stdout).ok().filter(|text| done.status.success() && !text.is_empty()))
    };
    format().ok().flatten().unwrap_or_else(|| code.to_owned())
}

fn next(written: &Written, output: Output) -> String {
    let Names { domain, name, module, rpc, package, .. } = &written.names;
    let files: Vec<String> = written.files.iter().map(|path| format!("  {}", path.display())).collect();
    let steps = [
        (
            format!("proto/oaas/{package}/v1/{module}.proto"),
            output.say(
                "say what a caller gets: fields with unit, range, example",
                "写明契约：字段的单位、范围与示例",
            ),
        ),
        (
            format!("crates/{domain}/src/{module}/mod.rs"),
            output.say(
                "decide, without IO; its table of cases is in tests.rs",
                "纯核心：不含 IO；用例表在 tests.rs",
            ),
        ),
        (
            format!("catalog/{domain}/{name}.yaml"),
            output.say("title, summary, price, examples in both languages", "中英文标题、摘要、价格与示例"),
        ),
        (format!("cargo test -p oaas-{domain} {module}"), output.say("the cases", "运行用例")),
        (
            "cargo run -- catalog lint".to_owned(),
            output.say("the catalog entry, against the contract", "检查目录条目是否符合契约"),
        ),
        (
            "cargo run -- serve".to_owned(),
            output.say(
                "the new service is found, called, limited, audited",
                "启动后即可发现、调用、限流与审计",
            ),
        ),
        (
            format!(
                "cargo run -- call {}/{rpc} -d '{{\"order_id\":\"order-1001\",\"quantity\":\"12\"}}'",
                written.service
            ),
            output.say(
                "call it; `oaas caller new` makes the key for --key",
                "调用；密钥由 `oaas caller new` 生成，用 --key 传入",
            ),
        ),
        (
            "cargo test -p oaas-tests".to_owned(),
            output.say("its examples and the house's rules", "回放示例并检查仓库规则"),
        ),
    ];
    let steps: Vec<String> = steps.iter().map(|(what, why)| format!("  {what}\n      {why}")).collect();
    format!(
        "{}\n{}\n{}\n{}",
        output.say("written:", "已写入："),
        files.join("\n"),
        output.say("next:", "下一步："),
        steps.join("\n")
    )
}
