#!/bin/sh
# Install real OTP releases for the interop tests, from Debian packages, outside the repository.
#
#   tests/interop/install_otp.sh [RELEASE ...]      RELEASE is 27 or 29; both without an argument
#
# Each release becomes a small Debian root at CACHE/RELEASE, run by chroot, where CACHE is
# $UDS_DIST_OTP_CACHE, or uds_dist/otp in the user's cache folder. Debian is used because one
# debootstrap call brings OTP and the Elixir that matches it, with nothing built from source.
# The mirror is the one this machine's apt is set up with. Running it again costs nothing.
set -eu

cache=${UDS_DIST_OTP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/uds_dist/otp}
packages=erlang-base,erlang-tools,erlang-crypto,erlang-ssl,erlang-examples,elixir
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
marker=.uds_dist_otp # written last: a root without it was interrupted

die() {
    echo "install_otp: $*" >&2
    exit 1
}

suite_of() {
    case $1 in
    27) echo trixie ;;
    29) echo sid ;;
    *) die "no Debian suite is known for OTP $1; the choices are 27 and 29" ;;
    esac
}

# The archive apt uses. Security and update suites live elsewhere or hold only part of it.
apt_mirror() {
    apt-get indextargets --format '$(CREATED_BY) $(LABEL) $(RELEASE) $(REPO_URI)' 2>/dev/null |
        awk '$1 == "Packages" && $0 !~ /security/ && $0 ~ /debian/ { print $NF; exit }'
}

need_debootstrap() {
    command -v debootstrap >/dev/null && [ -e "$keyring" ] && return
    command -v apt-get >/dev/null ||
        die "debootstrap is missing and so is apt-get; install debootstrap with your package manager"
    echo "install_otp: installing debootstrap"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends debootstrap debian-archive-keyring; } >"$cache/apt.log" 2>&1 </dev/null ||
        die "apt-get could not install debootstrap; see $cache/apt.log"
}

installed_release() {
    LC_ALL=C.UTF-8 chroot "$1" /usr/bin/erl -noinput -boot start_clean -eval \
        'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null
}

remove_root() {
    # An interrupted debootstrap leaves its /proc and /sys mounted.
    for mounted in "$1/proc" "$1/sys"; do
        while mountpoint -q "$mounted" 2>/dev/null; do
            umount "$mounted" || die "cannot unmount $mounted; unmount it and run this again"
        done
    done
    rm -rf --one-file-system "$1"
}

install() {
    release=$1 suite=$(suite_of "$1") root=$cache/$1
    if [ -e "$root/$marker" ]; then
        echo "install_otp: OTP $release is ready in $root"
        return
    fi
    need_debootstrap
    remove_root "$root"
    echo "install_otp: OTP $release from Debian $suite into $root (about a minute, 300 MB)"
    # shellcheck disable=SC2046  # no mirror found: no argument, and debootstrap takes its default
    debootstrap --variant=minbase --keyring="$keyring" --include="$packages" \
        "$suite" "$root" $(apt_mirror) >"$cache/$release.log" 2>&1 </dev/null ||
        die "debootstrap $suite failed; see $cache/$release.log, check the network and run this again"
    remove_caches "$root"
    found=$(installed_release "$root") || die "erl does not start in $root; see $cache/$release.log"
    [ "$found" = "$release" ] ||
        die "Debian $suite has OTP $found now, not $release; change suite_of in $0"
    echo "$found" >"$root/$marker"
    echo "install_otp: OTP $found is ready in $root"
}

remove_caches() {
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
    # OTP 29's examples are documentation, and the erl_uds_dist carrier is one of them.
    for folder in "$1"/usr/share/doc/*; do
        case $folder in */erlang-examples) ;; *) rm -rf "$folder" ;; esac
    done
}

for release in ${*:-27 29}; do suite_of "$release" >/dev/null; done
[ "$(id -u)" = 0 ] || die "run this as root: debootstrap and chroot need it"
mkdir -p "$cache" || die "cannot make $cache; set UDS_DIST_OTP_CACHE to a folder you can write to"
if [ -z "${UDS_DIST_OTP_LOCKED:-}" ] && command -v flock >/dev/null; then
    exec env UDS_DIST_OTP_LOCKED=1 flock "$cache/.lock" sh "$0" "$@" # one installer at a time
fi
for release in ${*:-27 29}; do install "$release"; done
