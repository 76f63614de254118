#!/bin/bash
# Builds the unpacked root of the native provider image: Debian 12, Landfall and its initramfs.
#
#   build.sh LANDFALL_BINARY [BUILD_FOLDER]
#
# LANDFALL_BINARY is the static program; BUILD_FOLDER defaults to build/ of the repository. The result is
# BUILD_FOLDER/provider/root. Runs as root, or as a user with a range in /etc/subuid: then the files belong to
# that range, and whoever reads the tree does so in the same namespace (`unshare --map-auto --map-root-user`).
# Slow steps are cached under BUILD_FOLDER/cache by what goes into them, so a second run takes seconds.
set -euo pipefail
umask 022

suite=bookworm
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rootfs=$here/../../dracut-module/rootfs
binary=$(realpath "${1:?usage: build.sh LANDFALL_BINARY [BUILD_FOLDER]}")
build=$(realpath -m "${2:-$here/../../build}")
cache=$build/cache
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600}
export LC_ALL=C

# One key from the content, the names and the modes of files and folders.
key_of() {
	tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu "$@" |
		sha256sum | cut --characters=1-16
}

# The Debian suites that this machine itself installs from, as one-line entries; no host is named here.
# Asked with package lists of its own: neither root nor a recent `apt-get update` is needed.
debian_sources() {
	local lists=$1
	local apt=(apt-get -o Dir::State::Lists="$lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o APT::Sandbox::User="$(id --user --name)")
	mkdir -p "$lists/partial"
	"${apt[@]}" --quiet update >&2
	# shellcheck disable=SC2016  # apt expands these
	"${apt[@]}" indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
		grep --extended-regexp " $suite(-updates|-security)? " | sort --unique
}

# The base tree as a tarball: Debian, without anything of Landfall's.
make_base() {
	local sources=$work/sources options=$work/apt.conf
	if ! debian_sources "$work/lists" >"$sources"; then
		echo "build.sh: apt on this machine has no source for Debian $suite; add one and run again" >&2
		return 1
	fi
	# How this machine reaches its mirror (proxy, frozen snapshots) is its own affair: hand it on.
	apt-config dump | grep --extended-regexp '^Acquire::(http|https|Check-[A-Za-z-]+|Retries)[: ]' >"$options" || true
	# INITRD=No: the kernel's hook shall not make an initramfs; ours is made below.
	INITRD=No mmdebstrap --quiet --variant=essential --format=tar --skip=output/dev \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
		--aptopt="$options" --dpkgopt="$here/dpkg.cfg" --customize-hook="$here/customize.sh" \
		--include="$(grep --invert-match '^#' "$here/image-packages.txt" | tr '\n' ',')" \
		"$suite" "$1.new" - <"$sources"
	mv "$1.new" "$1"
}

# Everything below needs to own files and to mount: root, or root of a user namespace.
assemble() {
	local base=$1 initrd=$2 new=$build/provider/root.new
	rm -rf "$new"
	mkdir -p "$new/dev"
	tar --extract --preserve-permissions --numeric-owner --xattrs --xattrs-include='*' \
		--exclude='./dev/*' --file "$base" --directory "$new"
	rm -rf "$new"/etc/apt/sources.list* "$new"/var/lib/apt/lists/* "$new"/var/cache/apt "$new"/var/tmp/* "$new"/tmp/*
	tar --create --owner=0 --group=0 --directory "$rootfs" . |
		tar --extract --no-overwrite-dir --preserve-permissions --numeric-owner --directory "$new"
	# git keeps no modes but the executable bit, and none of folders.
	chmod -R go-w,a+rX "$new/usr/lib/landfall" "$new/etc/cos"
	install -m 0755 "$binary" "$new/usr/bin/landfall"
	# "Updated" as of this image: else systemd rebuilds its caches at every boot.
	touch --date=@"$SOURCE_DATE_EPOCH" "$new/usr" "$new/etc/.updated" "$new/var/.updated"
	[ -e "$initrd" ] ||
		unshare --mount bash -euo pipefail -c 'umask 022; make_initrd "$@"' make_initrd "$new" "$initrd"
	install -m 0644 "$initrd" "$new/boot/initrd"
	rm -rf "$build/provider/root"
	mv "$new" "$build/provider/root"
}

# In a mount namespace of its own, so that nothing needs to be taken down. dracut makes no device nodes (a user
# namespace may not; the kernel brings /dev/console and devtmpfs), strips nothing (modules are signed), and is
# told the kernel: of the image, not of this machine.
make_initrd() {
	local root=$1 version
	version=$(ls "$root/usr/lib/modules")
	mount --types proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount --types tmpfs tmpfs "$root/tmp"
	DRACUT_NO_MKNOD=1 DRACUT_NO_XATTR=1 chroot "$root" dracut --quiet --force --no-hostonly --no-early-microcode \
		--nostrip --reproducible --modules landfall --zstd --tmpdir /tmp --kver "$version" /tmp/initrd
	cp "$root/tmp/initrd" "$2.new"
	mv "$2.new" "$2"
}

mkdir -p "$cache" "$build/provider"
# Two runs at once (two test programs, say) take turns; the second finds everything done.
exec 9>"$cache/lock"
flock 9
recipe=$(declare -f make_base)$suite$(key_of --directory "$here" customize.sh dpkg.cfg image-packages.txt)
base=$cache/debian-$(sha256sum <<<"$recipe" | cut --characters=1-16).tar
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
[ -e "$base" ] || make_base "$base"
parts="$(basename "$base") $(key_of --directory "$rootfs" .) $(cat "$binary" "$here/build.sh" | sha256sum)"
initrd=$cache/initrd-$(sha256sum <<<"$parts" | cut --characters=1-16)

if [ "$(cat "$build/provider/root.key" 2>/dev/null)" = "$parts" ] && [ -e "$build/provider/root/boot/initrd" ]; then
	exit 0
fi
rm -f "$build/provider/root.key"
namespace=(unshare --mount --pid --fork)
[ "$(id --user)" = 0 ] || namespace+=(--map-auto --map-root-user)
export -f assemble make_initrd
export build rootfs binary
"${namespace[@]}" bash -euo pipefail -c 'umask 022; assemble "$@"' assemble "$base" "$initrd"
echo "$parts" >"$build/provider/root.key"
find "$cache" -maxdepth 1 \( -name 'debian-*.tar' ! -path "$base" -o -name 'initrd-*' ! -path "$initrd" \) -delete
