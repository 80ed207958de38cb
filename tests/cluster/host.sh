#!/usr/bin/env bash
# The first process of a host of the bed, in namespaces of its own: whatever it may write becomes its own, in
# memory and gone with it; then it waits for ssh.
#   host.sh NAME VENV PYTHON CHECKOUT PUBLIC_KEY
set -eu
name=$1 venv=$2 python=$3 checkout=$4 key=$5
cd /
hostname "$name"

own=/mnt
mount -t tmpfs -o mode=755 own $own
mkdir $own/home $own/changes $own/work $own/venv $own/checkout
mount -t overlay -o "lowerdir=$venv,upperdir=$own/changes,workdir=$own/work" venv $own/venv
[ "$name" != desk ] || mount --bind -o ro "$checkout" $own/checkout # only a desk has the project to begin with

mkdir $own/home/venv
mount --bind $own/venv $own/home/venv
case $python/ in "$HOME"/*) # an interpreter in the home folder stays in sight
  mkdir -p "$own/home${python#"$HOME"}"
  mount --bind -o ro "$python" "$own/home${python#"$HOME"}" ;;
esac
mount --rbind $own/home "$HOME"
for folder in /tmp /var/tmp /run /dev/shm; do
  mount -t tmpfs -o mode=1777 own $folder
done
[ ! -d "$checkout" ] || mount -t tmpfs own "$checkout"
mkdir -p "$venv"
mount --bind $own/venv "$venv" # its programs look for Python there

mkdir -p ~/.config/pip ~/.ssh /run/sshd
printf '[global]\nno-index = true\nno-build-isolation = false\n' > ~/.config/pip/pip.conf # no registry here; false: none, says pip
echo "$key" > ~/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N '' -f /run/host_key
/usr/sbin/sshd -D -e -f /dev/null -h /run/host_key -o PidFile=none -o PasswordAuthentication=no \
  -o PermitRootLogin=prohibit-password -o MaxStartups=100 &
wait
