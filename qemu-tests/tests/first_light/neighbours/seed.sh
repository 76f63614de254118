# shellcheck shell=sh disable=SC2154 # `events` comes from who starts this
# Makes what machines of others have on their disks, with the drivers and the programs that they use:
#   vda, vdb  the volume group vg0; vda is large
#   vdc, vdd  two disks of a server: EFI, mirrored /boot, LVM on a mirror, mirrors of the two other formats; vdc is large
#   vde, vdf  a mirror of format 0.90 of whole disks
#   vdg, vdh  the same of format 1.2
#   vdi       encrypted by LUKS2
set -x
mkdir -p /etc/lvm /run/lvm /run/lock/lvm /run/mdadm
# Nobody but us makes nodes here: there is no udev.
echo 'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
devices { obtain_device_list_from_udev = 0 }' >/etc/lvm/lvm.conf
export DM_DISABLE_UDEV=1

# Formats a device, and leaves a file on it.
fill() {
    mkfs.ext4 -q -L "$2" "$1"
    mount -t ext4 "$1" /mnt
    dd if=/dev/urandom of=/mnt/data bs=1M count=8
    umount /mnt
}

# A mirror that was never out of step: number, format, two members.
mirror() {
    mdadm --create "/dev/md$1" --run --assume-clean --homehost=till --name="shop$1" \
        --level=1 --raid-devices=2 --metadata="$2" "$3" "$4"
}

lvm pvcreate --yes /dev/vda /dev/vdb
lvm vgcreate vg0 /dev/vda /dev/vdb
lvm lvcreate --yes --stripes 2 --size 128M --name tills vg0
fill /dev/vg0/tills tills

for disk in vdc vdd; do
    sgdisk --new=1:0:+64M --typecode=1:ef00 --new=2:0:+96M --typecode=2:fd00 --new=3:0:+256M --typecode=3:fd00 \
        --new=4:0:+96M --typecode=4:fd00 --new=5:-96M:0 --typecode=5:fd00 "/dev/$disk"
    mkfs.vfat -n EFI "/dev/${disk}1"
done
mirror 1 1.0 /dev/vdc2 /dev/vdd2
fill /dev/md1 boot
mirror 2 1.2 /dev/vdc3 /dev/vdd3
lvm pvcreate --yes /dev/md2
lvm vgcreate vg1 /dev/md2
lvm lvcreate --yes --size 64M --name root vg1
fill /dev/vg1/root root
lvm lvcreate --yes --size 32M --name swap vg1
mkswap /dev/vg1/swap
mirror 3 1.1 /dev/vdc4 /dev/vdd4
fill /dev/md3 old
mirror 4 0.90 /dev/vdc5 /dev/vdd5
fill /dev/md4 older

mirror 5 0.90 /dev/vde /dev/vdf
fill /dev/md5 whole
mirror 6 1.2 /dev/vdg /dev/vdh
fill /dev/md6 whole

printf secret >/key
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /key /dev/vdi
cryptsetup open --key-file /key /dev/vdi safe
fill /dev/mapper/safe safe

standing=$(find /sys/class/block/*/holders/ -type l | sed 's,.*/block/,,; s,/holders/,:,' | sort | tr '\n' ' ')
cryptsetup close safe
lvm vgchange --activate n vg0 vg1
mdadm --stop /dev/md1 /dev/md2 /dev/md3 /dev/md4 /dev/md5 /dev/md6
sync
printf '{"v":1,"event":"seeded","standing":"%s"}\n' "$standing" >"$events"
poweroff -f
