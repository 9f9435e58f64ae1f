"""Logins against a real broker's guarded listeners, and the options that need none."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import urllib.parse

import pytest
from tokens import CLIENT, SECRET, endpoint, unsigned

import citystream as cs
import services
from citystream.security import SHOWN, security_of
from services.secured import KEY_PASSWORD, PASSWORD, USER

SECRETS = (PASSWORD, KEY_PASSWORD, SECRET)
SCRAM = {"mechanism": "SCRAM-SHA-512", "user": USER, "password": PASSWORD}


@pytest.fixture(scope="module")
def secured():
    with services.kafka(secured=True) as broker:
        yield broker


@pytest.fixture(scope="module")
def oidc():
    with endpoint() as running:
        yield running


def round_trip(servers, security, topics, tmp_path):
    """A city through a broker into a lake; the rows of both ends."""
    city = cs.City(vehicles=100, start="2026-06-01T08:00Z", duration="2min", streams=["gps"])
    with cs.Publisher(servers, topics=topics, create_topics=2, security=security) as kafka:
        sent = kafka.publish(city)
    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(servers, topics=topics, security=security)
    assert sent.delivered == report.records > 0
    assert sent.reference == report.reference
    for text in (repr(kafka), repr(sent), repr(report), repr(lake)):
        assert not any(secret in text for secret in SECRETS)


def login(name, secured, oidc):
    """Servers and options of each way in."""
    tls = {"ca": secured.secured.ca}
    plaintext = {"protocol": "sasl_plaintext"}
    client = {"client_id": CLIENT, "client_secret": SECRET, "token_url": oidc.url}
    listener, options = {
        "tls": ("TLS", tls),
        "mtls": ("MTLS", {**tls, **secured.secured.client}),
        "plain": ("SASL", {**SCRAM, **plaintext, "mechanism": "PLAIN"}),
        "plain over tls": ("SASLTLS", {**SCRAM, **tls, "mechanism": "PLAIN"}),
        "scram-256": ("SASL", {**SCRAM, **plaintext, "mechanism": "SCRAM-SHA-256"}),
        "scram-512 over tls": ("SASLTLS", {**SCRAM, **tls}),
        "client credentials": ("SASL", {**plaintext, **client, "mechanism": "OAUTHBEARER", "scope": "kafka"}),
        "token function": ("SASLTLS", {**tls, "mechanism": "OAUTHBEARER", "token": unsigned}),
        "librdkafka's names": (
            "SASLTLS",
            {
                "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-256", "sasl.username": USER,
                "sasl.password": PASSWORD, "ssl.ca.location": secured.secured.ca,
            },
        ),
        "librdkafka's names of tokens": (
            "SASL",
            {
                "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": CLIENT,
                "sasl.oauthbearer.client.secret": SECRET, "sasl.oauthbearer.token.endpoint.url": oidc.url,
            },
        ),
    }[name]  # fmt: skip
    return secured.secured.servers(listener), options


@pytest.mark.parametrize(
    "name",
    [
        "tls", "mtls", "plain", "plain over tls", "scram-256", "scram-512 over tls", "client credentials",
        "token function", "librdkafka's names", "librdkafka's names of tokens",
    ],
)  # fmt: skip
def test_a_city_goes_both_ways(secured, oidc, topics, tmp_path, name):
    servers, security = login(name, secured, oidc)
    before = len(oidc.asked)
    round_trip(servers, security, topics, tmp_path)
    asked = oidc.asked[before:]
    if name == "client credentials":
        assert asked
        assert all(form == {"grant_type": "client_credentials", "scope": "kafka"} for form in asked)
    assert bool(asked) == ("token_url" in security or "sasl.oauthbearer.method" in security)


WRONG = "wrong-wrong"
NO_LOGIN = dict.fromkeys(("protocol", "mechanism", "user", "password"))
NO_CERTIFICATE = dict.fromkeys(("certificate", "key", "key_password"))
NO_TLS = ("Disconnected", "give protocol")
# Way in, what is changed of it, and what the error says.
REFUSED = {
    "unknown authority": ("tls", {"ca": "OTHER"}, ("by TLS", "certificate verify failed", "Check ca")),
    "no client certificate": ("mtls", NO_CERTIFICATE, ("by TLS", "SSL alert", "Check ca")),
    "no tls": ("tls", {"ca": None}, ("without a login", *NO_TLS)),
    "no login": ("scram-256", NO_LOGIN, ("without a login", *NO_TLS)),
    "a login without tls": ("scram-512 over tls", {"protocol": "sasl_plaintext"}, ("by SCRAM-SHA-512", *NO_TLS)),
    "tls where there is none": ("scram-256", {"protocol": "sasl_ssl"}, ("by TLS", "PLAINTEXT broker", "listener")),
    "wrong password of PLAIN": ("plain", {"password": WRONG}, ('by PLAIN as "city"', "Check user")),
    "wrong password of SCRAM": ("scram-512 over tls", {"password": WRONG}, ("by SCRAM-SHA-512", "Check user")),
    "unknown user": ("scram-256", {"user": "nobody"}, ('by SCRAM-SHA-256 as "nobody"', "Check user")),
    "wrong client secret": ("client credentials", {"client_secret": WRONG}, ("HTTP 401 invalid_client", "client_id")),
    "no token": ("client credentials", {"scope": "nothing"}, ("by OAUTHBEARER", "without an access_token")),
    "no endpoint": ("client credentials", {"token_url": "http://127.0.0.1:1/"}, ("could not be asked", "token_url")),
    "a token that the broker refuses": (
        "token function",
        {"token": lambda: (unsigned(-600), time.time() + 60)},
        ("by OAUTHBEARER", "expiry"),
    ),
    "a token that has ended": (
        "token function",
        {"token": lambda: unsigned(-60)},
        ("by OAUTHBEARER", "ended", "clock"),
    ),
    "a function that fails": ("token function", {"token": lambda: 1 / 0}, ("by OAUTHBEARER", "division by zero")),
    "a function of something else": ("token function", {"token": lambda: 5}, ("returned a int", "Return the token")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_login_is_named_soon(secured, oidc, topics, tmp_path, capfd, name):
    way, change, says = REFUSED[name]
    servers, security = login(way, secured, oidc)
    security = {k: v for k, v in {**security, **change}.items() if v is not None}
    if security.get("ca") == "OTHER":
        security["ca"] = secured.secured.other_ca
    for attempt in (
        lambda: cs.Publisher(servers, topics=topics, security=security, timeout="60s"),
        lambda: cs.Lake(tmp_path / "lake").ingest(servers, topics=topics, security=security, timeout="60s"),
    ):
        began = time.monotonic()
        with pytest.raises(cs.KafkaError) as caught:
            attempt()
        # Nowhere near the time that an unreachable broker gets.
        assert time.monotonic() - began < 20
        text = str(caught.value)
        assert f"no login at {servers}" in text
        for part in says:
            assert part in text
        told = capfd.readouterr()
        told = text + repr(caught.value) + told.out + told.err
        assert not any(secret in told for secret in (*SECRETS, WRONG))


def test_ctrl_c_ends_the_wait_for_a_token(script):
    ran = script("""
