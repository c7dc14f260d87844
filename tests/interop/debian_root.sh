# Small Debian roots for tests, to be run by chroot; sourced by the scripts that need one.
#
# A root is made by debootstrap, from the mirror that this machine's apt is set up with, and kept:
# making it again costs nothing. The caller sets `cache`, the folder for logs.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# The user's folder for everything that is kept between runs.
cache_folder() {
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/uds_dist"
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
    echo "${0##*/}: installing debootstrap"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends debootstrap debian-archive-keyring; } >"$cache/apt.log" 2>&1 </dev/null ||
        die "apt-get could not install debootstrap; see $cache/apt.log"
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

# make_root ROOT SUITE PACKAGE,...: a new root with these packages and what Debian calls minimal.
make_root() {
    need_debootstrap
    remove_root "$1"
    # shellcheck disable=SC2046  # no mirror found: no argument, and debootstrap takes its default
    debootstrap --variant=minbase --keyring="$keyring" --include="$3" \
        "$2" "$1" $(apt_mirror) >"$1.log" 2>&1 </dev/null ||
        die "debootstrap $2 failed; see $1.log, check the network and run this again"
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
    # OTP 29's examples are documentation, and the erl_uds_dist carrier is one of them.
    for folder in "$1"/usr/share/doc/*; do
        case $folder in */erlang-examples) ;; *) rm -rf "$folder" ;; esac
    done
}
