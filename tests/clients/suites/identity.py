"""Who calls: keys over TLS, client certificates, tokens; what is forged does not pass."""

import time

import grpc

from kit import echo
from kit.beside import PythonUpstream
from kit.certificates import Authority, TokenIssuer, here, uri
from kit.check import equal, holds
from kit.installation import Caller, Installation, subscription, wait_until
from kit.wire import Client
from suites.refusals import check

Code = grpc.StatusCode
SAY = echo.path("Say")
ISSUER = "https://id.example.com"
SHOP = "spiffe://example.com/shop"


def run(suite) -> None:
    with PythonUpstream() as upstream:
        tls(suite, upstream)
        tokens(suite, upstream)


def tls(suite, upstream) -> None:
    ours, others = Authority("ours"), Authority("others")
    callers = [
        Caller("shop", [subscription("*", "internal")], credentials=[f'mtls: {{ san_uri: "{SHOP}" }}']),
        Caller("bank", [subscription("*", "internal")]),
    ]
    installation = Installation(callers)
    installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
    key, certificate = ours.issue("gateway", here())
    for name, pem in (("key", key), ("certificate", certificate), ("ca", ours.pem)):
        (installation.folder / f"{name}.pem").write_bytes(pem)
    files = {name: installation.folder / f"{name}.pem" for name in ("key", "certificate", "ca")}
    with installation.settings.open("a") as settings:
        settings.write(f"tls: {{ certificate: {files['certificate']}, key: {files['key']}, "
                       f"client_ca: {files['ca']}, client_certificates: optional }}\n")
    client = lambda shown=(None, None), key="": Client(
        installation.address, key, tls=grpc.ssl_channel_credentials(ours.pem, *shown))
    with installation:
        with suite.case("a key over TLS"), client(key=installation.callers["bank"].key) as bank:
            bank.raw(SAY, b"")
            equal(upstream.executed()[-1]["application"], "bank")
        with suite.case("plain text at a TLS port is not answered"), Client(installation.address) as plain:
            denial = plain.denied(SAY)
            equal((denial.code, denial.reason), (Code.UNAVAILABLE, ""))
        with suite.case("a client certificate names its application by its URI"):
            with client(ours.issue("shop", uri(SHOP))) as shop:
                shop.raw(SAY, b"")
                equal(upstream.executed()[-1]["application"], "shop")
        with suite.case("a certificate that names nobody is CREDENTIALS_INVALID"):
            with client(ours.issue("shop", uri("spiffe://example.com/nobody"))) as nobody:
                check(nobody.denied(SAY), Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", pushback="never")
        with suite.case("a certificate of another authority is refused by the handshake"):
            with client(others.issue("shop", uri(SHOP))) as forged:
                equal((forged.denied(SAY).code, len(upstream.executed())), (Code.UNAVAILABLE, 2))
        with suite.case("no certificate where it is optional: CREDENTIALS_MISSING"), client() as nobody:
            check(nobody.denied(SAY), Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", pushback="never")


def tokens(suite, upstream) -> None:
    issuer, forger = TokenIssuer(), TokenIssuer()
    text = (f'issuers:\n  - issuer: "{ISSUER}"\n    audience: oaas\n    algorithms: [ES256]\n'
            f"    jwks: {{ file: keys.json }}\n")
    credential = f'jwt: {{ issuer: "{ISSUER}", subject: shop }}'
    installation = Installation([Caller("shop", [subscription("*", "internal")], credentials=[credential])], issuers=text)
    (installation.folder / "deploy" / "keys.json").write_text(issuer.jwks())
    installation.put_service("acme/echo.yaml", echo.entry(upstream.address))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "oaas", "sub": "shop", "exp": now + 600}
    with installation:
        client = lambda token: Client(installation.address, token)
        good = issuer.token(claims)
        with suite.case("a token names its application by its subject, and whom it acts for by its client"):
            with client(good) as shop:
                shop.raw(SAY, b"")
                equal(upstream.executed()[-1]["application"], "shop")
            with client(issuer.token(claims | {"sub": "alice", "client_id": "shop"})) as shop:
                shop.raw(SAY, b"")
                last = upstream.executed()[-1]
                equal(last["application"], "shop")
                holds("oaas-on-behalf-of" in last["metadata"], f"{last['metadata']}")
        without = lambda name: {key: value for key, value in claims.items() if key != name}
        header, _, signature = good.split(".")
        forged = {
            "another's signature": forger.token(claims),
            "no algorithm": issuer.unsigned(claims, {"alg": "none"}) + ".",
            "the public key as an HMAC secret": issuer.confused(claims),
            "an unknown key id": issuer.token(claims, kid="k2"),
            "other claims under the signature": f"{header}.{issuer.unsigned(claims | {'sub': 'operator'}, {}).split('.')[1]}.{signature}",
            "another audience": issuer.token(claims | {"aud": "somebody"}),
            "no audience": issuer.token(without("aud")),
            "another issuer": issuer.token(claims | {"iss": "https://evil.example.com"}),
            "no end": issuer.token(without("exp")),
            "an end that is text": issuer.token(claims | {"exp": "2099"}),
            "an unknown subject": issuer.token(claims | {"sub": "nobody"}),
            "no signature": f"{header}.{good.split('.')[1]}.",
            "an empty text": "..",
        }
        with suite.case(f"{len(forged)} forged tokens are CREDENTIALS_INVALID"):
            for name, token in forged.items():
                with client(token) as nobody:
                    denial = nobody.denied(SAY)
                    equal((denial.code, denial.reason), (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"), name)
        with suite.case("a token that is over is CREDENTIALS_EXPIRED"), client(issuer.token(claims | {"exp": now - 60})) as late:
            check(late.denied(SAY), Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED", pushback="never")
        with suite.case("a token that was good is refused once its application loses it, without a restart"):
            installation.callers["shop"].credentials.clear()
            installation.write_callers()
            with client(good) as shop:
                refused = lambda: shop.denied(SAY) if not passes(shop) else None
                denial = wait_until(refused, 15, "the token is refused")
                equal(denial.reason, "CREDENTIALS_INVALID")


def passes(client: Client) -> bool:
    try:
        client.raw(SAY, b"")
        return True
    except grpc.RpcError:
        return False
