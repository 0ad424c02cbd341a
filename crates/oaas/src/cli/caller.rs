//! `oaas caller`: makes keys for applications and lists who may call.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use oaas_catalog::{
    ApiKey, Application, KnownDescriptors, LoadError, NewKey, Role, Snapshot, Sources, Subject,
    SubscriptionState, What,
};
use oaas_model::Lang;
use prost_reflect::DescriptorPool;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use super::Output;
use super::catalog::{say, table};

/// Random bytes of a key's look-up part: 8 characters of base32.
const PREFIX_BYTES: usize = 5;
/// Random bytes of a key's secret: 43 characters of base64url, 256 bits.
const SECRET_BYTES: usize = 32;

/// Make keys for applications, and list who may call.
#[derive(Clone, Debug, clap::Args)]
pub struct CallerArgs {
    #[command(subcommand)]
    command: CallerCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum CallerCommand {
    /// Make a key for an application, and the application when it is new; the key is printed once
    New {
        /// Application's id: lower-case words with dashes
        id: String,
        /// Who answers for it; needed for a new application
        #[arg(long)]
        owner: Option<String>,
        /// Service (or "*" for all internal ones) and plan to subscribe to; may be given several times
        #[arg(long, value_name = "SERVICE:PLAN", value_parser = subscription)]
        subscribe: Vec<(String, String)>,
        /// When the key ends: 2027-01-01 or 2027-01-01T00:00:00Z
        #[arg(long, value_parser = moment)]
        expires: Option<i64>,
    },
    /// List the applications
    List,
}

/// Runs the command.
///
/// # Errors
/// When the files can't be read or written, or would not load with the change.
pub fn run(
    args: CallerArgs,
    output: Output,
    callers_file: &Path,
    sources: &Sources,
) -> anyhow::Result<ExitCode> {
    match args.command {
        CallerCommand::New { id, owner, subscribe, expires } => {
            let (key, stored) = fresh_key(expires)?;
            let new =
                NewKey { application: &id, owner: owner.as_deref(), subscriptions: &subscribe, key: &stored };
            add(callers_file, sources, &new, output)?;
            tell(&id, &key, &stored, callers_file, output)
        }
        CallerCommand::List => {
            list(output, &Sources { callers: Some(callers_file.to_owned()), ..sources.clone() })
        }
    }
}

/// A key and what is stored of it.
fn fresh_key(expires_unix_ms: Option<i64>) -> anyhow::Result<(String, ApiKey)> {
    let mut random = [0u8; PREFIX_BYTES + SECRET_BYTES];
    OsRng.try_fill_bytes(&mut random).context("the system gives no randomness")?;
    let (prefix, secret) = random.split_at(PREFIX_BYTES);
    let prefix = format!("oaas_{}", bits(prefix, 5, b"abcdefghijklmnopqrstuvwxyz234567"));
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let key = format!("{prefix}_{}", bits(secret, 6, letters));
    let digest = ApiKey::digest_of(&key);
    Ok((key, ApiKey { prefix: prefix.into(), digest, expires_unix_ms, revoked: false }))
}

/// Groups of `width` bits as letters, without padding (RFC 4648 §5 and §6).
fn bits(bytes: &[u8], width: u32, letters: &[u8]) -> String {
    let (mut text, mut held, mut count) = (String::new(), 0u32, 0u32);
    let mut push = |value: u32| {
        let letter = usize::try_from(value).ok().and_then(|n| letters.get(n)).copied().unwrap_or(b'?');
        text.push(char::from(letter));
    };
    let mask = (1u32 << width) - 1;
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xffff;
        count += 8;
        while count >= width {
            count -= width;
            push(held >> count & mask);
        }
    }
    if count > 0 {
        push(held << (width - count) & mask);
    }
    text
}

/// Puts the key into the file: proves that the new text loads and changes nothing else, then swaps it in.
fn add(callers_file: &Path, sources: &Sources, new: &NewKey<'_>, output: Output) -> anyhow::Result<()> {
    // Through a link, so that the link stays one.
    let file = std::fs::canonicalize(callers_file).unwrap_or_else(|_| callers_file.to_owned());
    let exists = file.exists();
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
    };
    let before = load(&Sources { callers: exists.then(|| file.clone()), ..sources.clone() }, output)?;
    let edited =
        oaas_catalog::add_key(&text, new).with_context(|| format!("can't edit {}", file.display()))?;
    let fresh = Fresh::write(&file, &edited)?;
    let after = load(&Sources { callers: Some(fresh.0.clone()), ..sources.clone() }, output)?;
    prove(&before, &after, new)?;
    fresh.replace(&file)
}

/// The new file beside the old one, removed unless it takes its place.
struct Fresh(PathBuf);

