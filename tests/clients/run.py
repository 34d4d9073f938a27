"""Sends real clients through the forward proxy: each fetches what it is made for, and is refused elsewhere.

Runs in a network namespace of its own, whose only network is loopback: a wrong answer can reach nobody.
Clients that are not installed are named and left out; curl, git and Python's have to be there.
"""

import argparse
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

PROXY = "http://127.0.0.1:3128"
NEEDED = {"curl", "git", "python"}

CONFIG = """apiVersion: sluice.dev/v1alpha1
kind: GatewaySettings
metadata: {name: default}
spec:
  bindAddress: 127.0.0.1
  admin: {address: "127.0.0.1:0"}
  health: {address: "127.0.0.1:0"}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: egress, namespace: istio-system}
spec: {egress: [{port: {number: 3128, name: proxy, protocol: HTTP_PROXY}, hosts: ["*/*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: packages}
spec:
  hosts: [pkg.test]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
  ports: [{number: 443, name: https, protocol: HTTPS}, {number: 8443, name: grpc, protocol: TLS}]
"""

JAVA = """public class Fetch {
    public static void main(String[] a) throws Exception {
        var c = (java.net.HttpURLConnection) new java.net.URL(a[0]).openConnection();
        System.out.println(new String(c.getInputStream().readAllBytes()));
    }
}
"""

GRPC = """import grpc, sys
credentials = grpc.ssl_channel_credentials(open(sys.argv[1], "rb").read())
with grpc.secure_channel(sys.argv[2], credentials) as channel:
    print(channel.unary_unary("/demo.Echo/Say")(b"hello from grpc", timeout=10).decode())
"""

REQUESTS = "import requests, sys; print(requests.get(sys.argv[1], timeout=10).text)"
URLLIB = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def isolate():
    """Runs this again where only loopback is."""
    if os.environ.get("SLUICE_CLIENTS_INSIDE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    flags = next(f for f in ("-rn", "-n") if subprocess.run(["unshare", f, "true"], capture_output=True).returncode == 0)
    environment = dict(os.environ, SLUICE_CLIENTS_INSIDE="1")
    os.execvpe("unshare", ["unshare", flags, sys.executable, *sys.argv], environment)


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more)


def certificates(folder):
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=clients", "-keyout", "ca.key",
        "-out", "ca.pem", "-addext", "keyUsage=critical,keyCertSign", cwd=folder)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pkg.test", "-keyout", "own.key", "-out", "own.csr", cwd=folder)
    (folder / "ext").write_text("subjectAltName=DNS:pkg.test\n")
    run("openssl", "x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1", "-extfile", "ext",
        "-out", "own.pem", cwd=folder)