import threading, time, _thread
import citystream as cs
threading.Timer(0.5, _thread.interrupt_main).start()
began = time.monotonic()
try:
    cs.Publisher("127.0.0.1:1", security={"mechanism": "OAUTHBEARER", "token": lambda: time.sleep(5)}, timeout="60s")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 4)
""")
    assert ran.out == "interrupted True\n", ran


def test_tokens_are_renewed_while_a_publisher_lives(secured, oidc, topics, monkeypatch):
    servers, security = login("client credentials", secured, oidc)
    monkeypatch.setattr(oidc, "life", 2.0)
    asked = len(oidc.asked)
    row = next(cs.City(vehicles=100, start="2026-06-01T08:00Z", duration="2min", streams=["gps"]).rows("gps"))
    with cs.Publisher(servers, topics=topics, create_topics=1, security=security) as kafka:
        deadline = time.monotonic() + 60
        sent = 0
        # Each token is for two seconds, after which the broker would hang up.
        while len(oidc.asked) < asked + 6:
            kafka.send("gps", row)
            kafka.flush()
            sent += 1
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert kafka.close().delivered == sent
    time.sleep(0.1)
    count = len(oidc.asked)
    time.sleep(2.5)
    assert len(oidc.asked) == count, "a closed publisher asks no more"
    assert not [t for t in threading.enumerate() if t.name == "citystream-token"]


def test_the_command_line_logs_in(secured, oidc, topics, citystream, tmp_path):
    servers, _ = login("scram-512 over tls", secured, oidc)
    (tmp_path / "citystream.toml").write_text(
        f"[kafka.security]\nmechanism = 'SCRAM-SHA-512'\nca = '{secured.secured.ca}'\n"
    )
    names = [f"--topic={stream}={topic}" for stream, topic in topics.items()]
    server = ("--bootstrap-servers", servers, "--security", f"user={USER}")
    city = ("--vehicles", "100", "--start", "2026-06-01T08:00Z", "--duration", "2min", "--streams", "gps")
    runs = [
        citystream(
            "topics", "create", "--partitions", "2", *server, *names, "--json", CITYSTREAM_KAFKA_PASSWORD=PASSWORD
        ),
        citystream("simulate", "--to", "kafka", *city, *server, *names, "--json", CITYSTREAM_KAFKA_PASSWORD=PASSWORD),
        citystream("ingest", "lake", *server, *names, "--json", CITYSTREAM_KAFKA_SASL_PASSWORD=PASSWORD),
    ]
    assert [run.status for run in runs] == [0, 0, 0], runs
    assert runs[2].json["records"] == runs[1].json["delivered"] > 0
    refused = citystream("topics", "describe", *server, *names, CITYSTREAM_KAFKA_PASSWORD=WRONG)
    assert refused.status == 1
    assert "by SCRAM-SHA-512" in refused.err
    for run in (*runs, refused):
        assert PASSWORD not in run.out + run.err
        assert WRONG not in run.out + run.err


def test_config_masks_what_is_secret(citystream, tmp_path):
    secrets = ("password", "key_password", "client_secret", "sasl.password", "ssl.key.pem", "sasl.oauthbearer.config",
               "sasl.oauthbearer.client.secret", "sasl.jaas.config", "whatever.comes")  # fmt: skip
    lines = [f"'{name}' = 'hunter{n}'" for n, name in enumerate(secrets)]
    (tmp_path / "citystream.toml").write_text("\n".join(["[kafka.security]", "user = 'me'", *lines]))
    variables = {f"CITYSTREAM_KAFKA_{name}": "hunter" for name in ("KEY_PASSWORD", "CLIENT_SECRET", "SASL_PASSWORD")}
    for extra in ((), ("--json",)):
        ran = citystream("config", *extra, **variables)
        assert ran.status == 0
        assert "hunter" not in ran.out + ran.err
        assert "me" in ran.out
    assert not set(secrets) & SHOWN
    assert ran.json["kafka.security.key_password"]["source"] == "CITYSTREAM_KAFKA_KEY_PASSWORD"


def test_a_flag_that_is_no_pair_is_not_repeated(citystream):
    ran = citystream("topics", "describe", "--bootstrap-servers", "127.0.0.1:1", "--security", "password:hunter2")
    assert ran.status == 2
    assert "--security user=me" in ran.err
    assert "hunter2" not in ran.err


OAUTH = {"mechanism": "oauthbearer"}
OIDC = {**OAUTH, "token_url": "https://idp/token", "client_id": "me", "client_secret": "hunter2"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (OAUTH, "has no token_url and no client_id and no client_secret. Give token_url"),
        ({**OIDC, "client_secret": ""}, "has no client_secret"),
        ({**OIDC, "token_url": "file:///etc/passwd"}, "Give the https address"),
        ({**OIDC, "token": unsigned}, "two sources of tokens"),
        ({**OAUTH, "token": "hunter2"}, "token is a str. Give a function"),
        ({**OIDC, "region": "eu-west-1"}, "region belongs to the mechanism AWS_MSK_IAM"),
        ({"mechanism": "AWS_MSK_IAM", "client_id": "me"}, "client_id belongs to the mechanism OAUTHBEARER"),
        ({"mechanism": "AWS_MSK_IAM"}, "has no region, and 127.0.0.1:1 names none"),
        ({"mechanism": "AWS_MSK_IAM", "region": "eu-west-1", "profile": "p", "role_arn": "r"}, "two sources of cred"),
        ({**SCRAM, "client_secret": "hunter2"}, "client_secret is of no use without mechanism OAUTHBEARER"),
        ({**SCRAM, "token": unsigned}, "token is of no use"),
        ({**SCRAM, "user": 5}, "'user' is no text|\"user\" is no text"),
        ({**SCRAM, "mechanism": "GSSAPI"}, "Choose from PLAIN"),
        ({**SCRAM, "protocol": "ssl"}, "sends no login"),
        ({"mechanism": "PLAIN", "user": "me"}, "password is missing"),
        ({"ca": "/nowhere/ca.pem"}, "ca"),
    ],
)
def test_a_wrong_option_is_named(monkeypatch, given, message):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(cs.ConfigError, match=message) as caught:
        cs.Publisher("127.0.0.1:1", security=given, timeout="300ms")
    assert "hunter" not in str(caught.value)


MSK = "b-1.city.abc.c2.kafka.eu-west-1.amazonaws.com:9098"


def test_msk_iam_signs_a_connection(monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    options = security_of({"mechanism": "AWS_MSK_IAM"}, MSK)
    with pytest.raises(cs.KafkaError, match="no AWS credentials were found"):
        options["token"]()

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter5-hunter5")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    began = time.time()
    token, ends_ms = options["token"]()
    assert 850 < ends_ms / 1000 - began < 950
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    assert (url.scheme, url.netloc, url.path) == ("https", "kafka.eu-west-1.amazonaws.com", "/")
    query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
    assert query["Action"] == "kafka-cluster:Connect"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Credential"].split("/")[0] == "AKIDEXAMPLE"
    assert query["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "kafka-cluster", "aws4_request"]
    assert (query["X-Amz-Security-Token"], query["X-Amz-Expires"], query["X-Amz-SignedHeaders"]) == (
        "session",
        "900",
        "host",
    )
    assert query["X-Amz-Signature"] == signature(query, url.netloc, "hunter5-hunter5")
    assert "hunter5" not in str(url)


def signature(query, host, secret):
    """AWS's signature of a query, version 4, by its specification."""
    import hashlib
    import hmac

    signed = {k: v for k, v in query.items() if k not in {"X-Amz-Signature", "User-Agent"}}
    quote = lambda text: urllib.parse.quote(text, safe="-_.~")  # noqa: E731
    line = "&".join(f"{quote(k)}={quote(signed[k])}" for k in sorted(signed))
    request = "\n".join(["GET", "/", line, f"host:{host}\n", "host", hashlib.sha256(b"").hexdigest()])
    scope = query["X-Amz-Credential"].partition("/")[2]
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def test_msk_iam_without_its_signer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(cs.ConfigError, match=r"pip install 'citystream\[aws\]'"):
        security_of({"mechanism": "AWS_MSK_IAM"}, MSK)


def test_the_end_of_a_token_is_found():
    def end(token):
        return security_of({"mechanism": "OAUTHBEARER", "token": lambda: token}, "b:1")["token"]()[1] / 1000

    now = time.time()
    assert end(unsigned(1000)) == pytest.approx(now + 1000, abs=5)
    assert end(("opaque", 4e9)) == 4e9
    # Nobody knows when an opaque token ends; asking soon is safe.
    assert end("opaque") == pytest.approx(now + 300, abs=5)
    assert end("a." + base64.urlsafe_b64encode(json.dumps({"exp": "?"}).encode()).decode()) == pytest.approx(
        now + 300, abs=5
    )
