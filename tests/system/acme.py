"""An ACME server (RFC 8555) that believes everybody, for clients that prove a name by a TXT record: `seen` gets what stood at
_acme-challenge when the client said that it is there. One order, over plain HTTP on loopback."""
import base64
import datetime
import http.server
import json
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import HOST


def unpack(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def certificate(csr_der):
    """For the key of the request, signed by a key of the moment."""
    csr = x509.load_der_x509_csr(csr_der)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test")])
    now = datetime.datetime.utcnow()
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    made = (x509.CertificateBuilder().subject_name(csr.subject).issuer_name(issuer).public_key(csr.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(names, False).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM)


class Acme:
    def __init__(self, look):
        """look(name): the TXT values at _acme-challenge.name."""
        acme = self
        self.seen, self.name, self.proven, self.pem = None, None, False, None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def say(self, body, status=200, type="application/json", **headers):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for key, value in {"Content-Type": type, "Content-Length": len(data), "Replay-Nonce": "nonce", **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def do_GET(self):
                self.say({"newNonce": acme.url("nonce"), "newAccount": acme.url("account"), "newOrder": acme.url("new"),
                          "revokeCert": acme.url("none"), "keyChange": acme.url("none")})

            do_HEAD = do_GET

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                payload = json.loads(unpack(body["payload"]) or b"{}")
                status, reply, headers = acme.reply(self.path.strip("/"), payload, look)
                self.say(reply, status, **headers)

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://{HOST}:{self.server.server_address[1]}/{path}"

    def order(self):
        status = "valid" if self.pem else "ready" if self.proven else "pending"
        order = {"status": status, "identifiers": [{"type": "dns", "value": self.name}], "authorizations": [self.url("authz")],
                 "finalize": self.url("finalize")}
        return {**order, "certificate": self.url("cert")} if self.pem else order

    def reply(self, path, payload, look):
        challenge = {"type": "dns-01", "url": self.url("chal"), "token": "a-token-of-this-test",
                     "status": "valid" if self.proven else "pending"}
        if path == "account":
            return 201, {"status": "valid"}, {"Location": self.url("account/1")}
        if path == "new":
            self.name = payload["identifiers"][0]["value"]
            return 201, self.order(), {"Location": self.url("order")}
        if path == "chal":
            self.seen = look(self.name)
            self.proven = True
            return 200, {**challenge, "status": "valid"}, {"Link": f'<{self.url("authz")}>;rel="up"'}
        if path == "authz":
            return 200, {"identifier": {"type": "dns", "value": self.name}, "status": challenge["status"], "challenges": [challenge]}, {}
        if path == "finalize":
            self.pem = certificate(unpack(payload["csr"]))
            return 200, self.order(), {"Location": self.url("order")}
        if path == "cert":
            return 200, self.pem, {"type": "application/pem-certificate-chain"}
        return 200, self.order(), {}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
