complete -c ib-prune -l older-than -d 'Delete sets that are older than AGE: 14days, 36h; a bare number is days' -r
complete -c ib-prune -l match -d 'Only snapshots whose name contains TEXT: the prefix that ib-snap has given them, or a part of the name that narrows the choice' -r
complete -c ib-prune -l keep-last -d 'Keep the N newest complete sets (data and archive) of each database whatever their age' -r
complete -c ib-prune -l max-delete -d 'Refuse to delete more than N sets, or more than N% of the sets, of one database in one run; a percentage allows five sets in any case' -r
complete -c ib-prune -l data-volume -d 'Data volumes of the database, for snapshots without metadata: they and --archive-volume belong together. Without them it is concluded from the times. May be repeated' -r
complete -c ib-prune -l archive-volume -d 'Archive volumes of the database, for snapshots without metadata. May be repeated' -r
complete -c ib-prune -l simulate -d 'Print what would be kept and deleted on each of so many days, with a new set every --simulate-every. Begins with what is on the array, if one is named, else with nothing; changes nothing' -r
complete -c ib-prune -l simulate-every -d 'Time between two new sets of --simulate' -r
complete -c ib-prune -l infinibox -d 'Management address of the array: HOST or HOST:PORT. With several, separated by commas, the next one is asked when one does not answer' -r
complete -c ib-prune -l infinibox-user -d 'User of the array; the administrator of the pool is enough' -r
complete -c ib-prune -l infinibox-password -d 'The password; from the environment or the env file only, refused on the command line' -r
complete -c ib-prune -l infinibox-password-file -d 'Read the password from the first line of FILE, which only its owner may read' -r -F
complete -c ib-prune -l ca-file -d 'Trust the certificates in FILE (PEM), the array\'s own or that of its CA, instead of those of the system' -r -F
complete -c ib-prune -l array-connect-timeout -d 'Longest time to connect to the array' -r
complete -c ib-prune -l array-timeout -d 'Longest time for one request to the array, its answer included' -r
complete -c ib-prune -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c ib-prune -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c ib-prune -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c ib-prune -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c ib-prune -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c ib-prune -l require-metadata -d 'Leave snapshots without metadata alone: those of the original script, and those of arrays that store none'
complete -c ib-prune -l force -d 'Delete more than --max-delete allows: the first run on an array with old leftovers'
complete -c ib-prune -l ignore-clock-difference -d 'Go on although the clocks of the array and of this host differ by more than ten minutes, or the array does not tell its time'
complete -c ib-prune -l insecure-http -d 'Talk plain HTTP: the password crosses the network in the clear and nobody checks who answers'
complete -c ib-prune -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c ib-prune -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c ib-prune -s v -l verbose -d 'Show the steps on standard error'
complete -c ib-prune -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c ib-prune -l allow-root -d 'Run although this is root'
complete -c ib-prune -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ib-prune -s V -l version -d 'Print version'
