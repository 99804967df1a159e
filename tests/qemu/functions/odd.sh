# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash disable=SC3028  # busybox has $RANDOM
#
# A function for test_linux_functions.py: does what its payload says, "VERB" or "VERB NUMBER". What it does not know it gives back.

size=$(wc -c)
[ "$size" -lt 40 ] || { cat /tmp/input && return; }
read -r verb n </tmp/input
case $verb in
identity)
	echo "$(hostname) $(date +%s) $(head -c 8 /dev/urandom | hexdump -v -e '8/1 "%02x"') $RANDOM$RANDOM 0"
	;;
kill) kill -9 $$ ;;
exit) exit "$n" ;;
fail)
	echo "no luck, error $n" >&2
	return "$n"
	;;
syntax) eval 'fi' ;;
background) sleep 1000 & ;;
sleepers) cat /proc/[0-9]*/cmdline | tr '\0' '\n' | grep -cx '[1]000' || : ;;
hang) while :; do :; done ;;
fill) head -c "$n" /dev/zero | tr '\0' x ;;
*) cat /tmp/input ;;
esac
