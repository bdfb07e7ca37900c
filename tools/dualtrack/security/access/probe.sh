# shellcheck shell=sh
# Run as root on a host, by `dualtrack access matrix --test`: tries what somebody may do, as that person. Prints a line for
# each try: the action, a tab, allowed or refused, a tab, the last words that were said. What would be destructive is aimed
# at names that do not exist, or asked with words that change nothing.
set -u
name=$1 mark=$2 trail=/var/lib/dualtrack/audit/trail
try() { # action, words to run
    action=$1
    shift
    if said=$(timeout 60 "$@" 2>&1 </dev/null); then verdict=allowed; else verdict=refused; fi
    printf '%s\t%s\t%s\n' "$action" "$verdict" "$(printf '%s' "$said" | tail -n 1 | tr '\t' ' ' | cut -c1-200)"
}
try login su - "$name" -c true
[ "$verdict" = allowed ] || exit 0
as() { # action, words to run as the person
    action=$1
    shift
    try "$action" runuser -u "$name" -- "$@"
}
# The mark is found again in the audit trail: a refusal is recorded.
as root sudo -n -- true "$mark"
# shellcheck disable=SC2016 # the person's own shell expands it
as journal sh -c 'test -n "$(journalctl --quiet --lines=1 _PID=1 2>/dev/null)" || sudo -n -- journalctl --quiet --lines=1 _PID=1'
if [ -d "$trail" ]; then
    as verify sudo -n -u dualtrack-audit -- /usr/local/bin/dualtrack-audit verify "$trail" --key "$trail/root.pem"
    as trail-write sh -c "test -w $trail/segments || sudo -n -u dualtrack-audit -- test -w $trail/segments"
    # A signal that it takes no notice of: a window's size.
    stop="systemctl --no-ask-password kill --signal=WINCH dualtrack-audit-collect.service"
    as recorder-stop sh -c "$stop || sudo -n -- $stop"
fi
# What the search store keeps, where a host has one: its own rights do not count for who reads its files.
[ ! -d /var/lib/dualtrack/elk ] || as data sudo -n -- ls /var/lib/dualtrack/elk
if command -v sbatch >/dev/null; then
    as submit sbatch --test-only --chdir=/tmp --wrap=true
    as partition scontrol update "partitionname=$(sinfo --noheader --format=%R | head -n 1)" state=UP
    row=$(sacctmgr --noheader --parsable2 show associations format=account,share,user | grep '|$' | grep -v '^root|' | head -n 1)
    # To what it is already.
    [ -z "$row" ] ||
        as accounts sacctmgr --immediate modify account where "name=${row%%|*}" set "fairshare=$(echo "$row" | cut -d'|' -f2)"
fi
