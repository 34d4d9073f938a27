"""Measures what rate limits cost over plain proxying: in memory, in Redis exactly, leased from Redis; beside Envoy's local_ratelimit.

No limit is ever reached. The difference of CPU per request within one proxy is what counts.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import access
import bench

#: More than any machine asks for.
REQUESTS = 1_000_000_000


def redis(folder):
    port = bench.free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--dir", str(folder)]
    process = bench.start(bench.LOAD_CORE, command, folder, "redis")
    bench.wait_open(port, process)
    return process, port


def sluice(folder, port, backend, binary, kind, redis_port):
    command = bench.sluice(folder, 10, port, backend, binary, rule="retries: {attempts: 0}, ")
    path = folder / "sluice" / "config.yaml"
    text = path.read_text()
    if kind:
        consistency = "consistency: {type: Leased, share: 1000}, " if kind == "leased" else ""
        text += (
            "---\napiVersion: sluice.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: p, namespace: istio-system}\n"
            f"spec: {{headers: 'Off', {consistency}rules: [{{name: r, key: [{{clientAddress: {{}}}}], "
            f"limits: [{{requests: {REQUESTS}, per: 1s}}]}}]}}\n"
        )
    if kind in ("strict", "leased"):
        text = text.replace("\nspec:\n", f"\nspec:\n  redis: {{url: 'redis://127.0.0.1:{redis_port}'}}\n", 1)
    path.write_text(text)
    return command


def envoy(folder, port, backend, binary, kind, _):
    command = bench.envoy(folder, 10, port, backend, binary)
    path = folder / "envoy.json"
    config = json.loads(path.read_text())
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    if kind == "memory":
        share = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        typed = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "r", "filter_enabled": share, "filter_enforced": share,
            "token_bucket": {"max_tokens": REQUESTS, "tokens_per_fill": REQUESTS, "fill_interval": "1s"},
        }
        manager["http_filters"].insert(0, {"name": "envoy.filters.http.local_ratelimit", "typed_config": typed})
    path.write_text(json.dumps(config))
    return command


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    server, backend = bench.upstream(folder)
    store, store_port = redis(folder)
    try:
        cases = [("plain", None), ("in memory", "memory"), ("redis, leased", "leased"), ("redis, strict", "strict")]
        found = {}
        for _ in range(3):
            for case, kind in cases:
                for name, make, binary in (("envoy", envoy, options.envoy), ("sluice", sluice, options.sluice)):
                    if name == "envoy" and kind in ("leased", "strict"):
                        continue
                    port = bench.free_port()
                    command = make(folder, port, backend, os.path.abspath(binary), kind, store_port)
                    cost = access.measure(name, command, port, folder, options)
                    found[name, case] = min(cost, found.get((name, case), cost))
        print(f"{'':16} {'envoy':>8} {'over':>7} {'sluice':>8} {'over':>7}  us CPU per request, the best of three rounds")
        for case, _ in cases:
            row = []
            for name in ("envoy", "sluice"):
                cost = found.get((name, case))
                row.append(f"{cost:8.1f} {cost - found[name, 'plain']:+7.2f}" if cost else f"{'-':>8} {'-':>7}")
            print(f"{case:16} {' '.join(row)}")
    finally:
        bench.stop(store)
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
