//! The stage of the demo: a folder of its own with a catalog, callers and keys, and a process on it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oaas_catalog::ApiKey;
use rand::Rng as _;

use super::carrier::Carrier;
use crate::config::Config;
use crate::server::{self, Server};

/// The carrier's catalog entry; its address is filled in.
const CARRIER_YAML: &str = include_str!("carrier.yaml");
/// Letters of a key's look-up part (RFC 4648 base32, lower case).
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A caller of the demo and its key.
pub struct Caller {
    /// Application id.
    pub id: &'static str,
    /// Its key, in the clear: it lives as long as the demo's folder.
    pub key: String,
}

/// Everything that the day is played on.
pub struct Stage {
    /// The process.
    pub server: Server,
    /// The partner's service.
    pub carrier: Carrier,
    /// Buys and sells; a department's shop on the premium plan.
    pub shop: Caller,
    /// The platform team.
    pub operator: Caller,
    /// A mini-app that redeems coupons, legally and far too often; standard plan.
    pub coupon_app: Caller,
    /// A supplier who tries things out: trial plan, and not subscribed to coupons.
    pub supplier: Caller,
    /// Settings of the process.
    pub config: Config,
}

impl Stage {
    /// Makes the folder anew, and starts the process on it.
    ///
    /// # Errors
    /// When a file can't be written or the process can't start.
    pub async fn set(mut config: Config, keep: bool) -> anyhow::Result<Self> {
        let folder = config.data.join("demo");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("can't clear {}", folder.display()))?;
        }
        let carrier = Carrier::start().await?;
        let catalog = folder.join("catalog");
        copy(&config.catalog, &catalog)?;
        let entry = CARRIER_YAML.replace("CARRIER\"", &format!("{}\"", carrier.address));
        std::fs::create_dir_all(catalog.join("demo"))?;
        std::fs::write(catalog.join("demo/carrier.yaml"), entry)?;
        std::fs::write(catalog.join("carrier.binpb"), oaas_proto::DESCRIPTORS)?;
        let callers =
            ["shop", "operator", "coupon-app", "supplier"].map(|id| Caller { id, key: fresh_key() });
        let [shop, operator, coupon_app, supplier] = callers;
        std::fs::write(folder.join("callers.yaml"), callers_yaml(&shop, &operator, &coupon_app, &supplier)?)?;
        config.catalog = catalog;
        config.callers = folder.join("callers.yaml");
        config.data = folder;
        config.drain.wait_ms = 0;
        if !keep {
            config.listen.set_port(0);
            config.admin = String::new();
        }
        let server = server::start(&config).await?;
        Ok(Self { server, carrier, shop, operator, coupon_app, supplier, config })
    }

    /// Where the process listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

fn callers_yaml(
    shop: &Caller,
    operator: &Caller,
    coupon: &Caller,
    supplier: &Caller,
) -> anyhow::Result<String> {
    let entry = |caller: &Caller, roles: &str, subscriptions: &[(&str, &str)]| -> anyhow::Result<String> {
        let prefix = ApiKey::prefix_of(&caller.key).context("a key without a prefix")?;
        let digest: String =
            ApiKey::digest_of(&caller.key).iter().map(|byte| format!("{byte:02x}")).collect();
        let subscriptions: String = subscriptions
            .iter()
            .map(|(service, plan)| format!("      - {{ service: \"{service}\", plan: {plan} }}\n"))
            .collect();
        Ok(format!(
            "  - id: {}\n    owner: demo@example.com\n    roles: [{roles}]\n    credentials:\n      - api_key: {{ \
             prefix: {prefix}, digest: \"{digest}\" }}\n    subscriptions:\n{subscriptions}",
            caller.id
        ))
    };
    let coupons = "oaas.channel.v1.CouponService";
    Ok([
        "# Written by `oaas demo`.\napplications:\n".to_owned(),
        entry(shop, "", &[("*", "internal"), (coupons, "internal")])?,
        entry(operator, "operator", &[("*", "internal")])?,
        entry(coupon, "", &[(coupons, "campaign")])?,
        entry(supplier, "", &[("oaas.cross_border.v1.ClearanceTimeService", "trial")])?,
    ]
    .concat())
}

/// A key of 256 random bits behind a look-up part of 40.
fn fresh_key() -> String {
    use base64::Engine as _;
    let mut random = rand::rng();
    let prefix: String = (0..8)
        .filter_map(|_| BASE32.get(random.random_range(0..BASE32.len())).map(|b| char::from(*b)))
        .collect();
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random.random::<[u8; 32]>());
    format!("oaas_{prefix}_{secret}")
}

/// Copies a catalog folder. Plans get one for the coupon app: a high rate, so that money is what stops it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let entries = std::fs::read_dir(from).with_context(|| {
        format!("no catalog in {}; start in a checkout, or name it with --catalog", from.display())
    })?;
    for entry in entries {
        let source: PathBuf = entry?.path();
        let Some(name) = source.file_name() else { continue };
        let target = to.join(name);
        if source.is_dir() {
            copy(&source, &target)?;
        } else if name == "plans.yaml" {
            let plans = std::fs::read_to_string(&source)?;
            std::fs::write(&target, format!("{}\n{CAMPAIGN_PLAN}", plans.trim_end()))?;
        } else {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

const CAMPAIGN_PLAN: &str = "
  # The demo's coupon app: calls are cheap and many, the money at stake is limited.
  campaign:
    rate: { per_second: 20000, burst: 40000 }
    concurrency: 500
    budgets:
      coupon-face-value: { amount: \"20000.00\", currency: CNY, window_s: 3600 }
";
