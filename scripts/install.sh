#!/usr/bin/env bash
# Installs orapipe below one directory, without root where that directory is one's own.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: install.sh [--prefix DIR] [--from TARBALL | --build]   install, or upgrade what is there
       install.sh [--prefix DIR] --uninstall                  remove what was installed, and nothing else

  --prefix DIR     where to [default: /opt/orapipe as root, else ~/orapipe]
  --from TARBALL   orapipe-V-linux-x86_64.tar.gz; SHA256SUMS must be beside it. Not needed inside the unpacked tarball
  --build          build it here first, in the sources, for this machine (needs cargo and a C compiler)
  --uninstall      remove the files that are in DIR/share/orapipe/INSTALLED; settings that were edited stay

Can be run again at any time, also after it was interrupted. Before anything is changed every file is checked, and the new
programs must start on this machine. Files in DIR/etc that were edited stay; the new ones are put beside them as NAME.new, or as
NAME.orapipe-new where NAME.new is somebody's. Other files of ours that were edited are kept as NAME.saved.<date>-<time>.
Nothing is started, no user is made, nothing outside DIR is touched.

Exit status: 0 done; 1 failed, or refused with nothing changed; 64 wrong usage
TEXT
}

say() { printf 'install: %s\n' "$*"; }
fail() { printf 'install: error: %s\n' "$1" >&2; shift; for hint in "$@"; do printf 'install: hint: %s\n' "$hint" >&2; done; exit 1; }
wrong() { printf 'install: error: %s\n' "$1" >&2; usage >&2; exit 64; }

prefix='' from='' action=install build=no
while [ $# -gt 0 ]; do
    case "$1" in
        --prefix) [ -n "${2:-}" ] || wrong "--prefix needs a directory"; prefix=$2; shift ;;
        --from) [ -n "${2:-}" ] || wrong "--from needs a file"; from=$2; shift ;;
        --build) build=yes ;;
        --uninstall) action=uninstall ;;
        -h | --help) usage; exit 0 ;;
        *) wrong "$1 is not known" ;;
    esac
    shift
done
[ "$build" = no ] || [ -z "$from" ] || wrong "--from and --build exclude each other"
[ "$action" = install ] || { [ "$build" = no ] && [ -z "$from" ]; } || wrong "--uninstall takes only --prefix"
self=$(readlink -f "$0")
if [ -z "$prefix" ]; then
    # The copy that an installation keeps knows where it is.
    if [ -e "${self%/*}/INSTALLED" ] && [ "${self%/share/orapipe/install.sh}" != "$self" ]; then
        prefix=${self%/share/orapipe/install.sh}
    elif [ "$(id -u)" = 0 ]; then prefix=/opt/orapipe; else prefix=${HOME:?}/orapipe; fi
fi
case "$prefix" in /*) ;; *) prefix=$PWD/$prefix ;; esac
while [[ "$prefix" == */ && "$prefix" != / ]]; do prefix=${prefix%/}; done
# The path goes into unit files and crontabs, where other characters would mean something.
case "$prefix" in
    *[!A-Za-z0-9/._+-]* | */../* | */..) wrong "--prefix $prefix: only letters, digits and / . _ + - are allowed, and no .." ;;
    / | /usr | /usr/local | /etc | /bin) fail "$prefix is shared with other software" "choose a directory of its own, such as /opt/orapipe; for /usr there are the .rpm and the .deb" ;;
esac
umask 022
export LC_ALL=C

for program in sed awk sort comm sha256sum mktemp readlink flock; do
    command -v "$program" >/dev/null 2>&1 || fail "$program is not installed" "it belongs to coreutils, sed, gawk or util-linux"
done

# Mode, sum, kind and path of every file that is ours. The second one is there while an installation is under way, and says
# what may be there: a run that was interrupted leaves it, and the next one, or --uninstall, goes by both.
installed=$prefix/share/orapipe/INSTALLED
underway=$prefix/share/orapipe/INSTALLED.underway

paths() { awk '{ print $4 }' "$1" | sort -u; }

