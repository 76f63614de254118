# shellcheck shell=sh disable=SC2154 # `events` comes from who starts this
# Makes each of vda, vdb, vdc and vdd the only half of a mirror, one for each format.
set -x
mkdir -p /run/mdadm

half() {
    mdadm --create "/dev/md$1" --run --homehost=till --name="shop$1" --level=1 --raid-devices=2 --metadata="$2" "$3" missing
    mkfs.ext4 -q -L whole "/dev/md$1"
    mdadm --stop "/dev/md$1"
}

half 1 0.90 /dev/vda
half 2 1.0 /dev/vdb
half 3 1.1 /dev/vdc
half 4 1.2 /dev/vdd
sync
echo '{"v":1,"event":"seeded"}' >"$events"
poweroff -f
