"""Measures what a MiB in a tunnel (CONNECT) and a new tunnel cost, beside squid, tinyproxy and a bare copy.

All but the copy write access logs. They take turns in short slices, so that a machine that slows down does so for all of
them. Everything runs on loopback; the tunnels lead to an nginx of the benchmark's own.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import bench

#: Size of the file that is carried, in MiB, and how often each proxy carries it.
SIZE, CARRIES = 256, 8
#: Tunnels that are opened and closed again in a slice, how many at once, and how many slices each proxy has.
TUNNELS, AT_ONCE, SLICES = 4_000, 32, 20


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


def tinyproxy(folder, port, backend, _):
    config = folder / "tinyproxy.conf"
    config.write_text(
        f'Port {port}\nListen 127.0.0.1\nConnectPort {backend}\nMaxClients 200\nLogFile "{folder}/tinyproxy.log"\nLogLevel Connect\n'
    )
    return ["tinyproxy", "-d", "-c", str(config)]


def plain(_, port, backend, __, binary):
    return [os.path.abspath(binary), str(port), str(backend)]


def carry(port, backend):
    """Carries the file through a tunnel; the MiB that came."""
    command = ["taskset", "-c", bench.LOAD_CORE, "curl", "-s", "-p", "-x", f"http://127.0.0.1:{port}", "-o", "/dev/null",
               "-w", "%{size_download}", f"http://127.0.0.1:{backend}/big"]
    carried = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if int(carried) != SIZE << 20:
        raise SystemExit(f"{carried} bytes came")
    return SIZE


def open_close(port, backend, client):
    subprocess.run(["taskset", "-c", bench.LOAD_CORE, client, *map(str, (port, backend, TUNNELS, AT_ONCE))], check=True)
    return TUNNELS


def in_turn(proxies, work, slices):
    """For each proxy: what was done per second, and the microseconds of CPU for each."""
    sums = {name: [0, 0, 0] for name, _, _ in proxies}
    for turn in range(slices + 1):
        for name, process, port in proxies:
            before, begun = bench.cpu_seconds(process.pid), time.monotonic()
            row = (work(port), time.monotonic() - begun, bench.cpu_seconds(process.pid) - before)
            if turn > 0:  # the first warms up
                sums[name] = [old + new for old, new in zip(sums[name], row)]
    return {name: (done / took, spent / done * 1e6) for name, (done, took, spent) in sums.items()}


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
    bare = lambda *it: plain(*it, options.plain)
    kinds = [("sluice", sluice)]
    kinds += [("copy", bare)] if options.plain else []
    kinds += [(make.__name__, make) for make in (squid, tinyproxy) if shutil.which(make.__name__)]
    proxies = []
    try:
        for name, make in kinds:
            port = bench.free_port()
            command = make(folder, port, backend, os.path.abspath(options.sluice))
            process = bench.start(bench.PROXY_CORE, command, folder, name)
            proxies.append((name, process, port))
            bench.wait_open(port, process)
        carried = in_turn(proxies, lambda port: carry(port, backend), CARRIES)
        client = os.path.abspath(options.tunnels)
        opened = in_turn(proxies, lambda port: open_close(port, backend, client), SLICES)
        print(f"{'':8} {'MiB/s':>8} {'us CPU/MiB':>11} {'tunnels/s':>10} {'us CPU/tunnel':>14}")
        for name, _, _ in proxies:
            print("{:8} {:8.0f} {:11.1f} {:10.0f} {:14.1f}".format(name, *carried[name], *opened[name]))
    finally:
        for _, process, _ in proxies:
            bench.stop(process)
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
