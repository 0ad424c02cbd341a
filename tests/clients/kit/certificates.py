"""A certificate authority of the trial's own, and tokens signed by an issuer of its own."""

import base64
import datetime
import hmac
import ipaddress
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


class Authority:
    def __init__(self, name: str):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self.sign(self.name, self.key, [(constraints, True)])

    def sign(self, name, key, extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(minutes=5))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, alternative: x509.GeneralName) -> tuple[bytes, bytes]:
        """(key, certificate) in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        alternatives = x509.SubjectAlternativeName([alternative])
        certificate = self.sign(subject, key, [(alternatives, False)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, certificate.public_bytes(serialization.Encoding.PEM)


def here() -> x509.GeneralName:
    """This machine as a server's name."""
    return x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TokenIssuer:
    """Signs with ES256; forges on demand."""

    def __init__(self, kid: str = "k1"):
        self.key, self.kid = ec.generate_private_key(ec.SECP256R1()), kid

    def jwks(self) -> str:
        numbers = self.key.public_key().public_numbers()
        x, y = (text_of(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        key = {"kty": "EC", "crv": "P-256", "kid": self.kid, "alg": "ES256", "use": "sig", "x": x, "y": y}
        return json.dumps({"keys": [key]})

    def token(self, claims: dict, **header) -> str:
        signed = self.unsigned(claims, {"alg": "ES256", "typ": "JWT", "kid": self.kid} | header)
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{text_of(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def unsigned(self, claims: dict, header: dict) -> str:
        return ".".join(text_of(json.dumps(part).encode()) for part in (header, claims))

    def confused(self, claims: dict) -> str:
        """Signed by HMAC with the public key as its secret (CVE-2015-9235)."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signed = self.unsigned(claims, {"alg": "HS256", "typ": "JWT", "kid": self.kid})
        return f"{signed}.{text_of(hmac.digest(public, signed.encode(), 'sha256'))}"
