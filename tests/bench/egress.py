"""Measures tunnels (CONNECT) of the forward proxy beside squid and a bare copy: what a MiB and a new tunnel cost in CPU.

Both proxies write their access logs. Everything runs on loopback; the tunnels lead to an nginx of the benchmark's own.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import bench

#: Size of the file that is carried, in MiB, and how often it is.
SIZE, ROUNDS = 256, 8
#: Tunnels that are opened and closed again, and how many at once.
TUNNELS, AT_ONCE = 20_000, 32


def origin(folder):
    root = folder / "root"
    root.mkdir()
    with (root / "big").open("wb") as file:
        file.truncate(SIZE << 20)
    port = bench.free_port()
    config = folder / "origin.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.err;\n"
        "events {}\n"
        f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    process = bench.start(bench.LOAD_CORE, ["nginx", "-c", str(config), "-p", str(folder)], folder, "origin")
    bench.wait_open(port, process)
    return process, port


def sluice(folder, port, backend, binary):
    config = folder / "egress.yaml"
    config.write_text(f"""apiVersion: sluice.dev/v1alpha1
kind: GatewaySettings
metadata: {{name: default}}
spec:
  bindAddress: 127.0.0.1
  admin: {{address: "127.0.0.1:{bench.free_port()}"}}
  health: {{address: "127.0.0.1:{bench.free_port()}"}}
  meshConfig: {{accessLogFile: {folder}/sluice.log}}
  workers: 1
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: egress, namespace: istio-system}}
spec: {{egress: [{{port: {{number: {port}, name: p, protocol: HTTP_PROXY}}, hosts: ["*/*"]}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: origin}}
spec: {{hosts: [origin.test], addresses: [127.0.0.1], resolution: NONE, ports: [{{number: {backend}, name: t, protocol: TCP}}]}}
""")
    return [binary, "run", "--config", str(config)]


def squid(folder, port, backend, _):
    config = folder / "squid.conf"
    log = folder / "access.log"
    log.touch()
    log.chmod(0o666)  # squid writes it as a user of its own
    config.write_text(
        f"http_port 127.0.0.1:{port}\nacl origin port {backend}\nhttp_access allow CONNECT origin\nhttp_access deny all\n"
        f"access_log stdio:{log} squid\ncache deny all\ncache_mem 0 MB\npid_filename {folder}/squid.pid\ncache_log {folder}/squid.log\n"
        "shutdown_lifetime 0 seconds\nworkers 1\n"
    )
    return ["squid", "-N", "-f", str(config)]


def plain(_, port, backend, __, binary):
    return [os.path.abspath(binary), str(port), str(backend)]


def carry(port, backend):
    """Carries the file through tunnels; the MiB that came."""
    command = ["taskset", "-c", bench.LOAD_CORE, "curl", "-s", "-p", "-x", f"http://127.0.0.1:{port}", "-o", "/dev/null",
               "-w", "%{size_download}", f"http://127.0.0.1:{backend}/big"]
    for _ in range(ROUNDS):
        carried = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if int(carried) != SIZE << 20:
            raise SystemExit(f"{carried} bytes came")
    return ROUNDS * SIZE


def open_close(port, backend, client):
    subprocess.run(["taskset", "-c", bench.LOAD_CORE, client, *map(str, (port, backend, TUNNELS, AT_ONCE))], check=True)
    return TUNNELS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--plain", help="the example plain_copy")
    parser.add_argument("--tunnels", required=True, help="the example tunnels")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    folder.chmod(0o755)  # nginx reads the file as nobody
    server, backend = origin(folder)
    os.sched_setaffinity(0, {int(bench.LOAD_CORE)})
    try:
        print(f"{'':8} {'MiB/s':>8} {'us CPU/MiB':>11} {'tunnels/s':>10} {'us CPU/tunnel':>14}")
        opens = lambda *it: open_close(*it, os.path.abspath(options.tunnels))
        bare = lambda *it: plain(*it, options.plain)
        for name, make in (("squid", squid), ("copy", bare), ("sluice", sluice)):
            if (name == "squid" and not shutil.which("squid")) or (name == "copy" and not options.plain):
                continue
            port = bench.free_port()
            process = bench.start(bench.PROXY_CORE, make(folder, port, backend, os.path.abspath(options.sluice)), folder, name)
            try:
                bench.wait_open(port, process)
                row = []
                for work in (carry, opens):
                    work(port, backend)
                    before, begun = bench.cpu_seconds(process.pid), time.monotonic()
                    done = work(port, backend)
                    spent, took = bench.cpu_seconds(process.pid) - before, time.monotonic() - begun
                    row += [done / took, spent / done * 1e6]
                print(f"{name:8} {row[0]:8.0f} {row[1]:11.1f} {row[2]:10.0f} {row[3]:14.1f}")
            finally:
                bench.stop(process)
    finally:
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
