# SPDX-License-Identifier: BSD-2-Clause
# A mediated driver whose names are as long as they may be, by every road that has its files' paths in it.
type=$(echo /sys/class/mdev_bus/*/mdev_supported_types/*)
devices=/sys/bus/mdev/devices
name=83b8f4f2-509f-382f-3c1e-e6bfe0fa100

fail()
{
    echo "$*" >&2
    exit 1
}

echo ${name}1 > $type/create
cat > $type/create <<END
${name}2
END
[ "$(readlink -f $devices/${name}1/mdev_type)" = "$(readlink -f $type)" ] || fail 'mdev_type'
[ -e $type/devices/${name}2/remove ] || fail 'not made: cat, which the shell starts with the file'
exec 3> $type/create
[ "$(readlink /proc/self/fd/3)" = "$(readlink -f $type)/create" ] || fail 'the name of a descriptor'
exec 3>&-
echo 1 > $devices/${name}1/remove
exec 3> $devices/${name}2/remove
/bin/echo 1 >&3
exec 3>&-
[ -z "$(ls $devices)" ] || fail 'remove'
