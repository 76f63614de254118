#!/bin/bash
# Puts a UEFI firmware that starts from pvscsi into BUILD_FOLDER/firmware-pvscsi, once: OVMF of Debian 11.
#
#   firmware-pvscsi.sh [BUILD_FOLDER]
#
# The OVMF of Debian 12 and later is built without PvScsiDxe. The package of Debian 11 is unpacked, not installed; apt checks
# its signature. BUILD_FOLDER defaults to build/ of the repository. Needs neither root nor a recent `apt-get update`.
set -euo pipefail
umask 022

suite=bullseye
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath -m "${1:-$here/../build}")
result=$build/firmware-pvscsi
export LC_ALL=C
[ ! -d "$result" ] || exit 0

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
mkdir -p "$build" "$work/lists/partial" "$work/archives/partial"
apt=(apt-get --quiet -o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives"
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User="$(id --user --name)")

# The mirror that this machine itself installs from, asked for another suite; no host is named here.
"${apt[@]}" update >&2
# shellcheck disable=SC2016  # apt expands these
mirror=$("${apt[@]}" indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
	'Component: main' | sort --unique | head --lines=1)
if [ -z "$mirror" ]; then
	echo "firmware-pvscsi.sh: apt on this machine has no source for Debian; add one and run again" >&2
	exit 1
fi
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$work/sources.list"
apt+=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null)
"${apt[@]}" update >&2
(cd "$work" && "${apt[@]}" download "ovmf/$suite" >&2)
dpkg-deb --extract "$work"/ovmf_*.deb "$work/tree"
# Renamed when it is whole, so that a run that was cut off does not count.
rm -rf "$result.new"
mkdir "$result.new"
cp "$work"/tree/usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd "$result.new"
mv "$result.new" "$result"
