"""A provider of OpenID Connect on localhost, with TLS, that behaves, and misbehaves as told.

with OidcProvider(folder, now) as provider:     # provider.issuer, provider.trust
    provider.person |= {"groups": ["staff"]}    # whom it logs in, at once
    provider.twist = lambda header, claims: claims.update(nonce="other")

Tokens are signed here by hand: what checks them is another program.
"""

import hashlib
import hmac
import json
import secrets
import ssl
import threading
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.certificates import Authority

CLIENT, SECRET = "relayd", "a secret: of the client"
SETTINGS = """
[console.oidc]
issuer = "{issuer}"
client_id = "{client}"
secret_file = "oidc-secret"
admins = ["mail-admins"]
operators = ["mail-operators"]
viewers = ["support", "mail-viewers"]
"""
Twist = Callable[[dict[str, Any], dict[str, Any]], object]


def settings_for(provider: "OidcProvider", folder: Path) -> str:
    """Return the settings of a console that knows the provider; its secret lies in the folder."""
    secret = folder / "oidc-secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    return SETTINGS.format(issuer=provider.issuer, client=CLIENT)


def b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


_Pair = tuple[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]


@cache
def _pair(_name: str, bits: int) -> _Pair:
    """Return two private keys, the same for the same name: to make them takes its time."""
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=bits),
        ec.generate_private_key(ec.SECP256R1()),
    )


class Keys:
    """A pair of RSA and one of P-256; those of another `name` are others."""

    def __init__(self, suffix: str = "", bits: int = 2048, name: str = "") -> None:
        self.rsa, self.ec = _pair(name or suffix, bits)
        self.kids = {"RS256": f"rsa{suffix}", "ES256": f"ec{suffix}"}

    def published(self) -> list[dict[str, str]]:
        of_rsa, of_ec = (
            self.rsa.public_key().public_numbers(),
            self.ec.public_key().public_numbers(),
        )
        return [
            {"kty": "RSA", "kid": self.kids["RS256"], "use": "sig", "alg": "RS256"}
            | {"n": number(of_rsa.n), "e": number(of_rsa.e)},
            {"kty": "EC", "kid": self.kids["ES256"], "use": "sig", "crv": "P-256"}
            | {"x": b64(of_ec.x.to_bytes(32)), "y": b64(of_ec.y.to_bytes(32))},
            {"kty": "oct", "kid": "shared", "k": b64(b"k" * 64)},
        ]

    @property
    def public_pem(self) -> bytes:
        return self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def signature(self, algorithm: str, signed: bytes) -> bytes:
        match algorithm:
            case "RS256":
                return self.rsa.sign(signed, padding.PKCS1v15(), hashes.SHA256())
            case "ES256":
                r, s = decode_dss_signature(self.ec.sign(signed, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32) + s.to_bytes(32)
            case "HS256":
                return hmac.digest(self.public_pem, signed, hashlib.sha256)
            case "HS512":
                return hmac.digest(b"k" * 64, signed, hashlib.sha512)
            case _:
                return b""


class OidcProvider:
    """It logs in `person` at once, and gives a token for each code once."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        authority = Authority(folder)
        self.cafile = authority.cafile
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        context = authority.server_context("localhost")
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.issuer = f"https://localhost:{self._server.server_address[1]}"
        self._now = now
        self.gone = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.keys, self.signs_with = Keys(), "RS256"
        self.twist: Twist = lambda _header, _claims: None
        self.instead: dict[str, Callable[[BaseHTTPRequestHandler], object]] = {}  # by path
        self.methods: list[str] | None = ["client_secret_basic"]
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []  # paths
        self.person: dict[str, Any] = {
            "sub": "4711",
            "preferred_username": "anna",
            "email": "Anna@example.org",
            "email_verified": True,
            "groups": ["everybody", "mail-operators"],
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cafile)

    def document(self) -> dict[str, Any]:
        at = {
            "authorization_endpoint": "/authorize?tenant=1",
            "token_endpoint": "/token",
            "jwks_uri": "/keys",
        }
        found: dict[str, Any] = {name: self.issuer + path for name, path in at.items()}
        if self.methods is not None:
            found["token_endpoint_auth_methods_supported"] = self.methods
        return {"issuer": self.issuer, **found}

    def authorize(self, query: Mapping[str, str]) -> str:
        """Log somebody in; return where the browser goes."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(query)
        back = {"code": code, "state": query["state"], "iss": self.issuer}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def token(self, form: Mapping[str, str], authorization: str) -> dict[str, str] | None:
        """Return the answer to a good request; None: it is none."""
        begun = self.codes.pop(form.get("code", ""), None)
        if begun is None or form["redirect_uri"] != begun["redirect_uri"]:
            return None
        if b64(hashlib.sha256(form["code_verifier"].encode()).digest()) != begun["code_challenge"]:
            return None
        if authorization:
            client, _, secret = (
                b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            )
            client, secret = unquote_plus(client), unquote_plus(secret)
        else:
            client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if (client, secret) != (CLIENT, SECRET):
            return None
        return {"token_type": "Bearer", "access_token": "x", "id_token": self.id_token(begun)}

    def id_token(self, begun: Mapping[str, str]) -> str:
        at = int(self._now().timestamp())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": begun["client_id"],
            "nonce": begun["nonce"],
        }
        claims |= {"iat": at, "exp": at + 300, **self.person}
        header = {"alg": self.signs_with, "kid": self.keys.kids[self.signs_with], "typ": "JWT"}
        self.twist(header, claims)
        parts = [b64(json.dumps(each).encode()) for each in (header, claims)]
        signed = ".".join(parts).encode()
        return f"{signed.decode()}.{b64(self.keys.signature(header['alg'], signed))}"


def _handler_for(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            form = parse_qs(self.rfile.read(length).decode(), strict_parsing=True)
            self._answer({name: values[0] for name, values in form.items()})

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, form: Mapping[str, str]) -> None:
            url = urlsplit(self.path)
            provider.asked.append(url.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path in provider.instead:
                provider.instead[url.path](self)
                return
            match url.path:
                case "/.well-known/openid-configuration":
                    answer_json(self, provider.document())
                case "/keys":
                    answer_json(self, {"keys": provider.keys.published()})
                case "/authorize":
                    redirect(self, provider.authorize(query))
                case "/token":
                    given = provider.token(form, self.headers.get("Authorization", ""))
                    answer_json(self, given or {"error": "invalid_grant"}, 200 if given else 400)
                case _:
                    answer_json(self, {}, 404)

    return Handler


def answer_json(handler: BaseHTTPRequestHandler, body: object, status: int = 200) -> None:
    answer(handler, json.dumps(body).encode(), status)


def answer(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    kind: str = "application/json",
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Content-Type", kind)
    handler.end_headers()
    handler.wfile.write(body)


def redirect(handler: BaseHTTPRequestHandler, to: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", to)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
