# SPDX-License-Identifier: BSD-2-Clause
# Mediated devices by what a user types, in the shell that runs this: sh shell.sh UVFIO, under uvfio run --device mtty.
uvfio=$1
types=/sys/class/mdev_bus/mtty/mdev_supported_types
devices=/sys/bus/mdev/devices
name=83b8f4f2-509f-382f-3c1e-e6bfe0fa100

fail()
{
    echo "$*" >&2
    exit 1
}

made()
{
    [ -e $devices/$name$1 ] || fail "not made: $2"
}

echo ${name}1 > $types/mtty-1/create
made 1 'echo'
cat > $types/mtty-2/create <<END
${name}2
END
made 2 'cat, which the shell starts with the file'
echo ${name}3 | tee $types/mtty-1/create > /dev/null
made 3 'tee'
/bin/echo ${name}4 > $types/mtty-1/create
made 4 'a program that writes from within the C library'
printf %s ${name}5 | dd of=$types/mtty-1/create 2> /dev/null
made 5 'dd'

cat > $types/mtty-1/create 2> /dev/null <<END && fail 'cat made a second one of the same name'
${name}1
END
[ "$(cat $types/mtty-1/available_instances)" = 18 ] || fail 'available_instances'
[ "$(ls $devices | wc -l)" = 5 ] || fail 'instances'

# What cannot be is refused, and the shell's own echo and printf know of it.
for text in nonsense zzz abc -1 '' "{${name}6}" ${name}1 ${name}66; do
    echo "$text" > $types/mtty-1/create 2> /dev/null && fail "echo '$text' > create"
    printf '%s\n' "$text" > $types/mtty-1/create 2> /dev/null && fail "printf '$text' > create"
done
echo nonsense > $devices/${name}1/remove 2> /dev/null && fail 'echo nonsense > remove'
exec 3> $types/mtty-1/create
/bin/echo ${name}6 >&3
echo zzz >&3 2> /dev/null && fail 'echo zzz, where others have written'
echo ${name}7 >&3 || fail 'echo, after one that was refused'
exec 3>&-
for one in 6 7; do
    made $one 'several by one descriptor'
    echo 1 > $devices/$name$one/remove || fail 'remove'
done

[ "$("$uvfio" mdev create mtty-2 ${name}6)" = ${name}6 ] || fail 'uvfio mdev create'
made 6 'uvfio mdev create'
"$uvfio" mdev create mtty-2 ${name}6 2> /dev/null && fail 'uvfio mdev create made a second one of the same name'
"$uvfio" mdev create mtty-2 x 2> /dev/null && fail 'uvfio mdev create took x'
[ "$("$uvfio" mdev create mtty-2 83B8F4F2-509F-382F-3C1E-E6BFE0FA1007)" = ${name}7 ] || fail 'uvfio mdev create with capitals'
"$uvfio" mdev remove 83B8F4F2-509F-382F-3C1E-E6BFE0FA1007 || fail 'uvfio mdev remove with capitals'
"$uvfio" mdev create mtty-3 2> /dev/null && fail 'uvfio mdev create took mtty-3'
random=$("$uvfio" mdev create mtty-1)
[ -e $devices/$random ] || fail 'uvfio mdev create with a name of its own'
"$uvfio" mdev types | grep -q '^mtty-1 *mtty *15 *vfio-pci *Single port serial$' || fail 'uvfio mdev types'
"$uvfio" mdev list | grep -q "^${name}2 mtty-2 " || fail 'uvfio mdev list'
"$uvfio" mdev remove ${name}6 || fail 'uvfio mdev remove'
"$uvfio" mdev remove ${name}6 2> /dev/null && fail 'uvfio mdev remove removed it twice'
[ -e $devices/${name}6 ] && fail 'uvfio mdev remove'

for device in $devices/*; do
    echo 1 > $device/remove
done
[ -z "$(ls $devices)" ] || fail 'remove'
[ "$(cat $types/mtty-1/available_instances)" = 24 ] || fail 'available_instances at the end'

# A file that stays open, for other programs and to the end of this one.
exec 3> $types/mtty-1/create
/bin/echo ${name}1 >&3
exec 3>&-
made 1 'another program, by a descriptor of the shell'
exec 3> $types/mtty-1/create
(echo ${name}2 >&3)
exec 3>&-
made 2 'a subshell, by a descriptor of the shell'
for shell in sh bash; do
    [ -x /bin/$shell ] || continue
    $shell -c "exec 3> $types/mtty-1/create; echo ${name}3 >&3"
    made 3 "$shell, which ends with the file open"
    echo 1 > $devices/${name}3/remove
    $shell -c "exec 3> $types/mtty-1/create; /bin/echo ${name}3 >&3"
    made 3 "another program of $shell, which ends with the file open"
    echo 1 > $devices/${name}3/remove
done
for device in $devices/*; do
    echo 1 > $device/remove
done

# Somebody has it open.
echo ${name}1 > $types/mtty-1/create
group=$(basename "$(readlink $devices/${name}1/iommu_group)")
(exec 3<> /dev/vfio/"$group"; echo > "$UVFIO_SESSION/open"; sleep 3; :) &
until [ -e "$UVFIO_SESSION/open" ]; do sleep 0.1; done
(sleep 0.5
    "$uvfio" mdev list | grep -q "^${name}1 .* leaving\$" && "$uvfio" mdev remove ${name}1) > "$UVFIO_SESSION/second" 2>&1 &
said=$("$uvfio" mdev remove ${name}1 2>&1) || fail "remove of one that is open: $said"
[ "$(cat "$UVFIO_SESSION/second")" = "uvfio: mdev: ${name}1: is being removed already: it goes when it is closed" ] ||
    fail "a second remove meanwhile: $(cat "$UVFIO_SESSION/second")"
echo "$said" | grep -q "^uvfio: ${name}1: to be removed; process [0-9]* ([a-z]*) has it open, waiting until it is closed\$" ||
    fail "remove of one that is open: $said"
[ -e $devices/${name}1 ] && fail 'remove of one that was open'
wait

# Several programs at a time.
for one in 1 2 3; do
    for two in 0 1 2 3 4 5 6 7 8 9; do
        echo 83b8f4f2-509f-382f-3c1e-e6bfe0fa2${one}0$two > $types/mtty-1/create || echo create $one $two
        ls /dev/vfio > /dev/null
        echo 1 > $devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa2${one}0$two/remove || echo remove $one $two
    done &
done > $UVFIO_SESSION/failed 2>&1
wait
[ -s $UVFIO_SESSION/failed ] && fail "$(cat $UVFIO_SESSION/failed)"
[ -z "$(ls $devices)" ] || fail 'remove, of several at a time'
[ "$(cat $types/mtty-1/available_instances)" = 24 ] || fail 'available_instances after several at a time'
