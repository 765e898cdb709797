#!/bin/bash
# fresh.sh - make check-fresh: the README's two commands in a minimal new Debian 12.
#
#   tests/fresh.sh [USER:COMMANDS]...
#
# For each operand a new root is unpacked with git, make and gcc (and sudo and ca-certificates), the
# last commit is cloned there, and the commands run in order. USER is root, or user, who has sudo;
# COMMANDS is demo, check, or both, separated by a comma. Without operands: root:demo,check
# root:check user:demo,check user:check. Prints what each command installed, ran and skipped.
# Complete outputs, the unpacked base and apt's packages stay in build/fresh/.
#
# Needs root, mmdebstrap and a Debian mirror: this machine's, if it is Debian 12, else
# deb.debian.org. Mounts are made in a name space of their own, which ends with its command.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$PWD/build/fresh

die() {
	echo "fresh.sh: $*" >&2
	exit 1
}

# Lines for sources.list: this machine's sources of Debian 12.
sources() {
	local lines
	# shellcheck disable=SC2016 # apt's own variables
	lines=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian bookworm[a-z-]* //p' | sort -u)
	printf '%s\n' "${lines:-deb http://deb.debian.org/debian bookworm main}"
}

# The base, unless it exists already: deps.sh fetches new lists of packages anyway.
make_base() {
	[ ! -e "$fresh/base.tar" ] || return 0
	echo "Making $fresh/base.tar: Debian 12 with git, make, gcc, sudo and ca-certificates"
	apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https|Check-[A-Za-z-]*|Retries)[ :]' \
		>"$fresh/apt.conf" || :
	sources | setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc mmdebstrap \
		--quiet --mode=root --variant=minbase \
		--include=git,make,gcc,sudo,ca-certificates --aptopt="$fresh/apt.conf" bookworm "$fresh/new.tar" \
		- || die "no base"
	mv "$fresh/new.tar" "$fresh/base.tar"
}

# unpack ROOT: makes a new root, with the tree's last commit as a bundle, and a user who has sudo
unpack() {
	tar -xf "$fresh/base.tar" -C "$1" &&
		cp "$fresh/tree.bundle" "$1/srv/tree.bundle" &&
		cp -L /etc/resolv.conf "$1/etc/resolv.conf" &&
		printf '127.0.0.1 localhost %s\n' "$(uname -n)" >"$1/etc/hosts" &&
		chroot "$1" useradd -m -s /bin/bash user &&
		echo 'user ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/user"
}

# in_root ROOT USER COMMAND: runs it in a name space of mounts and processes, with nothing of this
# environment but proxies
in_root() {
	local home=/root name
	[ "$2" = root ] || home=/home/$2
	local variables=(HOME="$home" USER="$2" LOGNAME="$2" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		[ -z "${!name-}" ] || variables+=("$name=${!name}")
	done
	# shellcheck disable=SC2016 # the inner shell's own
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child bash -ec '
		root=$1 archives=$2 user=$3 command=$4
		shift 4
		mount -t proc proc "$root/proc"
		mkdir -p "$root/dev/pts" "$root/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		mount --bind "$archives" "$root/var/cache/apt/archives"
		groups=$(chroot "$root" id -G "$user" | tr " " ,)
		exec chroot --userspec="$user" --groups="$groups" "$root" env -i "$@" bash -c "cd && $command"' \
		in_root "$1" "$fresh/archives" "$2" "$3" "${variables[@]}" </dev/null
}

packages() { chroot "$1" dpkg-query -W -f "\${Package}\n" | sort; }

# tell LOG: prints what a command said of packages, tests and skipping, and its end if it failed
tell() {
	grep -E '^(Files=|Result: |Nothing was skipped|missing, and |still missing)' "$1" | sed 's/^/  /' || :
	sed -n '/^Skipped: /,/^[^ S]/{/^\(Skipped: \|  \)/p}' "$1" | sed 's/^/  /'
}

# run_one USER COMMANDS: exit status 1 if one of them fails
run_one() {
	local user=$1 command log status failed=0
	unpack "$root" || return 1
	in_root "$root" "$user" "git clone --quiet /srv/tree.bundle vae-tools" 2>"$fresh/clone.log" ||
		{ cat "$fresh/clone.log"; return 1; }
	for command in ${2//,/ }; do
		log=$fresh/$user-${2//,/-}.$command.log
		packages "$root" >"$fresh/before"
		printf '\n== %s: make %s%s\n' "$user" "$command" \
			"$([ "$command" = "${2%%,*}" ] || echo ", after make ${2%%,*}")"
		status=0
		in_root "$root" "$user" "cd vae-tools && make $command" >"$log" 2>&1 || status=$?
		packages "$root" | comm -13 "$fresh/before" - | tr '\n' ' ' | fold -s -w 120 |
			sed '1s/^/installed: /; 1!s/^/  /' ; echo
		tell "$log"
		echo "exit status $status; all of it in $log"
		[ "$status" = 0 ] || { failed=1; tail -n 25 "$log" | sed 's/^/  | /'; }
	done
	return "$failed"
}

main() {
	local run commit results=() failures=0
	[ "$(id -u)" -eq 0 ] || die "makes roots and mounts, which needs root"
	unshare --mount true 2>/dev/null || die "no name space of mounts is to be had here"
	command -v mmdebstrap >/dev/null || tools/deps.sh demo mmdebstrap:mmdebstrap
	mkdir -p "$fresh/archives/partial"
	[ -z "$(git status --porcelain --untracked-files=no)" ] ||
		echo "fresh.sh: changes that are not committed are not in it" >&2
	make_base
	git bundle create --quiet "$fresh/tree.bundle" HEAD
	commit=$(git rev-parse --short HEAD)

	[ $# -gt 0 ] || set -- root:demo,check root:check user:demo,check user:check
	for run; do
		[[ $run =~ ^(root|user):(demo|check)(,(demo|check))?$ ]] || die "'$run' is not USER:COMMANDS"
		root=$(mktemp -d /var/tmp/vae-fresh.XXXXXX)
		trap 'rm -rf --one-file-system "$root"' EXIT
		if run_one "${run%%:*}" "${run#*:}"; then results+=("$run passes"); else
			results+=("$run FAILS")
			failures=$((failures + 1))
		fi
		rm -rf --one-file-system "$root"
	done
	printf '\nDebian %s, commit %s:\n' "$(tar -xOf "$fresh/base.tar" ./etc/debian_version)" "$commit"
	printf '  %s\n' "${results[@]}"
	[ "$failures" = 0 ]
}

main "$@"; exit # one line, read before anything runs: this file may change meanwhile
