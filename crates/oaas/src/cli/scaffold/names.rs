//! The names of a new capability: one given name in all the forms that code, contract and catalog use.

use anyhow::{Context as _, bail};

/// Longest domain, name or RPC, characters.
const NAME_MAX: usize = 48;
/// Names that are a module for nobody (keywords), or would hide what a template uses.
const TAKEN: [&str; 16] = [
    "as", "async", "box", "const", "crate", "dyn", "enum", "final", "match", "mod", "move", "return", "self",
    "super", "type", "use",
];

/// All forms of the name.
#[derive(Clone, Debug)]
pub struct Names {
    /// Domain, as its folders are called. Example: "cross-border".
    pub domain: String,
    /// Domain in a package's name. Example: "cross_border".
    pub package: String,
    /// Name, as its catalog file is called. Example: "credit-check".
    pub name: String,
    /// Module and contract file. Example: "credit_check".
    pub module: String,
    /// First part of the service's and the types' names. Example: "CreditCheck".
    pub type_name: String,
    /// For people. Example: "Credit check".
    pub title: String,
    /// The RPC. Example: "CheckCredit".
    pub rpc: String,
}

impl Names {
    /// Takes the names apart.
    ///
    /// # Errors
    /// When one is not in its form.
    pub fn new(capability: &str, rpc: &str) -> anyhow::Result<Self> {
        let (domain, name) = capability.split_once('/').with_context(|| {
            format!("{capability:?} is not <domain>/<name>; example: channel/credit-check")
        })?;
        for part in [domain, name] {
            if !is_dashed(part) {
                bail!("{part:?} must be lower-case words with dashes, each beginning with a letter");
            }
        }
        if TAKEN.contains(&name) {
            bail!("{name:?} is a word of the language; take two words");
        }
        if !is_verb_and_noun(rpc) {
            bail!("--rpc {rpc:?} must be a verb and a noun, each with a capital; example: CheckCredit");
        }
        let words: Vec<&str> = name.split('-').collect();
        Ok(Self {
            domain: domain.to_owned(),
            package: domain.replace('-', "_"),
            name: name.to_owned(),
            module: words.join("_"),
            type_name: words.iter().map(|word| capitalized(word)).collect(),
            title: capitalized(&words.join(" ")),
            rpc: rpc.to_owned(),
        })
    }

    /// Full name of the service. Example: "oaas.channel.v1.CreditCheckService".
    pub fn service(&self) -> String {
        format!("oaas.{}.v1.{}Service", self.package, self.type_name)
    }

    /// A template with the names in it.
    pub fn fill(&self, template: &str) -> String {
        let camel: String =
            self.rpc.chars().take(1).flat_map(char::to_lowercase).chain(self.rpc.chars().skip(1)).collect();
        let forms = [
            ("domain", self.domain.clone()),
            ("package", self.package.clone()),
            ("name", self.name.clone()),
            ("module", self.module.clone()),
            ("Type", self.type_name.clone()),
            ("Title", self.title.clone()),
            ("service", self.service()),
            ("Rpc", self.rpc.clone()),
            ("rpcCamel", camel),
            ("rpc_snake", snake(&self.rpc)),
        ];
        forms
            .into_iter()
            .fold(template.to_owned(), |text, (form, value)| text.replace(&format!("{{{{{form}}}}}"), &value))
    }
}

fn is_dashed(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    text.len() <= NAME_MAX && text.split('-').all(word)
}

/// Two or more words, each a capital and small letters.
fn is_verb_and_noun(text: &str) -> bool {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let capitals = text.chars().filter(char::is_ascii_uppercase).count();
    let runs = text
        .split(|c: char| c.is_ascii_uppercase())
        .skip(1)
        .all(|run| !run.is_empty() && run.chars().all(small));
    text.len() <= NAME_MAX && text.starts_with(|c: char| c.is_ascii_uppercase()) && capitals >= 2 && runs
}

fn capitalized(word: &str) -> String {
    word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect()
}

/// "CheckCredit" to "check_credit".
fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for (at, letter) in camel.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_all_its_forms() {
        let names = Names::new("cross-border/duty-rate", "QuoteDuty").unwrap();
        assert_eq!(names.service(), "oaas.cross_border.v1.DutyRateService");
        let filled = names.fill("{{domain}} {{package}} {{name}} {{module}} {{Type}} {{Title}} {{Rpc}} {{rpcCamel}} {{rpc_snake}}");
        assert_eq!(
            filled,
            "cross-border cross_border duty-rate duty_rate DutyRate Duty rate QuoteDuty quoteDuty quote_duty"
        );
    }

    #[test]
    fn names_out_of_form_are_refused() {
        for capability in [
            "channel",
            "channel/",
            "/x",
            "channel/Credit",
            "channel/a--b",
            "channel/-a",
            "channel/2b",
            "channel/return",
            "a/b/c",
        ] {
            assert!(Names::new(capability, "CheckCredit").is_err(), "{capability}");
        }
        for rpc in ["", "check", "Check", "checkCredit", "CheckURL", "Check_Credit", "CheckC"] {
            assert!(Names::new("channel/credit-check", rpc).is_err(), "{rpc}");
        }
    }
}
