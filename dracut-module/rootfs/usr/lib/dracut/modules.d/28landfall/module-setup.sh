#!/bin/bash
# shellcheck disable=SC2154 # dracut sets $initdir and its friends
# Dracut module of Landfall: the initramfs that installs, and that assembles the installed root.
#
# One generic initramfs serves both; what it does is decided by the kernel arguments. It stands on
# systemd alone: none of dracut's own shell stages, so there is no initqueue to wait for.

# Programs that `landfall` starts. A test of the installer holds this line against its own list.
landfall_tools=(blkid losetup e2fsck mke2fs mkfs.ext4 mkfs.vfat mcopy mdel mdir mmd mren partx resize2fs udevadm)

# What steps of the stages `rootfs`, `before-install`, `after-install`, `before-reset` and `after-reset` can count on
# beside a shell: `docs/operator.md` lists it, and a test holds the two together.
stage_tools=(cat chmod chown cmp cp cut date dd df grep head ln ls mkdir mount mv readlink rm rmdir sed sleep sort sync tail touch
    tr umount uname wc)

# Included only when asked for: the module must not slip into an image that boots with immucore.
check() {
    return 255
}

depends() {
    echo systemd-initrd
}

installkernel() {
    local modules=(
        # Filesystems, and what the slot image is read through.
        ext4 erofs overlay isofs vfat nls_ascii nls_cp437 nls_iso8859-1 nls_utf8 loop dm-mod dm-verity efivarfs
        # Disks and CD drives of real machines.
        nvme ahci ata_piix ata_generic sata_nv sata_sil24 sd_mod sr_mod
        usb-storage uas xhci-pci xhci-hcd ehci-pci ohci-pci uhci-hcd
        mmc_block sdhci-pci sdhci-acpi ufshcd-pci
        megaraid_sas mpt3sas aacraid smartpqi hpsa mvsas isci
        # Disks of hypervisors; the console is where a test rig listens to events.
        virtio_pci virtio_mmio virtio_blk virtio_scsi virtio_console
        vmw_pvscsi mptspi mptsas hv_vmbus hv_storvsc xen-blkfront
        # Network ports, so that they have their names when the commands of the user-data run.
        virtio_net vmxnet3 hv_netvsc xen-netfront e1000 e1000e igb igbvf igc ixgbe ixgbevf i40e iavf ice
        r8169 tg3 bnxt_en bnx2x mlx4_en mlx5_core
        # Keyboards, for the screens of the installer.
        hid-generic usbhid hid-hyperv hyperv-keyboard i8042 atkbd
    )
    # The initramfs boots on other machines than the one that builds it.
    hostonly='' instmods -o "${modules[@]}"
}

install() {
    inst_multiple /usr/bin/landfall /bin/sh "${landfall_tools[@]}" "${stage_tools[@]}" /etc/mke2fs.conf
    # FAT names go through code page 850; mtools refuses to start without its table.
    local gconv=/usr/lib/x86_64-linux-gnu/gconv
    inst_multiple -o "$gconv/gconv-modules.cache" "$gconv/gconv-modules" "$gconv/gconv-modules.d/gconv-modules-extra.conf"
    inst_libdir_file gconv/IBM850.so

    install_udev
    install_units
    install_network
    remove_unused

    # systemd knows an initramfs by this file.
    inst_simple /usr/lib/os-release
    ln_r /usr/lib/os-release /usr/lib/initrd-release
    ln_r /usr/lib/os-release /etc/initrd-release
    ln_r /usr/lib/os-release /etc/os-release
    mkdir -p "$initdir"/{dev,proc,sys,run,sysroot,tmp,etc/landfall,var/tmp}
    ln -sfn ../run "$initdir/var/run"
}

