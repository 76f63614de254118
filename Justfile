# The recipes. `./just` installs what they need and calls them; see README.md.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := "x86_64-unknown-linux-musl"
landfall := justfile_directory() / "target" / target / "release/landfall"
build := justfile_directory() / "build"

# lists the recipes
default:
    @just --list --unsorted

# the static binary: target/x86_64-unknown-linux-musl/release/landfall
build:
    cargo build --quiet --locked --release --target {{target}} -p installer
    @test "$(stat -c %s {{landfall}})" -le 10485760 || { echo "landfall is larger than 10 MiB"; exit 1; }

# the provider image and its payload: build/payload
payload: build
    examples/provider-debian/build.sh {{landfall}} {{build}}
    examples/provider-debian/payload.sh {{landfall}} {{build}}

# the whole way in a virtual machine: ISO -> disk -> reboot -> screen -> paired; results under build/
demo *arguments: payload
    cargo run --quiet --locked -p qemu-tests --bin demo -- {{arguments}}

# everything that must pass: style, unit and disk tests, then the virtual machines
test: check unit vm

# formatting, lints, documentation, shell scripts
check:
    cargo fmt --all --check
    cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --workspace
    shellcheck just .ci/run $(git ls-files '*.sh')

# tests beside the code, and on disks with real tools
unit:
    cargo nextest run --locked --workspace

# tests in virtual machines: those that `test` has time for
vm: payload
    cargo nextest run --locked --workspace --profile vm

# every test in virtual machines; about an hour and a half on two cores
vm-all: payload
    qemu-tests/firmware-pvscsi.sh {{build}}
    cargo nextest run --locked --workspace --profile vm-all

# licences, bans, sources and advisories of every crate we stand on (needs the advisory database)
deny:
    command -v cargo-deny >/dev/null || (cd / && cargo install --quiet --locked cargo-deny)
    cargo deny check
