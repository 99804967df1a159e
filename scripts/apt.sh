# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Packages from a private package configuration: own lists, own cache, own idea of the architecture, nothing of the
# system's package state is read or written, no root needed. Signatures are checked with the archive keyrings that the
# system already has. The mirror is the machine's own, or DEBIAN_MIRROR. Sourced by the scripts beside it:
#
#   apt_open NAME DISTRO SUITES ARCH   make build/apt/NAME serve these suites of DISTRO for ARCH, or return 1
#   apt_do NAME apt-get ...            run an apt tool on it
#   cache_put NAME FILE...             keep files that were fetched and verified, for the user's other clones
#   cache_get NAME DIR                 bring them back, if they are whole
#
# It also holds the small things that every set-up script says.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}

say() { printf 'setup: %s\n' "$*"; }

die() {
	printf 'setup: error: %s\n' "$*" >&2
	exit 1
}

# The addresses that this machine takes its packages from, one per line. A machine whose lists were never fetched has no
# index targets yet; then the addresses are read out of what an update would fetch.
apt_mirrors() {
	{
		# shellcheck disable=SC2016  # $(REPO_URI) is apt's
		apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null
		apt-get --print-uris update 2>/dev/null | sed -n "s|^'\(.*/\)dists/.*|\1|p"
	} | grep -v -e '-security/*$' | awk '!seen[$0]++'
}

# apt_mirrors_for DISTRO: where packages of DISTRO may be had.
apt_mirrors_for() {
	if [ "$1" = debian ] && [ -n "${DEBIAN_MIRROR:-}" ]; then
		printf '%s\n' "$DEBIAN_MIRROR"
	else
		apt_mirrors
	fi
}

apt_keyring() {
	local k
	for k in /usr/share/keyrings/"$1"-archive-keyring.{gpg,pgp}; do
		if [ -r "$k" ]; then
			printf '%s\n' "$k"
			return 0
		fi
	done
	return 1
}

# apt_write DIR MIRROR SUITES ARCH KEYRING
apt_write() {
	local dir=$1 components=main suite
	case $5 in *ubuntu*) components="main universe" ;; esac
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	for suite in $3; do
		printf '%s [signed-by=%s] %s %s %s\n' \
			deb "$5" "$2" "$suite" "$components" \
			deb-src "$5" "$2" "$suite" "$components"
	done >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-END
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Architecture "$4";
		#clear APT::Architectures;
		APT::Architectures { "$4"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
}

apt_do() {
	local name=$1 tool=$2
	shift 2
	"$tool" -q -c "$BUILD/apt/$name/apt.conf" "$@"
}

# The same suites by the names that do not change with a release: a mirror in the middle of an update may serve one
# name whole and the other not. Whether they are the same is checked by the codename that their signed Release gives.
apt_aliases() {
	local suite
	for suite in $1; do
		case $suite in
		trixie*) printf '%s ' "stable${suite#trixie}" ;;
		bookworm*) printf '%s ' "oldstable${suite#bookworm}" ;;
		*) printf '%s ' "$suite" ;;
		esac
	done
}

# apt_serves NAME SUITES: has every list that was fetched the codename of one of SUITES?
apt_serves() {
	local codename
	# shellcheck disable=SC2016  # $(CODENAME) is apt's
	while read -r codename; do
		case " $2 " in *" $codename "*) ;; *) return 1 ;; esac
	done < <(apt_do "$1" apt-get indextargets --format '$(CODENAME)' | sort -u)
}

apt_open() {
	local name=$1 distro=$2 suites=$3 arch=$4 dir=$BUILD/apt/$1 keyring mirror names
	keyring=$(apt_keyring "$distro") || return 1
	while read -r mirror; do
		for names in "$suites" "$(apt_aliases "$suites")"; do
			rm -rf "$dir"
			apt_write "$dir" "$mirror" "$names" "$arch" "$keyring"
			if apt_do "$name" apt-get update --error-on=any >"$dir/log" 2>&1 && apt_serves "$name" "$suites"; then
				return 0
			fi
		done
	done < <(apt_mirrors_for "$distro")
	return 1
}

CACHE=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/pando

cache_put() {
	local dir=$CACHE/$1
	shift
	rm -rf "$dir.new"
	# Only a convenience: a home that cannot be written to is no reason to fail.
	if mkdir -p "$dir.new" 2>/dev/null && cp "$@" "$dir.new/"; then
		(cd "$dir.new" && sha256sum -- * >SHA256SUMS) && rm -rf "$dir" && mv "$dir.new" "$dir"
	fi
	rm -rf "$dir.new"
}

cache_get() {
	[ -r "$CACHE/$1/SHA256SUMS" ] && (cd "$CACHE/$1" && sha256sum --check --status --strict SHA256SUMS) || return 1
	(cd "$CACHE/$1" && cut -c 67- SHA256SUMS) | while read -r file; do cp "$CACHE/$1/$file" "$2/"; done
	say "taken from $CACHE/$1 (remove it to fetch anew)"
}

# The distribution this machine runs: debian, ubuntu, ...
os_id() { (. /etc/os-release && printf '%s\n' "$ID"); }
os_codename() { (. /etc/os-release && printf '%s\n' "${VERSION_CODENAME:-}"); }
