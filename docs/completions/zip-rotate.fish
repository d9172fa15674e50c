complete -c zip-rotate -l dir -d 'Keep the archives in DIR' -r -F
complete -c zip-rotate -l name -d 'Name of the archive; {weekday}, {date} as 2026-11-20, {time} as 031500 and {db} are replaced. It also tells which files of the directory are ours' -r
complete -c zip-rotate -l weekday-language -d 'Language of {weekday}: segunda-feira or monday' -r -f -a "pt\t''
en\t''"
complete -c zip-rotate -l level -d 'How hard to compress, on zlib\'s scale: 1 is fast, 9 is small' -r
complete -c zip-rotate -l threads -d 'Compress on N threads [default: one per processor, at most 8]' -r
complete -c zip-rotate -l copy-to -d 'Copy the archive to DIR as well, for example a network directory. May be repeated' -r -F
complete -c zip-rotate -l copy-sentinel -d 'File that must be in each --copy-to: proof that it is the directory that is meant, and mounted' -r -F
complete -c zip-rotate -l copy-timeout -d 'Give a --copy-to up when it has answered nothing for so long' -r
complete -c zip-rotate -l keep-days -d 'Remove archives that are older than N days' -r
complete -c zip-rotate -l keep-min -d 'Keep the N newest good archives whatever their age' -r
complete -c zip-rotate -l keep-max -d 'Keep at most N good archives, but never fewer than --keep-min' -r
complete -c zip-rotate -l verify -d 'Read an archive, or all archives of a directory, and check every member; status 5 when one is damaged' -r -F
complete -c zip-rotate -l simulate -d 'Print what the retention will keep and remove on each of so many days with one archive a day' -r
complete -c zip-rotate -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c zip-rotate -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c zip-rotate -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c zip-rotate -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c zip-rotate -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c zip-rotate -l fast -d 'Compress as fast as possible: the same as --level 1'
complete -c zip-rotate -l require-mount -d 'Refuse a --copy-to on the file system of --dir: the network directory is not mounted then'
complete -c zip-rotate -l remove-dumps -d 'Afterwards remove the dumps and export logs of earlier days that are, byte for byte, in a proven archive'
complete -c zip-rotate -l rotate-only -d 'Pack nothing; only apply the retention to --dir and each --copy-to'
complete -c zip-rotate -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c zip-rotate -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c zip-rotate -s v -l verbose -d 'Show the steps on standard error'
complete -c zip-rotate -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c zip-rotate -l allow-root -d 'Run although this is root'
complete -c zip-rotate -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zip-rotate -s V -l version -d 'Print version'
