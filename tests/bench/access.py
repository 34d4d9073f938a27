"""Measures what tokens and access policies cost over plain proxying, beside Envoy's jwt_authn and rbac.

Each proxy is loaded without and with a token; a cached token comes with every request, an uncached one
has claims of its own each time. The difference of CPU per request within one proxy is what counts.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import bench

#: Tokens that are told apart: more than any cache holds at once is not needed, each comes once in a round.
TOKENS = 40_000
RULES = 1000


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def issuer(folder):
    """An RSA key, its JWKS, and a signer of many tokens."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    n, e = (b64(it.to_bytes((it.bit_length() + 7) // 8, "big")) for it in (numbers.n, numbers.e))
    jwks = json.dumps({"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "n": n, "e": e}]})
    head = b64(json.dumps({"alg": "RS256", "kid": "k", "typ": "JWT"}).encode())

    def sign(subject):
        payload = b64(json.dumps({"iss": "me", "sub": subject, "aud": "bench", "exp": 4_000_000_000}).encode())
        message = f"{head}.{payload}"
        return f"{message}.{b64(key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    tokens = folder / "tokens.txt"
    with tokens.open("w") as file:
        for number in range(TOKENS):
            file.write(sign(f"user-{number}") + "\n")
    return jwks, tokens


def script(folder, tokens):
    """wrk sends one token with every request, or another each time."""
    path = folder / "token.lua"
    path.write_text(
        "local tokens, number = {}, 0\n"
        "function init(args)\n"
        f'  for line in io.lines("{tokens}") do tokens[#tokens + 1] = "Bearer " .. line end\n'
        "  many = args[1] == \"many\"\n"
        "end\n"
        "function request()\n"
        "  number = many and number % #tokens + 1 or 1\n"
        '  wrk.headers["Authorization"] = tokens[number]\n'
        "  return wrk.format(nil, nil)\n"
        "end\n"
    )
    return path


def rules(count):
    return "".join(
        f'  - {{to: [{{operation: {{methods: [GET], paths: ["/r{i}/*"]}}}}], from: [{{source: {{ipBlocks: ["127.0.0.0/8"]}}}}]}}\n'
        for i in range(count)
    )


def sluice(folder, port, backend, binary, kind, jwks):
    command = bench.sluice(folder, 10, port, backend, binary, rule="retries: {attempts: 0}, ")
    path = folder / "sluice" / "config.yaml"
    text = path.read_text()
    head = "---\napiVersion: security.istio.io/v1\nmetadata: {name: a, namespace: istio-system}\n"
    if kind == "jwt":
        text += head + f"kind: RequestAuthentication\nspec: {{jwtRules: [{{issuer: me, audiences: [bench], jwks: '{jwks}'}}]}}\n"
    if kind == "rules":
        text += head + f"kind: AuthorizationPolicy\nspec:\n  rules:\n{rules(RULES)}"
    path.write_text(text)
    return command


def envoy(folder, port, backend, binary, kind, jwks):
    command = bench.envoy(folder, 10, port, backend, binary)
    path = folder / "envoy.json"
    config = json.loads(path.read_text())
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    if kind == "jwt":
        provider = {
            "issuer": "me", "audiences": ["bench"], "local_jwks": {"inline_string": jwks},
            "jwt_cache_config": {"jwt_cache_size": 1000},
        }
        typed = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"me": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "me"}}],
        }
        manager["http_filters"].insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": typed})
    if kind == "rules":
        permission = lambda i: {"and_rules": {"rules": [
            {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
            {"url_path": {"path": {"prefix": f"/r{i}/"}}},
        ]}}
        principal = {"direct_remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}}
        policies = {f"p{i}": {"permissions": [permission(i)], "principals": [principal]} for i in range(RULES)}
        typed = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": policies},
        }
        manager["http_filters"].insert(0, {"name": "envoy.filters.http.rbac", "typed_config": typed})
    path.write_text(json.dumps(config))
    return command


def measure(name, command, port, folder, options, lua=None, mode="one"):
    """CPU per request in microseconds."""
    process = bench.start(bench.PROXY_CORE, command, folder, name)
    try:
        bench.wait_open(port, process)
        more = ["-s", str(lua)] if lua else []
        def load(seconds):
            wrk = ["taskset", "-c", bench.LOAD_CORE, "wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s", *more,
                   "-H", f"Host: {bench.HOST}", f"http://127.0.0.1:{port}/r5/item", *(["--", mode] if lua else [])]
            output = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
            if "Non-2xx" in output:
                raise SystemExit(f"{name}: some responses were no success\n{output}")
            return int(bench.re.search(r"(\d+) requests in", output)[1])
        load(2 if mode == "one" else 1)
        before = bench.cpu_seconds(process.pid)
        requests = load(options.seconds)
        return (bench.cpu_seconds(process.pid) - before) / requests * 1e6
    finally:
        bench.stop(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    server, backend = bench.upstream(folder)
    try:
        jwks, tokens = issuer(folder)
        lua = script(folder, tokens)
        cases = [("plain", None, None, "one"), ("token sent, not asked for", None, lua, "one"), ("token, cached", "jwt", lua, "one"),
                 ("token, not cached", "jwt", lua, "many"), (f"{RULES} rules", "rules", None, "one")]
        print(f"{'':28} {'envoy':>8} {'over':>7} {'sluice':>8} {'over':>7}  us CPU per request, the better of two rounds")
        found = {}
        for _ in range(2):
            for case, kind, used, mode in cases:
                for name, make, binary in (("envoy", envoy, options.envoy), ("sluice", sluice, options.sluice)):
                    port = bench.free_port()
                    command = make(folder, port, backend, os.path.abspath(binary), kind, jwks)
                    cost = measure(name, command, port, folder, options, used, mode)
                    found[name, case] = min(cost, found.get((name, case), cost))
        for case, _, used, _ in cases:
            base = "plain" if used is None else "token sent, not asked for"
            row = [f"{found[name, case]:8.1f} {found[name, case] - found[name, base]:+7.2f}" for name in ("envoy", "sluice")]
            print(f"{case:28} {' '.join(row)}")
    finally:
        bench.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
