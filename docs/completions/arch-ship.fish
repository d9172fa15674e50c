complete -c arch-ship -l source-dir -d 'Look for archived logs below DIR: in date directories (YYYY_MM_DD) and directly. May be repeated' -r -F
complete -c arch-ship -l dest-dir -d 'Put the logs below DIR at the standby [second name of the setting: DESTBASEDIR]' -r -F
complete -c arch-ship -l also-at -d 'Another place at the standby where a log may already be. May be repeated' -r -F
complete -c arch-ship -l dest-host -d 'Host of the standby [default: none, the destination is a local or NFS path; second name: DRSERVER]' -r
complete -c arch-ship -l dest-user -d 'User at the standby [second name: SSHUSER]' -r
complete -c arch-ship -l ssh-option -d 'Options for ssh, as in "-p 2222 -i key". May be repeated' -r
complete -c arch-ship -l standby-profile -d 'File of shell settings that is sourced first at the standby' -r
complete -c arch-ship -l standby-oracle-home -d 'ORACLE_HOME at the standby [default: from its oratab]' -r
complete -c arch-ship -l standby-sid -d 'ORACLE_SID at the standby [default: from its oratab]' -r
complete -c arch-ship -l workers -d 'Use at most N transfers at once; fewer where a fast network gains nothing from more' -r
complete -c arch-ship -l seq-min -d 'Ship only sequences from N on' -r
complete -c arch-ship -l seq-max -d 'Ship only sequences up to N' -r
complete -c arch-ship -l thread -d 'Ship only this redo thread' -r
complete -c arch-ship -l discover -d 'Where to find the logs: in the directories or in V$ARCHIVED_LOG [default: scan with --source-dir, else database]' -r -f -a "scan\t''
database\t''"
complete -c arch-ship -l applied -d 'What the standby has applied: ask it, take nothing as applied, or a sequence up to which all is applied' -r
complete -c arch-ship -l scn-cutoff -d 'Ship every log with NEXT_CHANGE# above this SCN; "capture" takes the current SCN once and keeps it' -r
complete -c arch-ship -l interval -d 'Time between two cycles of --follow; a bare number is seconds' -r
complete -c arch-ship -l io-timeout -d 'End a transfer or a remote command that has been silent for so long' -r
complete -c arch-ship -l retries -d 'Try a transfer so many times more after a failure of the network' -r
complete -c arch-ship -l bwlimit -d 'Use at most this rate for all transfers together: bytes per second with suffix k, m or g' -r
complete -c arch-ship -l name-pattern -d 'Form of the names with --no-header-check, as LOG_ARCHIVE_FORMAT: %t thread, %s sequence, %r resetlogs id' -r
complete -c arch-ship -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c arch-ship -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c arch-ship -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c arch-ship -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c arch-ship -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c arch-ship -l follow -d 'Go on for ever: one cycle every --interval, and at once when a new log appears'
complete -c arch-ship -l no-header-check -d 'Take identity from the name and completeness from a stable size, not from the log\'s own header'
complete -c arch-ship -l status -d 'Print one `standby` record and a `gap` record for each hole; ship nothing. Status 5 when there is a gap'
complete -c arch-ship -l verify -d 'Re-check every log at the standby against the source or the recorded hash; ship nothing'
complete -c arch-ship -l register -d 'Catalogue at the standby (RMAN CATALOG ARCHIVELOG) what has been shipped and is not catalogued yet'
complete -c arch-ship -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c arch-ship -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c arch-ship -s v -l verbose -d 'Show the steps on standard error'
complete -c arch-ship -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c arch-ship -l allow-root -d 'Run although this is root'
complete -c arch-ship -s h -l help -d 'Print help (see more with \'--help\')'
complete -c arch-ship -s V -l version -d 'Print version'
