# Recipes; `just` lists them. CI runs .ci/run, which is fmt, lint, pure, deny and ./test.

buf := "npx --yes @bufbuild/buf@1.75.0"

# list the recipes
default:
    @just --list

# format all code
fmt:
    cargo fmt --all

# what CI says about the code
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# the domains' cores without tonic, tokio and sqlx
pure:
    cargo check -p oaas-channel --no-default-features
    cargo check -p oaas-cross-border --no-default-features
    cargo check -p oaas-manufacturing --no-default-features

# licences, bans and sources of dependencies
deny:
    cargo deny check bans licenses sources

# lint the contract
proto:
    {{buf}} lint

# format the contract
proto-fmt:
    {{buf}} format -w --path proto/oaas

# what changed in the contract against a branch, and breaks
proto-breaking against="main":
    {{buf}} breaking --against '.git#branch={{against}}'

# check the catalog and the callers
catalog:
    cargo run -- catalog lint

# every test, as CI runs them
test:
    ./test

# the house's own rules, in seconds
tidy:
    cargo test -p oaas-tests --test tidy

# the walk of CONTRIBUTING.md in a copy of the checkout, compiled
walk:
    cargo test -p oaas --lib scaffold -- --ignored

# write what is generated: reason pages, editors' schemas
generate:
    UPDATE=1 cargo test -p oaas-model --test reason_pages
    UPDATE=1 cargo test -p oaas-catalog --test it schemas

# a day of orders through a gateway of its own
demo:
    cargo run --release -- demo

# serve on the default ports
serve:
    cargo run --release -- serve
