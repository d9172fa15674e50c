complete -c ts-hotbackup -l dest-host -d 'Host of the standby [default: none, the destination is a local or NFS path; second name: DRSERVER]' -r
complete -c ts-hotbackup -l dest-user -d 'User at the standby [second name: SSHUSER]' -r
complete -c ts-hotbackup -l ssh-option -d 'Options for ssh, as in "-p 2222 -i key". May be repeated' -r
complete -c ts-hotbackup -l map -d 'Put datafiles below SRC below DST at the standby; the longest SRC wins. May be repeated, or separated by commas' -r
complete -c ts-hotbackup -l dest-base -d 'Put datafiles that no --map covers directly into DIR [default: none, such a file is an error]' -r -F
complete -c ts-hotbackup -l standby-dir -d 'Put the standby control file and the recovery scripts into DIR at the standby [default: --dest-base, else the directory of the copy of datafile 1]' -r -F
complete -c ts-hotbackup -l archlog-dir -d 'Where archived logs arrive at the standby: the RMAN script catalogues them from there. Without it they have to be catalogued by hand, or by arch-ship --register' -r -F
complete -c ts-hotbackup -l workers -d 'Copy at most N datafiles at once' -r
complete -c ts-hotbackup -l exclude -d 'Leave out tablespaces whose name matches RE; temporary ones are always left out' -r
complete -c ts-hotbackup -l last -d 'Copy tablespaces whose name matches RE last [default: SYSTEM, SYSAUX and undo]' -r
complete -c ts-hotbackup -l max-backup-mode -d 'End backup mode of a tablespace after so long even if its copy is not done; it counts as failed then' -r
complete -c ts-hotbackup -l io-timeout -d 'End a transfer or a remote command that has been silent for so long' -r
complete -c ts-hotbackup -l retries -d 'Try a transfer so many times more after a failure of the network' -r
complete -c ts-hotbackup -l bwlimit -d 'Use at most this rate for all transfers together: bytes per second with suffix k, m or g' -r
complete -c ts-hotbackup -l sql-timeout -d 'Limit for one session of sqlplus, the checkpoint of BEGIN BACKUP included' -r
complete -c ts-hotbackup -l archive-timeout -d 'Limit for ARCHIVE LOG CURRENT and for the wait until the last log is archived' -r
complete -c ts-hotbackup -l connect -d 'How to log on: "/ as sysdba" or "/@alias"; one with a password only by the environment [default: / as sysdba]' -r
complete -c ts-hotbackup -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c ts-hotbackup -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c ts-hotbackup -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c ts-hotbackup -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c ts-hotbackup -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c ts-hotbackup -l new-cycle -d 'Begin a new cycle: copy everything again'
complete -c ts-hotbackup -l end-backup -d 'End backup mode that an earlier run of ours has left on, and nothing else. Fit for a boot unit'
complete -c ts-hotbackup -l status -d 'Show what of this cycle is done and which files are in backup mode, since when and by whom; change nothing'
complete -c ts-hotbackup -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c ts-hotbackup -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c ts-hotbackup -s v -l verbose -d 'Show the steps on standard error'
complete -c ts-hotbackup -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c ts-hotbackup -l allow-root -d 'Run although this is root'
complete -c ts-hotbackup -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ts-hotbackup -s V -l version -d 'Print version'