def packages(root):
    """A page, a wheel, a package of npm and a repository."""
    (root / "page").write_text("hello from pkg.test\n")
    simple = root / "simple" / "demo"
    simple.mkdir(parents=True)
    wheel = simple / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "demo-1.0.dist-info"
        archive.writestr("demo.py", "x = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (simple / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    package = root / "package"
    package.mkdir()
    described = {"name": "demo", "version": "1.0.0"}
    (package / "package.json").write_text(json.dumps(described))
    with tarfile.open(root / "demo-1.0.0.tgz", "w:gz") as archive:
        archive.add(package, "package")
    version = dict(described, dist={"tarball": "https://pkg.test/demo-1.0.0.tgz"})
    document = {"name": "demo", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    (root / "demo").write_text(json.dumps(document))
    work = root / "work"
    run("git", "init", "-q", str(work))
    (work / "file").write_text("in git\n")
    run("git", "-C", str(work), "add", ".")
    run("git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    run("git", "clone", "-q", "--bare", str(work), str(root / "repo.git"))
    run("git", "-C", str(root / "repo.git"), "update-server-info")


def serve(folder, root):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(root))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "own.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def serve_grpc(folder):
    import concurrent.futures
    import grpc

    def echo(request, _):
        return request

    handler = grpc.method_handlers_generic_handler("demo.Echo", {"Say": grpc.unary_unary_rpc_method_handler(echo)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    pair = ((folder / "own.key").read_bytes(), (folder / "own.pem").read_bytes())
    server.add_secure_port("127.0.0.1:8443", grpc.ssl_server_credentials([pair]))
    server.start()
    return server


def has(module):
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def clients(folder):
    """Each client: what it runs for a host, and what its output has when it got what it wanted."""
    ca = str(folder / "ca.pem")
    url = lambda host, path: f"https://{host}/{path}"
    found = {
        "curl": (lambda h: ["curl", "-sS", "--cacert", ca, url(h, "page")], "hello from pkg.test"),
        "wget": (lambda h: ["wget", "-q", "-O", "-", f"--ca-certificate={ca}", url(h, "page")], "hello from pkg.test"),
        "git": (lambda h: ["git", "ls-remote", url(h, "repo.git")], "refs/heads/"),
        "python": (lambda h: [sys.executable, "-c", URLLIB, url(h, "page")], "hello from pkg.test"),
    }
    if has("requests"):
        found["requests"] = (lambda h: [sys.executable, "-c", REQUESTS, url(h, "page")], "hello from pkg.test")
    if has("pip"):
        found["pip"] = (
            lambda h: [sys.executable, "-m", "pip", "download", "--no-cache-dir", "--disable-pip-version-check", "--retries", "0",
                       "--cert", ca, "-i", url(h, "simple/"), "-d", str(folder / "wheels"), "demo"], "Saved")
    if shutil.which("npm"):
        found["npm"] = (lambda h: ["npm", "pack", "--fetch-retries=0", f"--cafile={ca}", f"--cache={folder}/npm", f"--registry={url(h, '')}", "demo"],
                        "demo-1.0.0.tgz")
    if shutil.which("java") and shutil.which("keytool"):
        run("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", ca, "-keystore", str(folder / "trust"), "-storepass", "changeit")
        (folder / "Fetch.java").write_text(JAVA)
        found["java"] = (
            lambda h: ["java", "-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=3128", f"-Djavax.net.ssl.trustStore={folder}/trust",
                       "-Djavax.net.ssl.trustStorePassword=changeit",
                       str(folder / "Fetch.java"), url(h, "page")], "hello from pkg.test")
    if has("grpc"):
        found["grpc"] = (lambda h: [sys.executable, "-c", GRPC, ca, f"{h}:8443"], "hello from grpc")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True)
    options = parser.parse_args()
    isolate()
    folder = Path(tempfile.mkdtemp(prefix="sluice-clients-"))
    root = folder / "root"
    root.mkdir()
    certificates(folder)
    packages(root)
    serve(folder, root)
    grpc_server = serve_grpc(folder) if has("grpc") else None
    (folder / "config.yaml").write_text(CONFIG)
    ready = folder / "ready"
    command = [os.path.abspath(options.sluice), "run", "--config", str(folder / "config.yaml"), "--ready-file", str(ready)]
    gateway = subprocess.Popen(command, stdout=(folder / "out").open("wb"), stderr=subprocess.STDOUT)
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {name: PROXY for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    ca = str(folder / "ca.pem")
    environment |= {"GIT_SSL_CAINFO": ca, "SSL_CERT_FILE": ca, "REQUESTS_CA_BUNDLE": ca, "NODE_EXTRA_CA_CERTS": ca, "HOME": str(folder)}
    failed = []
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "out").read_text())
            time.sleep(0.05)
        known = clients(folder)
        for name in sorted(NEEDED - known.keys()):
            failed.append(f"{name} is not here")
        for name, (command, expected) in known.items():
            if not shutil.which(command("x")[0]):
                print(f"{name:10} not installed")
                failed += [f"{name} is not here"] if name in NEEDED else []
                continue
            results = [subprocess.run(command(host), env=environment, cwd=folder, capture_output=True, text=True, timeout=60)
                       for host in ("pkg.test", "evil.test")]
            inside, outside = (it.stdout + it.stderr for it in results)
            good = expected in inside and results[0].returncode == 0
            refused = results[1].returncode != 0 and expected not in outside
            print(f"{name:10} {'fetched' if good else 'FAILED'}, elsewhere {'refused' if refused else 'NOT REFUSED'}", flush=True)
            if not (good and refused):
                failed.append(f"{name}:\n{inside}\n--\n{outside}")
    finally:
        gateway.terminate()
        gateway.wait(10)
        if grpc_server:
            grpc_server.stop(None)
        log = (folder / "out").read_text()
        shutil.rmtree(folder, ignore_errors=True)
    if "egress_host_not_allowed[evil.test:443]" not in log:
        failed.append(f"no refusal in the log:\n{log[-2000:]}")
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
