//! Who calls: API keys, tokens, certificates; and what nobody needs to be.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oaas_model::Reason;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::platform::{self, fresh_key, key_yaml, platform};
use crate::upstream::{READ, Upstream};

const ISSUER: &str = "https://id.example.com";

async fn with(client: &Client, header: &str, value: &str) -> Answer {
    client.call(READ).header(header, value).message(b"").send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_comes_in_either_header_and_never_in_both() {
    let upstream = Upstream::start().await;
    let (key, other, later) = (fresh_key(), fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "", &[])
        .app_with(
            "caller",
            &[&key_yaml(&key, ""), &key_yaml(&later, ", expires: \"2999-01-01T00:00:00Z\"")],
            &["*:internal"],
        )
        .app("other", &other, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(with(&client, "authorization", &format!("{scheme} {key}")).await.status(), 0);
    }
    assert_eq!(with(&client, "x-api-key", &key).await.status(), 0, "its own header");
    assert_eq!(with(&client, "x-api-key", &later).await.status(), 0, "a key before its date");
    assert_eq!(upstream.seen().last().unwrap().text("oaas-application"), Some("caller"));
    let both = client.call(READ).key(&key).header("x-api-key", &other).message(b"").send().await;
    assert_eq!(both.reason(), "CREDENTIALS_INVALID", "two credentials: whose call is it?");
    let twice = client.call(READ).key(&key).key(&other).message(b"").send().await;
    assert_eq!(twice.reason(), "CREDENTIALS_INVALID");
    // The look-up part of one key with the secret of another.
    let (prefix, secret) = (&key[..13], &other[13..]);
    let mixed = with(&client, "authorization", &format!("Bearer {prefix}{secret}")).await;
    assert_eq!(mixed.reason(), "CREDENTIALS_INVALID");
    for odd in [
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer oaas_",
        "Bearer oaas_aaaaaaaa_",
        &"x".repeat(9000),
    ] {
        let answer = with(&client, "authorization", odd).await;
        assert_eq!(answer.status(), 16, "{odd:.40}");
        assert_eq!(answer.reason(), "CREDENTIALS_INVALID", "{odd:.40}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_credential_only_what_the_catalog_opens() {
    let upstream = Upstream::start().await;
    let platform = platform().echo(&upstream, "visibility: public", &[]).start().await;
    let client = platform.client().await;
    let answer = client.call(READ).message(b"").send().await;
    assert_eq!(answer.reason(), Reason::CredentialsMissing.as_str(), "public is to see, not to call");
    let health = client.call("/grpc.health.v1.Health/Check").message(b"").send().await;
    assert_eq!((health.status(), health.messages()), (0, vec![b"\x08\x01"[..].into()]));
    // A wrong credential is refused also where none is needed.
    let wrong = client.call("/grpc.health.v1.Health/Check").key("nonsense").message(b"").send().await;
    assert_eq!(wrong.reason(), "CREDENTIALS_INVALID");
}

/// An issuer of tokens with one ES256 key.
struct Issuer {
    key: rcgen::KeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self { key: rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn jwks(&self, kid: &str) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.key.public_key_raw();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": part(&point[1..33]), "y": part(&point[33..65]),
        }] })
    }

    fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

