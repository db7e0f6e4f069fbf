"""TLS in front of an HTTP server: ``tls.py URL CERTIFICATE KEY``. Prints its own URL."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from urllib.parse import urlsplit


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(url: str, certificate: str, key: str) -> None:
    upstream = urlsplit(url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(upstream.hostname, upstream.port)
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    print(f"https://localhost:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
