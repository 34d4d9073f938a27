"""Measures TLS at the edge side by side: handshakes, resumed handshakes, requests over HTTP/1.1 and HTTP/2.

One certificate (ECDSA P-256), one worker on one core, load generators and upstream on the other. Absolute
figures mean nothing; the ratios within one run do.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import bench

SECONDS = 5


def certificate(folder):
    key, chain = folder / "secrets" / "own" / "tls.key", folder / "secrets" / "own" / "tls.crt"
    key.parent.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", f"/CN={bench.HOST}", "-addext", f"subjectAltName=DNS:{bench.HOST}", "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )
    return str(chain), str(key)


def nginx(folder, port, backend, pair, _):
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log {folder}/nginx.log combined buffer=64k flush=1s; keepalive_requests 100000000;\n"
        f"upstream up {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 100000000; }}\n"
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;\n'
        f"server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096; server_name {bench.HOST};\n"
        f"ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]}; ssl_protocols TLSv1.2 TLSv1.3;\n"
        "ssl_session_tickets on; location / { proxy_pass http://up; } } }\n"
    )
    return ["nginx", "-c", str(config), "-p", str(folder)]


def envoy(folder, port, backend, pair, binary):
    command = bench.envoy(folder, 1, port, backend, binary)
    path = folder / "envoy.json"
    config = json.loads(path.read_text())
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["domains"] = ["*"]
    chain["transport_socket"] = {
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": {"filename": pair[0]}, "private_key": {"filename": pair[1]}}],
            },
        },
    }
    path.write_text(json.dumps(config))
    return command


def sluice(folder, port, backend, _, binary):
    (folder / "sluice").mkdir()
    (folder / "sluice" / "config.yaml").write_text(
        "apiVersion: sluice.dev/v1alpha1\nkind: GatewaySettings\nmetadata: {name: default}\nspec:\n"
        f'  bindAddress: 127.0.0.1\n  portMap: {{"443": {port}}}\n  workers: 1\n'
        '  admin: {address: "127.0.0.1:0"}\n  health: {address: "127.0.0.1:0"}\n'
        f"  secrets: {{directory: {folder}/secrets}}\n  meshConfig: {{accessLogFile: {folder}/sluice.log}}\n"
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n"
        '  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: own}}\n'
        + bench.entry("up", backend, 1)
        + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bench}\nspec:\n"
        '  hosts: ["*"]\n  gateways: [edge]\n  http:\n  - route: [{destination: {host: up.test}}]\n'
    )
    return [binary, "run", "--config", str(folder / "sluice")]


def handshakes(port, how):
    """Connections per second of one client after another, each ended after its handshake."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-time", str(SECONDS), *how]
    output = subprocess.run(["taskset", "-c", bench.LOAD_CORE, *command], capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) connections in \d+ real seconds", output)[1])


def requests(port, version):
    command = ["h2load", "-c", "32", "-m", "4", "-t", "1", "-D", str(SECONDS), *version, f"https://127.0.0.1:{port}/r0/item"]
    output = subprocess.run(["taskset", "-c", bench.LOAD_CORE, *command], capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) succeeded", output)[1])


LOADS = {
    "handshake 1.3": lambda port: handshakes(port, ["-new", "-tls1_3"]),
    "handshake 1.2": lambda port: handshakes(port, ["-new", "-tls1_2"]),
    "resumed 1.2": lambda port: handshakes(port, ["-reuse", "-tls1_2"]),
    "HTTP/1.1": lambda port: requests(port, ["--h1"]),
    "HTTP/2": lambda port: requests(port, []),
}


def measure(process, port):
    found = {}
    for name, load in LOADS.items():
        before = bench.cpu_seconds(process.pid)
        count = load(port)
        found[name] = (count / SECONDS, (bench.cpu_seconds(process.pid) - before) / max(count, 1) * 1e6)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--sluice", required=True)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    pair = certificate(folder)
    server, backend = bench.upstream(folder)
    results = {}
    try:
        for name, make, binary in (
            ("nginx", nginx, ""),
            ("envoy", envoy, os.path.abspath(options.envoy)),
            ("sluice", sluice, os.path.abspath(options.sluice)),
        ):
            port = bench.free_port()
            process = bench.start(bench.PROXY_CORE, make(folder, port, backend, pair, binary), folder, name)
            bench.wait_open(port, process)
            results[name] = measure(process, port)
            bench.stop(process)
    finally:
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    print("TLS, per second and CPU us each:")
    print(f"{'':14}" + "".join(f"{name:>20}" for name in results) + f"{'x envoy (CPU)':>15}")
    for load in LOADS:
        cells = "".join(f"{found[load][0]:>10.0f} {found[load][1]:>9.1f}" for found in results.values())
        print(f"{load:14}{cells}{results['sluice'][load][1] / results['envoy'][load][1]:>15.2f}")


if __name__ == "__main__":
    main()
