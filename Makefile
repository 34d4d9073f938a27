# Everything a developer runs; CI runs the same.

.PHONY: demo test check docs clients release bench deny

## Builds and runs a gateway with two echo upstreams, and prints requests to try.
demo:
	cargo run -p gateway -- demo

## Format, lints, all tests.
test: tools check
	cargo test --workspace

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# aws-lc-sys names cmake for systems where its own build with cc does not do; Linux is none of them.
	@! cargo tree --workspace -i cmake --depth 1 2>/dev/null | grep -vE "^cmake|aws-lc-sys|build-dependencies"

## Writes the generated pages anew.
docs:
	cargo run -p gateway -- schema --compatibility > docs/compatibility.md
	UPDATE=1 cargo test -p gateway --test e2e problems::

## Holds the dependencies to deny.toml; the advisories come from github.com/rustsec.
deny:
	@command -v cargo-deny >/dev/null || { echo "installing cargo-deny"; cargo install cargo-deny --locked; }
	cargo deny --all-features check bans licenses sources
	cargo deny --all-features check advisories

## Sends the clients of this machine (curl, git, pip, npm, Java, gRPC) through the forward proxy.
clients:
	cargo build -p gateway
	python3 tests/clients/run.py --sluice target/debug/sluice

## Builds target/sluice as it is shipped: trained by the benchmarks' loads, which costs a second build.
release:
	tests/bench/release.sh

## Compares with nginx, HAProxy and Envoy on this machine.
bench:
	tests/bench/run.sh

# What the build and the tests need beyond Rust; installed only when it is missing.
.PHONY: tools
tools:
	@missing=; \
	command -v cc >/dev/null || missing="gcc libc6-dev"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$$missing faketime"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	[ -x /bin/kill ] || [ -x /usr/bin/kill ] || missing="$$missing procps"; \
	if [ -n "$$missing" ]; then \
	  echo "installing what the build and the tests need: $$missing"; \
	  apt-get update -q && apt-get install -y -q $$missing; \
	fi
