# A host of the fleet: PID 1 of its own PID, mount, network, UTS and IPC namespaces. Its root is an overlay over the
# machine's, so that everything it writes is its own. DIR, NAME, KEY (a public key) come from the environment; ends with
# its standard input.
set -eu
mkdir -p "$DIR/upper" "$DIR/work" "$DIR/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
# Nothing may be written before this is certain.
[ "$(stat -f -c %T "$DIR/root")" = overlayfs ]
[ "$(stat -c %d "$DIR/root")" != "$(stat -c %d /)" ]
cd "$DIR/root"
mount -t proc proc proc
for dir in run tmp dev; do mount -t tmpfs tmpfs "$dir"; done
chmod 1777 tmp
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm run/fleet run/sshd tmp/machine
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname "$NAME"
ip link set lo up
# From here on the machine's root cannot be reached by any name.
pivot_root . tmp/machine
exec chroot . /bin/sh -c '
set -eu
umount -l /tmp/machine
rmdir /tmp/machine
getent group oinstall >/dev/null || groupadd oinstall
id oracle >/dev/null 2>&1 || useradd -M -g oinstall -d /home/oracle -s /bin/sh oracle
mkdir -p /home/oracle /etc/cron.d
chown oracle:oinstall /home/oracle
ssh-keygen -q -t ed25519 -N "" -f /run/fleet/host_key
printf "%s\n" "$KEY" >/run/fleet/authorized_keys
printf "%s\n" "Port 22" "HostKey /run/fleet/host_key" "AuthorizedKeysFile /run/fleet/authorized_keys" "PidFile none" \
    "StrictModes no" "UsePAM no" "UseDNS no" "PasswordAuthentication no" "KbdInteractiveAuthentication no" \
    "PermitRootLogin prohibit-password" "PrintLastLog no" "Subsystem sftp internal-sftp" \
    "SetEnv PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/tmp LANG=C.UTF-8" >/run/fleet/sshd_config
"$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f /run/fleet/sshd_config 2>/run/fleet/sshd.log &
echo ready
cat >/dev/null
'
