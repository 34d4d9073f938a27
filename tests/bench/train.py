"""Loads an instrumented gateway with everything the benchmarks measure, so that the compiler learns what is hot.

What is not trained is compiled for size: a way that operators use belongs here.
"""

import argparse
import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import access
import bench
import egress
import limits
import tls

#: Short, since an instrumented gateway learns nothing new from the second million of requests.
OPTIONS = SimpleNamespace(seconds=2, connections=32, routes=1000)
#: Tunnels that are opened and closed again, one after the other: no generator has to be built for them.
TUNNELS = 4000


def plain(folder, binary):
    server, backend = bench.upstream(folder)
    try:
        for variant in bench.VARIANTS.values():
            port = bench.free_port()
            more = {key: value for key, value in variant.items() if key != "routes"}
            command = bench.sluice(folder, variant["routes"], port, backend, binary, **more)
            bench.measure("sluice", command, port, folder, OPTIONS, variant["routes"])
        jwks, tokens = access.issuer(folder)
        lua = access.script(folder, tokens)
        for kind, mode in (("jwt", "one"), ("jwt", "many"), ("rules", "one")):
            port = bench.free_port()
            command = access.sluice(folder, port, backend, binary, kind, jwks)
            access.measure("sluice", command, port, folder, OPTIONS, lua, mode)
        store, store_port = limits.redis(folder)
        try:
            for kind in ("memory", "leased", "strict"):
                port = bench.free_port()
                command = limits.sluice(folder, port, backend, binary, kind, store_port)
                access.measure("sluice", command, port, folder, OPTIONS)
        finally:
            bench.stop(store)
    finally:
        bench.stop(server)


def secured(folder, binary):
    pair = tls.certificate(folder)
    server, backend = bench.upstream(folder)
    port = bench.free_port()
    process = bench.start(bench.PROXY_CORE, tls.sluice(folder, port, backend, pair, binary), folder, "sluice")
    try:
        bench.wait_open(port, process)
        tls.measure(process, port)
    finally:
        bench.stop(process)
        bench.stop(server)


def tunnels(folder, binary):
    server, backend = egress.origin(folder)
    port = bench.free_port()
    process = bench.start(bench.PROXY_CORE, egress.sluice(folder, port, backend, binary), folder, "sluice")
    try:
        bench.wait_open(port, process)
        egress.carry(port, backend)
        open_close(port, backend)
    finally:
        bench.stop(process)
        bench.stop(server)


def open_close(port, backend):
    head = f"CONNECT 127.0.0.1:{backend} HTTP/1.1\r\nHost: 127.0.0.1:{backend}\r\n\r\n".encode()
    for _ in range(TUNNELS):
        with socket.create_connection(("127.0.0.1", port)) as tunnel:
            tunnel.sendall(head)
            answer = tunnel.recv(4096)
            if b" 200 " not in answer.split(b"\r\n")[0]:
                raise SystemExit(f"no tunnel: {answer[:80]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True)
    binary = os.path.abspath(parser.parse_args().sluice)
    for work in (plain, secured, tunnels):
        folder = Path(tempfile.mkdtemp(prefix="sluice-train-"))
        folder.chmod(0o755)  # nginx reads its files as nobody
        try:
            work(folder, binary)
            print(f"trained: {work.__name__}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
