"""Listeners that ask who is there: TLS, mutual TLS, and logins over TCP and TLS, with certificates of this run."""

import subprocess
from pathlib import Path

from services.process import ServiceError, free_ports

# Listener: its protocol in Kafka.
LISTENERS = {"TLS": "SSL", "MTLS": "SSL", "SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL"}
USER, PASSWORD = "city", "hunter2-hunter2"
KEY_PASSWORD = "hunter3-hunter3"  # noqa: S105
_SECURITY = "org.apache.kafka.common.security"


class Secured:
    """Files and addresses of a broker's guarded listeners."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        folder.mkdir()
        self._certificates()

    def servers(self, listener: str) -> str:
        """The bootstrap servers of TLS, MTLS, SASL or SASLTLS."""
        return f"127.0.0.1:{self._ports[listener]}"

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def other_ca(self) -> str:
        """Authorities that did not sign the broker's certificate."""
        return str(self.folder / "other.pem")

    @property
    def client(self) -> dict[str, str]:
        """The certificate of a client, whose key has a password."""
        files = {"certificate": str(self.folder / "client.pem"), "key": str(self.folder / "client.key")}
        return {**files, "key_password": KEY_PASSWORD}

    def properties(self, before: dict[str, str], protocols: str) -> dict[str, str]:
        """The broker's settings with these listeners beside those of `before`, whose protocols are `protocols`."""
        own = ",".join(f"{name}://{self.servers(name)}" for name in LISTENERS)
        mechanisms = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
        found = {
            "listeners": f"{before['listeners']},{own}",
            "advertised.listeners": f"{before['advertised.listeners']},{own}",
            "listener.security.protocol.map": ",".join([protocols, *(f"{n}:{p}" for n, p in LISTENERS.items())]),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
            "listener.name.mtls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": mechanisms,
        }
        for listener in ("sasl", "sasltls"):
            logins = {
                "plain": f'{_SECURITY}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
                "scram-sha-256": f"{_SECURITY}.scram.ScramLoginModule required;",
                "scram-sha-512": f"{_SECURITY}.scram.ScramLoginModule required;",
                # Takes tokens that nobody signed, but not those that have ended.
                "oauthbearer": f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";',
            }
            found.update({f"listener.name.{listener}.{name}.sasl.jaas.config": jaas for name, jaas in logins.items()})
        # A client whose token is about to end must log in again.
        found["connections.max.reauth.ms"] = "3600000"
        return found

    def _certificates(self) -> None:
        self._authority("ca")
        self._authority("other")
        self._signed("server", "-nodes", "-addext", "subjectAltName=IP:127.0.0.1")
        self._signed("client", "-passout", f"pass:{KEY_PASSWORD}")
        server = [self.folder / "server.key", self.folder / "server.pem"]
        server[1].write_text("".join(path.read_text() for path in server))

    def _authority(self, name: str) -> None:
        self._request(name, "-nodes", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _signed(self, name: str, *options: str) -> None:
        self._request(name, "-CA", self.ca, "-CAkey", str(self.folder / "ca.key"), *options)

    def _request(self, name: str, *options: str) -> None:
        files = ("-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.pem"))
        key = ("-newkey", "rsa:2048", "-days", "2", "-subj", f"/CN={name}")
        command = ["openssl", "req", "-x509", *key, *files, *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ServiceError(f"openssl could not make the certificate of {name}: {done.stderr[-2000:]}")
