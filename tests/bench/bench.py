"""Measures proxies side by side: one worker on one core, load generator and upstream on the other.

Every proxy routes over the same number of prefix routes, with its access log on and its
metrics on where it has any. Absolute figures mean nothing; the ratios within one run do.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = str(CORES[0]), str(CORES[-1])
HOST = "bench.test"


#: Ports below those that outgoing connections take, in a new order each time; each is given out once.
PORTS = iter(random.sample(range(10_000, 30_000), 20_000))


def free_port():
    """A port that nothing listens on; a connection cannot take it before the proxy does."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no port is free")


def wait_open(port, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = Path(process.output).read_text(errors="replace")[-2000:]
            raise SystemExit(f"{process.args[3]} ended with {process.returncode}:\n{said}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"port {port} never opened")


def family(pid):
    """The process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:  # the thread has ended since
            continue
        for child in children:
            found += family(int(child))
    return found


def cpu_seconds(pid):
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_mib(pid):
    total = 0
    for one in family(pid):
        match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text())
        total += int(match[1]) if match else 0
    return total / 1024


def start(core, command, folder, name):
    path = folder / f"{name}.out"
    with path.open("wb") as log:
        process = subprocess.Popen(["taskset", "-c", core, *command], stdout=log, stderr=log, cwd=folder)
    process.output = path
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def upstream(folder):
    port = free_port()
    config = folder / "upstream.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log /dev/null;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 100000000;\n"
        f'server {{ listen {port} backlog=4096; location / {{ return 200 "hello, bench\\n"; }} }} }}\n'
    )
    process = start(LOAD_CORE, ["nginx", "-c", str(config), "-p", str(folder)], folder, "upstream")
    wait_open(port, process)
    return process, port


def nginx(folder, routes, port, backend):
    locations = "".join(
        f"location /r{i}/ {{ proxy_pass http://up; }}\n" for i in range(routes)
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log {folder}/nginx.log combined buffer=64k flush=1s; keepalive_requests 100000000;\n"
        f"upstream up {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 100000000; }}\n"
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;\n'
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Request-Id $request_id;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; server_name {HOST};\n{locations} }} }}\n"
    )
    return ["nginx", "-c", str(config), "-p", str(folder)]


def haproxy(folder, routes, port, backend):
    (folder / "routes.map").write_text("".join(f"/r{i}/ up{i % 10}\n" for i in range(routes)))
    backends = "".join(f"backend up{i}\n  server s 127.0.0.1:{backend}\n" for i in range(10))
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\n  maxconn 4096\n  log stdout format raw local0\n"
        "defaults\n  mode http\n  log global\n  option httplog\n  option forwardfor\n  http-reuse always\n"
        "  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend in\n  bind 127.0.0.1:{port}\n  unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid\n"
        "  unique-id-header X-Request-Id\n"
        f"  use_backend %[path,map_beg({folder}/routes.map,up0)]\n{backends}"
    )
    return ["haproxy", "-f", str(config)]


def envoy(folder, routes, port, backend, binary):
    table = [
        {"match": {"prefix": f"/r{i}/"}, "route": {"cluster": "up", "timeout": "0s"}, "name": f"r{i}"}
        for i in range(routes)
    ]
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": f"{folder}/envoy.log",
        },
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "use_remote_address": True,
        "normalize_path": True,
        "access_log": [log],
        "route_config": {"virtual_hosts": [{"name": "bench", "domains": [HOST], "routes": table}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {
        "name": "in",
        "address": address,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": backend}}}}
    cluster = {
        "name": "up",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    return [binary, "-c", str(config), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]


# What each feature of the gateway costs over plain proxying. Choosing among 1,000 endpoints is apart from keeping
# 1,000 sockets warm, which the kernel pays for.
VARIANTS = {
    "plain": {"routes": 10, "rule": "retries: {attempts: 0}, "},
    "retries": {"routes": 10},
    "split": {"routes": 10, "rule": "retries: {attempts: 0}, ", "split": True},
    "10k routes": {"routes": 10_000, "rule": "retries: {attempts: 0}, "},
    "1k choices": {"routes": 10, "rule": "retries: {attempts: 0}, ", "endpoints": 1000, "addresses": 1},
    "1k sockets": {"routes": 10, "rule": "retries: {attempts: 0}, ", "endpoints": 1000, "addresses": 1000},
}


def entry(name, backend, count, addresses=1):
    hosts = "".join(
        f"  - {{address: 127.0.{i % addresses // 250}.{i % addresses % 250 + 1}, ports: {{http: {backend}}}}}\n"
        for i in range(count)
    )
    return (
        f"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n"
        f"  hosts: [{name}.test]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n"
        f"  endpoints:\n{hosts}"
    )


def sluice(folder, routes, port, backend, binary, rule="", split=False, endpoints=1, addresses=1):
    to = "{destination: {host: up.test}}"
    if split:
        to = "{destination: {host: up.test}, weight: 90}, {destination: {host: other.test}, weight: 10}"
    rules = "".join(
        f"  - {{name: r{i}, {rule}match: [{{uri: {{prefix: /r{i}/}}}}], route: [{to}]}}\n" for i in range(routes)
    )
    (folder / "sluice").mkdir(exist_ok=True)
    (folder / "sluice" / "config.yaml").write_text(
        "apiVersion: sluice.dev/v1alpha1\nkind: GatewaySettings\nmetadata: {name: default}\nspec:\n"
        f'  bindAddress: 127.0.0.1\n  portMap: {{"80": {port}}}\n  workers: 1\n'
        '  admin: {address: "127.0.0.1:0"}\n  health: {address: "127.0.0.1:0"}\n'
        f"  meshConfig: {{accessLogFile: {folder}/sluice.log}}\n"
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n"
        '  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}\n'
        + entry("up", backend, endpoints, addresses)
        + entry("other", backend, 1)
        + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bench}\nspec:\n"
        f"  hosts: [{HOST}]\n  gateways: [edge]\n  http:\n{rules}"
    )
    return [binary, "run", "--config", str(folder / "sluice")]


def load(port, path, seconds, connections):
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    output = subprocess.run(
        [*command, "-H", f"Host: {HOST}", f"http://127.0.0.1:{port}{path}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    requests = int(re.search(r"(\d+) requests in", output)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    latency = {name: re.search(rf"{name}%\s+([\d.]+\w+)", output)[1] for name in ("50", "99")}
    if errors:
        raise SystemExit(f"{errors[1]} responses were no success")
    return requests, latency


def measure(name, command, port, folder, options, routes=None):
    process = start(PROXY_CORE, command, folder, name)
    try:
        wait_open(port, process)
        path = f"/r{(routes or options.routes) // 2}/item"
        load(port, path, 2, options.connections)
        before, clock = cpu_seconds(process.pid), time.monotonic()
        requests, latency = load(port, path, options.seconds, options.connections)
        spent, elapsed = cpu_seconds(process.pid) - before, time.monotonic() - clock
        return {
            "name": name,
            "requests_per_second": requests / elapsed,
            "cpu_us": spent / requests * 1e6,
            "p50": latency["50"],
            "p99": latency["99"],
            "rss": rss_mib(process.pid),
        }
    finally:
        stop(process)


def features(folder, backend, binary, options):
    """The same load with one feature at a time, in two rounds so that a drift of the machine shows."""
    results = {name: [] for name in VARIANTS}
    for _ in range(2):
        for name, variant in VARIANTS.items():
            port = free_port()
            command = sluice(folder, variant["routes"], port, backend, binary, **{k: v for k, v in variant.items() if k != "routes"})
            results[name].append(measure(name, command, port, folder, options, variant["routes"])["cpu_us"])
    return [(name, min(found)) for name, found in results.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--routes", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    server, backend = upstream(folder)
    binaries = {"envoy": os.path.abspath(options.envoy), "sluice": os.path.abspath(options.sluice)}
    results = []
    try:
        for name, make in (("nginx", nginx), ("haproxy", haproxy), ("envoy", envoy), ("sluice", sluice)):
            if options.only and name not in options.only:
                continue
            port = free_port()
            extra = (binaries[name],) if name in binaries else ()
            command = make(folder, options.routes, port, backend, *extra)
            results.append(measure(name, command, port, folder, options))
        variants = [] if options.only else features(folder, backend, binaries["sluice"], options)
    finally:
        stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    base = {it["name"]: it["cpu_us"] for it in results}
    print(f"{'':8} {'req/s':>8} {'CPU us/req':>11} {'p50':>9} {'p99':>9} {'RSS MiB':>8} {'x nginx':>8} {'x envoy':>8}")
    for it in results:
        ratio = [f"{it['cpu_us'] / base[other]:.2f}" if other in base else "-" for other in ("nginx", "envoy")]
        print(
            f"{it['name']:8} {it['requests_per_second']:8.0f} {it['cpu_us']:11.1f} {it['p50']:>9} {it['p99']:>9} "
            f"{it['rss']:8.1f} {ratio[0]:>8} {ratio[1]:>8}"
        )

    if variants:
        plain = dict(variants)["plain"]
        print("\nfeatures of sluice, the better of two rounds:")
        for name, cost in variants:
            print(f"{name:12} {cost:6.1f} us CPU/req {cost - plain:+6.2f} us over plain")


if __name__ == "__main__":
    main()
