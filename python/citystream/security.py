"""How Kafka's clients log in: one dict of options, with the tokens of OAUTHBEARER and AWS MSK IAM made here."""

from __future__ import annotations

import base64
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, KafkaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: A token and the milliseconds since the epoch at which it ends.
    Token = tuple[str, int]

OAUTHBEARER = "OAUTHBEARER"
MSK_IAM = "AWS_MSK_IAM"

OIDC = ("token_url", "client_id", "client_secret", "scope")
AWS = ("region", "profile", "role_arn")
#: Options of ours, beside librdkafka's own properties.
NAMES = ("protocol", "mechanism", "user", "password", "ca", "certificate", "key", "key_password", *OIDC, *AWS)
#: Options whose values may be shown. Whatever is not listed is taken for a secret.
SHOWN = frozenset({
    "protocol", "mechanism", "user", "ca", "certificate", "key", "token_url", "client_id", "scope", *AWS,
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "ssl.ca.location",
    "ssl.certificate.location", "ssl.key.location", "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification", "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.scope", "sasl.oauthbearer.method",
})  # fmt: skip

# librdkafka's names of what we do ourselves: it would need libcurl for it.
_OURS = {
    "sasl.oauthbearer.token.endpoint.url": "token_url",
    "sasl.oauthbearer.client.id": "client_id",
    "sasl.oauthbearer.client.secret": "client_secret",
    "sasl.oauthbearer.scope": "scope",
}
_METHOD = "sasl.oauthbearer.method"

# A token endpoint that does not answer in this time is away, in seconds.
_ANSWER = 20.0
# More than any token, in bytes.
_MOST = 1 << 20
# Life of a token whose giver does not say, in seconds.
_LIFE = 300.0


def security_of(given: Mapping[str, Any] | None, servers: str) -> dict[str, Any] | None:
    """The options as the core takes them: texts, and under `token` a function that gets a token.

    Args:
        given: Options by our names or librdkafka's; docs/kafka.md lists them.
        servers: Bootstrap servers, which name the region of an MSK cluster.

    Raises:
        ConfigError: An option is missing, or of no use to the mechanism.
    """
    if given is None:
        return None
    options = {_OURS.get(name, name): value for name, value in given.items() if name != _METHOD}
    mechanism = str(_first(options, "mechanism", "sasl.mechanism", "sasl.mechanisms") or "").upper()
    ours = {name: options.pop(name) for name in (*OIDC, *AWS) if name in options}
    token = options.pop("token", None)
    if mechanism == OAUTHBEARER:
        options.update(_oauthbearer(token, ours, options))
    elif mechanism == MSK_IAM:
        options["token"] = _checked(token) if token is not None else _msk_iam(ours, servers)
    elif token is not None or ours:
        name = "token" if token is not None else next(iter(ours))
        raise ConfigError(f"security option {name} is of no use without mechanism {OAUTHBEARER} or {MSK_IAM}")
    return options


def _first(options: Mapping[str, Any], *names: str) -> Any:
    return next((options[name] for name in names if options.get(name)), None)


def _oauthbearer(token: Any, ours: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Callable[[], Token]]:
    wrong = next((name for name in ours if name in AWS), None)
    if wrong is not None:
        raise ConfigError(f"security option {wrong} belongs to the mechanism {MSK_IAM}, not to {OAUTHBEARER}")
    if token is not None:
        if ours:
            raise ConfigError(f"security options token and {next(iter(ours))} are two sources of tokens. Give one")
        return {"token": _checked(token)}
    if not ours and any(name.startswith("enable.sasl.oauthbearer.unsecure") for name in rest):
        return {}
    missing = [name for name in OIDC[:3] if not ours.get(name)]
    if missing:
        raise ConfigError(
            f"mechanism {OAUTHBEARER} has no {' and no '.join(missing)}. Give token_url, client_id and client_secret, "
            "or token: a function that returns a token"
        )
    url = str(ours["token_url"])
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError(f"security option token_url is {url!r}. Give the https address of the token endpoint")
    return {"token": client_credentials(url, str(ours["client_id"]), str(ours["client_secret"]), ours.get("scope"))}