impl Fresh {
    fn write(file: &Path, text: &str) -> anyhow::Result<Self> {
        use std::io::Write as _;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let fresh = Self(file.with_file_name(format!(".{name}.{}.new", std::process::id())));
        let write = || -> std::io::Result<()> {
            let mut target = std::fs::OpenOptions::new().write(true).create_new(true).open(&fresh.0)?;
            target.write_all(text.as_bytes())?;
            if let Ok(metadata) = std::fs::metadata(file) {
                target.set_permissions(metadata.permissions())?;
            }
            target.sync_all()
        };
        write().with_context(|| format!("can't write {}", fresh.0.display()))?;
        Ok(fresh)
    }

    fn replace(self, file: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.0, file).with_context(|| format!("can't replace {}", file.display()))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether the only difference is the application, and the key is the one that was made.
fn prove(before: &Snapshot, after: &Snapshot, new: &NewKey<'_>) -> anyhow::Result<()> {
    let diff = oaas_catalog::diff(before, after);
    let only = diff.changes.iter().all(|change| {
        let takes_nothing = !change.breaking && !matches!(change.what, What::Removed);
        change.subject == Subject::Application && change.name == new.application && takes_nothing
    });
    let there = after.callers.keys.get(&new.key.prefix);
    let good = there.is_some_and(|(application, key)| *application.id == *new.application && key == new.key);
    if only && good {
        return Ok(());
    }
    bail!(
        "the file is written in a way that can't be edited safely; nothing was changed: add the key by hand"
    )
}

fn tell(id: &str, key: &str, stored: &ApiKey, file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    if output.json {
        let expires = stored.expires_unix_ms.and_then(shown);
        let answer = json!({ "application": id, "key": key, "prefix": &*stored.prefix, "expires": expires });
        say(&format!("{answer}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{key}\n"))?;
    match output.lang {
        Lang::En => eprintln!(
            "This is the key of {id}; it is shown only now. Its digest is in {}.\nTry it: OAAS_KEY={key} oaas call oaas.catalog.v1.CatalogService/ListAccess -d '{{}}'",
            file.display()
        ),
        Lang::Zh => eprintln!(
            "这是 {id} 的密钥，仅显示这一次。其摘要已写入 {}。\n试一试：OAAS_KEY={key} oaas call oaas.catalog.v1.CatalogService/ListAccess -d '{{}}'",
            file.display()
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output, sources: &Sources) -> anyhow::Result<ExitCode> {
    let snapshot = load(sources, output)?;
    let callers = &snapshot.callers;
    if output.json {
        let lines =
            callers.applications.values().map(|caller| format!("{}\n", caller_json(caller, &snapshot)));
        say(&lines.collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(match output.lang {
        Lang::En => &["application", "owner", "roles", "credentials", "subscriptions"],
        Lang::Zh => &["应用", "负责人", "角色", "凭证", "订阅"],
    });
    for caller in callers.applications.values() {
        let roles: Vec<&str> = caller.roles.iter().map(|role| role_name(*role)).collect();
        table.add_row(vec![
            caller.id.to_string(),
            caller.owner.clone(),
            roles.join(", "),
            credentials(caller, &snapshot).join("\n"),
            subscriptions(caller).join("\n"),
        ]);
    }
    say(&format!("{table}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn caller_json(caller: &Application, snapshot: &Snapshot) -> Value {
    let roles: Vec<&str> = caller.roles.iter().map(|role| role_name(*role)).collect();
    json!({
        "id": &*caller.id, "owner": caller.owner, "roles": roles, "credentials": credentials(caller, snapshot),
        "subscriptions": caller.subscriptions.iter().map(|(service, subscription)| json!({
            "service": &**service, "plan": &*subscription.plan, "state": state_name(subscription.state),
            "expires": subscription.expires_unix_ms.and_then(shown),
        })).collect::<Vec<_>>(),
    })
}

fn credentials(caller: &Application, snapshot: &Snapshot) -> Vec<String> {
    let callers = &snapshot.callers;
    let mine = |application: &Application| application.id == caller.id;
    let mut all = Vec::new();
    for (application, key) in callers.keys.values().filter(|(application, _)| mine(application)) {
        let _ = application;
        let until =
            key.expires_unix_ms.and_then(shown).map(|moment| format!(" until {moment}")).unwrap_or_default();
        all.push(format!("key {}{until}{}", key.prefix, if key.revoked { " (revoked)" } else { "" }));
    }
    all.extend(callers.san_uris.iter().filter(|(_, a)| mine(a)).map(|(uri, _)| format!("certificate {uri}")));
    let tokens = callers.subjects.iter().filter(|(_, a)| mine(a));
    all.extend(tokens.map(|((issuer, subject), _)| format!("token {subject} of {issuer}")));
    all.sort();
    all
}

fn subscriptions(caller: &Application) -> Vec<String> {
    let line = |(service, subscription): (&std::sync::Arc<str>, &oaas_catalog::Subscription)| {
        let until =
            subscription.expires_unix_ms.and_then(shown).map(|m| format!(" until {m}")).unwrap_or_default();
        let state = match subscription.state {
            SubscriptionState::Active => "",
            other => state_name(other),
        };
        format!("{service}: {} {state}{until}", subscription.plan).trim_end().to_owned()
    };
    caller.subscriptions.iter().map(line).collect()
}

fn state_name(state: SubscriptionState) -> &'static str {
    match state {
        SubscriptionState::Pending => "pending",
        SubscriptionState::Active => "active",
        SubscriptionState::Suspended => "suspended",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
    }
}

fn load(sources: &Sources, output: Output) -> anyhow::Result<Snapshot> {
    let local = DescriptorPool::decode(oaas_proto::DESCRIPTORS).context("the program's own descriptors")?;
    match oaas_catalog::load_without_reflection(sources, &KnownDescriptors { local, ..Default::default() }) {
        Ok((snapshot, _)) => Ok(snapshot),
        Err(LoadError::Diagnostics(found)) => bail!("{}", found.render(output.lang)),
        Err(error) => Err(error.into()),
    }
}

fn subscription(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once(':') {
        Some((service, plan)) if !service.is_empty() && !plan.is_empty() => {
            Ok((service.to_owned(), plan.to_owned()))
        }
        _ => Err("expected SERVICE:PLAN, such as oaas.channel.v1.RebateService:standard".to_owned()),
    }
}

/// A moment, or a day's start in UTC, in Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    text.parse::<jiff::Timestamp>()
        .ok()
        .or_else(|| midnight().map(|zoned| zoned.timestamp()))
        .map(jiff::Timestamp::as_millisecond)
        .ok_or_else(|| "expected a day or a moment, such as 2027-01-01 or 2027-01-01T00:00:00Z".to_owned())
}

fn shown(unix_ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(unix_ms).ok().map(|moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Output = Output { json: false, lang: Lang::En };

    #[test]
    fn keys_have_their_form_and_are_never_the_same() {
        // RFC 4648 §10.
        assert_eq!(bits(b"fooba", 5, b"abcdefghijklmnopqrstuvwxyz234567"), "mzxw6ytb");
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        assert_eq!(bits(b"foob", 6, letters), "Zm9vYg");
        let (one, stored) = fresh_key(None).unwrap();
        let (other, _) = fresh_key(None).unwrap();
        assert_ne!(one, other);
        assert_eq!(one.len(), "oaas_".len() + 8 + 1 + 43, "{one}");
        assert_eq!(ApiKey::prefix_of(&one), Some(&*stored.prefix));
        assert!(stored.matches(&ApiKey::digest_of(&one)));
    }

    #[test]
    fn a_key_is_added_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = folder.path().join("catalog");
        std::fs::create_dir(&catalog).unwrap();
        std::fs::write(catalog.join("plans.yaml"), "plans: { standard: { concurrency: 3 } }\n").unwrap();
        let file = folder.path().join("callers.yaml");
        let sources = Sources { catalog, callers: None };
        let (_, stored) = fresh_key(Some(1_800_000_000_000)).unwrap();
        let star = [("*".to_owned(), "standard".to_owned())];
        let new = |application, owner, key| NewKey { application, owner, subscriptions: &star, key };
        add(&file, &sources, &new("portal", Some("team@example.com"), &stored), ENGLISH).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(first.contains("id: portal") && first.contains(&*stored.prefix), "{first}");

        std::fs::write(&file, format!("# kept\n{first}# kept too\n")).unwrap();
        let (_, second) = fresh_key(None).unwrap();
        add(&file, &sources, &new("portal", None, &second), ENGLISH).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let without: String = text
            .lines()
            .filter(|line| !line.contains(&*second.prefix))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(without, format!("# kept\n{first}# kept too\n"));

        // A plan that isn't there: the file stays as it is.
        let bad = [("*".to_owned(), "standart".to_owned())];
        let (_, third) = fresh_key(None).unwrap();
        let new = NewKey { application: "other", owner: Some("o"), subscriptions: &bad, key: &third };
        let error = add(&file, &sources, &new, ENGLISH).unwrap_err().to_string();
        assert!(error.contains("did you mean `standard`?"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(subscription("*:trial"), Ok(("*".to_owned(), "trial".to_owned())));
        assert!(subscription("trial").is_err() && subscription(":x").is_err());
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(moment("soon").is_err());
    }
}
