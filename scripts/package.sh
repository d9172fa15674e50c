#!/usr/bin/env bash
# Builds the programs for old systems and packs them: .deb, .rpm, .tar.gz, bill of materials.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/package.sh [--ci | --twice] [--native] [--only tar] [--bin DIR] [--version V] [--out DIR]

Builds the ten programs against glibc 2.17 (Oracle Linux 7 and later), checks them and packs them into target/dist:
orapipe_V_amd64.deb, orapipe-V-1.x86_64.rpm, orapipe-V-linux-x86_64.tar.gz, orapipe-V.cdx.json (what they are made of),
SHA256SUMS, and FILES-deb, FILES-rpm, FILES-tar (what each holds).

  --ci          also build our own crates a second time, from a copy of the sources elsewhere, pack that too, and compare
  --twice       also build everything a second time, from another directory with another CARGO_HOME and target directory,
                pack that too, and compare: takes as long again as the first build of all
  --native      with this machine's C library and linker, for this machine only; into target/dist-native
  --only tar    only the .tar.gz; needs neither dpkg-deb nor rpmbuild
  --bin DIR     build nothing; pack the programs that are in DIR
  --version V   the version, instead of that in Cargo.toml
  --out DIR     where the packages go

The time in all of them is that of the last commit (SOURCE_DATE_EPOCH wins), so the same sources give the same bytes.
TEXT
}

tools=(arch-ship dp-export ib-prune ib-snap mailreport rman-run s3-get s3-put ts-hotbackup zip-rotate)
crates=(arch-ship dp-export ib-prune ib-snap mailreport rman-run s3-put ts-hotbackup zip-rotate)
# For those who work on orapipe, not for those who run it.
not_packed=' bench.sh demo.sh install.sh licences.sh package.sh setup.sh test.sh '
glibc_limit=2.17
platform=x86_64-unknown-linux-gnu

again=no native=no only=all bin='' version='' out=''
while [ $# -gt 0 ]; do
    case "$1" in
        --ci | --twice) again=${1#--} ;;
        --native) native=yes ;;
        --only) only=${2:-}; shift; [ "$only" = tar ] || { usage >&2; exit 64; } ;;
        --bin) bin=$(cd "${2:?}" && pwd); shift ;;
        --version) version=${2:?}; shift ;;
        --out) out=${2:?}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 64 ;;
    esac
    shift
done
[ "$again" = no ] || [ -z "$bin" ] || { usage >&2; exit 64; }
[ "$again" = no ] || [ "$native" = no ] || { usage >&2; exit 64; }

cd "$(dirname "$(readlink -f "$0")")/.."
root=$(pwd -P)
umask 022
# Sorting and messages are the same everywhere.
export LC_ALL=C TZ=UTC
PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"

say() { printf 'package: %s\n' "$*"; }
fail() { printf 'package: error: %s\n' "$1" >&2; shift; for hint in "$@"; do printf 'package: hint: %s\n' "$hint" >&2; done; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed" "scripts/setup.sh installs it"; }

for program in gzip tar sha256sum objdump readelf; do need "$program"; done
if [ "$only" = all ]; then need dpkg-deb; need rpmbuild; fi

if [ -z "$version" ]; then version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml); fi
case "$version" in
    '' | *[!0-9A-Za-z.+~]*) fail "the version is ${version:-empty}" "digits, letters and . + ~ only: both kinds of package must take it" ;;
esac
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=0; fi
export SOURCE_DATE_EPOCH
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target"
target=$(cd "$target" && pwd -P)
if [ -z "$out" ]; then out=$target/dist; [ "$native" = no ] || out=$target/dist-native; fi
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
work=$(mktemp -d "$target/package.XXXXXX")
trap 'rm -rf "$work"' EXIT

# ---- build

zig_root="${XDG_CACHE_HOME:-$HOME/.cache}/orapipe/zig-0.17.0"

