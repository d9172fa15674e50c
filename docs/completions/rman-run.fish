complete -c rman-run -l target -d 'How to log on to the target: "/", "/@alias"; one with a password only by the environment' -r
complete -c rman-run -l catalog -d 'Log on to this recovery catalog too: "/@alias"; one with a password only by the environment [default: none, the control file is the repository]' -r
complete -c rman-run -l channels -d 'Use so many channels; Standard Edition has one' -r
complete -c rman-run -l limit -d 'Stop RMAN after so long' -r
complete -c rman-run -l output-dir -d 'Write the pieces below DIR, into a directory YYYYMMDD_HHMMSS_run for each run' -r -F
complete -c rman-run -l section-size -d 'Split datafiles larger than SIZE among the channels: a number with suffix K, M or G' -r
complete -c rman-run -l max-piece-size -d 'Make no piece larger than SIZE: a number with suffix K, M or G' -r
complete -c rman-run -l keep-archivelogs -d 'Delete archived logs older than this, if they are in a backup that this tool has verified; "never" keeps all' -r
complete -c rman-run -l tag -d 'Tag of the backup [default: BK_<TYPE>_<mmddHHMMSS>]' -r
complete -c rman-run -l max-expired -d 'crosscheck: refuse when more than N % of the pieces or archived logs are not found' -r
complete -c rman-run -l level0-every -d 'status: a level 0 older than this is overdue' -r
complete -c rman-run -l backup-every -d 'status: a database whose last backup of any level is older than this is overdue' -r
complete -c rman-run -l until-time -d 'Recover to this time of the database\'s clock: "YYYY-MM-DD HH:MM:SS", exclusive' -r
complete -c rman-run -l until-scn -d 'Recover to this SCN, exclusive' -r
complete -c rman-run -l until-sequence -d 'Recover to this log sequence, exclusive; SEQUENCE or SEQUENCE:THREAD' -r
complete -c rman-run -l source-dir -d 'Restore from the pieces in DIR when standard input has no records' -r -F
complete -c rman-run -l dbid -d 'plan and restore: the database that is meant, when the records are of several' -r
complete -c rman-run -l without -d 'plan and restore: take this piece as lost: a path, a key, or the last part of one. May be repeated' -r
complete -c rman-run -l map -d 'Restore datafiles below SRC to below DST, the longest SRC wins. May be repeated' -r
complete -c rman-run -l queries -d 'Ask the test queries in FILE: SELECT statements with one value each, ended by ";". A line "-- expect: VALUE" before one says what must come, "-- name: NAME" what to call it' -r -F
complete -c rman-run -l logs -d 'Manual recovery: archived logs arrive in DIR; may be repeated' -r -F
complete -c rman-run -l pfile -d 'Start the instance with this parameter file, where it has no spfile' -r -F
complete -c rman-run -l query-limit -d 'Time for each test query' -r
complete -c rman-run -l open-limit -d 'Ask no more queries when the database has been open for so long' -r
complete -c rman-run -l step-limit -d 'Time for each of: cancel recovery, open, shut down, mount, recover' -r
complete -c rman-run -l resume-wait -d 'Wait so long for new redo that proves that recovery goes on' -r
complete -c rman-run -l give-up -d 'Go on trying for so long to put the standby back; what is left then is for the next --recover' -r
complete -c rman-run -l settle -d 'After a drill that was killed, or a step that did not answer, watch the standby for so long: the server may still do what it was asked for' -r
complete -c rman-run -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c rman-run -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c rman-run -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c rman-run -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c rman-run -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c rman-run -l compressed -d 'Compress the pieces with BASIC, which all editions may use'
complete -c rman-run -l controlfile -d 'Restore the control file first'
complete -c rman-run -l spfile -d 'Restore the server parameter file first'
complete -c rman-run -l resetlogs -d 'Open with RESETLOGS even after a complete recovery'
complete -c rman-run -l no-resetlogs -d 'Leave the database mounted after an incomplete recovery, to be opened by hand'
complete -c rman-run -l force -d 'Overwrite a database that is open'
complete -c rman-run -l manual -d 'Enterprise Edition recovered by hand: without it a standby whose managed recovery does not run is refused, for that may have died'
complete -c rman-run -l recover -d 'Only put back what an earlier drill has left; nothing to do is a success'
complete -c rman-run -l verify-evidence -d 'Only check the chain of evidence; status 5 when a line was changed, removed or moved'
complete -c rman-run -l as-keeper -d 'Given by the keeper of a drill that was killed'
complete -c rman-run -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c rman-run -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c rman-run -s v -l verbose -d 'Show the steps on standard error'
complete -c rman-run -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c rman-run -l allow-root -d 'Run although this is root'
complete -c rman-run -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rman-run -s V -l version -d 'Print version'
