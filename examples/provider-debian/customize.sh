#!/bin/sh
# Runs inside the new root (mmdebstrap calls it with the root's path): makes an image of an installation.
set -eu
root=$1

# Names by which GRUB, the media builder and the Kairos contract find them, whatever the kernel version is.
version=$(ls "$root/usr/lib/modules")
ln -sf "vmlinuz-$version" "$root/boot/vmlinuz"
rm -f "$root"/vmlinuz* "$root"/initrd.img* "$root"/boot/config-*

# No identity: every machine makes its own. An empty machine-id means "not first boot, not set";
# the initramfs puts the persistent one in its place.
: >"$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed" \
	"$root/etc/hostname" "$root/etc/resolv.conf"
: >"$root/etc/hosts"

# What writes to /boot or to package data has nothing to do in a read-only image; containerd is
# started by whoever sets the node up.
systemctl --root="$root" --quiet disable containerd.service e2scrub_all.timer e2scrub_reap.service \
	dpkg-db-backup.timer remote-fs.target systemd-pstore.service
# dracut-shutdown would unpack an initramfs from /boot at every shutdown, to unmount a root that is read-only.
systemctl --root="$root" --quiet mask grub-common.service grub-initrd-fallback.service dracut-shutdown.service
rm -f "$root"/etc/cron.*/e2scrub_all "$root"/etc/cron.d/e2scrub_all

# Mount points of the contract (what user-data adds comes at boot) and the folders of an EKS hybrid node.
mkdir -p "$root/oem" "$root/system/oem" "$root/usr/local/cloud-config" "$root/etc/containerd" \
	"$root/etc/kubernetes/manifests" "$root/etc/eks" "$root/etc/cni/net.d" "$root/opt/cni/bin" \
	"$root/var/lib/kubelet" "$root/var/lib/containerd" "$root/var/lib/cni" "$root/usr/libexec"
# apt's own files are mmdebstrap's to clean, after this.
rm -rf "$root"/var/log/* "$root"/var/cache/debconf/* "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/var/lib/ucf/cache