# build SOURCES TARGET CARGO_HOME INTO: the programs, stripped, without a trace of where they were built.
build() {
    local sources=$1 into_target=$2 home=$3 into=$4 made tool
    local crate_args=()
    for tool in "${crates[@]}"; do crate_args+=(-p "$tool"); done
    # Our own crates are compiled with relative paths; only others and generated code have absolute ones. The flags do not
    # name the sources, so that what is compiled already serves a copy of them elsewhere.
    local rust="--remap-path-prefix=$home/registry/src=/cargo --remap-path-prefix=$into_target=/target"
    local c="-ffile-prefix-map=$home/registry/src=/cargo -ffile-prefix-map=$into_target=/target"
    mkdir -p "$into"
    if [ "$native" = yes ]; then
        (
            cd "$sources"
            CARGO_HOME=$home RUSTFLAGS=$rust CFLAGS=$c CARGO_TARGET_DIR=$into_target/native \
                cargo build --locked --profile portable --bins "${crate_args[@]}"
        )
        made=$into_target/native/portable
    else
        [ -e "$zig_root/complete" ] || fail "cargo-zigbuild is not in $zig_root" "scripts/setup.sh installs it"
        (
            cd "$sources"
            # glibc's symbol versions from zig, which knows those of every release.
            PATH="$zig_root/bin:$PATH" CARGO_HOME=$home RUSTFLAGS=$rust CARGO_TARGET_DIR=$into_target \
                CFLAGS_x86_64_unknown_linux_gnu=$c \
                cargo-zigbuild zigbuild --locked --profile portable --target "$platform.$glibc_limit" --bins "${crate_args[@]}"
        )
        made=$into_target/$platform/portable
    fi
    for tool in "${tools[@]}"; do install -m 0755 "$made/$tool" "$into/$tool"; done
}

is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }

# inspect BIN PATH…: every program starts, needs nothing newer than the limit, and names none of the PATHs.
inspect() {
    local dir=$1 tool needed highest=0 holder='' line library place said
    shift
    for tool in "${tools[@]}"; do
        [ -x "$dir/$tool" ] || fail "there is no program $dir/$tool"
        said=$(env -i "$dir/$tool" --version) || fail "$tool --version ends with status $?"
        [ -n "$bin" ] || [ "$said" = "$tool $version" ] || fail "$tool --version says $said, not $version"
        is_elf "$dir/$tool" || continue
        needed=$(objdump -T "$dir/$tool" | grep -o 'GLIBC_[0-9.]*' | sort -u -V | tail -n 1)
        needed=${needed#GLIBC_}
        if [ "$(printf '%s\n%s\n' "$needed" "$highest" | sort -V | tail -n 1)" != "$highest" ]; then highest=$needed holder=$tool; fi
        # Whatever every glibc system has; gcc's and C++'s run-time libraries are not among that.
        while read -r library; do
            case "$library" in
                libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | librt.so.1 | libutil.so.1 | ld-linux-x86-64.so.2) ;;
                *) [ "$native" = yes ] || fail "$tool needs the library $library" ;;
            esac
        done < <(readelf -d "$dir/$tool" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
        for place; do
            line=$(grep -aoF -m 1 "$place" "$dir/$tool" | head -n 1) || true
            [ -z "$line" ] || fail "$tool contains the path $place" "scripts/package.sh, build(): the path prefixes that are mapped"
        done
    done
    [ "$highest" != 0 ] || return 0
    say "glibc: the highest symbol version that any program needs is GLIBC_$highest ($holder)"
    if [ "$native" = no ] && [ "$(printf '%s\n%s\n' "$highest" "$glibc_limit" | sort -V | tail -n 1)" != "$glibc_limit" ]; then
        fail "$holder needs GLIBC_$highest; Oracle Linux 7 has $glibc_limit"
    fi
}

# ---- pack

# put MODE FROM TO: a file of the tree, TO below the prefix.
put() { install -D -m "$1" -- "$2" "$stage/$3"; }

# put_text MODE FROM TO: the same, with the places that packages have.
put_text() {
    put "$1" "$2" "$3"
    # The documents keep their folder, and so their links.
    sed -i -E 's#/opt/orapipe/scripts\b#/usr/libexec/orapipe#g; s#(/usr/share/doc/orapipe)/([A-Z]+\.md)#\1/docs/\2#g; s#(/doc/orapipe)/docs/(README|CHANGELOG)#\1/\2#g' "$stage/$3"
}

