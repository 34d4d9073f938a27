#!/usr/bin/env bash
# Builds target/sluice, the gateway as it is shipped: the release profile, laid out by what a training run found hot.
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in nginx wrk redis-server curl openssl; do command -v "$tool" >/dev/null || missing="${missing:-} $tool"; done
command -v h2load >/dev/null || missing="${missing:-} nghttp2-client"
command -v python3 >/dev/null || missing="${missing:-} python3"
python3 -c "import cryptography" 2>/dev/null || missing="${missing:-} python3-cryptography"
if [ -n "${missing:-}" ]; then
  echo "installing what the training run needs:$missing"
  apt-get update -q && apt-get install -y -q $missing
fi
host=$(rustc -vV | sed -n 's/^host: //p')
profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
[ -x "$profdata" ] || rustup component add llvm-tools
# With --target, the flags are for the gateway only and not for what builds it.
build() { RUSTFLAGS="$1" CARGO_TARGET_DIR=target/pgo cargo build --release --target "$host" -p gateway; }
data="$PWD/target/pgo/data"
rm -rf "$data" && mkdir -p "$data"
build "-Cprofile-generate=$data"
python3 tests/bench/train.py --sluice "target/pgo/$host/release/sluice"
"$profdata" merge -o "$data/sluice.profdata" "$data"
# What was hot lies side by side, and not scattered among all that was not.
build "-Cprofile-use=$data/sluice.profdata -Clink-arg=-Wl,-z,keep-text-section-prefix"
cp "target/pgo/$host/release/sluice" target/sluice