def _checked(token: Any) -> Callable[[], Token]:
    """A function of the user's, which returns a JWT, or a token and the seconds since the epoch at which it ends."""
    if not callable(token):
        # Not its value, which is a secret.
        raise ConfigError(
            f"security option token is a {type(token).__name__}. Give a function that returns a token, which is asked "
            "again before that one ends"
        )

    def get() -> Token:
        given = token()
        if isinstance(given, str):
            return given, _ms(_end(given))
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):  # noqa: PLR2004
            return given[0], _ms(float(given[1]))
        raise KafkaError(
            f"the token function returned a {type(given).__name__}. Return the token, or the token and the seconds "
            "since the epoch at which it ends"
        )

    return get


def client_credentials(url: str, client_id: str, client_secret: str, scope: str | None = None) -> Callable[[], Token]:
    """A function that gets a token by OAuth 2's client credentials, as OpenID Connect's providers give them.

    Args:
        url: The token endpoint.
        client_id: Who asks.
        client_secret: Its secret, sent in the Authorization header.
        scope: What the token is for.
    """

    def get() -> Token:
        form = {"grant_type": "client_credentials"} | ({} if scope is None else {"scope": scope})
        login = f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(client_secret, safe='')}"
        request = urllib.request.Request(  # noqa: S310, only http and https are let through
            url,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        asked = time.time()
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER) as answer:  # noqa: S310
                said = _json(answer.read(_MOST))
        except urllib.error.HTTPError as error:
            said = _json(error.read(_MOST))
            why = ": ".join(str(said[key]) for key in ("error", "error_description") if said.get(key))
            raise KafkaError(
                f"{url} gave no token to client_id {client_id!r}: HTTP {error.code} {why or error.reason}. Check "
                "client_id, client_secret and scope"
            ) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise KafkaError(f"{url} could not be asked for a token: {reason}. Check token_url") from None
        token = said.get("access_token")
        if not isinstance(token, str) or not token:
            raise KafkaError(f"{url} answered without an access_token. Check token_url: is it the token endpoint?")
        life = said.get("expires_in")
        return token, _ms(_end(token) if life is None else asked + float(life))

    return get


def _msk_iam(ours: Mapping[str, Any], servers: str) -> Callable[[], Token]:
    wrong = next((name for name in ours if name not in AWS), None)
    if wrong is not None:
        raise ConfigError(f"security option {wrong} belongs to the mechanism {OAUTHBEARER}, not to {MSK_IAM}")
    if ours.get("profile") and ours.get("role_arn"):
        raise ConfigError("security options profile and role_arn are two sources of credentials. Give one")
    region = ours.get("region") or _region(servers)
    if not region:
        raise ConfigError(
            f"mechanism {MSK_IAM} has no region, and {servers} names none. Give region, or set AWS_REGION"
        )
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as signer  # noqa: N813, PLC0415
    except ImportError:
        raise ConfigError(
            f"mechanism {MSK_IAM} needs AWS's signer. Install it: pip install 'citystream[aws]'"
        ) from None

    def get() -> Token:
        try:
            if ours.get("profile"):
                given = signer.generate_auth_token_from_profile(region, ours["profile"])
            elif ours.get("role_arn"):
                given = signer.generate_auth_token_from_role_arn(region, ours["role_arn"])
            else:
                given = signer.generate_auth_token(region)
        except AttributeError:
            # The signer looks into credentials that were not found.
            raise KafkaError(
                "no AWS credentials were found. Log in (aws sso login), set AWS_PROFILE, or run with a role"
            ) from None
        token, ends_ms = given
        return str(token), int(ends_ms)

    return get


def _region(servers: str) -> str | None:
    """The region in an MSK cluster's address, else that of the environment."""
    named = re.search(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com", servers)
    return named[1] if named else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _end(token: str) -> float:
    """When a token ends by what it says itself, in seconds since the epoch; soon, where it is no JWT that says so."""
    try:
        claims = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(said["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return time.time() + _LIFE


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