/// Unix seconds.
fn now() -> u64 {
    u64::try_from(platform::now().unix_ms() / 1000).unwrap()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "oaas", "sub": "portal", "exp": now() + 600 })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_believed_for_what_its_issuer_signed_and_nothing_else() {
    let upstream = Upstream::start().await;
    let (issuer, forger) = (Issuer::new(), Issuer::new());
    let builder = platform()
        .echo(&upstream, "", &[])
        .app_with(
            "portal",
            &[&format!("{{ jwt: {{ issuer: \"{ISSUER}\", subject: portal }} }}")],
            &["*:internal"],
        )
        .callers(&format!(
            "issuers:\n  - issuer: \"{ISSUER}\"\n    audience: oaas\n    algorithms: [ES256]\n    jwks: {{ file: jwks.json }}\n"
        ));
    std::fs::write(builder.folder().join("jwks.json"), issuer.jwks("k1").to_string()).unwrap();
    let platform = builder.start().await;
    let client = platform.client().await;
    let bearer = |token: String| {
        let client = client.clone();
        async move { client.call(READ).key(&token).message(b"").send().await }
    };

    let good = issuer.sign("k1", &claims());
    for _ in 0..2 {
        // The second time from memory.
        assert_eq!(bearer(good.clone()).await.status(), 0);
    }
    assert_eq!(upstream.seen().last().unwrap().text("oaas-application"), Some("portal"));
    assert_eq!(upstream.seen().last().unwrap().text("authorization"), None);
    let list = issuer.sign("k1", &changed("aud", json!(["other", "oaas"])));
    assert_eq!(bearer(list).await.status(), 0, "one of several audiences");

    // A client that acts for a user: the application is the client, the user is passed on.
    let delegated = changed("sub", json!("user:4711"));
    let mut delegated = delegated;
    delegated["azp"] = json!("portal");
    assert_eq!(bearer(issuer.sign("k1", &delegated)).await.status(), 0);
    assert_eq!(upstream.seen().last().unwrap().text("oaas-on-behalf-of"), Some("user:4711"));

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({ "alg": "none", "kid": "k1" })), part(&claims()));
    // HMAC with the public key, which everybody knows, as the secret.
    let secret = EncodingKey::from_secret(issuer.key.public_key_raw());
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
    let symmetric = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    let mut pieces: Vec<String> = good.split('.').map(str::to_owned).collect();
    pieces[1] = part(&changed("sub", json!("operator")));
    let altered = pieces.join(".");
    for (name, token, reason) in [
        ("expired", issuer.sign("k1", &changed("exp", json!(now() - 120))), "CREDENTIALS_EXPIRED"),
        ("for somebody else", issuer.sign("k1", &changed("aud", json!("other"))), "CREDENTIALS_INVALID"),
        ("no audience", issuer.sign("k1", &without("aud")), "CREDENTIALS_INVALID"),
        ("no date", issuer.sign("k1", &without("exp")), "CREDENTIALS_INVALID"),
        ("a date that is none", issuer.sign("k1", &changed("exp", json!("soon"))), "CREDENTIALS_INVALID"),
        ("another issuer", issuer.sign("k1", &changed("iss", json!("https://evil"))), "CREDENTIALS_INVALID"),
        ("not a caller", issuer.sign("k1", &changed("sub", json!("stranger"))), "CREDENTIALS_INVALID"),
        ("not yet valid", issuer.sign("k1", &changed("nbf", json!(now() + 3600))), "CREDENTIALS_INVALID"),
        ("another key", forger.sign("k1", &claims()), "CREDENTIALS_INVALID"),
        ("a key that is not known", issuer.sign("k2", &claims()), "CREDENTIALS_INVALID"),
        ("alg none", none, "CREDENTIALS_INVALID"),
        ("HS256 with the public key", symmetric, "CREDENTIALS_INVALID"),
        ("altered", altered, "CREDENTIALS_INVALID"),
        ("cut", good[..good.len() - 10].to_owned(), "CREDENTIALS_INVALID"),
    ] {
        let answer = bearer(token).await;
        assert_eq!((answer.status(), &*answer.reason()), (16, reason), "{name}");
    }
}

