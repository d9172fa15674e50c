complete -c ib-snap -l data-volume -d 'Volume with datafiles. May be repeated, or separated by commas' -r
complete -c ib-snap -l archive-volume -d 'Volume with archived logs. May be repeated, or separated by commas' -r
complete -c ib-snap -l data-cg -d 'Consistency group of the volumes with datafiles; volumes named besides must be its members' -r
complete -c ib-snap -l archive-cg -d 'Consistency group of the volumes with archived logs' -r
complete -c ib-snap -l prefix -d 'First word of all names of snapshots' -r
complete -c ib-snap -l lock-until -d 'Lock the snapshots: the array deletes them for nobody before that time. A date, a date and time (RFC 3339 or local), or a length of time from now. A lock cannot be shortened' -r
complete -c ib-snap -l max-backup-mode -d 'End backup mode after so long, whatever the array does; the snapshots do not count then' -r
complete -c ib-snap -l controlfile-to -d 'Back up the control file into DIR, which lies on an archive volume, before that volume\'s snapshot' -r -F
complete -c ib-snap -l oracle-server -d 'Name for the log file [default: db and the SID]' -r
complete -c ib-snap -l sql-timeout -d 'Limit for one session of sqlplus, the checkpoint of BEGIN BACKUP included' -r
complete -c ib-snap -l archive-timeout -d 'Limit for ARCHIVE LOG CURRENT and for the wait until the last log is archived' -r
complete -c ib-snap -l connect -d 'How to log on: "/ as sysdba" or "/@alias"; one with a password only by the environment [default: / as sysdba]' -r
complete -c ib-snap -l infinibox -d 'Management address of the array: HOST or HOST:PORT. With several, separated by commas, the next one is asked when one does not answer' -r
complete -c ib-snap -l infinibox-user -d 'User of the array; the administrator of the pool is enough' -r
complete -c ib-snap -l infinibox-password -d 'The password; from the environment or the env file only, refused on the command line' -r
complete -c ib-snap -l infinibox-password-file -d 'Read the password from the first line of FILE, which only its owner may read' -r -F
complete -c ib-snap -l ca-file -d 'Trust the certificates in FILE (PEM), the array\'s own or that of its CA, instead of those of the system' -r -F
complete -c ib-snap -l array-connect-timeout -d 'Longest time to connect to the array' -r
complete -c ib-snap -l array-timeout -d 'Longest time for one request to the array, its answer included' -r
complete -c ib-snap -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c ib-snap -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c ib-snap -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c ib-snap -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c ib-snap -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c ib-snap -l no-archive -d 'Take no snapshots of archive volumes; the redo is archived all the same'
complete -c ib-snap -l utc -d 'Use UTC in the names instead of this host\'s zone, where one hour of the year comes twice'
complete -c ib-snap -l separate-snapshots -d 'Take one snapshot per volume, all at the same time, instead of one atomic snapshot of all. Right only if each file system and each disk group lies on one volume; for arrays that know no group snapshots'
complete -c ib-snap -l check-coverage -d 'Refuse unless every datafile, and with archive snapshots every archive destination, lies on a listed volume, by mount, block device, LVM, multipath and WWN'
complete -c ib-snap -l end-backup -d 'End backup mode that an earlier run of ours has left on, look after its snapshots, and nothing else. Fit for a boot unit'
complete -c ib-snap -l insecure-http -d 'Talk plain HTTP: the password crosses the network in the clear and nobody checks who answers'
complete -c ib-snap -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c ib-snap -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c ib-snap -s v -l verbose -d 'Show the steps on standard error'
complete -c ib-snap -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c ib-snap -l allow-root -d 'Run although this is root'
complete -c ib-snap -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ib-snap -s V -l version -d 'Print version'
