#!/bin/sh
# Let root and the named users reach the metadata service of an instance, and nobody else.
#
# One transaction: there is no moment without the rules. Names without an account here are left out; an account that comes later
# makes this run again (dualtrack-metadata.path). Rules are of the user that opened the socket, so a container that shares
# the host's network is refused as well, unless it runs as root of the host's user namespace (docker's default user): that passes
# as root does. One behind a bridge is stopped by the hop limit of 1 (module gpu_pool).
# What the kernel sends after a process has let go of its socket has no user: such packets carry no request, and pass.
set -eu
uids=0
for name in "$@"; do
    uid=$(id -u -- "$name" 2>/dev/null) || continue
    uids="$uids, $uid"
done
exec nft -f - <<RULES
table inet dualtrack_metadata
delete table inet dualtrack_metadata
table inet dualtrack_metadata {
    chain output {
        type filter hook output priority filter; policy accept;
        ip daddr 169.254.169.254 meta skuid != { $uids } counter reject with icmpx admin-prohibited
        ip6 daddr fd00:ec2::254 meta skuid != { $uids } counter reject with icmpx admin-prohibited
    }
}
RULES