# Devices: only what names disks and network ports, and loads their drivers.
install_udev() {
    inst_multiple "$systemdutildir/systemd-udevd" udevadm
    inst_rules 50-udev-default.rules 60-block.rules 60-cdrom_id.rules 60-persistent-storage.rules \
        73-special-net-names.rules 75-net-description.rules 80-net-setup-link.rules 80-drivers.rules 99-systemd.rules
    inst_multiple -o "$udevdir"/{ata_id,cdrom_id,scsi_id}
    # The name that a port gets here is the one it keeps.
    inst_multiple -o "$systemdutildir/network/99-default.link" "$systemdutildir/network/73-usb-net-by-mac.link"
    local unit
    for unit in systemd-udevd-control.socket systemd-udevd-kernel.socket; do
        inst_simple "$systemdsystemunitdir/$unit"
    done
    local group
    for group in cdrom dialout disk floppy input kmem kvm lp render sgx tape tty video; do
        grep "^$group:" "$dracutsysrootdir/etc/group" >>"$initdir/etc/group"
    done
}

install_units() {
    inst_multiple "$systemdsystemunitdir"/landfall-{sysroot,install,failed}.service \
        "$systemdsystemunitdir/landfall-install.target" /usr/lib/landfall/boot-failed
    mkdir -p "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires"
    ln -s ../landfall-sysroot.service "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires/"
    # No shell for whoever stands in front of the machine: a failed boot goes back to the boot loader.
    local target
    for target in emergency rescue; do
        mkdir -p "$initdir/etc/systemd/system"
        printf '[Unit]\nDescription=Failed boot\nDefaultDependencies=no\nAllowIsolate=yes\nRequires=landfall-failed.service\n' \
            >"$initdir/etc/systemd/system/$target.target"
    done
    # The root's fstab says nothing to the initramfs: only the second half of this unit, going on, is wanted.
    mkdir -p "$initdir/etc/systemd/system/initrd-parse-etc.service.d"
    printf '[Service]\nExecStart=\nExecStart=systemctl --no-block start initrd-cleanup.service\n' \
        >"$initdir/etc/systemd/system/initrd-parse-etc.service.d/landfall.conf"
    # Old messages go on to the booted system; a lost one does not matter, a full memory does.
    mkdir -p "$initdir/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' >"$initdir/etc/systemd/journald.conf.d/landfall.conf"
}

# For user-data that is fetched: started by `landfall install`, and only then. Nothing here wants it, so that no install
# without an address to fetch waits for a network.
install_network() {
    inst_multiple "$systemdutildir"/systemd-{networkd,network-generator} \
        "$systemdsystemunitdir"/systemd-{networkd,network-generator}.service "$systemdsystemunitdir/systemd-networkd.socket" \
        "$systemdsystemunitdir"/network{,-pre}.target "$systemdutildir/network/80-landfall.network"
    # The account systemd-network comes with dracut's systemd module. Whom to trust, where the image has authorities at all.
    inst_multiple -o /etc/ssl/certs/ca-certificates.crt
}

# What dracut's systemd module brings and this initramfs must not or need not have. The generators above all:
# from root=LABEL=COS_ACTIVE (there for the Kairos tools) they would make a mount unit that waits for a label.
remove_unused() {
    rm -f "$initdir$systemdutildir"/system-generators/* \
        "$initdir$systemdutildir"/{systemd-coredump,systemd-vconsole-setup,systemd-reply-password,systemd-fsck} \
        "$initdir$systemdutildir"/systemd-{volatile-root,modules-load} \
        "$initdir$systemdsystemunitdir"/systemd-{modules-load,vconsole-setup,volatile-root,random-seed}.service \
        "$initdir$systemdsystemunitdir"/sysinit.target.wants/systemd-{modules-load,sysctl,tmpfiles-setup}.service \
        "$initdir$systemdsystemunitdir"/sysinit.target.wants/systemd-ask-password-console.path \
        "$initdir/etc/udev/hwdb.bin" "$initdir"/usr/lib/sysctl.d/*
}
