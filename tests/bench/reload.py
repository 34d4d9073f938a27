"""Measures what reloads of 10,000 routes do to traffic that runs meanwhile, one reload a second.

Two figures: p99 of the requests that were sent while a reload ran, beside that of the others within the same run; and
p99 of all requests, beside that of a run without reloads. The first has few requests behind it and shows each stall of
the machine; so a control after each shape tells what of it is the machine's: another process works as long at the same
idle priority, and nothing is reloaded. The second is what a graph shows; its rounds take turns, and the median counts.

The gateway, its upstream and the load share the machine as they would anywhere; nothing is pinned. Each reload really
changes something: one route, or every route.
"""

import argparse
import http.server
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import bench

ROUTES = 10_000


def settings(folder, port, admin, backend):
    return (
        "apiVersion: sluice.dev/v1alpha1\nkind: GatewaySettings\nmetadata: {name: default}\nspec:\n"
        f'  bindAddress: 127.0.0.1\n  portMap: {{"80": {port}}}\n'
        f'  admin: {{address: "127.0.0.1:{admin}"}}\n  health: {{address: "127.0.0.1:0"}}\n'
        f"  meshConfig: {{accessLogFile: {folder}/sluice.log}}\n"
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec:\n  servers:\n"
        '  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}\n' + bench.entry("up", backend, 1)
    )


def service(host, first, count, mark, every):
    """A VirtualService; the mark stands in one of its routes, or in each."""
    rules = "".join(
        f"  - match: [{{uri: {{prefix: /r{i}/}}}}]\n    route: [{{destination: {{host: up.test}}}}]\n"
        f"    headers: {{response: {{set: {{x-mark: \"{mark if every or i == first else 0}\"}}}}}}\n"
        for i in range(first, first + count)
    )
    return (
        f"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host.replace('.', '-')}}}\nspec:\n"
        f"  hosts: [{host}]\n  gateways: [edge]\n  http:\n{rules}"
    )


def routes(shape, mark):
    """10,000 routes; what changes with the mark is said by the shape."""
    if shape == "one host":
        return service(bench.HOST, 0, ROUTES, mark, False)
    size = 10
    every = shape == "everything"
    hosts = (bench.HOST if i == ROUTES // 2 else f"h{i}.test" for i in range(0, ROUTES, size))
    return "".join(
        service(host, i, size, mark if every or i == 0 else 0, every) for host, i in zip(hosts, range(0, ROUTES, size))
    )


#: What a reload finds changed.
SHAPES = {
    "nothing": "nothing: no reload is asked for",
    "one of many": "one route of 1,000 virtual services",
    "one host": "one route of a virtual service that holds all",
    "everything": "every route of 1,000 virtual services",
}
#: Those of which one does.
CHANGES = [it for it in SHAPES if it != "nothing"]
CONTROL = "  control"


class IdleWork(http.server.BaseHTTPRequestHandler):
    """Answers when it has worked for a while, at the priority of a reload."""

    protocol_version = "HTTP/1.1"
    seconds = 0.0
    pages = [bytearray(1 << 16) for _ in range(512)]

    def do_GET(self):
        until, at = time.process_time() + self.seconds, 0
        while time.process_time() < until:
            bytes(self.pages[at % len(self.pages)])
            at += 1
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def work_idly(server, seconds):
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    IdleWork.seconds = seconds
    server.serve_forever()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def measure(folder, backend, shape, options, seconds):
    port, admin = bench.free_port(), bench.free_port()
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "a.yaml").write_text(settings(folder, port, admin, backend))
    texts = [folder / f"{mark}.yaml" for mark in (1, 2)]
    for mark, text in enumerate(texts):
        text.write_text(routes(shape, mark))
    worker, asked = None, admin
    if shape in ("nothing", CONTROL):
        texts[0] = texts[1]
    if shape == CONTROL:
        server = http.server.HTTPServer(("127.0.0.1", 0), IdleWork)
        asked = server.server_address[1]
        worker = multiprocessing.Process(target=work_idly, args=(server, seconds))
        worker.start()
    link = config / "b.yaml"
    link.unlink(missing_ok=True)
    link.symlink_to(texts[1])
    log = (folder / "sluice.out").open("wb")
    process = subprocess.Popen([os.path.abspath(options.sluice), "run", "--config", str(config)], stdout=log, stderr=log)
    samples = folder / "samples"
    try:
        bench.wait_open(port, process)
        numbers = (options.connections, options.pace, options.reloads + 2, samples, f"127.0.0.1:{asked}", link, *texts)
        subprocess.run([os.path.abspath(options.steady), f"127.0.0.1:{port}", bench.HOST, *map(str, numbers)], check=True)
        rss = bench.rss_mib(process.pid)
    finally:
        bench.stop(process)
        if worker:
            worker.terminate()
            worker.join()
    noted = {"request": [], "reload": []}
    for line in samples.read_text().splitlines():
        kind, sent, took = line.split()
        noted[kind].append((int(sent), int(took)))
    return [(sent, sent + took) for sent, took in noted["reload"]], sorted(noted["request"]), rss


def split(windows, noted):
    """Requests that were sent while a reload ran, and the others; those of the first second are left out.

    Who was sent before and is still waited for does not count: the slower a request is, the likelier it would.
    """
    met, others, at = [], [], 0
    first = noted[0][0] + 1_000_000
    for sent, took in noted:
        while at < len(windows) and windows[at][1] < sent:
            at += 1
        during = at < len(windows) and sent >= windows[at][0]
        if sent >= first:
            (met if during else others).append(took)
    return met, others


def report(shape, options, place, milliseconds):
    """Measures one shape and prints its row; what one reload took, in ms, and p99 of all requests, in us."""
    windows, noted, rss = measure(*place, shape, options, milliseconds / 1000)
    met, others = split(windows, noted)
    took = percentile([(end - begin) / 1000 for begin, end in windows], 0.5)
    calm, busy, all_of_them = (percentile(it, 0.99) for it in (others, met, met + others))
    print(
        f"{shape:12} {took:10.1f} {len(met):6} {percentile(met, 0.5):6.0f} {busy:6.0f} {len(others):7} "
        f"{percentile(others, 0.5):6.0f} {calm:6.0f} {busy / calm:6.2f} {all_of_them:8.0f} {rss:8.1f}",
        flush=True,
    )
    return took, all_of_them


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--steady", required=True, help="the example steady")
    parser.add_argument("--reloads", type=int, default=40)
    parser.add_argument("--pace", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=CHANGES)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    server, backend = bench.upstream(folder)
    os.sched_setaffinity(server.pid, bench.CORES)
    try:
        print(f"{'changed':12} {'ms/reload':>10} {'met':>6} {'p50':>6} {'p99':>6} {'others':>7} {'p50':>6} {'p99':>6} {'ratio':>6} {'all p99':>8} {'RSS MiB':>8}")
        seen = {}
        for number in range(options.rounds):
            for shape in ["nothing", *(options.only or CHANGES)]:
                took, p99 = report(shape, options, (folder, backend), 0)
                seen.setdefault(shape, []).append(p99)
                if shape != "nothing" and number == 0:
                    report(CONTROL, options, (folder, backend), took)
        quiet = statistics.median(seen.pop("nothing"))
        for shape, values in seen.items():
            print(f"{shape:12} p99 of all requests {statistics.median(values) / quiet:.2f} x that without reloads")
    finally:
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