# Of every path in a list: its kind, and the sums it may have, all in one word each.
declare -A kind_of=() sums_of=() sum_now=()
read_list() {
    local _ sha kind path
    while read -r _ sha kind path; do
        kind_of[$path]=$kind
        sums_of[$path]="${sums_of[$path]:-} $sha"
    done <"$1"
}
# The sums that the files of a list have now, below a directory; a file that is not there has none.
read_sums() {
    local sha path
    sum_now=()
    while read -r sha path; do sum_now[${path#\*}]=$sha; done \
        < <(cd "$2" && paths "$1" | while read -r path; do if [ -f "$path" ]; then printf '%s\0' "$path"; fi; done | xargs -0 -r sha256sum)
}
# Whether a file is another than any that we have put there.
is_edited() { [ -n "${sum_now[$1]:-}" ] && [[ " ${sums_of[$1]:-} " != *" ${sum_now[$1]} "* ]]; }

# Our programs that run from the prefix: pid and name, one per line.
running() {
    local link to
    for link in /proc/[0-9]*/exe; do
        to=$(readlink "$link" 2>/dev/null) || continue
        to=${to% (deleted)}
        case "$to" in "$prefix"/bin/*) link=${link#/proc/}; printf '%s %s\n' "${link%/exe}" "${to##*/}" ;; esac
    done
}

one_at_a_time() {
    exec 9<"$prefix"
    flock -n 9 || fail "another install.sh works in $prefix" "wait until it has ended"
    # Of a run that was killed.
    rm -rf -- "$prefix"/.installing.*
}

# Directories that are left empty, upwards; not the prefix itself when it holds anything else.
remove_empty() {
    local dir
    awk '{ print $4 }' "$1" | while read -r path; do
        dir=$path
        while [[ "$dir" == */* ]]; do dir=${dir%/*}; printf '%s\n' "$dir"; done
    done | sort -ru | while read -r dir; do rmdir "$prefix/$dir" 2>/dev/null || true; done
}

uninstall() {
    local list path kept=() gone busy
    [ -e "$installed" ] || [ -e "$underway" ] || fail "nothing is installed in $prefix" "name the directory with --prefix; install.sh keeps its list in DIR/share/orapipe/INSTALLED"
    [ -w "$prefix" ] || fail "$prefix cannot be written" "run this as the user who installed it: $(stat -c %U "$prefix")"
    one_at_a_time
    busy=$(running)
    [ -z "$busy" ] || fail "programs of $prefix are running: $(tr '\n' ',' <<<"$busy" | sed 's/,$//; s/,/, /g')" "end them first (pid and name are above; ts-hotbackup ends backup mode when it is told to end)"
    list=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$list'" EXIT
    cat "$installed" "$underway" 2>/dev/null >"$list" || true
    read_list "$list"
    read_sums "$list" "$prefix"
    gone=()
    while read -r path; do
        [ -e "$prefix/$path" ] || [ -L "$prefix/$path" ] || continue
        if [ "${kind_of[$path]}" = conf ] && is_edited "$path"; then kept+=("$prefix/$path"); else gone+=("$prefix/$path"); fi
    done < <(paths "$list")
    if [ ${#gone[@]} -gt 0 ]; then rm -f -- "${gone[@]}" || fail "not everything can be removed" "run this again as the user who installed it"; fi
    rm -f -- "$installed" "$underway"
    printf '%s\n' '0644 - file share/orapipe/INSTALLED' >>"$list"
    remove_empty "$list"
    rmdir "$prefix" 2>/dev/null || true
    say "removed ${#gone[@]} files from $prefix"
    for path in ${kept[@]+"${kept[@]}"}; do say "kept, because it was edited: $path"; done
    if [ -d "$prefix" ]; then say "$prefix holds other files, which stay"; fi
}

if [ "$action" = uninstall ]; then uninstall; exit 0; fi

# ---- what is installed

for program in tar gzip install; do
    command -v "$program" >/dev/null 2>&1 || fail "$program is not installed"
done
here=$(dirname "$self")
if [ "$build" = yes ]; then
    [ -x "$here/package.sh" ] || fail "there are no sources here to build" "take --from TARBALL"
    command -v cargo >/dev/null 2>&1 || PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null 2>&1 || fail "cargo is not installed" "scripts/setup.sh installs what building needs; or take --from TARBALL"
    "$here/package.sh" --native --only tar
    target=${CARGO_TARGET_DIR:-$here/../target}
    from=$(find "$target/dist-native" -maxdepth 1 -name 'orapipe-*-linux-x86_64.tar.gz' | head -n 1)
elif [ -z "$from" ] && [ ! -e "$here/MANIFEST" ]; then
    fail "it is not said what to install" "in the sources: scripts/install.sh --build, or --from target/dist/orapipe-….tar.gz after scripts/package.sh" \
        "in the unpacked tarball: ./install.sh"
fi

mkdir -p "$prefix" 2>/dev/null || fail "$prefix cannot be made" "as root, or with --prefix in a directory of your own, such as --prefix ~/orapipe"
[ -w "$prefix" ] || fail "$prefix cannot be written" "as root, or with --prefix in a directory of your own, such as --prefix ~/orapipe"
one_at_a_time
# On the same file system, so that every file comes into place by a rename.
work=$(mktemp -d "$prefix/.installing.XXXXXX")
cleanup() {
    rm -rf "$work"
    # Only when nothing came of it, and nothing was there before.
    rmdir "$prefix" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

if [ -n "$from" ]; then
    [ -r "$from" ] || fail "cannot read $from"
    sums=$(dirname "$from")/SHA256SUMS
    [ -r "$sums" ] || fail "there is no SHA256SUMS beside $from" "fetch it from where the tarball came from: it says whether the tarball is whole"
    said=$(awk -v name="$(basename "$from")" '$2 == name || $2 == "*" name { print $1; exit }' "$sums")
    [ -n "$said" ] || fail "$sums has no line for $(basename "$from")" "the two are not of the same release, or the tarball was renamed"
    [ "$(sha256sum <"$from" | cut -d ' ' -f 1)" = "$said" ] || fail "$from is damaged: its SHA-256 is not the one in SHA256SUMS" "fetch both again"
    tar -C "$work" --no-same-owner -xzf "$from" || fail "$from cannot be unpacked" "df -h $prefix"
    tree=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'orapipe-*' | head -n 1)
    [ -e "${tree:-none}/MANIFEST" ] || fail "$from is not a tarball of orapipe"
else
    tree=$work/tree
    mkdir "$tree"
    (cd "$here" && tar -cf - .) | tar -C "$tree" --no-same-owner -xf - || fail "$here cannot be copied to $prefix" "df -h $prefix"
fi

# Every file of the manifest, byte for byte, and no other.
read_sums "$tree/MANIFEST" "$tree"
while read -r _ sha _ path; do
    case "$path" in /* | *..*) fail "the manifest names $path" "this is not a tarball of orapipe" ;; esac
    [ -f "$tree/$path" ] || fail "$path is missing from the tarball" "fetch it again"
    [ "${sum_now[$path]}" = "$sha" ] || fail "$path is not the one of the release" "fetch the tarball again"
done <"$tree/MANIFEST"
extra=$(cd "$tree" && find . -type f -printf '%P\n' | grep -vxE 'MANIFEST|VERSION|install\.sh' | sort | comm -23 - <(paths MANIFEST))
[ -z "$extra" ] || fail "not in the manifest: $(tr '\n' ' ' <<<"$extra")" "unpack the tarball again, into an empty directory"
version=$(cat "$tree/VERSION")

# The paths of the packages become those of this prefix, in what a person or a system program reads.
tools='arch-ship|dp-export|ib-prune|ib-snap|mailreport|rman-run|s3-get|s3-put|ts-hotbackup|zip-rotate'
mkdir -p "$tree/lib"
find "$tree/etc" "$tree/lib" "$tree/share/orapipe" -type f -exec sed -i -E "s#/usr/libexec/orapipe\\b#$prefix/libexec/orapipe#g
    s#/usr/share/((doc/)?orapipe)\\b#$prefix/share/\\1#g
    s#/usr/bin/(($tools)\\b)#$prefix/bin/\\1#g
    s#(^|[^A-Za-z0-9_/])/etc/orapipe\\b#\\1$prefix/etc/orapipe#g" {} + ||
    fail "the paths in $tree cannot be written" "df -h $prefix"
# This script, to remove it all without the tarball.
install -D -m 0755 "$self" "$tree/share/orapipe/install.sh"
printf '%s\n' "0755 - file share/orapipe/install.sh" >>"$tree/MANIFEST"
read_sums "$tree/MANIFEST" "$tree"
while read -r mode _ kind path; do
    printf '%s %s %s %s\n' "$mode" "${sum_now[$path]}" "$kind" "$path"
done <"$tree/MANIFEST" >"$work/manifest"

# ---- refuse before anything is changed

for program in "$tree"/bin/*; do
    chmod 0755 "$program"
    said=$(env -i "$program" --version 2>&1) || fail "${program##*/} does not start on this machine: $said" \
        "it needs Linux on x86_64 with glibc 2.17 or later; here: $(uname -sm), $(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'no glibc')" \
        "a file system mounted noexec says \"Permission denied\": choose another --prefix"
done
cat "$installed" "$underway" 2>/dev/null >"$work/before" || true
: >"$work/new"
read_list "$work/before"
blocking=()
while read -r _ _ kind path; do
    to=$prefix/$path
    if [ -d "$to" ] && [ ! -L "$to" ]; then fail "$to is a directory" "move it away"; fi
    # Settings are never in the way: theirs stay.
    if [ -z "${kind_of[$path]:-}" ] && [ "$kind" != conf ] && { [ -e "$to" ] || [ -L "$to" ]; }; then blocking+=("$to"); fi
    dir=${to%/*}
    while [ ! -e "$dir" ]; do dir=${dir%/*}; done
    [ -d "$dir" ] || fail "$dir is not a directory" "move it away"
    [ -w "$dir" ] || fail "$dir cannot be written" "run this as the user who installed it: $(stat -c %U "$dir")"
done <"$work/manifest"
[ ${#blocking[@]} -eq 0 ] || fail "in the way, and not installed by install.sh: ${blocking[*]:0:5}${blocking[5]:+ and $((${#blocking[@]} - 5)) more}" \
    "choose another --prefix, or move them away"

# ---- install

if [ -e "$underway" ]; then say "an earlier run was interrupted; it is completed now"; fi
mkdir -p "$prefix/share/orapipe"
cat "$work/before" "$work/manifest" | sort -u >"$work/both"
mv -f "$work/both" "$underway"
notes=()
cat "$work/before" "$work/manifest" >"$work/all"
read_sums "$work/all" "$prefix"
declare -A stays=()
stamp=$(date +%Y%m%d-%H%M%S)
# is_free PATH SHA: whether nothing is there but what we have put there, or what a run that was interrupted has.
is_free() {
    if [ -f "$prefix/$1" ] && [ "$(sha256sum <"$prefix/$1" | cut -d ' ' -f 1)" = "$2" ]; then return; fi
    [ -n "${kind_of[$1]:-}" ] || { [ ! -e "$prefix/$1" ] && [ ! -L "$prefix/$1" ]; } || return 1
    ! is_edited "$1"
}
while read -r mode sha kind path; do
    stays[$path]=yes
    to=$prefix/$path
    [ -d "${to%/*}" ] || mkdir -p "${to%/*}"
    chmod "$mode" "$tree/$path"
    if [ "${sum_now[$path]:-$sha}" != "$sha" ] && is_edited "$path"; then
        case "$kind" in
            conf)
                # A new one is worth a look when it is another than before; then it stays for as long as the old one.
                if [[ " ${sums_of[$path]:-} " != *" $sha "* ]] || [ -n "${kind_of[$path.new]:-}${kind_of[$path.orapipe-new]:-}" ]; then
                    # A file of that name that is not from here, or was edited, stays.
                    new=$path.new
                    is_free "$new" "$sha" || new=$path.orapipe-new
                    if is_free "$new" "$sha"; then
                        mv -f "$tree/$path" "$prefix/$new"
                        stays[$new]=yes
                        printf '%s %s conf %s\n' "$mode" "$sha" "$new" >>"$work/new"
                        notes+=("kept, because it was edited: $to; the new one is $prefix/$new")
                    else
                        notes+=("kept, because it was edited: $to; $to.new and $prefix/$new were edited too, so the new one is only in the tarball")
                    fi
                else
                    notes+=("kept, because it was edited: $to")
                fi
                continue
                ;;
            *)
                # Each edit has its own: the one before may be the only copy of another.
                saved=$to.saved.$stamp
                for ((n = 1; ; n++)); do
                    if [ ! -e "$saved" ] && [ ! -L "$saved" ]; then break; fi
                    saved=$to.saved.$stamp.$n
                done
                cp -p "$to" "$saved"
                notes+=("was edited, and is replaced: $to; the edited one is $saved")
                ;;
        esac
    fi
    mv -f "$tree/$path" "$to"
done <"$work/manifest"
cat "$work/new" >>"$work/manifest"
# What an older version had and this one has not.
for path in "${!kind_of[@]}"; do
    if [ -n "${stays[$path]:-}" ] || [ ! -e "$prefix/$path" ]; then continue; fi
    if [ "${kind_of[$path]}" = conf ] && is_edited "$path"; then
        notes+=("kept, because it was edited: $prefix/$path; version $version has no such file")
    else
        rm -f -- "$prefix/$path"
    fi
done
remove_empty "$work/before"
install -m 0644 "$work/manifest" "$work/done"
sync -f "$prefix" 2>/dev/null || sync
mv -f "$work/done" "$installed"
rm -f -- "$underway"

say "orapipe $version is in $prefix ($(wc -l <"$work/manifest") files, listed in $installed)"
for note in ${notes[@]+"${notes[@]}"}; do say "$note"; done
busy=$(running)
[ -z "$busy" ] || say "still running as they were started: $(tr '\n' ',' <<<"$busy" | sed 's/,$//; s/,/, /g'); start them again when it suits"
on_path=:${PATH:-}:
if [[ "$on_path" != *":$prefix/bin:"* || "$on_path" != *":$prefix/libexec/orapipe:"* ]]; then
    say "next: PATH=$prefix/bin:$prefix/libexec/orapipe:\$PATH"
fi
say "next: copy $prefix/etc/orapipe/PROD.env.example to PROD.env, edit it, and set ORAPIPE_ENV_FILE to it"
say "next: ts-hotbackup --show-config shows what is set, and changes nothing"
say "next: $prefix/share/doc/orapipe/docs/DEPLOYMENT.md leads to the first backup of each job"