# The tree below the prefix; /etc of the packages is etc here.
stage_tree() {
    local from=$1 file name page section rest mode
    for name in "${tools[@]}"; do put 0755 "$from/$name" "bin/$name"; done

    for file in scripts/*; do
        name=${file##*/}
        [[ $not_packed != *" $name "* ]] || continue
        case "$name" in
            *.env.example) put_text 0640 "$file" "etc/orapipe/$name"; put_text 0644 "$file" "share/orapipe/examples/$name" ;;
            *.example) put_text 0644 "$file" "share/orapipe/examples/$name" ;;
            *.sh | *.awk | *.py) mode=0644; [ ! -x "$file" ] || mode=0755; put "$mode" "$file" "libexec/orapipe/$name" ;;
            *) fail "scripts/$name: no rule says where it is installed" "add one to stage_tree in scripts/package.sh" ;;
        esac
    done

    for page in docs/man/*.[1-8]; do
        section=${page##*.}
        put 0644 "$page" "share/man/man$section/${page##*/}"
        gzip -9n "$stage/share/man/man$section/${page##*/}"
    done
    for file in docs/completions/*; do
        name=${file##*/}
        case "$name" in
            *.bash) put 0644 "$file" "share/bash-completion/completions/${name%.bash}" ;;
            *.fish) put 0644 "$file" "share/fish/vendor_completions.d/$name" ;;
            _*) put 0644 "$file" "share/zsh/site-functions/$name" ;;
            *) fail "docs/completions/$name: no rule says where it is installed" ;;
        esac
    done

    while IFS= read -r -d '' file; do
        rest=${file#packaging/}
        mode=0644
        [ ! -x "$file" ] || mode=0755
        case "$rest" in
            deb/* | rpm/* | scripts/* | README.md | */README.md) ;;
            env/*) put_text 0640 "$file" "etc/orapipe/${rest#env/}"; put_text 0644 "$file" "share/orapipe/examples/${rest#env/}" ;;
            systemd/*) put_text 0644 "$file" "lib/systemd/system/${rest#systemd/}" ;;
            */*) put_text "$mode" "$file" "share/orapipe/$rest" ;;
            *) fail "packaging/$rest: no rule says where it is installed" "packaging/README.md has the table" ;;
        esac
    done < <(find packaging -type f ! -name '*.swp' -print0 | sort -z)

    for file in README*.md CHANGELOG.md LICENSE-*; do put 0644 "$file" "share/doc/orapipe/$file"; done
    while IFS= read -r -d '' file; do put 0644 "$file" "share/doc/orapipe/$file"; done \
        < <(find docs -type f ! -path 'docs/man/*' ! -path 'docs/completions/*' -print0 | sort -z)
    for name in "${crates[@]}"; do
        for file in "$name"/*.md; do [ ! -e "$file" ] || put 0644 "$file" "share/doc/orapipe/$file"; done
    done
    put 0644 "$work/bom.json" "share/doc/orapipe/orapipe.cdx.json"
    put 0644 "$work/notices" "share/doc/orapipe/NOTICES-crates.txt"
    gzip -9n "$stage/share/doc/orapipe/NOTICES-crates.txt"
}

# list TREE PREFIX: mode, path and kind of every file, sorted by path. What is in etc belongs to whoever edits it.
list() {
    (cd "$1" && find . -type f -printf '%m %P\n') | sort -k 2 | while read -r mode path; do
        case "$path" in
            etc/*) printf '%04d %s%s conf\n' "$mode" "$2" "$path" ;;
            *) printf '%04d %s%s file\n' "$mode" "$2" "$path" ;;
        esac
    done
}

# Every time stamp the one of the sources.
settle() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# system_tree INTO: the tree as packages have it, with /usr and /etc.
system_tree() {
    mkdir -p "$1/usr"
    cp -a "$stage/." "$1/usr/"
    mv "$1/usr/etc" "$1/etc"
}

# The units that the package brings, for the scripts that stop them before they go.
units() { (cd "$stage" && find lib/systemd/system -maxdepth 1 -type f -printf '%f\n' 2>/dev/null) | sort | tr '\n' ' '; }

maintainer_script() { sed "s|@UNITS@|$(units | sed 's/ $//')|" "packaging/scripts/$1"; }

pack_tar() {
    local into=$1 name=orapipe-$version tree=$work/tar/orapipe-$version mode path kind
    rm -rf "$work/tar"
    mkdir -p "$tree"
    cp -a "$stage/." "$tree/"
    list "$tree" '' >"$into/FILES-tar"
    # What install.sh goes by: mode, sum, kind, path.
    while read -r mode path kind; do
        printf '%s %s %s %s\n' "$mode" "$(sha256sum <"$tree/$path" | cut -d ' ' -f 1)" "$kind" "$path"
    done <"$into/FILES-tar" >"$tree/MANIFEST"
    printf '%s\n' "$version" >"$tree/VERSION"
    install -m 0755 scripts/install.sh "$tree/install.sh"
    settle "$tree"
    tar -C "$work/tar" --sort=name --format=ustar --owner=root:0 --group=root:0 --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
        gzip -6n >"$into/orapipe-$version-linux-x86_64.tar.gz"
}

pack_deb() {
    local into=$1 tree=$work/deb name
    rm -rf "$tree"
    system_tree "$tree"
    # Debian's zsh looks here and not in site-functions.
    mkdir -p "$tree/usr/share/zsh/vendor-completions"
    mv "$tree"/usr/share/zsh/site-functions/* "$tree/usr/share/zsh/vendor-completions/"
    rmdir "$tree/usr/share/zsh/site-functions"
    install -m 0644 packaging/deb/copyright "$tree/usr/share/doc/orapipe/copyright"
    list "$tree" / >"$into/FILES-deb"
    mkdir "$tree/DEBIAN"
    sed -n 's/^[0-9]* \(.*\) conf$/\1/p' "$into/FILES-deb" >"$tree/DEBIAN/conffiles"
    (cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    sed -e "s/@VERSION@/$version/" \
        -e "s/@SIZE@/$(cd "$tree" && find usr etc -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')/" \
        packaging/deb/control >"$tree/DEBIAN/control"
    if [ -n "$(units)" ]; then
        for name in postinst:after-install.sh prerm:before-remove.sh postrm:after-remove.sh; do
            maintainer_script "${name#*:}" >"$tree/DEBIAN/${name%%:*}"
            chmod 0755 "$tree/DEBIAN/${name%%:*}"
        done
    fi
    settle "$tree"
    # One thread: how many there are shows in the compressed bytes.
    dpkg-deb --root-owner-group --threads-max=1 -Zxz -z6 --build "$tree" "$into/orapipe_${version}_amd64.deb" >/dev/null
}

pack_rpm() {
    local into=$1 tree=$work/rpm/tree spec=$work/rpm/orapipe.spec mode path kind name
    rm -rf "$work/rpm"
    mkdir -p "$work/rpm/top"
    system_tree "$tree"
    list "$tree" / >"$into/FILES-rpm"
    {
        # Directories that no other package brings.
        find "$tree" -type d \( -path '*/orapipe' -o -path '*/orapipe/*' \) -printf '%%dir %%attr(0755,root,root) "/%P"\n' | sort
        while read -r mode path kind; do
            case "$kind" in
                conf) printf '%%config(noreplace) %%attr(%s,root,root) "%s"\n' "$mode" "$path" ;;
                *) printf '%%attr(%s,root,root) "%s"\n' "$mode" "$path" ;;
            esac
        done <"$into/FILES-rpm"
    } >"$work/rpm/files"
    sed "s/@VERSION@/$version/" packaging/rpm/orapipe.spec >"$spec"
    if [ -n "$(units)" ]; then
        for name in post:after-install.sh preun:before-remove.sh postun:after-remove.sh; do
            printf '\n%%%s -p /bin/sh\n' "${name%%:*}"
            maintainer_script "${name#*:}" | sed '1d; s/%/%%/g'
        done >>"$spec"
    fi
    settle "$tree"
    rpmbuild -bb --quiet --target x86_64-linux \
        --define "_topdir $work/rpm/top" --define "_rpmdir $work/rpm/top" --define "_dbpath $work/rpm/db" \
        --define "_tmppath $work/rpm" --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
        --define "tree $tree" --define "files_list $work/rpm/files" "$spec" >"$work/rpm/log" 2>&1 ||
        { cat "$work/rpm/log" >&2; fail "rpmbuild failed"; }
    mv "$work/rpm/top/orapipe-$version-1.x86_64.rpm" "$into/"
}

# pack BIN INTO: everything from the programs in BIN.
pack() {
    local into=$2
    stage=$work/stage
    rm -rf "$stage"
    mkdir -p "$stage" "$into"
    stage_tree "$1"
    rm -f "$into"/FILES-* "$into"/SHA256SUMS "$into"/orapipe[-_]*
    pack_tar "$into"
    if [ "$only" = all ]; then
        # Compressing is all that takes time, and each does it on one processor.
        pack_deb "$into" &
        local deb=$!
        pack_rpm "$into"
        wait "$deb" || fail "dpkg-deb failed"
    fi
    install -m 0644 "$work/bom.json" "$into/orapipe-$version.cdx.json"
    (cd "$into" && sha256sum orapipe[-_]* >SHA256SUMS)
}

copy_sources() {
    local to=$1 file
    mkdir -p "$to"
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
            if [ -e "$file" ]; then printf '%s\0' "$file"; fi
        done
    else
        find . -path ./target -prune -o -type f -print0
    fi | tar --null -T - -cf - | tar -C "$to" -m -xf -
}

# compare BIN INTO: what was built and packed a second time, with the first.
compare() {
    local tool
    for tool in "${tools[@]}"; do
        cmp -s "$work/bin/$tool" "$1/$tool" && continue
        mkdir -p "$out/differ"
        cp "$work/bin/$tool" "$out/differ/$tool.first"
        cp "$1/$tool" "$out/differ/$tool.second"
        fail "$tool is not reproducible: two builds differ" "diffoscope $out/differ/$tool.first $out/differ/$tool.second"
    done
    pack "$1" "$2"
    diff "$out/SHA256SUMS" "$2/SHA256SUMS" || fail "the packages are not reproducible: two packings of the same programs differ"
}

cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" 2>/dev/null && pwd -P) || cargo_home=${CARGO_HOME:-$HOME/.cargo}
started=$SECONDS
if [ -n "$bin" ]; then
    mkdir "$work/bin"
    for tool in "${tools[@]}"; do
        [ -x "$bin/$tool" ] || fail "there is no program $bin/$tool"
        cp "$bin/$tool" "$work/bin/"
    done
    inspect "$work/bin"
else
    need cargo
    build "$root" "$target" "$cargo_home" "$work/bin"
    inspect "$work/bin" "$root/" "$target/" "$cargo_home/registry" "$zig_root"
    say "built in $((SECONDS - started))s"
fi

# The two documents are made by a program of the workspace; the tests, which pack stand-ins, bring it built.
if [ -n "${ORAPIPE_SBOM:-}" ]; then sbom=("$ORAPIPE_SBOM"); else sbom=(cargo run --locked -q -p rig --bin sbom --); fi
"${sbom[@]}" --bom "$work/bom.json" --notices "$work/notices" --version "$version" | sed 's/^/package: /'

started=$SECONDS
pack "$work/bin" "$out"
say "packed in $((SECONDS - started))s"

started=$SECONDS
case "$again" in
    ci)
        # The crates of others are taken as they are; ours, and every link, are made again.
        copy_sources "$work/elsewhere/orapipe"
        build "$work/elsewhere/orapipe" "$target" "$cargo_home" "$work/bin2"
        compare "$work/bin2" "$work/dist2"
        say "reproducible: our crates built from a second directory, the ten programs linked and all packed again: same bytes, ${SECONDS}s in all ($((SECONDS - started))s for this)"
        say "not shown by this: that the crates of others are; scripts/package.sh --twice builds them again too"
        ;;
    twice)
        copy_sources "$work/elsewhere/deeper/orapipe"
        # Another home of cargo, so that the paths of all crates differ; linked, as it is only read.
        mkdir -p "$work/home2"
        cp -al "$cargo_home/registry" "$work/home2/registry"
        build "$work/elsewhere/deeper/orapipe" "$work/target2" "$work/home2" "$work/bin2"
        compare "$work/bin2" "$work/dist2"
        say "reproducible: all $(grep -c '"bom-ref"' "$work/bom.json") components built from other directories, linked and packed again: same bytes ($((SECONDS - started))s for this)"
        ;;
esac
(cd "$out" && sed 's/^/package: /' SHA256SUMS)
say "in $out"
