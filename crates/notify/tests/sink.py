"""A mail server that takes letters and prints them.

Usage: sink.py (plain|starttls|wrapper|auth) FOLDER

The first line it prints is {"port": ...}; then one line for each MAIL command and one
for each letter. FOLDER receives ca.pem, which vouches for its certificate for `localhost`.
It ends when its standard input does.

Recipients decide what happens: gone@... is unknown, busy@... is put off the first time,
slow@... is never answered, mute@... gets a letter but no goodbye, and everybody else gets both.
"""

import asyncio
import datetime
import json
import logging
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Sink:
    def __init__(self):
        self.put_off = set()

    async def handle_MAIL(self, server, session, envelope, address, options):
        tell(event="mail", sender=address)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return f"550 5.1.1 <{address}>: nobody here"
        if address.startswith("busy@") and address not in self.put_off:
            self.put_off.add(address)
            return f"451 4.7.1 <{address}>: try again later"
        if address.startswith("slow@"):
            await asyncio.Event().wait()
        session.mute = address.startswith("mute@")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):
        if getattr(session, "mute", False):
            await asyncio.Event().wait()
        return "221 Bye"

    async def handle_DATA(self, server, session, envelope):
        tell(
            event="letter",
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            hello=session.host_name,
            encrypted=server.transport.get_extra_info("sslcontext") is not None,
            login=session.auth_data,
            content=envelope.original_content.decode("ascii").replace("\r\n", "\n"),
        )
        return "250 OK"


def tell(**facts):
    print(json.dumps(facts), flush=True)


def log_in(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"calendar", b"a pass word")
    return AuthResult(success=right, handled=False, auth_data=data.login.decode())


def certificate(folder):
    """Makes an authority, and a certificate for localhost that it signed."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def sign(subject, issuer, key, issuer_key, extension):
        name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(extension, critical=True)
            .sign(issuer_key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.BasicConstraints(ca=True, path_length=0)
    (folder / "ca.pem").write_bytes(sign("sink", "sink", authority_key, authority_key, authority))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    (folder / "server.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + sign("localhost", "sink", key, authority_key, names)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


async def main(mode, folder):
    loop = asyncio.get_running_loop()
    context = None if mode == "plain" else certificate(pathlib.Path(folder))
    sink = Sink()

    def connection():
        return SMTP(
            sink,
            hostname="sink",
            ident="sink",
            loop=loop,
            tls_context=context if mode in ("starttls", "auth") else None,
            auth_required=mode == "auth",
            authenticator=log_in,
        )

    server = await loop.create_server(
        connection, "127.0.0.1", 0, ssl=context if mode == "wrapper" else None
    )
    tell(port=server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.read)


# What clients do wrong here is what the tests are about.
logging.disable(logging.CRITICAL)
asyncio.run(main(*sys.argv[1:]))
