#!/bin/sh
# Install real OTP releases for the interop tests, from Debian packages, outside the repository.
#
#   tests/interop/install_otp.sh [RELEASE ...]      RELEASE is 27 or 29; both without an argument
#
# Each release becomes a small Debian root at CACHE/RELEASE, run by chroot, where CACHE is
# $UDS_DIST_OTP_CACHE, or uds_dist/otp in the user's cache folder. Debian is used because one
# debootstrap call brings OTP and the Elixir that matches it, with nothing built from source.
# Running it again costs nothing.
set -eu

# shellcheck source=tests/interop/debian_root.sh
. "$(dirname "$0")/debian_root.sh"
cache=${UDS_DIST_OTP_CACHE:-$(cache_folder)/otp}
packages=erlang-base,erlang-tools,erlang-crypto,erlang-ssl,erlang-examples,elixir
marker=.uds_dist_otp # written last: a root without it was interrupted

suite_of() {
    case $1 in
    27) echo trixie ;;
    29) echo sid ;;
    *) die "no Debian suite is known for OTP $1; the choices are 27 and 29" ;;
    esac
}

installed_release() {
    LC_ALL=C.UTF-8 chroot "$1" /usr/bin/erl -noinput -boot start_clean -eval \
        'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null
}

install() {
    release=$1 suite=$(suite_of "$1") root=$cache/$1
    if [ -e "$root/$marker" ]; then
        echo "install_otp: OTP $release is ready in $root"
        return
    fi
    echo "install_otp: OTP $release from Debian $suite into $root (about a minute, 300 MB)"
    make_root "$root" "$suite" "$packages"
    found=$(installed_release "$root") || die "erl does not start in $root; see $cache/$release.log"
    [ "$found" = "$release" ] ||
        die "Debian $suite has OTP $found now, not $release; change suite_of in $0"
    echo "$found" >"$root/$marker"
    echo "install_otp: OTP $found is ready in $root"
}

for release in ${*:-27 29}; do suite_of "$release" >/dev/null; done
[ "$(id -u)" = 0 ] || die "run this as root: debootstrap and chroot need it"
mkdir -p "$cache" || die "cannot make $cache; set UDS_DIST_OTP_CACHE to a folder you can write to"
if [ -z "${UDS_DIST_OTP_LOCKED:-}" ] && command -v flock >/dev/null; then
    exec env UDS_DIST_OTP_LOCKED=1 flock "$cache/.lock" sh "$0" "$@" # one installer at a time
fi
for release in ${*:-27 29}; do install "$release"; done