/// An authority that signs certificates.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// Certificate and key, PEM.
    fn sign(&self, name: rcgen::SanType) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![name];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A client that trusts this authority, with a certificate of `by` for `uri`.
    fn client(&self, by: Option<(&Self, &str)>) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match by {
            None => builder.with_no_client_auth(),
            Some((authority, uri)) => {
                let (certificate, key) = authority.sign(rcgen::SanType::URI(uri.try_into().unwrap()));
                let chain =
                    vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_names_its_application_by_its_uri() {
    let upstream = Upstream::start().await;
    let (ours, foreign) = (Authority::new(), Authority::new());
    let key = fresh_key();
    let builder = platform()
        .echo(&upstream, "", &[])
        .app_with("portal", &["{ mtls: { san_uri: \"spiffe://example.com/portal\" } }"], &["*:internal"])
        .app("keyed", &key, &["*:internal"]);
    let path = |name: &str| builder.folder().join(name).display().to_string();
    let (certificate, server_key) = ours.sign(rcgen::SanType::DnsName("localhost".try_into().unwrap()));
    let (certificate_path, key_path, ca_path) = (path("server.pem"), path("server.key"), path("ca.pem"));
    std::fs::write(&certificate_path, certificate).unwrap();
    std::fs::write(&key_path, server_key).unwrap();
    std::fs::write(&ca_path, ours.certificate.pem()).unwrap();
    let platform = builder
        .set("TLS__CERTIFICATE", &certificate_path)
        .set("TLS__KEY", &key_path)
        .set("TLS__CLIENT_CA", &ca_path)
        .set("TLS__CLIENT_CERTIFICATES", "optional")
        .start()
        .await;
    let call = |client: Client, key: Option<String>| async move {
        let mut call = client.call(READ).message(b"");
        if let Some(key) = key {
            call = call.key(&key);
        }
        call.send().await
    };
    let portal =
        Client::connect_tls(platform.address, ours.client(Some((&ours, "spiffe://example.com/portal"))))
            .await
            .unwrap();
    assert_eq!(call(portal.clone(), None).await.status(), 0);
    assert_eq!(upstream.seen().last().unwrap().text("oaas-application"), Some("portal"));
    // A key that is sent says who calls, whatever the connection's certificate.
    assert_eq!(call(portal.clone(), Some(key.clone())).await.status(), 0);
    assert_eq!(upstream.seen().last().unwrap().text("oaas-application"), Some("keyed"));
    assert_eq!(call(portal, Some("nonsense".to_owned())).await.reason(), "CREDENTIALS_INVALID");

    let stranger =
        Client::connect_tls(platform.address, ours.client(Some((&ours, "spiffe://example.com/nobody"))))
            .await
            .unwrap();
    assert_eq!(call(stranger, None).await.reason(), "CREDENTIALS_INVALID");
    let bare = Client::connect_tls(platform.address, ours.client(None)).await.unwrap();
    assert_eq!(call(bare.clone(), None).await.reason(), "CREDENTIALS_MISSING");
    assert_eq!(call(bare, Some(key)).await.status(), 0);

    // A certificate that another authority signed, and a server that another one vouches for.
    let forged = ours.client(Some((&foreign, "spiffe://example.com/portal")));
    assert!(refused(platform.address, forged).await, "a forged certificate got through");
    assert!(refused(platform.address, foreign.client(None)).await);
}

/// To an upstream over TLS: its certificate must be for the name that the catalog gives, by the authority that
/// it gives, and ours is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_must_be_who_the_catalog_says_and_sees_our_certificate() {
    let (theirs, foreign) = (Authority::new(), Authority::new());
    let (certificate, server_key) = theirs.sign(rcgen::SanType::DnsName("echo.internal".try_into().unwrap()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(theirs.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let server_key = rustls_pki_types::PrivateKeyDer::from_pem_slice(server_key.as_bytes()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, server_key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let upstream = Upstream::start_tls(config).await;
    let (ours, our_key) = theirs.sign(rcgen::SanType::DnsName("gateway.internal".try_into().unwrap()));
    let shown = "ca: ca.pem, cert: gateway.pem, key: gateway.key";
    for (tls, expected) in [
        (format!("{shown}, server_name: echo.internal"), 0),
        (shown.to_owned(), 14),
        (format!("{shown}, server_name: other.internal"), 14),
        (shown.replace("ca.pem", "foreign.pem") + ", server_name: echo.internal", 14),
        ("ca: ca.pem, server_name: echo.internal".to_owned(), 14),
    ] {
        let key = fresh_key();
        let file = upstream
            .catalog("", &[])
            .replace("http://", "https://")
            .replace("  descriptors:", &format!("  tls: {{ {tls} }}\n  descriptors:"));
        let platform = platform()
            .file("echo/echo.yaml", file)
            .file("ca.pem", theirs.certificate.pem())
            .file("foreign.pem", foreign.certificate.pem())
            .file("gateway.pem", ours.clone())
            .file("gateway.key", our_key.clone())
            .app("caller", &key, &["*:internal"])
            .start()
            .await;
        let client = platform.client().await;
        let answer = client.call(READ).key(&key).header("grpc-timeout", "1S").message(b"").send().await;
        assert_eq!(answer.status(), expected, "{tls}: {answer:?}");
    }
}

/// Whether no call is possible over TLS with this client.
async fn refused(address: std::net::SocketAddr, config: Arc<rustls::ClientConfig>) -> bool {
    // TLS 1.3 tells a client of its bad certificate after the handshake.
    match Client::connect_tls(address, config).await {
        Err(_) => true,
        Ok(client) => client.call(READ).closes().await,
    }
}
